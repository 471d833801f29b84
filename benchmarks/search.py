"""Time model selection: ``LossDecoderSearchCV`` compared with ``GridSearchCV``.

Both compare the same losses and decoders on the same folds. The grid search trains one network per
loss, decoder and fold, ``LossDecoderSearchCV`` one per loss and fold. "within" is the share of
candidates whose mean scores differ by less than one standard error of the mean over folds.

    python benchmarks/search.py                                  yeast
    python benchmarks/search.py --data FOLDER --tables emotions  a folder with NAME.npz
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from contenders import print_machine
from sklearn.model_selection import GridSearchCV
from tables import read_table

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

LOSSES = [
    "bce", "focal", "asymmetric", "brier", "softmax_ce", "zlpr",
    "lsep", "tversky", "poly1", "hill", "abs_kl", "factorized",
]  # fmt: skip
DECODERS = [
    "threshold", "global_threshold", "per_label_threshold",
    "cardinality", "expected_fbeta", "label_set",
]  # fmt: skip
FOLDS = MultilabelStratifiedKFold(5, shuffle=True, random_state=0)


def read(name, folder):
    """Return the training part of a data set."""
    if folder is None:
        return load_yeast(return_X_y=True)
    return read_table(folder, name)[:2]


def grid(net, n_jobs):
    """Return the search of scikit-learn."""
    candidates = {"loss": LOSSES, "decoder": DECODERS}
    return GridSearchCV(net, candidates, scoring="f1_macro", cv=FOLDS, n_jobs=n_jobs)


def search(net, n_jobs):
    """Return the search of this package."""
    return LossDecoderSearchCV(
        net, losses=LOSSES, decoders=DECODERS, scoring="f1_macro", cv=FOLDS, n_jobs=n_jobs,
        random_state=0,
    )  # fmt: skip


CONTENDERS = {
    "GridSearchCV, 2 processes": (grid, 2),
    "LossDecoderSearchCV": (search, None),
    "LossDecoderSearchCV, 2 processes": (search, 2),
}


def scores(fitted):
    """Return the scores of each candidate in each fold."""
    results = fitted.cv_results_
    order = np.lexsort((results["param_decoder"].astype(str), results["param_loss"].astype(str)))
    return np.stack([results[f"split{k}_test_score"][order] for k in range(5)], axis=1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of data sets; default: yeast")
    parser.add_argument("--tables", nargs="+", default=["yeast"])
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    print_machine()
    for name in options.tables:
        X, Y = read(name, options.data)
        net = MultiLabelNetClassifier(random_state=0)
        seconds, searches = {label: [] for label in CONTENDERS}, {}
        # Start the workers and import modules, which later searches reuse.
        grid(MultiLabelNetClassifier(max_epochs=1), 2).set_params(
            param_grid={"loss": ["bce"], "decoder": ["threshold"]}
        ).fit(X, Y)
        for _ in range(options.repeats):
            for label, (make, n_jobs) in CONTENDERS.items():
                start = time.perf_counter()
                searches[label] = make(net, n_jobs).fit(X, Y)
                seconds[label].append(time.perf_counter() - start)
        first = scores(searches["GridSearchCV, 2 processes"])
        error = first.std(axis=1, ddof=1) / np.sqrt(first.shape[1])
        print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {Y.shape[1]} labels, "
              f"{len(LOSSES)} losses x {len(DECODERS)} decoders x 5 folds")  # fmt: skip
        print(f"{'':<34}{'seconds':>9}{'x GridSearchCV':>16}{'within':>9}")
        reference = seconds["GridSearchCV, 2 processes"]
        for label, times in seconds.items():
            ratio = statistics.median(a / b for a, b in zip(times, reference, strict=True))
            difference = np.abs(scores(searches[label]).mean(axis=1) - first.mean(axis=1))
            print(f"{label:<34}{statistics.median(times):>9.1f}{ratio:>16.3f}"
                  f"{(difference < error).mean():>9.2f}")  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
