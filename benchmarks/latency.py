"""Time the prediction of one row and of a few, against MLPClassifier of the same width.

All networks are trained for one epoch. "plain" has the layers of `MLPClassifier`; "default" has the
default encoding and a linear part in addition, "cv=5" is an ensemble of five of these, and "plain
cv=5" of five plain ones. "products" are the matrix products of five plain networks alone, one after
the other, in 16 rows at least. "onnx" are the files of `to_onnx` in onnxruntime, if both are
installed, without any checks of X. Contenders take turns, in another order each round; ratios are
medians of those within each round. With `--busy`, other processes keep all cores but one busy.

    python benchmarks/latency.py
    python benchmarks/latency.py --threads 2 --busy
"""

import argparse
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from contenders import TASKS, fit_mlloss, fit_sklearn, make_table, print_machine, ratio
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._testing import ignore_warnings

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.persistence import to_onnx

ROWS = (1, 10, 100)
AIM = 3.0  # for "plain"


def busy():
    """Compute forever."""
    X = np.random.default_rng(0).normal(size=(500, 500))
    while True:
        X @ X


@contextmanager
def neighbours(n):
    """Keep n cores busy."""
    processes = [multiprocessing.get_context("spawn").Process(target=busy) for _ in range(n)]
    for process in processes:
        process.start()
    time.sleep(2 if processes else 0)
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def make_products(task, n_rows, n_networks=5):
    """Return a function that multiplies rows with the weights of several networks."""
    inputs = torch.randn(max(16, n_rows), task.n_features)
    weights = [
        (torch.randn(task.n_features, *task.hidden), torch.randn(*task.hidden, task.n_labels))
        for _ in range(n_networks)
    ]
    return lambda: [inputs @ first @ second for first, second in weights]


def take_turns(runs, repeats):
    """Return the seconds of each call, in another order each round."""
    seconds, names = {name: [] for name in runs}, list(runs)
    for _ in range(repeats):
        random.shuffle(names)
        for name in names:
            start = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


@ignore_warnings(category=ConvergenceWarning)
def fit_all(task):
    """Return the fitted contenders."""
    table = make_table(task)
    default = MultiLabelNetClassifier(
        hidden_layer_sizes=task.hidden, max_epochs=1, random_state=0, device="cpu"
    )
    ensemble = clone(default).set_params(cv=5)
    return {
        "sklearn": fit_sklearn(*table, task),
        "plain": fit_mlloss(*table, task),
        "default": default.fit(*table),
        "plain cv=5": fit_mlloss(*table, task, cv=5),
        "cv=5": ensemble.fit(*table),
    }


# Outputs of the exported file for the methods.
OUTPUTS = {"predict_proba": "probabilities", "predict": "labels"}


def make_sessions(fitted, n_threads):
    """Return sessions of onnxruntime for the networks, if it is installed."""
    if not (find_spec("onnx") and find_spec("onnxruntime")):
        return {}
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("plain", "default", "cv=5"):
            path = Path(folder) / "model.onnx"
            to_onnx(fitted[name], path)
            sessions[f"onnx {name}"] = onnxruntime.InferenceSession(path, options)
    return sessions


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    torch.set_num_threads(options.threads)
    random.seed(0)
    print_machine()
    task = replace(TASKS["XL"], n_rows=2048)
    X, _ = make_table(task)
    fitted = fit_all(task)
    sessions = make_sessions(fitted, options.threads)
    n_busy = max(1, (os.cpu_count() or 2) - 1) if options.busy else 0
    print(f"\n{task.n_features} columns, hidden {task.hidden}, {n_busy} busy neighbour(s)")
    print(f"{'rows':<6}{'method':<16}{'contender':<14}{'ms':>9}{'x sklearn':>11}{'aim':>6}")
    with neighbours(n_busy):
        for method in ("predict_proba", "predict"):
            for n in ROWS:
                rows = X[:n]
                runs = {
                    name: partial(getattr(model, method), rows) for name, model in fitted.items()
                }
                runs |= {
                    name: partial(session.run, [OUTPUTS[method]], {"X": rows})
                    for name, session in sessions.items()
                }
                runs["products"] = make_products(task, n)
                take_turns(runs, 10)
                seconds = take_turns(runs, options.repeats)
                for name, times in seconds.items():
                    ms, x = 1e3 * statistics.median(times), ratio(times, seconds["sklearn"])
                    aim = f"{AIM:>6.1f}" if name == "plain" else ""
                    print(f"{n:<6}{method:<16}{name:<14}{ms:>9.3f}{x:>11.2f}{aim}")


if __name__ == "__main__":
    main()
