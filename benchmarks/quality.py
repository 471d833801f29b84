"""Predictive performance of this package and of other classifiers, on official splits.

Each contender is fitted on the training part with several seeds and evaluated on the test part.
Other classifiers (peers, `peers.py`) use their default settings, with scaled inputs for those that
need them, and are also evaluated in a `DecodedClassifierCV`, to separate the effect of the decoder
from that of the model. With fitted decoders, each metric has its own:

    hamming threshold of 1/2 | accuracy label_set | f1_micro global_threshold
    f1_macro per_label_threshold | f1_samples expected_fbeta | jaccard expected_jaccard

"mlloss" is ``MultiLabelNetClassifier.for_metric(...)`` for each metric ("average_precision" for
ranking metrics, "calibration_error" for the calibration error). "mlloss, one net" is the same with
``cv=None``, "mlloss, default net" is ``MultiLabelNetClassifier(decoder=...)``, and "mlloss, as it
is" is ``MultiLabelNetClassifier()`` without arguments. "mlloss and trees" is
``DecodedClassifierCV.for_metric("hamming_loss")``, the average of networks and trees of ten folds
with learned weights, with the decoder of each metric; macro-averaged precision uses equal weights,
as in ``for_metric("average_precision")``, and the calibration error
``for_metric("calibration_error")``. Labels that do not occur in the training part are left out.

    python benchmarks/quality.py --data FOLDER --tables emotions yeast --out quality.jsonl
    python benchmarks/quality.py --report quality.jsonl [more.jsonl ...]

Data sets are FOLDER/NAME.npz. Results are appended to a file, and a later run continues it. Each
data set and contender runs in a separate process, with limits of minutes per seed and of memory.
Peers that are not installed (``pip install -e ".[peers]"``) are listed and skipped.
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
from contenders import print_machine
from peers import NEEDS, NO_SEED, PEERS, dense, threads
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

DECODERS = {
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
METRICS = [*DECODERS, *SCORES]
RESAMPLES = 30


TOGETHER = "mlloss and trees"
OURS = {
    "mlloss": {},
    "mlloss, one net": {"cv": None},
    "mlloss, default net": {"cv": None, "hidden_layer_sizes": "auto"},
    "mlloss, as it is": None,
    TOGETHER: {},
}


def matrix(proba, classes):
    """Return probabilities of shape (n, L) from either output format of scikit-learn."""
    if isinstance(proba, list):
        columns = [
            p[:, list(c).index(1)] if 1 in c else np.zeros(len(p))
            for p, c in zip(proba, classes, strict=True)
        ]
        return np.stack(columns, axis=1)
    return np.asarray(proba)


def evaluate(Y, labels, proba):
    """Return the metrics of labels (one prediction per metric) and of probabilities.

    "resampled" has the metrics on bootstrap samples of the test rows, the same for all contenders.
    """
    draws = np.random.default_rng(0).integers(len(Y), size=(RESAMPLES, len(Y)))

    def measure(rows):
        y, p = Y[rows], proba[rows]
        metrics = {name: f(y, labels[name][rows]) for name, (_, f) in DECODERS.items()}
        occurs = y.any(axis=0)
        for name, f in SCORES.items():
            metrics[name] = f(y[:, occurs], p[:, occurs]) if name == "macro_ap" else f(y, p)
        return metrics

    samples = [measure(rows) for rows in draws]
    resampled = {name: [round(float(sample[name]), 6) for sample in samples] for name in METRICS}
    return {**measure(slice(None)), "resampled": resampled}


def run_peer(name, X, Y, X_test, Y_test, seed, decoded):
    """Yield the metrics of a peer, with its `predict` and with decoders of this package."""
    model = PEERS[name](X, seed)
    start = time.perf_counter()
    model.fit(X, Y)
    seconds = time.perf_counter() - start
    proba = matrix(model.predict_proba(X_test), getattr(model, "classes_", None))
    labels = dict.fromkeys(DECODERS, np.asarray(dense(model.predict(X_test))))
    yield "shipped", {"seconds": seconds, **evaluate(Y_test, labels, proba)}
    del model
    if not decoded:
        return
    model = DecodedClassifierCV(PEERS[name](X, seed), store_cv_results=True, random_state=seed)
    yield "decoded", run_decoded(model, X, Y, X_test, Y_test)


def run_decoded(model, X, Y, X_test, Y_test):
    """Return the metrics of a `DecodedClassifierCV` with `store_cv_results=True`.

    It is trained once: the decoder of each metric is fitted on its out-of-fold scores.
    """
    start = time.perf_counter()
    model.fit(X, Y)
    seconds = time.perf_counter() - start
    proba = model.predict_proba(X_test)
    labels = {
        key: get_decoder(decoder).fit(model.oof_scores_, Y).decode(proba)
        for key, (decoder, _) in DECODERS.items()
    }
    return {"seconds": seconds, **evaluate(Y_test, labels, proba)}


def run_ours(name, X, Y, X_test, Y_test, seed):
    """Yield the metrics of this package, and the seconds of its first fit."""
    if name == TOGETHER:
        # Its decoder has no fitted parameters; `run_decoded` fits those of all metrics.
        model = DecodedClassifierCV.for_metric(
            "hamming_loss", store_cv_results=True, random_state=seed
        )
        devices = {
            "estimator__net__device": "cpu",
            "estimator__trees__estimator__n_jobs": threads(),
        }
        metrics = run_decoded(model.set_params(**devices), X, Y, X_test, Y_test)
        # The same members: only the weights differ.
        equal = copy(model.estimator_)
        equal.weights_ = np.array([1 / 2, 1 / 2, 0])  # without the linear model
        calibrated = DecodedClassifierCV.for_metric("calibration_error", random_state=seed)
        calibrated.set_params(**devices).fit(X, Y)
        for metric, clf in ("macro_ap", equal), ("ece", calibrated):
            other = evaluate(Y_test, dict.fromkeys(DECODERS, Y_test), clf.predict_proba(X_test))
            metrics[metric] = other[metric]
            metrics["resampled"][metric] = other["resampled"][metric]
        yield "shipped", metrics
        return
    common = {"random_state": seed, "device": "cpu"}
    labels, seconds = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for key in DECODERS:
            if OURS[name] is None:
                model = MultiLabelNetClassifier(**common)
            else:
                # Metrics whose presets differ in the decoder only share trainings by the cache.
                params = {**common, "memory": folder, **OURS[name]}
                model = MultiLabelNetClassifier.for_metric(key, **params)
            start = time.perf_counter()
            model.fit(X, Y)
            seconds.append(time.perf_counter() - start)
            labels[key] = model.predict(X_test)
        proba = model.predict_proba(X_test)
        metrics = evaluate(Y_test, labels, proba)
        if OURS[name] is not None:
            model = MultiLabelNetClassifier.for_metric("calibration_error", **params).fit(X, Y)
            other = evaluate(Y_test, labels, model.predict_proba(X_test))
            metrics["ece"], metrics["resampled"]["ece"] = other["ece"], other["resampled"]["ece"]
    yield "shipped", {"seconds": seconds[0], **metrics}


def run_one(options):
    """Print the results of one contender on one data set, one line per seed; runs in a process."""
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
            runs = run_ours(name, *parts) if name in OURS else run_peer(name, *parts, decoded)
            for kind, metrics in runs:
                print(json.dumps({**row, "kind": kind, **metrics}), flush=True)
        except Exception as error:  # any error of a peer is reported as its result
            reason = f"{type(error).__name__}: {error}"[:200]
            print(json.dumps({**row, "kind": "shipped", "error": reason}), flush=True)
            return


def watch(options, table, name, seeds, write):
    """Run a contender on a data set in another process, and end it when it takes too long."""
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
    """Run all contenders that the file of results lacks."""
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
    """Return rows by data set and (contender, kind), and errors by data set."""
    rows, problems = defaultdict(lambda: defaultdict(list)), defaultdict(list)
    for line in (line for path in paths for line in path.open()):
        row = json.loads(line)
        if "error" in row:
            problems[row["table"]].append(f"{row['contender']}: {row['error']}")
        else:
            rows[row["table"]][row["contender"], row["kind"]].append(row)
    return rows, problems


def values(rows, metric):
    return np.array([row[metric] for row in rows])


def compare(rows, others, metric):
    """Return how much better the first contender is, with two standard errors.

    The first error is over seeds alone, the second over seeds and test rows.
    """
    sign = -1 if metric in LESS_IS_BETTER else 1
    both = [(values(r, metric), len(r)) for r in (rows, others)]
    difference = sign * (both[0][0].mean() - both[1][0].mean())
    of_seeds = sum(v.var(ddof=1) / n if n > 1 else 0.0 for v, n in both)
    drawn = [np.mean([row["resampled"][metric] for row in r], axis=0) for r in (rows, others)]
    of_rows = np.var(drawn[0] - drawn[1], ddof=1)
    return difference, np.sqrt(of_seeds), np.sqrt(of_seeds + of_rows)


def best_of(table, keys, metric):
    """Return the contender among `keys` that is the best in a metric, or None of none."""
    sign = 1 if metric in LESS_IS_BETTER else -1
    return min(keys, key=lambda key: sign * values(table[key], metric).mean(), default=None)


def print_table(name, table, problems):
    """Print mean and standard deviation over seeds of each contender, the best mean in bold."""
    columns = [*METRICS, "seconds"]
    print(f"\n## {name}\n\n| | seeds | " + " | ".join(columns) + " |")
    print("| --- " * (len(columns) + 2) + "|")
    best = {metric: best_of(table, table, metric) for metric in METRICS}
    for key in sorted(table, key=lambda key: (key[0] in PEERS, key[1] == "decoded", key[0])):
        rows = table[key]
        cells = []
        for metric in METRICS:
            of_seeds = values(rows, metric)
            mark = "**" if key == best[metric] else ""
            cells.append(f"{mark}{of_seeds.mean():.4f}{mark}")
            if len(rows) > 1:
                cells[-1] += f" ± {of_seeds.std(ddof=1):.4f}"
        cells.append(f"{np.median(values(rows, 'seconds')):.1f}")
        label = f"{key[0]} + tuned decoder" if key[1] == "decoded" else key[0]
        print(f"| {label} | {len(rows)} | " + " | ".join(cells) + " |")
    for problem in problems:
        print(f"\n{problem}.")


def print_counts(peer, comparisons):
    """Print how many comparisons are better, won, tied and lost, by either standard error."""
    for place, title in ((1, "seeds"), (2, "seeds and test rows")):
        n, better = len(comparisons), sum(c[0] > 0 for c in comparisons)
        wins, losses = (sum(sign * c[0] > c[place] for c in comparisons) for sign in (1, -1))
        shares = (f"{c} ({c / n:.0%})" for c in (better, wins, n - wins - losses, losses))
        print(f"| {peer} | {title} | {n} | " + " | ".join(shares) + " |")


def report(paths):
    """Print tables in Markdown."""
    rows, problems = collect(paths)
    for name, table in rows.items():
        print_table(name, table, problems[name])
    for name in ("mlloss", TOGETHER):
        tables = {data: table for data, table in rows.items() if (name, "shipped") in table}
        print_comparisons(name, tables)


def print_comparisons(contender, tables):
    """Print how one contender of ours compares with each peer, and where it loses."""
    lost = []
    print(f"\n## Comparisons per data set and metric: {contender}\n")
    print(f"| {contender} against | standard error of | comparisons | better on average "
          "| wins | ties | losses |\n" + "| --- " * 7 + "|")  # fmt: skip
    for kind in ("shipped", "decoded"):
        end = " + tuned decoder" if kind == "decoded" else ""
        with_best = []
        with_peers = {name: [] for name in PEERS}
        for name, table in tables.items():
            ours = table[contender, "shipped"]
            for metric in METRICS:
                for peer, comparisons in with_peers.items():
                    if (peer, kind) in table:
                        comparisons.append(compare(ours, table[peer, kind], metric))
                peers = [key for key in table if key[0] in PEERS and key[1] == kind]
                best = best_of(table, peers, metric)
                if best is not None:
                    with_best.append(compare(ours, table[best], metric))
                    if with_best[-1][0] < -with_best[-1][1]:
                        lost.append((name, metric, best, ours, table[best], with_best[-1]))
        if with_best:
            print_counts(f"the best in each comparison{end}", with_best)
        for peer, comparisons in with_peers.items():
            if comparisons:
                print_counts(f"{peer}{end}", comparisons)
    print(f"\n| lost | metric | to | {contender} | peer | errors behind, with test rows |")
    print("| --- " * 6 + "|")
    for name, metric, (peer, kind), ours, others, (difference, _, error) in lost:
        means = " | ".join(f"{values(r, metric).mean():.4f}" for r in (ours, others))
        print(f"| {name} | {metric} | {peer}, {kind} | {means} | {-difference / error:.1f} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of data sets")
    parser.add_argument("--tables", nargs="+", default=["emotions", "yeast", "birds", "enron"])
    everyone = [*OURS, *PEERS]
    parser.add_argument("--contenders", nargs="+", choices=everyone, default=everyone)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--decoded", type=int, default=5, help="fit decoders for seeds below this")
    parser.add_argument("--minutes", type=float, default=20, help="limit per seed")
    parser.add_argument("--total", type=float, default=1e6, help="limit of minutes in total")
    parser.add_argument("--memory", type=int, default=0, help="GiB per process; 0 for no limit")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--split-seeds", action="store_true", help="one process per seed")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="per process")
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
