"""Choose the default network and training of MultiLabelNetClassifier: the best without tuning.

Starts from one setting and changes one parameter at a time; the best change is kept, and so on,
until no change helps by more than the noise. Uses only the training parts of data sets, and
simulated ones: each is split several times into training rows and test rows.

The gain of a setting is the relative reduction of the errors of the starting point, in six
metrics: log loss, Hamming loss, ranking loss, 1 - LRAP, 1 - macro-averaged precision, and 1 -
F1 per row of `expected_fbeta`; mean over metrics and data sets. Errors are means over splits; those
below .01 count as .01 in the denominator. The other columns are the mean calibration error and the
total seconds of `fit`.

A second table shows whether the choice fits these data sets only: for each of them the gain of the
setting that is best for the other ones, and that of the setting that is best for all. Their
difference is what a data set gained from having had a say.

    python benchmarks/defaults.py --data FOLDER --jobs 2 --out defaults.jsonl
    python benchmarks/defaults.py --data FOLDER --vary dropout --tables sim-7500 sim-30000
    python benchmarks/defaults.py --data FOLDER --settings '{"mixup": "auto"}' '{"dropout": 0.1}'

Data sets are FOLDER/NAME.npz, the families of `families.py` and simulated ones, see `--tables`.
Every fit is appended to the file of results, and a later run continues it; another number of rows,
or another share of test rows, needs another file.
"""

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from families import FAMILIES, make
from joblib import Parallel, delayed
from sklearn.metrics import f1_score
from tables import read_table

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.decoders import ExpectedFBeta
from sklearn_mlloss.metrics import (
    expected_calibration_error,
    hamming_loss,
    label_ranking_average_precision,
    macro_average_precision,
    multilabel_log_loss,
    ranking_loss,
)
from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit

START = {"hidden_layer_sizes": (256,), "dropout": 0.1}
CHANGES = {
    "hidden_layer_sizes": [(), (64,), (128,), (256,), (512,), (256, 256), (512, 256), (512, 512)],
    "dropout": [0.0, 0.1, 0.25, 0.4, 0.5, 0.6],
    "input_dropout": [0.0, 0.15, 0.3, 0.5],
    "mixup": [0.0, 0.2, 0.5, 1.0],
    "weight_decay": [0.0, 0.01, 0.1, 0.5],
    "learning_rate": [0.0003, 0.001, 0.003],
    "batch_size": [32, 64, 128, "auto"],
    "n_iter_no_change": [10, 20, 40],
    "lr_schedule": [None, "cosine", "plateau"],
    "normalization": [None, "batch", "layer"],
    "activation": ["relu", "gelu", "silu"],
    "validation_fraction": [0.1, 0.15, 0.2],
    "encoding": ["auto", "standard", "quantile", "piecewise_linear"],
}
# No common default for all data sets: compared with --vary.
MORE = {"loss": ["bce", "brier", "poly1", "abs_kl", "ldam", "focal", "asymmetric"]}
OF_ENSEMBLES = {
    "hidden_layer_sizes": [(128,), (256,), (512,), (256, 256), (512, 256)],
    "dropout": [0.1, 0.25, 0.4, 0.5, 0.6],
    "learning_rate": [0.0003, 0.001],
    "n_iter_no_change": [10, 20],
    "normalization": [None, "layer"],
    "weight_decay": [0.01, 0.1],
    "encoding": ["auto", "quantile"],
}
SIZES = [
    {"cv": None}, {"cv": 5}, {"cv": 10}, {"cv": 5, "repeats": 2}, {"cv": 5, "repeats": 4},
    {"cv": 5, "ensemble": False},
]  # fmt: skip
DEFAULTS = {
    "weight_decay": 0.01, "learning_rate": 0.001, "batch_size": "auto", "n_iter_no_change": 20,
    "lr_schedule": None, "normalization": None, "activation": "relu", "validation_fraction": 0.1,
    "encoding": "auto", "loss": "bce", "cv": None, "repeats": 1, "ensemble": True,
    "input_dropout": 0.0, "mixup": 0.0,
}  # fmt: skip

# Relative changes of smaller errors, of a few rows, would outweigh all others.
LEAST_ERROR = 0.01
METRICS = ("log", "hamming", "ranking", "1-lrap", "1-map", "1-f1")


def simulate(n, d, n_labels, positives, noise, seed):
    """Return a data set whose labels depend on a few factors; features differ in scale and tail."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 8))
    X = np.tanh(factors @ rng.normal(size=(8, d))) + noise * rng.normal(size=(n, d))
    X = np.sign(X) * np.abs(X) ** rng.uniform(0.5, 3, size=d) * 10 ** rng.uniform(-2, 3, size=d)
    scores = np.tanh(factors @ rng.normal(size=(8, 16))) @ rng.normal(size=(16, n_labels))
    scores += noise * rng.normal(size=scores.shape) * scores.std()
    share = positives * np.exp(rng.normal(size=n_labels) - 0.5)
    return X.astype(np.float32), (
        scores > np.quantile(scores, 1 - share.clip(0.005, 0.6), axis=0).diagonal()
    ).astype(int)


SIMULATED = {
    "sim-100": lambda: simulate(100, 10, 3, 0.3, 0.5, 0),
    "sim-400": lambda: simulate(400, 30, 8, 0.2, 1.0, 1),
    "sim-2000": lambda: simulate(2000, 50, 20, 0.1, 0.5, 2),
    "sim-rare": lambda: simulate(3000, 40, 40, 0.02, 0.7, 3),
}
LARGER = {
    f"sim-{n}": partial(simulate, n, 40, 10, 0.2, 0.3, 5)
    for n in (3750, 7500, 15000, 30000, 120000, 500000)
}


def read(name, folder, rows=2000):
    """Return `rows` rows of the training part of a data set, and its labels that occur."""
    if name in SIMULATED or name in LARGER:
        return (SIMULATED | LARGER)[name]()
    X, Y = (make(name, 0) if name in FAMILIES else read_table(folder, name))[:2]
    some = np.sort(np.random.default_rng(0).permutation(len(Y))[:rows])
    Y = Y[some]
    return part(X, some), Y[:, Y.sum(axis=0) >= 3]


def part(X, rows):
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def errors(Y, scores):
    """Return six errors of scores, over labels that occur."""
    Y_hat = ExpectedFBeta().decode(scores)
    both = (Y.sum(axis=0) > 0) & (Y.sum(axis=0) < len(Y))
    return {
        "log": multilabel_log_loss(Y, scores),
        "hamming": hamming_loss(Y, scores > 0.5),
        "ranking": ranking_loss(Y, scores),
        "1-lrap": 1 - label_ranking_average_precision(Y, scores),
        "1-map": 1 - macro_average_precision(Y[:, both], scores[:, both]),
        "1-f1": 1 - f1_score(Y, Y_hat, average="samples", zero_division=0),
    }


def measure(name, params, split, folder, rows=2000, test_size=1 / 3):
    """Fit one setting on one split of a data set and evaluate it on the test rows."""
    X, Y = read(name, folder, rows)
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=test_size, random_state=split)
    train, test = next(splitter.split(Y, Y))
    sizes = params["hidden_layer_sizes"]
    setting = {**params, "hidden_layer_sizes": sizes if sizes == "auto" else tuple(sizes)}
    net = MultiLabelNetClassifier(decoder="threshold", device="cpu", random_state=split, **setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        net.fit(part(X, train), Y[train])
        seconds = time.perf_counter() - start
        scores = net.predict_proba(part(X, test))
        metrics = errors(Y[test], scores)
        metrics["calibration"] = expected_calibration_error(Y[test], scores)
        if len(net.nets_) > 1:
            rows = net._check_X(part(X, test))
            parts = [one.scores(rows, "cpu")[0].clip(1e-9, 1 - 1e-9) for one in net.nets_]
            logits = np.mean([np.log(p / (1 - p)) for p in parts], axis=0)
            metrics["of_logits"] = errors(Y[test], 1 / (1 + np.exp(-logits)))
    return {
        "table": name, "params": params, "split": split, "seconds": seconds,
        "epochs": net.n_iter_, **metrics,
    }  # fmt: skip


def gain(new, old):
    """Return the relative reduction of an error."""
    return (old - new) / max(old, LEAST_ERROR)


def key(params):
    """Return the key of a setting."""
    return json.dumps({**DEFAULTS, **params}, sort_keys=True)


class Results:
    """Results of fits, stored in a file."""

    def __init__(self, options):
        self.options, self.rows = options, {}
        if options.out.exists():
            for line in options.out.read_text().splitlines():
                self._add(json.loads(line))

    def _add(self, row):
        self.rows[key(row["params"]), row["table"], row["split"]] = row

    def run(self, settings):
        """Run the missing fits until the deadline."""
        o = self.options
        todo = [
            (table, params, split)
            for split in range(o.splits)
            for table in o.tables
            for params in settings
            if (key(params), table, split) not in self.rows
        ]
        jobs = (
            delayed(measure)(*job, o.data, o.rows, o.test_size)
            for job in todo
            if time.time() < o.deadline
        )
        for row in Parallel(o.jobs, return_as="generator_unordered")(jobs):
            row = json.loads(json.dumps(row))
            self._add(row)
            with o.out.open("a") as file:
                file.write(json.dumps(row) + "\n")

    def gains(self, params, base):
        """Return the gain over a base for each data set and metric."""
        gains = []
        for table in self.options.tables:
            new, old = (
                [self.rows.get((key(p), table, s)) for s in range(self.options.splits)]
                for p in (params, base)
            )
            pairs = [(one, two) for one, two in zip(new, old, strict=True) if one and two]
            gains.append([
                gain(*(np.mean([p[k][m] for p in pairs]) for k in (0, 1))) for m in METRICS
            ] if pairs else [np.nan] * len(METRICS))  # fmt: skip
        return np.array(gains)

    def means(self, params, name):
        """Return the mean over splits of a value, for each data set."""
        return [
            np.mean([
                row.get(name, np.nan) for (k, t, _), row in self.rows.items()
                if k == key(params) and t == table
            ] or [np.nan])
            for table in self.options.tables
        ]  # fmt: skip


def print_gains(results, settings, base, title):
    """Print the gains of settings over a base, largest first, and return the mean gains."""
    names = ["setting", "gain %", "calibration", "seconds", *results.options.tables]
    print(f"\n## {title}\n\n| {' | '.join(names)} |\n{'| --- ' * len(names)}|")
    gains = {key(s): results.gains(s, base) for s in settings}
    means = {k: np.nanmean(g) for k, g in gains.items()}
    for params in sorted(settings, key=lambda s: -means[key(s)]):
        changed = {
            k: v for k, v in params.items() if {**DEFAULTS, **START, **base}.get(k) != v
        } or "(unchanged)"
        tables = " | ".join(f"{100 * g:+.1f}" for g in gains[key(params)].mean(axis=1))
        print(f"| {changed} | {100 * means[key(params)]:+.2f} "
              f"| {np.nanmean(results.means(params, 'calibration')):.4f} "
              f"| {np.nansum(results.means(params, 'seconds')):.1f} | {tables} |")  # fmt: skip
    print_left_out(results.options.tables, settings, gains)
    return means


def print_left_out(tables, settings, gains):
    """Print for each data set the gain of the setting that is chosen without it, and with it."""
    by_table = np.stack([gains[key(params)].mean(axis=1) for params in settings])
    if len(tables) < 2 or np.isnan(by_table).any():
        return
    chosen = by_table.mean(axis=1).argmax()
    without = [np.delete(by_table, k, axis=1).mean(axis=1).argmax() for k in range(len(tables))]
    columns = by_table[without, np.arange(len(tables))], by_table[chosen]
    print("\n| data set | chosen without it, gain % | with it |\n| --- | --- | --- |")
    for table, *values in zip(
        [*tables, "mean"], *(np.append(c, c.mean()) for c in columns), strict=True
    ):
        print(f"| {table} | {' | '.join(f'{100 * value:+.2f}' for value in values)} |")
    print(f"\nThe same setting in {np.sum(np.equal(without, chosen))} of {len(tables)} cases.")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    tables = ["emotions", "yeast", "birds", "enron", "corel5k", *SIMULATED]
    parser.add_argument("--tables", nargs="+", default=tables)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rows", type=int, default=2000, help="maximum per data set")
    parser.add_argument("--test-size", type=float, default=1 / 3, help="share of test rows")
    parser.add_argument("--vary", nargs="+", choices=[*CHANGES, *MORE], help="vary these only")
    parser.add_argument("--settings", nargs="+", type=json.loads, help="compare these only")
    parser.add_argument("--ensembles", action="store_true", help="skip single networks")
    parser.add_argument("--start", type=json.loads, default=START)
    parser.add_argument("--least", type=float, default=0.3, help="minimum gain of a change, in %%")
    parser.add_argument("--out", type=Path, default=Path("defaults.jsonl"))
    options = parser.parse_args()
    options.deadline = time.time() + 60 * options.minutes
    results = Results(options)
    best = {**DEFAULTS, **options.start}
    if best["hidden_layer_sizes"] != "auto":
        best["hidden_layer_sizes"] = list(best["hidden_layer_sizes"])
    if options.settings:
        settings = [best, *({**best, **setting} for setting in options.settings)]
        results.run(settings)
        print_gains(results, settings, best, "settings")
        return
    if options.vary:
        climb(results, best, {name: (CHANGES | MORE)[name] for name in options.vary}, "one network")
        return
    if not options.ensembles:
        best = climb(results, best, CHANGES, "one network")
    settings = [{**best, **size} for size in SIZES]
    results.run(settings)
    print_gains(results, settings, best, "networks for folds")
    print_logits(results, settings)
    climb(results, {**best, "cv": 5}, OF_ENSEMBLES, "five networks")


def climb(results, best, changes, title):
    """Change one parameter at a time for as long as that helps; return the setting."""
    options = results.options
    for number in range(options.rounds):
        settings = [best]
        for name, values in changes.items():
            values = [list(v) if isinstance(v, tuple) else v for v in values]
            settings += [{**best, name: v} for v in values if v != best[name]]
        results.run(settings)
        means = print_gains(results, settings, best, f"{title}, round {number}, from {best}")
        winner = max(settings, key=lambda s: means[key(s)])
        if time.time() >= options.deadline or 100 * means[key(winner)] < options.least:
            break
        best = winner
    return best


def print_logits(results, settings):
    """Print the gains of averaging log-odds over averaging probabilities."""
    keys = [key(s) for s in settings if s["cv"]]
    rows = [row for (k, _, _), row in results.rows.items() if k in keys and "of_logits" in row]
    print("\nMean of log-odds instead of probabilities: ", end="")
    for name in METRICS:
        gain = np.mean([1 - row["of_logits"][name] / max(row[name], 1e-9) for row in rows])
        print(f"{name} {100 * gain:+.2f}% ", end="")
    print()


if __name__ == "__main__":
    main()
