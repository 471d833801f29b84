"""Random forest + tuned decoder, compared with the forest's `predict`.

Each repeat splits a data set into 70 % training and 30 % test rows, stratified by label, and fits
a forest and a `DecodedClassifierCV` around it (5 folds, an ensemble of their forests; one forest
for decoders without fitted parameters). Prints a Markdown table with the mean and the standard
error over the repeats of micro-, macro- and samples-F1 on the test rows; the seconds of `fit`; the
milliseconds of fitting the decoder to existing scores; and those of `fit_decoder` ("swap") on as
many new rows as there are test rows, which scores them with all forests first.

    python benchmarks/decoded.py
    python benchmarks/decoded.py --folder FOLDER --tables emotions yeast

Yeast comes from the package river. Other data sets are read from FOLDER/NAME.npz, which contains
arrays X (n, d) and Y (n, L).
"""

import argparse
import time
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from tables import load_table

from sklearn_mlloss import DecodedClassifierCV
from sklearn_mlloss.decoders import get_decoder
from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit

DECODERS = (
    "threshold",
    "global_threshold",
    "per_label_threshold",
    "proportion",
    "cardinality",
    "expected_fbeta",
)
AVERAGES = ("micro", "macro", "samples")


def timed(function, *args):
    """Return the result of a function and its seconds."""
    start = time.perf_counter()
    return function(*args), time.perf_counter() - start


def run(X, Y, trees, repeat):
    """Return a row [micro, macro, samples, seconds, two times in milliseconds] per decoder."""
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=0.3, random_state=repeat)
    train, test = next(splitter.split(Y, Y))

    def measure(Y_hat):
        return [f1_score(Y[test], Y_hat, average=a, zero_division=0) for a in AVERAGES]

    forest = RandomForestClassifier(trees, random_state=repeat)
    plain, seconds = timed(clone(forest).fit, X[train], Y[train])
    rows = [[*measure(plain.predict(X[test])), seconds, np.nan, np.nan]]
    # One forest for decoders without fitted parameters, five for the others, which share them:
    # each decoder's `fit` would fit the same forests again.
    one = DecodedClassifierCV(forest, "threshold", random_state=repeat)
    five = DecodedClassifierCV(forest, store_cv_results=True, random_state=repeat)
    models = [timed(clf.fit, X[train], Y[train]) for clf in (one, five)]
    probas = [clf.predict_proba(X[test]) for clf, _ in models]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in DECODERS:
            decoder = get_decoder(name)
            (clf, seconds), proba = models[decoder.requires_fit], probas[decoder.requires_fit]
            _, alone = timed(decoder.fit, five.oof_scores_, Y[train])
            # The time does not depend on the choice of rows.
            _, swap = timed(clf.fit_decoder, X[test], Y[test], name)
            metrics = measure(decoder.decode(proba))
            rows.append([*metrics, seconds, 1000 * alone, 1000 * swap])
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["yeast"])
    parser.add_argument("--folder", help="folder with data sets as NAME.npz")
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    for name in options.tables:
        X, Y = load_table(name, options.folder)
        results = Parallel(n_jobs=options.n_jobs)(
            delayed(run)(X, Y, options.trees, repeat) for repeat in range(options.repeats)
        )
        mean = np.mean(results, axis=0)
        error = np.std(results, axis=0, ddof=1) / np.sqrt(options.repeats)
        print(f"\n### {name}: {X.shape[0]} × {X.shape[1]}, {Y.shape[1]} labels\n")
        print("| decoder | micro-F1 | macro-F1 | samples-F1 | fit, s | decoder, ms | swap, ms |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for label, m, e in zip(("plain `predict`", *DECODERS), mean, error, strict=True):
            label = label if "`" in label else f"`{label}`"
            cells = [f"{m[i]:.3f} ± {e[i]:.3f}" for i in range(3)]
            times = ["" if np.isnan(value) else f"{value:.1f}" for value in m[4:]]
            print(
                f"| {label} | {' | '.join(cells)} | {m[3]:.1f} | {' | '.join(times)} |", flush=True
            )


if __name__ == "__main__":
    main()
