"""How well it predicts: this package and its peers on tables with official splits.

Each contender is fitted on the training part with several seeds and measured on the test part.
Peers come as they ship, with the inputs scaled for those that ask for it, and once more inside a
`DecodedClassifierCV`, so that what a decision brings is told apart from what a model brings. Where
decisions are fitted, each measure has the one that is made for it:

    hamming threshold of 1/2 | accuracy label_set | f1_micro global_threshold
    f1_macro per_label_threshold | f1_samples expected_fbeta | jaccard expected_jaccard

"mlloss" is ``MultiLabelNetClassifier.for_metric(...)`` for each of them, "mlloss, one net" the same
with ``cv=None``, and "mlloss, as it is" is ``MultiLabelNetClassifier()`` with raw X and no other
argument. Labels that the training part does not have are left out.

    python benchmarks/quality.py --data FOLDER --tables emotions yeast --out quality.jsonl
    python benchmarks/quality.py --report quality.jsonl

Tables are FOLDER/NAME.npz. Results are appended to a file, which a later run takes up again. Each
table and contender has a process of its own, which may take so many minutes a seed, and so much
memory. Peers that are not installed are named, and count nothing.
"""

import argparse
import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from contenders import print_machine, read_table
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier
from sklearn_mlloss.decoders import get_decoder
from sklearn_mlloss.metrics import (
    expected_calibration_error,
    f_measure,
    hamming_loss,
    jaccard,
    label_ranking_average_precision,
    macro_average_precision,
    ranking_loss,
    subset_accuracy,
)

DECISIONS = {
    "hamming": ("threshold", hamming_loss),
    "accuracy": ("label_set", subset_accuracy),
    "f1_micro": ("global_threshold", partial(f_measure, average="micro")),
    "f1_macro": ("per_label_threshold", partial(f_measure, average="macro")),
    "f1_samples": ("expected_fbeta", partial(f_measure, average="samples")),
    "jaccard": ("expected_jaccard", partial(jaccard, average="samples")),
}
SCORES = {
    "ranking_loss": ranking_loss,
    "lrap": label_ranking_average_precision,
    "macro_ap": macro_average_precision,
    "ece": expected_calibration_error,
}
LESS_IS_BETTER = ("hamming", "ranking_loss", "ece")
MEASURES = [*DECISIONS, *SCORES]


class Chains(ClassifierMixin, BaseEstimator):
    """An ensemble of classifier chains of logistic regressions, in random orders."""

    def __init__(self, n_chains=10, random_state=None):
        self.n_chains = n_chains
        self.random_state = random_state

    def fit(self, X, y):
        """Fit all labels."""
        seeds = np.random.default_rng(self.random_state).integers(2**31, size=self.n_chains)
        base = LogisticRegression(max_iter=1000)
        self.classes_ = np.tile([0, 1], (y.shape[1], 1))
        self.chains_ = [
            ClassifierChain(base, order="random", random_state=int(seed)).fit(X, y)
            for seed in seeds
        ]
        return self

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        return np.mean([chain.predict_proba(X) for chain in self.chains_], axis=0)

    def predict(self, X):
        """Return labels, decided at 1/2."""
        return (self.predict_proba(X) >= 0.5).astype(int)


class Boosting(ClassifierMixin, BaseEstimator):
    """CatBoost with its loss for several labels, as scikit-learn names things."""

    def __init__(self, iterations=300, random_state=None):
        self.iterations = iterations
        self.random_state = random_state

    def fit(self, X, y):
        """Fit all labels."""
        from catboost import CatBoostClassifier

        self.classes_ = np.tile([0, 1], (y.shape[1], 1))
        self.model_ = CatBoostClassifier(
            loss_function="MultiLogloss", iterations=self.iterations, verbose=0,
            random_seed=self.random_state, thread_count=threads(), allow_writing_files=False,
        ).fit(dense(X), y)  # fmt: skip
        return self

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        return self.model_.predict_proba(dense(X))

    def predict(self, X):
        """Return labels, decided at 1/2."""
        return self.model_.predict(dense(X))


def dense(X):
    return X.toarray() if sp.issparse(X) else X


def threads():
    return int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))


def scaled(estimator, X):
    return make_pipeline(MaxAbsScaler() if sp.issparse(X) else StandardScaler(), estimator)


# What makes each peer from the training rows and a seed; without a seed it draws nothing.
PEERS = {
    "CatBoost": lambda X, seed: Boosting(random_state=seed),
    "random forest": lambda X, seed: RandomForestClassifier(
        500, random_state=seed, n_jobs=threads()
    ),
    "extra trees": lambda X, seed: ExtraTreesClassifier(500, random_state=seed, n_jobs=threads()),
    "chains": lambda X, seed: scaled(Chains(random_state=seed), X),
    "logistic": lambda X, seed: scaled(OneVsRestClassifier(LogisticRegression(max_iter=1000)), X),
    "MLP": lambda X, seed: scaled(MLPClassifier(random_state=seed), X),
    "MLP, early stopping": lambda X, seed: scaled(
        MLPClassifier(random_state=seed, early_stopping=True), X
    ),
    "nearest neighbours": lambda X, seed: scaled(KNeighborsClassifier(), X),
}
NO_SEED = ("logistic", "nearest neighbours")
OURS = {"mlloss": {}, "mlloss, one net": {"cv": None}, "mlloss, as it is": None}
NEEDS = {"CatBoost": "catboost"}


def matrix(proba, classes):
    """Return probabilities of shape (n, L), whatever form a classifier has for them."""
    if isinstance(proba, list):
        columns = [
            p[:, list(c).index(1)] if 1 in c else np.zeros(len(p))
            for p, c in zip(proba, classes, strict=True)
        ]
        return np.stack(columns, axis=1)
    return np.asarray(proba)


def score(Y, proba):
    """Return the measures of probabilities, the mean over labels of those that occur."""
    occurs = Y.any(axis=0)
    found = {}
    for name, measure in SCORES.items():
        labels = occurs if name == "macro_ap" else slice(None)
        found[name] = measure(Y[:, labels], proba[:, labels])
    return found


def run_peer(name, X, Y, X_test, Y_test, seed, decoded):
    """Yield the measures of a peer, as it ships and with decisions of this package."""
    model = PEERS[name](X, seed)
    start = time.perf_counter()
    model.fit(X, Y)
    seconds = time.perf_counter() - start
    proba = matrix(model.predict_proba(X_test), getattr(model, "classes_", None))
    labels = np.asarray(dense(model.predict(X_test)))
    found = {key: measure(Y_test, labels) for key, (_, measure) in DECISIONS.items()}
    yield "shipped", {**found, **score(Y_test, proba), "seconds": seconds}
    del model
    if not decoded:
        return
    start = time.perf_counter()
    model = DecodedClassifierCV(PEERS[name](X, seed), store_cv_results=True, random_state=seed)
    model.fit(X, Y)
    seconds = time.perf_counter() - start
    proba = model.predict_proba(X_test)
    found = {}
    for key, (decoder, measure) in DECISIONS.items():
        fitted = get_decoder(decoder).fit(model.oof_scores_, Y)
        found[key] = measure(Y_test, fitted.decode(proba))
    yield "decoded", {**found, **score(Y_test, proba), "seconds": seconds}


def run_own(name, X, Y, X_test, Y_test, seed):
    """Yield the measures of this package."""
    found = {}
    if OURS[name] is None:
        model = MultiLabelNetClassifier(random_state=seed, device="cpu")
        start = time.perf_counter()
        model.fit(X, Y)
        seconds = time.perf_counter() - start
        labels = model.predict(X_test)
        found = {key: measure(Y_test, labels) for key, (_, measure) in DECISIONS.items()}
        yield "shipped", {**found, **score(Y_test, model.predict_proba(X_test)), "seconds": seconds}
        return
    with tempfile.TemporaryDirectory() as folder:
        # Metrics whose presets differ in the decision only share what was trained.
        for key, (_, measure) in DECISIONS.items():
            model = MultiLabelNetClassifier.for_metric(
                key, memory=folder, random_state=seed, device="cpu", **OURS[name]
            )
            start = time.perf_counter()
            model.fit(X, Y)
            found.setdefault("seconds", time.perf_counter() - start)
            found[key] = measure(Y_test, model.predict(X_test))
        for key in SCORES:
            model = MultiLabelNetClassifier.for_metric(
                key, memory=folder, random_state=seed, device="cpu", **OURS[name]
            )
            found[key] = score(Y_test, model.fit(X, Y).predict_proba(X_test))[key]
    yield "shipped", found


def run_one(options):
    """Print the results of one contender on one table, a line each; in a process of its own."""
    warnings.simplefilter("ignore")
    if options.memory:
        resource.setrlimit(resource.RLIMIT_AS, (options.memory << 30,) * 2)
    table, name = options.tables[0], options.contenders[0]
    X, Y, X_test, Y_test = read_table(options.data, table)
    varies = Y.any(axis=0) & ~Y.all(axis=0)
    Y, Y_test = Y[:, varies], Y_test[:, varies]
    for seed in options.seeds:
        row = {"table": table, "contender": name, "seed": seed}
        try:
            decoded = seed < options.decoded
            parts = X, Y, X_test, Y_test, seed
            runs = run_own(name, *parts) if name in OURS else run_peer(name, *parts, decoded)
            for kind, found in runs:
                print(json.dumps({**row, "kind": kind, **found}), flush=True)
        except Exception as error:  # noqa: BLE001 (whatever a peer raises is its result)
            reason = f"{type(error).__name__}: {error}"[:200]
            print(json.dumps({**row, "kind": "shipped", "error": reason}), flush=True)
            return


def watch(options, table, name, seeds, write):
    """Run a contender on a table in another process, and end it when it takes too long."""
    command = [
        sys.executable, __file__, "--one", "--data", str(options.data), "--tables", table,
        "--contenders", name, "--seeds", *map(str, seeds), "--decoded", str(options.decoded),
        "--memory", str(options.memory),
    ]  # fmt: skip
    env = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
                                         str(options.threads))}  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        lines = queue.Queue()

        def read():
            for line in process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        while True:
            wait = 60 * options.minutes
            over = f"over {options.minutes:g} minutes"
            left = options.deadline - time.time()
            if left < wait:
                wait, over = max(left, 0), None
            try:
                line = lines.get(timeout=wait)
            except queue.Empty:
                process.kill()
                if over:
                    write({"table": table, "contender": name, "seed": seeds[0], "kind": "shipped",
                           "error": over})  # fmt: skip
                return
            if line is None:
                return
            write(json.loads(line))


def run_all(options):
    """Run what the file of results lacks."""
    rows = [json.loads(line) for line in options.out.open()] if options.out.exists() else []
    done = {(row["table"], row["contender"], row["seed"]) for row in rows}
    failed = {(row["table"], row["contender"]) for row in rows if "error" in row}
    lock = threading.Lock()

    def write(row):
        with lock, options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def run(job):
        table, name = job
        seeds = options.seeds[:1] if name in NO_SEED else options.seeds
        seeds = [seed for seed in seeds if (table, name, seed) not in done]
        if seeds and job not in failed and time.time() < options.deadline:
            watch(options, table, name, seeds, write)
            print(f"{table}, {name}", flush=True)

    absent = [n for n in options.contenders if n in NEEDS and find_spec(NEEDS[n]) is None]
    if absent:
        print("not installed:", ", ".join(absent))
    names = [name for name in options.contenders if name not in absent]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, [(table, name) for name in names for table in options.tables]))


# ---------------------------------------------------------------------- report


def collect(path):
    """Return values by table, (contender, kind) and measure, and errors."""
    values, problems = defaultdict(lambda: defaultdict(lambda: defaultdict(list))), {}
    for line in path.open():
        row = json.loads(line)
        who = row["contender"], row["kind"]
        if "error" in row:
            problems[row["table"], row["contender"]] = row["error"]
            continue
        for measure in (*MEASURES, "seconds"):
            values[row["table"]][who][measure].append(row[measure])
    return values, problems


def spread(found):
    """Return mean and standard error of the mean over seeds."""
    error = np.std(found, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0.0
    return float(np.mean(found)), float(error)


def compare(own, other, measure):
    """Return 1 for better, -1 for worse, and 0 within one standard error of the difference."""
    (a, da), (b, db) = spread(own), spread(other)
    difference = (b - a) if measure in LESS_IS_BETTER else (a - b)
    return 0 if abs(difference) <= np.hypot(da, db) else int(np.sign(difference))


def best_of(table, kinds, measure):
    """Return who of the peers is best in a measure."""
    who = [w for w in table if w[0] in PEERS and w[1] in kinds]
    sign = 1 if measure in LESS_IS_BETTER else -1
    return min(who, key=lambda w: sign * np.mean(table[w][measure]), default=None)


def report(path):
    """Print tables in Markdown."""
    values, problems = collect(path)
    counts = {kind: {1: 0, 0: 0, -1: 0} for kind in ("shipped", "decoded")}
    lost = []
    for name, table in values.items():
        print(f"\n## {name}\n")
        print("| | " + " | ".join([*MEASURES, "seconds"]) + " |")
        print("| --- " * (len(MEASURES) + 2) + "|")
        for who in sorted(table, key=lambda w: (w[0] in PEERS, w[1] == "decoded", w[0])):
            cells = []
            for measure in (*MEASURES, "seconds"):
                mean, _ = spread(table[who][measure])
                sd = np.std(table[who][measure], ddof=1) if len(table[who][measure]) > 1 else 0
                cells.append(f"{mean:.1f}" if measure == "seconds" else f"{mean:.4f} ± {sd:.4f}")
            label = f"{who[0]} + decisions" if who[1] == "decoded" else who[0]
            print(f"| {label} | " + " | ".join(cells) + " |")
        for (table_name, who), problem in problems.items():
            if table_name == name:
                print(f"\n{who}: {problem}.")
        own = table.get(("mlloss", "shipped"))
        if own is None:
            continue
        for kind in counts:
            for measure in MEASURES:
                peer = best_of(table, (kind,), measure)
                if peer is None:
                    continue
                result = compare(own[measure], table[peer][measure], measure)
                counts[kind][result] += 1
                if result < 0:
                    lost.append((name, measure, peer, spread(own[measure])[0],
                                 spread(table[peer][measure])[0]))  # fmt: skip
    for kind, count in counts.items():
        total = sum(count.values())
        if total:
            print(
                f"\nAgainst the best peer {kind}, over {total} cells: "
                f"{count[1]} wins ({count[1] / total:.0%}), {count[0]} ties, {count[-1]} losses"
            )
    if lost:
        print("\n| lost | measure | to | mlloss | peer |\n| --- | --- | --- | --- | --- |")
        for name, measure, (peer, kind), a, b in lost:
            print(f"| {name} | {measure} | {peer}, {kind} | {a:.4f} | {b:.4f} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of tables")
    parser.add_argument("--tables", nargs="+", default=["emotions", "yeast", "birds", "enron"])
    everyone = [*OURS, *PEERS]
    parser.add_argument("--contenders", nargs="+", choices=everyone, default=everyone)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--decoded", type=int, default=5, help="seeds below have decisions fitted")
    parser.add_argument("--minutes", type=float, default=20, help="for a seed")
    parser.add_argument("--total", type=float, default=1e6, help="minutes for all of it")
    parser.add_argument("--memory", type=int, default=0, help="GiB for a process; 0 is no limit")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each process")
    parser.add_argument("--out", type=Path, default=Path("quality.jsonl"))
    parser.add_argument("--report", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.report:
        report(options.report)
    elif options.one:
        run_one(options)
    else:
        options.deadline = time.time() + 60 * options.total
        print_machine()
        run_all(options)


if __name__ == "__main__":
    main()
