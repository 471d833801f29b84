"""Decoders and calibrators fitted on training scores, compared with held-out scores.

Each repeat splits a data set into 80 % training rows and 20 % test rows, stratified by label. A
model is trained on nine tenths of the training rows. Decoders and calibrators are then fitted on

- train: its scores of the rows that it was trained on,
- tenth: its scores of the held-out tenth (which networks also use for early stopping),
- folds: out-of-fold scores of all training rows, from five models of the same kind,

and are applied to the test scores of that one model. The fourth column, "folds, all rows", applies
the decoders of "folds" to a model of all training rows: the average of the five networks, as with
``cv=5``, or a random forest trained on all rows.

Prints Markdown tables with the mean and the standard error over the repeats: F-measures of
decoders, threshold and F1 of `global_threshold` on the rows of its fit and on test rows, and log
loss and calibration error of calibrators. The last column is the mean difference within each
repeat, with its standard error.

    python benchmarks/held_out.py
    python benchmarks/held_out.py --folder FOLDER --tables emotions yeast

Yeast comes from the package river. Other data sets are read from FOLDER/NAME.npz, which contains
arrays X (n, d) and Y (n, L).
"""

import argparse
import platform
import warnings

import numpy as np
import sklearn
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler
from tables import load_table

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.calibration import CALIBRATORS, get_calibrator
from sklearn_mlloss.decoders import get_decoder
from sklearn_mlloss.losses import LOSSES
from sklearn_mlloss.metrics import expected_calibration_error, f_measure, multilabel_log_loss
from sklearn_mlloss.model_selection import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
)

DECODERS = ("threshold", "global_threshold", "per_label_threshold", "cardinality")
CALIBRATIONS = (None, *CALIBRATORS)
AVERAGES = ("micro", "macro", "samples")
COLUMNS = ("train", "tenth", "folds", "folds, all rows")
NETWORKS = {
    "network": {},
    # Without the regularisation of the default network, so that it overfits.
    "network, 200 epochs": {
        "early_stopping": False,
        "max_epochs": 200,
        "input_dropout": 0.0,
        "mixup": 0.0,
    },
}
MODELS = (*NETWORKS, "forest")


def split(Y, share, seed):
    """Return the rows of two parts; the second part has the given share."""
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=seed)
    return next(splitter.split(Y, Y))


def network_scores(X, Y, X_test, parts, folds, seed, loss, params):
    """Return scores of networks for training rows, held-out rows, out-of-fold and test rows."""
    # The caller has scaled X.
    net = MultiLabelNetClassifier(loss, "threshold", encoding=None, random_state=seed, **params)
    one = clone(net).set_params(cv=[parts]).fit(X, Y)
    all_rows = clone(net).set_params(cv=folds, store_cv_results=True).fit(X, Y)
    seen = [one.predict_proba(X[part]) for part in parts]
    tests = [model.predict_proba(X_test) for model in (one, all_rows)]
    return (*seen, all_rows.oof_scores_, *tests)


def forest_scores(X, Y, X_test, parts, folds, seed):
    """Return the scores of random forests for the same rows."""
    forest = RandomForestClassifier(200, random_state=seed)
    one, all_rows = clone(forest).fit(X[parts[0]], Y[parts[0]]), clone(forest).fit(X, Y)
    out_of_fold = cross_val_predict(forest, X, Y, cv=folds, method="predict_proba")
    seen = [positive(one.predict_proba(X[part])) for part in parts]
    tests = [positive(model.predict_proba(X_test)) for model in (one, all_rows)]
    return (*seen, positive(out_of_fold), *tests)


def positive(probabilities):
    """Return the probabilities of the labels from a forest's list with one array per label."""
    return np.column_stack([proba[:, 1] for proba in probabilities])


def run(X, Y, model, loss, repeat):
    """Return the metrics of one model in one repeat: of decoders, thresholds and calibrators."""
    rest, test = split(Y, 0.2, repeat)
    scaler = StandardScaler().fit(X[rest])
    X_rest, X_test, Y_rest = scaler.transform(X[rest]), scaler.transform(X[test]), Y[rest]
    parts = split(Y_rest, 0.1, repeat)
    folds = list(MultilabelStratifiedKFold(5, random_state=repeat).split(Y_rest, Y_rest))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = (X_rest, Y_rest, X_test, parts, folds, repeat)
        if model == "forest":
            model_scores = forest_scores(*data)
        else:
            model_scores = network_scores(*data, loss, NETWORKS[model])
        train, tenth, out_of_fold, one, all_rows = model_scores
    fitted_on = [
        (train, Y_rest[parts[0]], one),
        (tenth, Y_rest[parts[1]], one),
        (out_of_fold, Y_rest, one),
        (out_of_fold, Y_rest, all_rows),
    ]
    metrics = [], [], []
    for scores, targets, test_scores in fitted_on:
        for name in DECODERS:
            decoder = get_decoder(name).fit(scores, targets)
            Y_hat = decoder.decode(test_scores)
            metrics[0].append([f_measure(Y[test], Y_hat, average=a) for a in AVERAGES])
            if name == "global_threshold":
                reached = f_measure(Y[test], Y_hat)
                metrics[1].append([decoder.threshold_, decoder.best_score_, reached])
        for name in CALIBRATIONS:
            proba = test_scores
            if name is not None:
                proba = get_calibrator(name).fit(scores, targets).transform(test_scores)
            errors = multilabel_log_loss, expected_calibration_error
            metrics[2].append([error(Y[test], proba) for error in errors])
    return [np.array(values) for values in metrics]


def cells(values):
    """Return the text of means and standard errors over the repeats, for (repeats, metrics)."""
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return ", ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True))


def table(title, metrics, models, rows, gap=True):
    """Print a Markdown table of metrics (models, repeats, columns * rows, metrics)."""
    columns = (*COLUMNS, "train − folds") if gap else COLUMNS
    print(f"\n{title}\n\n| | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for model, values in zip(models, metrics, strict=True):
        values = values.reshape(len(values), len(COLUMNS), len(rows), -1)
        for r, row in enumerate(rows):
            texts = [cells(values[:, c, r]) for c in range(len(COLUMNS))]
            if gap:
                texts.append(cells(values[:, 0, r] - values[:, 2, r]))
            print(f"| {model} `{row}` | " + " | ".join(texts) + " |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["yeast"])
    parser.add_argument("--folder", help="folder with data sets as NAME.npz")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--losses", nargs="+", choices=sorted(LOSSES), default=["bce"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, scikit-learn {sklearn.__version__}, ", end="")
    print(f"torch {torch.__version__}; {options.repeats} repeats, mean ± standard error")
    models = [
        (model, loss)
        for model in options.models
        for loss in (options.losses if model in NETWORKS else [None])
    ]
    for name in options.tables:
        X, Y = load_table(name, options.folder)
        print(f"\n### {name}: {X.shape[0]} × {X.shape[1]}, {Y.shape[1]} labels")
        jobs = [(*model, repeat) for model in models for repeat in range(options.repeats)]
        results = Parallel(n_jobs=options.n_jobs)(delayed(run)(X, Y, *job) for job in jobs)
        shape = len(models), options.repeats
        decoded, thresholds, calibrated = (
            np.reshape(part, (*shape, *part[0].shape)) for part in zip(*results, strict=True)
        )
        names = [f"{model}, {loss}," if loss else f"{model}," for model, loss in models]
        table("Micro-, macro- and samples-F1 on the test rows.", decoded, names, DECODERS)
        title = "Threshold, micro-F1 on the rows of the fit, micro-F1 on the test rows."
        table(title, thresholds, names, ["global_threshold"], gap=False)
        title = "Log loss and calibration error on the test rows."
        table(title, calibrated, names, CALIBRATIONS)


if __name__ == "__main__":
    main()
