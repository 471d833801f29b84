"""Simulated data sets and several implementations of training, for the other benchmarks.

All implementations train the same network on the same rows: equal widths, batch size and number of
epochs, Adam with learning rate 1e-3, no weight decay, no validation set, rows shuffled before each
epoch.
"""

import os
import platform
import statistics
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Task:
    """A data set and the network that is trained on it."""

    n_rows: int
    n_features: int
    n_labels: int
    hidden: tuple
    batch_size: int
    n_epochs: int
    positives: float = 0.3  # their share among the entries of Y
    loss: str = "bce"
    dropout: float = 0.0

    def __str__(self):
        """Return the title of its results."""
        text = (
            f"{self.n_rows} x {self.n_features}, {self.n_labels} labels, hidden {self.hidden}, "
            f"batch {self.batch_size}, {self.n_epochs} epochs"
        )
        return f"{text}, dropout {self.dropout}" if self.dropout else text


TASKS = {
    "S": Task(600, 72, 6, (128,), 64, 100),
    "M": Task(2417, 103, 14, (256,), 128, 50),
    "B": Task(20_000, 100, 50, (512, 256), 256, 10),
    "W": Task(13_000, 500, 983, (512,), 256, 5, positives=19 / 983),
    "XL": Task(500_000, 64, 20, (256,), 1024, 1),
}
WARM_UP = Task(256, 8, 3, (16,), 64, 2)


def make_table(task, dtype=np.int64):
    """Return X (float32) and Y from a random linear model plus noise of equal size."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((task.n_rows, task.n_features), dtype=np.float32)
    weights = rng.standard_normal((task.n_features, task.n_labels), dtype=np.float32)
    scores = rng.standard_normal((task.n_rows, task.n_labels), dtype=np.float32)
    scores += X @ (weights / np.sqrt(task.n_features, dtype=np.float32))
    cut = np.sqrt(2) * statistics.NormalDist().inv_cdf(1 - task.positives)
    return X, (scores > cut).astype(dtype)


def make_criterion(task, Y):
    """Return the loss of a hand-written loop, and the number of outputs that it needs."""
    if task.loss == "bce":
        return F.binary_cross_entropy_with_logits, task.n_labels
    from sklearn_mlloss.losses import Criterion, get_loss

    # Not timed by the loop, and a thousand rows are enough for label statistics.
    criterion = Criterion(get_loss(task.loss).fit(Y[:1000]))
    return criterion, criterion.loss.n_outputs_


def fit_loop(X, Y, task, batches, device="cpu"):
    """Train by a hand-written loop; `batches` yields an epoch's batches of the given size."""
    torch.manual_seed(0)
    inputs = torch.from_numpy(X).to(device)
    targets = torch.from_numpy(Y).float().to(device)
    criterion, n_outputs = make_criterion(task, Y)
    widths = (task.n_features, *task.hidden, n_outputs)
    layers = [
        torch.nn.Linear(a, b, device=device) for a, b in zip(widths, widths[1:], strict=False)
    ]
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    for epoch in range(task.n_epochs):
        if task.loss != "bce":
            criterion.set_epoch(epoch)
        for x, y in batches(inputs, targets, task.batch_size):
            for layer in layers[:-1]:
                x = F.relu(F.linear(x, layer.weight, layer.bias))
                if task.dropout:
                    x = F.dropout(x, task.dropout)
            loss = criterion(F.linear(x, layers[-1].weight, layers[-1].bias), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    if device != "cpu":
        torch.cuda.synchronize()


def slices(inputs, targets, batch_size):
    for rows in torch.randperm(len(inputs), device=inputs.device).split(batch_size):
        yield inputs.index_select(0, rows), targets.index_select(0, rows)


def loader(inputs, targets, batch_size):
    return DataLoader(TensorDataset(inputs, targets), batch_size=batch_size, shuffle=True)


def fit_bare(X, Y, task, device="cpu"):
    """Train by a careful hand-written loop: tensors in memory, arithmetic only."""
    fit_loop(X, Y, task, slices, device)


def fit_dataloader(X, Y, task):
    """Train by the same loop, with batches from torch's `DataLoader`."""
    fit_loop(X, Y, task, loader)


@contextmanager
def ignore_convergence():
    """Ignore ConvergenceWarning: all contenders have the same number of epochs on purpose."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def fit_mlloss(X, Y, task, **params):
    """Train and return the estimator of this package; `params` are further parameters."""
    from sklearn_mlloss import MultiLabelNetClassifier

    params = {"early_stopping": False, **params}
    model = MultiLabelNetClassifier(
        task.loss,
        "threshold",
        # The other implementations lack these, and all have to train the same network.
        encoding=None,
        input_dropout=0.0,
        mixup=0.0,
        hidden_layer_sizes=task.hidden,
        dropout=task.dropout,
        optimizer="adam",
        learning_rate=LEARNING_RATE,
        weight_decay=0.0,
        batch_size=task.batch_size,
        max_epochs=task.n_epochs,
        random_state=0,
        **params,
    )
    with ignore_convergence():
        return model.fit(X, Y)


def fit_stopping(X, Y, task):
    """Train the estimator with early stopping whose patience lasts for all epochs."""
    model = fit_mlloss(X, Y, task, early_stopping=True, n_iter_no_change=task.n_epochs + 1)
    if model.n_iter_ != task.n_epochs:
        raise RuntimeError(f"stopped after {model.n_iter_} epochs of {task.n_epochs}")
    return model


def fit_skorch(X, Y, task):
    """Train with skorch as its documentation shows it, and return the net."""
    from skorch import NeuralNet

    torch.manual_seed(0)
    widths = (task.n_features, *task.hidden)
    layers = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
        layers += [torch.nn.Dropout(task.dropout)] if task.dropout else []
    net = NeuralNet(
        torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], task.n_labels)),
        criterion=torch.nn.BCEWithLogitsLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=task.batch_size,
        max_epochs=task.n_epochs,
        iterator_train__shuffle=True,
        train_split=None,
        # the default for this criterion returns an array of shape (n, 2, L)
        predict_nonlinearity=torch.sigmoid,
        verbose=0,
    )
    return net.fit(X, Y.astype(np.float32))


def fit_sklearn(X, Y, task):
    """Train and return scikit-learn's MLPClassifier, with exactly as many epochs."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        task.hidden,
        alpha=0.0,
        batch_size=task.batch_size,
        learning_rate_init=LEARNING_RATE,
        max_iter=task.n_epochs,
        tol=0.0,
        n_iter_no_change=task.n_epochs,
        random_state=0,
    )
    with ignore_convergence():
        return model.fit(X, Y)


FITS = {
    "bare": fit_bare,
    "dataloader": fit_dataloader,
    "mlloss": fit_mlloss,
    "skorch": fit_skorch,
    "sklearn": fit_sklearn,
}


def take_turns(runs, repeats):
    """Return, for each name of `runs`, the seconds of its call in each round.

    All of them run in each round, so that changes of the machine's speed affect all alike.
    """
    seconds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds, others):
    """Return the median over rounds of the ratio within each round."""
    return statistics.median(a / b for a, b in zip(seconds, others, strict=True))


def print_machine():
    """Print the machine, its load and the versions of the packages."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    print(
        f"{platform.platform()}, {models[0] if models else platform.machine()}, "
        f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads, "
        # Loops on all cores slow down beside other processes: a load above about 1 distorts times.
        f"load {os.getloadavg()[0]:.1f} before"
    )
    packages = []
    for name in ("numpy", "scikit-learn", "torch", "skorch", "sklearn_mlloss"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} (not installed)")
    print(f"Python {platform.python_version()}, {', '.join(packages)}")
