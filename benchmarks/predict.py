"""Time ``predict_proba`` against bare matrix products, torch, skorch and scikit-learn.

All have a network of the same widths, trained for one epoch on a few rows. "products" is only the
two matrix products, 8192 rows at a time; "torch" is a hand-written loop over blocks of as many rows
in inference mode, with biases, ReLU and sigmoid. Contenders take turns; ratios are the medians of
those within each round.

    python benchmarks/predict.py
    python benchmarks/predict.py --rows 100000 --repeats 3
"""

import argparse
import statistics
from dataclasses import replace

import torch
from contenders import (
    TASKS,
    fit_mlloss,
    fit_sklearn,
    fit_skorch,
    make_table,
    print_machine,
    ratio,
    take_turns,
)
from torch import nn

BLOCK = 8192
# The largest ratio of this package's time to that of a contender which is good enough.
AIMS = {"products": 1.6, "sklearn": 0.35}


def make_products(X, task):
    """Return a function that only multiplies X with weights."""
    inputs = torch.from_numpy(X)
    first = torch.randn(task.n_features, *task.hidden)
    second = torch.randn(*task.hidden, task.n_labels)
    hidden = torch.empty(BLOCK, *task.hidden)
    outputs = torch.empty(len(X), task.n_labels)

    def products():
        for start in range(0, len(inputs), BLOCK):
            block = inputs[start : start + BLOCK]
            torch.mm(block, first, out=hidden[: len(block)])
            torch.mm(hidden[: len(block)], second, out=outputs[start : start + BLOCK])

    return products


def make_torch(X, task):
    """Return a function that predicts by a careful hand-written loop."""
    inputs = torch.from_numpy(X)
    layers = nn.Linear(task.n_features, *task.hidden), nn.Linear(*task.hidden, task.n_labels)
    module = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.Sigmoid())

    @torch.inference_mode()
    def predict():
        proba = torch.empty(len(inputs), task.n_labels)
        for start in range(0, len(inputs), BLOCK):
            proba[start : start + BLOCK] = module(inputs[start : start + BLOCK])
        return proba.numpy()

    return predict


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=TASKS["XL"].n_rows)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    task = replace(TASKS["XL"], n_rows=options.rows)
    few = replace(task, n_rows=2048)
    X, _ = make_table(task)
    training = make_table(few)
    fitted = {
        "mlloss": fit_mlloss(*training, few),
        "skorch": fit_skorch(*training, few),
        "sklearn": fit_sklearn(*training, few),
    }
    runs = {"products": make_products(X, task), "torch": make_torch(X, task)}
    runs |= {name: lambda m=model: m.predict_proba(X) for name, model in fitted.items()}
    print_machine()
    # First calls set up threads and buffers, which is negligible in the seconds of skorch.
    take_turns({name: run for name, run in runs.items() if name != "skorch"}, 1)
    seconds = take_turns(runs, options.repeats)
    print(
        f"\n{task.n_rows} x {task.n_features}, {task.n_labels} labels, hidden {task.hidden}; "
        f"skorch in batches of {task.batch_size}"
    )
    print(f"{'contender':<12}{'seconds':>10}{'x products':>12}{'mlloss x it':>14}{'aim':>8}")
    for name, times in seconds.items():
        cells = [f"{name:<12}{statistics.median(times):>10.3f}"]
        cells.append(f"{ratio(times, seconds['products']):>12.2f}")
        if name != "mlloss":
            cells.append(f"{ratio(seconds['mlloss'], times):>14.2f}")
            cells.append(f"{AIMS[name]:>8.2f}" if name in AIMS else "")
        print("".join(cells).rstrip())


if __name__ == "__main__":
    main()
