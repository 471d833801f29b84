"""How well it predicts: this package and its peers on tables with official splits.

Each contender is fitted on the training part with several seeds and measured on the test part.
Peers come as they ship, with the inputs scaled for those that ask for it, and once more inside a
`DecodedClassifierCV`, so that what a decision brings is told apart from what a model brings. Where
decisions are fitted, each measure has the one that is made for it:

    hamming threshold of 1/2 | accuracy label_set | f1_micro global_threshold
    f1_macro per_label_threshold | f1_samples expected_fbeta | jaccard expected_jaccard

"mlloss" is ``MultiLabelNetClassifier.for_metric(...)`` for each of them, and for the measures of
rankings and of calibration that for "average_precision" and "calibration_error"; "mlloss, one net"
is the same with ``cv=None``, "mlloss, default net" is ``MultiLabelNetClassifier(decoder=...)``, and
"mlloss, as it is" is ``MultiLabelNetClassifier()`` with raw X and no other argument. "mlloss and
trees" is ``DecodedClassifierCV.for_metric("hamming_loss")``, the mean of networks and trees of ten
folds with weights that are learned, with the decision of each measure; for macro-averaged precision
weights are equal, as in that for "average_precision", and for the calibration error it is that for
"calibration_error". Labels that the training part lacks are left out.

    python benchmarks/quality.py --data FOLDER --tables emotions yeast --out quality.jsonl
    python benchmarks/quality.py --report quality.jsonl [more.jsonl ...]

Tables are FOLDER/NAME.npz. Results are appended to a file, which a later run takes up again. Each
table and contender has a process of its own, which may take so many minutes a seed, and so much
memory. Peers that are not installed (``pip install -e ".[peers]"``) are named, and count nothing.
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
from copy import copy
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from contenders import print_machine
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from tables import read_table

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
RESAMPLES = 30


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
TOGETHER = "mlloss and trees"
OURS = {
    "mlloss": {},
    "mlloss, one net": {"cv": None},
    "mlloss, default net": {"cv": None, "hidden_layer_sizes": "auto"},
    "mlloss, as it is": None,
    TOGETHER: {},
}
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


def evaluate(Y, labels, proba):
    """Return the measures of labels decided for each, and of probabilities.

    "resampled" has them for test rows drawn again with replacement, the same for all contenders.
    """
    draws = np.random.default_rng(0).integers(len(Y), size=(RESAMPLES, len(Y)))

    def measure(rows):
        y, p = Y[rows], proba[rows]
        found = {name: f(y, labels[name][rows]) for name, (_, f) in DECISIONS.items()}
        occurs = y.any(axis=0)
        for name, f in SCORES.items():
            found[name] = f(y[:, occurs], p[:, occurs]) if name == "macro_ap" else f(y, p)
        return found

    again = [measure(rows) for rows in draws]
    resampled = {name: [round(float(found[name]), 6) for found in again] for name in MEASURES}
    return {**measure(slice(None)), "resampled": resampled}


def run_peer(name, X, Y, X_test, Y_test, seed, decoded):
    """Yield the measures of a peer, as it ships and with decisions of this package."""
    model = PEERS[name](X, seed)
    start = time.perf_counter()
    model.fit(X, Y)
    seconds = time.perf_counter() - start
    proba = matrix(model.predict_proba(X_test), getattr(model, "classes_", None))
    labels = dict.fromkeys(DECISIONS, np.asarray(dense(model.predict(X_test))))
    yield "shipped", {"seconds": seconds, **evaluate(Y_test, labels, proba)}
    del model
    if not decoded:
        return
    model = DecodedClassifierCV(PEERS[name](X, seed), store_cv_results=True, random_state=seed)
    yield "decoded", run_decoded(model, X, Y, X_test, Y_test)


def run_decoded(model, X, Y, X_test, Y_test):
    """Return the measures of a `DecodedClassifierCV` that keeps the scores of its folds.

    It is trained once: the decision for each measure is fitted on these scores.
    """
    start = time.perf_counter()
    model.fit(X, Y)
    seconds = time.perf_counter() - start
    proba = model.predict_proba(X_test)
    labels = {
        key: get_decoder(decoder).fit(model.oof_scores_, Y).decode(proba)
        for key, (decoder, _) in DECISIONS.items()
    }
    return {"seconds": seconds, **evaluate(Y_test, labels, proba)}


def run_own(name, X, Y, X_test, Y_test, seed):
    """Yield the measures of this package, and the seconds of the first of its fits."""
    if name == TOGETHER:
        # Its decoder learns nothing: those of all measures are fitted in `run_decoded`.
        model = DecodedClassifierCV.for_metric(
            "hamming_loss", store_cv_results=True, random_state=seed
        )
        devices = {
            "estimator__net__device": "cpu",
            "estimator__trees__estimator__n_jobs": threads(),
        }
        found = run_decoded(model.set_params(**devices), X, Y, X_test, Y_test)
        # The same members: only the weights differ.
        vote = copy(model.estimator_)
        vote.weights_ = np.full(2, 1 / 2)
        other = DecodedClassifierCV.for_metric("calibration_error", random_state=seed)
        other.set_params(**devices).fit(X, Y)
        for measure, by in ("macro_ap", vote), ("ece", other):
            own = evaluate(Y_test, dict.fromkeys(DECISIONS, Y_test), by.predict_proba(X_test))
            found[measure] = own[measure]
            found["resampled"][measure] = own["resampled"][measure]
        yield "shipped", found
        return
    common = {"random_state": seed, "device": "cpu"}
    labels, seconds = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for key in DECISIONS:
            if OURS[name] is None:
                model = MultiLabelNetClassifier(**common)
            else:
                # Metrics whose presets differ in the decision only share what was trained.
                given = {**common, "memory": folder, **OURS[name]}
                model = MultiLabelNetClassifier.for_metric(key, **given)
            start = time.perf_counter()
            model.fit(X, Y)
            seconds.append(time.perf_counter() - start)
            labels[key] = model.predict(X_test)
        proba = model.predict_proba(X_test)
        found = evaluate(Y_test, labels, proba)
        if OURS[name] is not None:
            model = MultiLabelNetClassifier.for_metric("calibration_error", **given).fit(X, Y)
            own = evaluate(Y_test, labels, model.predict_proba(X_test))
            found["ece"], found["resampled"]["ece"] = own["ece"], own["resampled"]["ece"]
    yield "shipped", {"seconds": seconds[0], **found}


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
        table, name, seeds = job
        seeds = [seed for seed in seeds if (table, name, seed) not in done]
        if seeds and (table, name) not in failed and time.time() < options.deadline:
            watch(options, table, name, seeds, write)
            print(f"{table}, {name}", flush=True)

    absent = [n for n in options.contenders if n in NEEDS and find_spec(NEEDS[n]) is None]
    if absent:
        print("not installed:", ", ".join(absent))
    jobs = []
    for name in options.contenders:
        seeds = options.seeds[:1] if name in NO_SEED else options.seeds
        parts = [[seed] for seed in seeds] if options.split_seeds else [seeds]
        if name not in absent:
            jobs += [(table, name, part) for table in options.tables for part in parts]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, jobs))


# ---------------------------------------------------------------------- report


def collect(paths):
    """Return rows by table and (contender, kind), and errors by table."""
    rows, problems = defaultdict(lambda: defaultdict(list)), defaultdict(list)
    for line in (line for path in paths for line in path.open()):
        row = json.loads(line)
        if "error" in row:
            problems[row["table"]].append(f"{row['contender']}: {row['error']}")
        else:
            rows[row["table"]][row["contender"], row["kind"]].append(row)
    return rows, problems


def values(rows, measure):
    return np.array([row[measure] for row in rows])


def compare(own, other, measure):
    """Return how much better the one is, and the standard errors of that.

    One error is that of the mean over seeds alone; the other has that of the test rows, too.
    """
    sign = -1 if measure in LESS_IS_BETTER else 1
    found = [(values(rows, measure), len(rows)) for rows in (own, other)]
    difference = sign * (found[0][0].mean() - found[1][0].mean())
    of_seeds = sum(v.var(ddof=1) / n if n > 1 else 0.0 for v, n in found)
    drawn = [np.mean([row["resampled"][measure] for row in rows], axis=0) for rows in (own, other)]
    of_rows = np.var(drawn[0] - drawn[1], ddof=1)
    return difference, np.sqrt(of_seeds), np.sqrt(of_seeds + of_rows)


def best_of(table, kind, measure):
    """Return who of the peers is best in a measure."""
    who = [w for w in table if w[0] in PEERS and w[1] == kind]
    sign = 1 if measure in LESS_IS_BETTER else -1
    return min(who, key=lambda w: sign * values(table[w], measure).mean(), default=None)


def tell_table(name, table, problems):
    """Print mean and standard deviation over seeds of each contender."""
    columns = [*MEASURES, "seconds"]
    print(f"\n## {name}\n\n| | seeds | " + " | ".join(columns) + " |")
    print("| --- " * (len(columns) + 2) + "|")
    for who in sorted(table, key=lambda w: (w[0] in PEERS, w[1] == "decoded", w[0])):
        rows = table[who]
        cells = []
        for measure in MEASURES:
            found = values(rows, measure)
            cells.append(f"{found.mean():.4f}")
            if len(rows) > 1:
                cells[-1] += f" ± {found.std(ddof=1):.4f}"
        cells.append(f"{np.median(values(rows, 'seconds')):.1f}")
        label = f"{who[0]} + tuned decoder" if who[1] == "decoded" else who[0]
        print(f"| {label} | {len(rows)} | " + " | ".join(cells) + " |")
    for problem in problems:
        print(f"\n{problem}.")


def tell_counts(who, found):
    """Print how many cells are better, won, tied and lost, by either standard error."""
    for place, title in ((1, "seeds"), (2, "seeds and test rows")):
        n, better = len(found), sum(f[0] > 0 for f in found)
        wins, losses = (sum(sign * f[0] > f[place] for f in found) for sign in (1, -1))
        shares = (f"{c} ({c / n:.0%})" for c in (better, wins, n - wins - losses, losses))
        print(f"| {who} | {title} | {n} | " + " | ".join(shares) + " |")


def report(paths):
    """Print tables in Markdown."""
    rows, problems = collect(paths)
    for name, table in rows.items():
        tell_table(name, table, problems[name])
    for own in ("mlloss", TOGETHER):
        tell_cells(own, {name: table for name, table in rows.items() if (own, "shipped") in table})


def tell_cells(own, tables):
    """Print how one contender of ours compares with each peer, and where it loses."""
    lost = []
    print(f"\n## Cells of table and measure: {own}\n")
    print(f"| {own} against | standard error of | cells | better on average "
          "| wins | ties | losses |\n" + "| --- " * 7 + "|")  # fmt: skip
    for kind in ("shipped", "decoded"):
        end = " + tuned decoder" if kind == "decoded" else ""
        found = []
        against = {name: [] for name in PEERS}
        for name, table in tables.items():
            ours = table[own, "shipped"]
            for measure in MEASURES:
                for peer, cells in against.items():
                    if (peer, kind) in table:
                        cells.append(compare(ours, table[peer, kind], measure))
                best = best_of(table, kind, measure)
                if best is not None:
                    found.append(compare(ours, table[best], measure))
                    if found[-1][0] < -found[-1][1]:
                        lost.append((name, measure, best, ours, table[best], found[-1]))
        if found:
            tell_counts(f"the best in each cell{end}", found)
        for peer, cells in against.items():
            if cells:
                tell_counts(f"{peer}{end}", cells)
    print(f"\n| lost | measure | to | {own} | peer | errors behind, with test rows |")
    print("| --- " * 6 + "|")
    for name, measure, (peer, kind), ours, other, (difference, _, error) in lost:
        means = " | ".join(f"{values(r, measure).mean():.4f}" for r in (ours, other))
        print(f"| {name} | {measure} | {peer}, {kind} | {means} | {-difference / error:.1f} |")


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
    parser.add_argument("--split-seeds", action="store_true", help="a process for each seed")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each process")
    parser.add_argument("--out", type=Path, default=Path("quality.jsonl"))
    parser.add_argument("--report", type=Path, nargs="+")
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
