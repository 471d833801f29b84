"""Bias of out-of-fold scores with early stopping, by the folds that choose the epoch.

`MultiLabelNetClassifier(cv=10)` stops the network of each fold on that fold. The scores of the
fold at this epoch ("own") are optimistic; `oof_scores_` has those at the median of the best epochs
of the other folds ("others"). On training parts of data sets, split several times into training
rows and new rows, this compares

* the log loss of both kinds of out-of-fold scores with that of single networks on new rows,
* decoders and calibrators fitted on both kinds, with the same ensemble of networks: macro-F1 with
  `per_label_threshold`, micro-F1 with `global_threshold`, log loss with `calibration="beta"`, which
  is also applied to the single networks (as with ``ensemble=False``).

The labels of the data set "noise" are independent of its columns: unbiased out-of-fold scores
cannot have a smaller log loss than the label frequencies.

    python benchmarks/out_of_fold.py --data FOLDER --tables noise emotions birds
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from contenders import print_machine
from defaults import read
from joblib import Parallel, delayed
from sklearn.metrics import f1_score, log_loss

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.calibration import get_calibrator
from sklearn_mlloss.decoders import get_decoder
from sklearn_mlloss.model_selection import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
)

KINDS = "own", "others"
METRICS = (
    "out-of-fold log loss",
    "macro-F1",
    "micro-F1",
    "log loss, calibrated",
    "single networks, calibrated",
)


def noise(seed, n_train=500, n_new=4000):
    """Return rows whose labels are independent of X."""
    rng = np.random.default_rng(seed)
    n = n_train + n_new
    X, Y = rng.normal(size=(n, 20)), rng.random((n, 5)) < [0.1, 0.2, 0.3, 0.4, 0.5]
    return X, Y.astype(int), np.arange(n_train), np.arange(n_train, n)


def entropy(Y):
    """Return the log loss of the label frequencies of the same rows."""
    share = Y.mean(axis=0)
    return -np.mean(share * np.log(share) + (1 - share) * np.log1p(-share))


def entry_log_loss(Y, scores):
    return log_loss(Y.ravel(), scores.ravel())


def measure(table, folder, split):
    """Return the metrics of both kinds, and the log loss of single networks on new rows."""
    warnings.simplefilter("ignore")
    if table == "noise":
        X, Y, train, new = noise(split)
    else:
        X, Y = read(table, folder)
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=1 / 3, random_state=split)
        train, new = next(splitter.split(Y, Y))
    X_train, Y_train, Y_new = X[train], Y[train], Y[new]
    cv = MultilabelStratifiedKFold(10, random_state=split)
    folds = list(cv.split(Y_train, Y_train))
    model = MultiLabelNetClassifier(
        decoder="threshold", cv=folds, store_cv_results=True, device="cpu", random_state=split
    ).fit(X_train, Y_train)
    rows, mean = model._check_X(X[new]), model.predict_proba(X[new])
    singles = [net.scores(rows, "cpu")[0] for net in model.nets_]
    single = np.mean([entry_log_loss(Y_new, scores) for scores in singles])
    own = np.empty_like(model.oof_scores_)
    for net, (_, test) in zip(model.nets_, folds, strict=True):
        own[test], _ = net.scores(model._check_X(X_train[test]), "cpu")
    metrics = []
    for scores in own, model.oof_scores_:
        per_label = get_decoder("per_label_threshold").fit(scores, Y_train).decode(mean)
        common = get_decoder("global_threshold").fit(scores, Y_train).decode(mean)
        beta = get_calibrator("beta").fit(scores, Y_train)
        metrics.append([
            entry_log_loss(Y_train, scores),
            f1_score(Y_new, per_label, average="macro", zero_division=0),
            f1_score(Y_new, common, average="micro", zero_division=0),
            entry_log_loss(Y_new, beta.transform(mean)),
            np.mean([entry_log_loss(Y_new, beta.transform(one)) for one in singles]),
        ])  # fmt: skip
    return np.array(metrics), single, entropy(Y_train)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=["noise", "emotions", "birds", "yeast"])
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    print_machine()
    columns = "data set", "label frequencies", "single networks, new rows", "epoch of", *METRICS
    print(f"\n| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    for table in options.tables:
        parts = Parallel(options.jobs)(
            delayed(measure)(table, options.data, split) for split in range(options.splits)
        )
        metrics, single, frequencies = (np.array(part) for part in zip(*parts, strict=True))
        difference = metrics[:, 1] - metrics[:, 0]
        error = difference.std(axis=0, ddof=1) / np.sqrt(len(parts)) if len(parts) > 1 else None
        for kind, values in zip(KINDS, metrics.mean(axis=0), strict=True):
            cells = [f"{value:.4f}" for value in values]
            print(f"| {table} | {frequencies.mean():.4f} | {single.mean():.4f} | {kind} | ", end="")
            print(" | ".join(cells), "|", flush=True)
        if error is not None:
            pairs = zip(difference.mean(axis=0), error, strict=True)
            cells = [f"{mean:+.4f} ± {one:.4f}" for mean, one in pairs]
            print(f"| {table} | | | difference | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
