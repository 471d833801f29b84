"""Choose the presets of `for_metric`: networks, and soft-voting ensembles of networks and trees.

Uses the training parts of data sets, split several times into training and test rows, like
`defaults.py` and with its metrics. The gain is the relative reduction of the errors of the first
contender, of which those below .01 count as .01. All are averages over five folds:

* "dropout": networks of one layer without `input_dropout` and `mixup`,
* "default": default networks,
* "preset": networks of two layers, as in `for_metric`,
* "extra trees": those of `DecodedClassifierCV.for_metric` alone,
* "together": preset networks and extra trees, with weights learned on out-of-fold scores, as in
  `DecodedClassifierCV.for_metric`,
* "together, 1:1", "together, 2:1": with equal weights, and with the networks weighted twice,
* "together, sqrt", "together, half": with another number of columns per split of the trees, which
  "auto" chooses for the data set,
* "default + beta", "preset + beta", "together + beta": calibrated, as for metrics of probabilities,
* "for calibration": `DecodedClassifierCV.for_metric("calibration_error")`, default networks and
  extra trees.

    python benchmarks/together.py --data FOLDER --tables emotions yeast
    python benchmarks/together.py --data FOLDER --tables corel5k delicious --contenders preset
"""

import argparse
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from contenders import print_machine
from defaults import LEAST_ERROR, METRICS, SIMULATED, errors, read
from joblib import Parallel, delayed

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier
from sklearn_mlloss.metrics import expected_calibration_error
from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit

BETA = {"calibration": "beta"}


def networks(seed, **params):
    return MultiLabelNetClassifier(
        decoder="threshold", cv=5, device="cpu", random_state=seed, **params
    )


def preset(seed, **params):
    return MultiLabelNetClassifier.for_metric(
        "hamming_loss", cv=5, device="cpu", random_state=seed, **params
    )


def together(seed, weights="learned", **params):
    model = DecodedClassifierCV.for_metric("hamming_loss", cv=5, random_state=seed, **params)
    return model.set_params(estimator__weights=weights, estimator__net__device="cpu")


def with_columns(seed, max_features):
    return together(seed).set_params(estimator__trees__estimator__max_features=max_features)


def for_calibration(seed):
    model = DecodedClassifierCV.for_metric("calibration_error", cv=5, random_state=seed)
    return model.set_params(estimator__net__device="cpu")


def trees(seed):
    return together(seed).estimator.named_estimators.trees


CONTENDERS = {
    "dropout": lambda seed: networks(seed, input_dropout=0.0, mixup=0.0),
    "default": networks,
    "preset": preset,
    "extra trees": trees,
    "together": together,
    "together, 1:1": lambda seed: together(seed, None),
    "together, 2:1": lambda seed: together(seed, [2, 1]),
    "together, sqrt": lambda seed: with_columns(seed, "sqrt"),
    "together, half": lambda seed: with_columns(seed, 0.5),
    "default + beta": partial(networks, **BETA),
    "preset + beta": partial(preset, **BETA),
    "together + beta": partial(together, **BETA),
    "for calibration": for_calibration,
}


def measure(table, folder, split, names):
    """Return the errors, calibration error and seconds of each contender on one split."""
    warnings.simplefilter("ignore")
    X, Y = read(table, folder)
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=1 / 3, random_state=split)
    train, test = next(splitter.split(Y, Y))
    results = {}
    for name in names:
        model = CONTENDERS[name](split)
        start = time.perf_counter()
        model.fit(X[train], Y[train])
        seconds = time.perf_counter() - start
        scores = model.predict_proba(X[test])
        metrics = errors(Y[test], scores)
        calibration = expected_calibration_error(Y[test], scores)
        results[name] = [*(metrics[metric] for metric in METRICS), calibration, seconds]
    return results


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--tables", nargs="+", default=["emotions", "yeast", "birds", "enron", *SIMULATED]
    )
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=[*CONTENDERS])
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    options.contenders = ["dropout", *(name for name in options.contenders if name != "dropout")]
    print_machine()
    columns = ["data set", "contender", "gain %", *(f"{m}, gain %" for m in METRICS)]
    columns += ["calibration", "seconds"]
    print(f"\n| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    gains = {name: [] for name in options.contenders}
    for table in options.tables:
        of_splits = Parallel(options.jobs)(
            delayed(measure)(table, options.data, split, options.contenders)
            for split in range(options.splits)
        )
        means = {
            name: np.mean([split[name] for split in of_splits], axis=0)
            for name in options.contenders
        }
        for name, values in means.items():
            base = means[options.contenders[0]][:-2]
            of_each = 100 * (base - values[:-2]) / np.maximum(base, LEAST_ERROR)
            gains[name].append(of_each.mean())
            cells = " | ".join(f"{value:+.1f}" for value in (gains[name][-1], *of_each))
            rest = f"{values[-2]:.4f} | {values[-1]:.1f}"
            print(f"| {table} | {name} | {cells} | {rest} |", flush=True)
    print()
    for name, values in gains.items():
        print(f"{name}: {np.mean(values):+.2f}% on average")


if __name__ == "__main__":
    main()
