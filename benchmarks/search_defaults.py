"""Which few losses and decoders come near the best of all: the defaults of LossDecoderSearchCV.

Tries every loss with the usual decoders on each table (five folds, standardised features) and, for
several metrics, prints what a smaller set loses: the best mean score of all pairs less that of the
pairs of the set, averaged over tables and metrics. Sets grow by what helps the most.

    python benchmarks/search_defaults.py --folder FOLDER --tables emotions birds yeast

Tables are read from FOLDER/NAME.npz with arrays X (n, d) and Y (n, L).
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.losses import LOSSES
from sklearn_mlloss.model_selection.search_candidates import DEFAULT_DECODERS, DEFAULT_LOSSES

DECODERS = [
    "threshold", "global_threshold", "per_label_threshold", "cardinality", "expected_fbeta", "gfm",
    "label_set", "proportion", "max_gap", "threshold_function", "cumulative", "expected_jaccard",
    "one_over_n",
]  # fmt: skip
METRICS = ["f1_micro", "f1_macro", "f1_samples", "jaccard_samples", "accuracy"]


def scores_of(X, Y, epochs):
    """Return mean scores of shape (n_metrics, n_losses, n_decoders)."""
    net = MultiLabelNetClassifier(max_epochs=epochs)
    search = LossDecoderSearchCV(
        make_pipeline(StandardScaler(), net), list(LOSSES), DECODERS, scoring=METRICS,
        refit=False, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = search.fit(X, Y).cv_results_
    means = np.array([results[f"mean_test_{metric}"] for metric in METRICS])
    return means.reshape(len(METRICS), len(LOSSES), len(DECODERS))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True)
    parser.add_argument("--tables", nargs="+", default=["emotions"])
    parser.add_argument("--max-epochs", type=int, default=100)
    options = parser.parse_args()
    tables = []
    for name in options.tables:
        with np.load(Path(options.folder) / f"{name}.npz") as file:
            rows = file["train"] if "train" in file else slice(None)
            X, Y = file["X"][rows], file["Y"][rows].astype(int)
        tables.append(scores_of(X, Y, options.max_epochs))
    scores = np.nan_to_num(np.concatenate(tables), nan=-1)
    losses, decoders = list(range(len(LOSSES))), list(range(len(DECODERS)))

    def loss_of(chosen, kept):
        return np.mean(scores.max((1, 2)) - scores[:, chosen][:, :, kept].max((1, 2)))

    for title, names, grown in (("loss", list(LOSSES), True), ("decoder", DECODERS, False)):
        print(f"\n| {title} added | behind the best of all |\n| --- | --- |")
        chosen = []
        for _ in range(6):
            left = [i for i in range(len(names)) if i not in chosen]
            value, best = min(
                (loss_of([*chosen, i], decoders) if grown else loss_of(losses, [*chosen, i]), i)
                for i in left
            )
            chosen.append(best)
            print(f"| `{names[best]}` | {value:.4f} |")
    own = [list(LOSSES).index(name) for name in DEFAULT_LOSSES]
    kept = [DECODERS.index(name) for name in DEFAULT_DECODERS]
    bce, half = [list(LOSSES).index("bce")], [DECODERS.index("threshold")]
    print(f"\nThe defaults are {loss_of(own, kept):.4f} behind the best of all,")
    print(f"bce with the default decoders {loss_of(bce, kept):.4f}, ", end="")
    print(f"the default losses with a threshold of 1/2 {loss_of(own, half):.4f},")
    print(f"bce with a threshold of 1/2 {loss_of(bce, half):.4f}.")


if __name__ == "__main__":
    main()
