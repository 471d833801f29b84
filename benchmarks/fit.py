"""Time ``MultiLabelNetClassifier.fit`` against a bare torch loop, skorch and scikit-learn.

All contenders train the same network on the same rows: equal widths, batch size and number of
epochs, Adam with learning rate 1e-3, no weight decay, no dropout, nothing held out. They take
turns, so that a machine that slows down or speeds up meets all of them alike; what counts is the
ratio to the bare loop within a round.

    python benchmarks/fit.py --quick
    python benchmarks/fit.py --shapes S M --repeats 7 --contenders bare mlloss
"""

import argparse
import os
import platform
import statistics
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from torch.nn import functional as F

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Shape:
    """A table and the network that is trained on it."""

    n_rows: int
    n_features: int
    n_labels: int
    hidden: tuple
    batch_size: int
    n_epochs: int


SHAPES = {
    "S": Shape(600, 72, 6, (128,), 64, 100),
    "M": Shape(2417, 103, 14, (256,), 128, 50),
    "B": Shape(20_000, 100, 50, (512, 256), 256, 10),
    "XL": Shape(500_000, 64, 20, (256,), 1024, 1),
}
WARM_UP = Shape(256, 8, 3, (16,), 64, 2)
# too slow to wait for on every change
SKIPPED_WHEN_QUICK = {"XL": {"skorch", "sklearn"}}


def make_table(shape, seed=0):
    """Return X (float32) and Y (int64) from a random linear model plus noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((shape.n_rows, shape.n_features), dtype=np.float32)
    weights = rng.standard_normal((shape.n_features, shape.n_labels), dtype=np.float32)
    noise = rng.standard_normal((shape.n_rows, shape.n_labels), dtype=np.float32)
    Y = X @ weights / np.sqrt(shape.n_features) + noise > 0.7
    return X, Y.astype(np.int64)


def fit_bare(X, Y, shape):
    """Train as a careful person would by hand: tensors in memory, nothing but the arithmetic."""
    torch.manual_seed(0)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(Y).float()
    widths = (shape.n_features, *shape.hidden, shape.n_labels)
    layers = [torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    for _ in range(shape.n_epochs):
        for rows in torch.randperm(len(inputs)).split(shape.batch_size):
            outputs = inputs.index_select(0, rows)
            for layer in layers[:-1]:
                outputs = F.relu(F.linear(outputs, layer.weight, layer.bias))
            outputs = F.linear(outputs, layers[-1].weight, layers[-1].bias)
            loss = F.binary_cross_entropy_with_logits(outputs, targets.index_select(0, rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()


def fit_mlloss(X, Y, shape):
    """Train the estimator of this package."""
    from sklearn_mlloss import MultiLabelNetClassifier

    MultiLabelNetClassifier(
        loss="bce",
        decoder="threshold",
        hidden_layer_sizes=shape.hidden,
        dropout=0.0,
        optimizer="adam",
        learning_rate=LEARNING_RATE,
        weight_decay=0.0,
        batch_size=shape.batch_size,
        max_epochs=shape.n_epochs,
        early_stopping=False,
        random_state=0,
    ).fit(X, Y)


def fit_skorch(X, Y, shape):
    """Train with skorch as its documentation shows it."""
    from skorch import NeuralNet

    torch.manual_seed(0)
    widths = (shape.n_features, *shape.hidden)
    layers = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    NeuralNet(
        torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], shape.n_labels)),
        criterion=torch.nn.BCEWithLogitsLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=shape.batch_size,
        max_epochs=shape.n_epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).fit(X, Y.astype(np.float32))


def fit_sklearn(X, Y, shape):
    """Train scikit-learn's MLPClassifier for exactly as many epochs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        MLPClassifier(
            shape.hidden,
            alpha=0.0,
            batch_size=shape.batch_size,
            learning_rate_init=LEARNING_RATE,
            max_iter=shape.n_epochs,
            tol=0.0,
            n_iter_no_change=shape.n_epochs,
            random_state=0,
        ).fit(X, Y)


CONTENDERS = {
    "bare": fit_bare,
    "mlloss": fit_mlloss,
    "skorch": fit_skorch,
    "sklearn": fit_sklearn,
}


def time_rounds(shape, names, repeats):
    """Return, for each contender, its seconds in each round."""
    X, Y = make_table(shape)
    seconds = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            start = time.perf_counter()
            CONTENDERS[name](X, Y, shape)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def print_machine():
    """Print what the numbers depend on."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads")
    packages = []
    for name in ("numpy", "scikit-learn", "torch", "skorch", "sklearn_mlloss"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} (not installed)")
    print(f"Python {platform.python_version()}, {', '.join(packages)}")


def print_table(label, shape, seconds):
    """Print median seconds, and the median over rounds of the ratio to the bare loop."""
    print(
        f"\n{label}: {shape.n_rows} x {shape.n_features}, {shape.n_labels} labels, "
        f"hidden {shape.hidden}, batch {shape.batch_size}, {shape.n_epochs} epochs"
    )
    print(f"{'contender':<12}{'seconds':>10}{'x bare':>10}")
    for name, times in seconds.items():
        ratio = ""
        if "bare" in seconds:
            rounds = zip(times, seconds["bare"], strict=True)
            ratio = f"{statistics.median(mine / bare for mine, bare in rounds):.2f}"
        print(f"{name:<12}{statistics.median(times):>10.3f}{ratio:>10}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--quick", action="store_true", help="leave skorch and scikit-learn out of XL"
    )
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")

    print_machine()
    # the first torch optimiser imports torch._dynamo: seconds that belong to nobody
    time_rounds(WARM_UP, options.contenders, repeats=1)
    for label in options.shapes:
        skipped = SKIPPED_WHEN_QUICK.get(label, set()) if options.quick else set()
        names = [name for name in options.contenders if name not in skipped]
        print_table(label, SHAPES[label], time_rounds(SHAPES[label], names, options.repeats))


if __name__ == "__main__":
    main()
