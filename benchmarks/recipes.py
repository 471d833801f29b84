"""What recent networks for tables do, each compared with a plain network in the same torch loop.

Uses the training parts of data sets and the families of `families.py`, split into training and test
rows like `defaults.py` and with its metrics. The gain is the relative reduction of the errors of
"plain": the encoding that ``encoding="auto"`` chooses, one layer of 256 units with dropout 1/2,
AdamW, batches of 32 rows (64 from 2000 rows on), a tenth of the rows held out, patience 10, and the
weights of the epoch with the least loss on these. The other recipes differ from it in one thing:

* "TabM, k": k networks with shared weights and separate scalings of inputs and units, biases and
  last layers, each with a loss of its own; one early stop for the mean of their probabilities
  (Gorishniy et al., 2025);
* "embeddings": 16 learned outputs per column, ReLU of a linear function of its piecewise-linear
  encoding (Gorishniy et al., 2022);
* "temperature": training stops on the log loss of log-odds divided by the temperature that is best
  for it, which also scales predictions (Berta et al., 2025);
* "mean of weights": an exponential moving average of the weights with a horizon of two epochs;
* "mean of checkpoints": the mean of the probabilities of the best epoch and the two before and
  after it;
* "cosine": the learning rate falls along half a cosine to 0 over as many epochs as "plain" needed;
* "five folds": five plain networks, each of which stops on its own fold, as ``cv=5`` trains them;
* "default" and "default, five folds": `MultiLabelNetClassifier` as it is, which also has input
  dropout, mixup and a linear part, and is not trained by this loop.

    python benchmarks/recipes.py --data FOLDER --tables emotions yeast "heavy tails"
"""

import argparse
import copy
import json
import math
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from contenders import print_machine
from defaults import LEAST_ERROR, METRICS, errors, read
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.model_selection import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
)
from sklearn_mlloss.networks import IdentityEncoding, choose_encoding, get_encoding

WIDTH, DROPOUT, PATIENCE, EPOCHS, SURE = 256, 0.5, 10, 200, 1e-6


class Plain(nn.Module):
    """One hidden layer; log-odds of shape (1, n_samples, n_labels)."""

    def __init__(self, n_inputs, n_labels, groups):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, WIDTH), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, n_labels)
        )

    def forward(self, X):
        """Return log-odds."""
        return self.layers(X)[None]


class Embeddings(Plain):
    """Sixteen learned outputs per column before the hidden layer."""

    def __init__(self, n_inputs, n_labels, groups):
        n_columns = int(groups.max()) + 1
        super().__init__(16 * n_columns, n_labels, groups)
        self.register_buffer("mask", torch.zeros(n_inputs, n_columns, 16))
        self.mask[torch.arange(n_inputs), groups] = 1.0
        self.weight = nn.Parameter(torch.randn(n_inputs, n_columns, 16) / 2)
        self.bias = nn.Parameter(torch.zeros(n_columns * 16))

    def forward(self, X):
        """Return log-odds."""
        embedded = X @ (self.weight * self.mask).flatten(1) + self.bias
        return super().forward(torch.relu(embedded))


class TabM(nn.Module):
    """Networks with shared weights; log-odds of shape (k, n_samples, n_labels)."""

    def __init__(self, n_inputs, n_labels, groups, k):
        super().__init__()
        signs = 1 - 2 * torch.randint(0, 2, (k, 1, n_inputs)).float()
        self.inputs = nn.Parameter(signs)
        self.hidden = nn.Linear(n_inputs, WIDTH, bias=False)
        self.units = nn.Parameter(torch.ones(k, 1, WIDTH))
        bound = n_inputs**-0.5
        self.bias = nn.Parameter(torch.empty(k, 1, WIDTH).uniform_(-bound, bound))
        self.dropout = nn.Dropout(DROPOUT)
        bound = WIDTH**-0.5
        self.last = nn.Parameter(torch.empty(k, WIDTH, n_labels).uniform_(-bound, bound))
        self.last_bias = nn.Parameter(torch.empty(k, 1, n_labels).uniform_(-bound, bound))

    def forward(self, X):
        """Return log-odds."""
        units = torch.relu(self.hidden(X * self.inputs) * self.units + self.bias)
        return torch.baddbmm(self.last_bias, self.dropout(units), self.last)


def predict(net, X):
    """Return the mean of the probabilities of the networks."""
    net.eval()
    with torch.no_grad():
        parts = [net(part).double().sigmoid().mean(dim=0) for part in X.split(1024)]
    return torch.cat(parts).numpy().clip(SURE, 1 - SURE)


def log_loss(Y, proba):
    return -np.where(Y > 0, np.log(proba), np.log1p(-proba)).mean()


def scaled(proba, temperature):
    return 1 / (1 + (1 / proba - 1) ** (1 / temperature))


def best_temperature(Y, proba):
    def loss(x):
        return log_loss(Y, scaled(proba, math.exp(x)).clip(SURE, 1 - SURE))

    return math.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x)


def train(make, X, Y, held_out, seed, recipe="plain", epochs=EPOCHS):
    """Train one network.

    Returns
    -------
    function
        From inputs to probabilities.
    int
        The epoch with the least loss.
    """
    torch.manual_seed(seed)
    X_held, Y_held = X[held_out], Y[held_out].numpy()
    X, Y = X[~held_out], Y[~held_out]
    net = make()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    size = 32 if len(X) < 2000 else 64
    steps = math.ceil(len(X) / size)
    average = copy.deepcopy(net)
    kept, best, waited, temperature = [], np.inf, 0, 1.0
    for epoch in range(epochs):
        net.train()
        for rows in torch.randperm(len(X)).split(size):
            outputs = net(X[rows])
            optimizer.zero_grad()
            targets = Y[rows].expand_as(outputs)
            binary_cross_entropy_with_logits(outputs, targets).backward()
            optimizer.step()
            if recipe == "mean of weights":
                with torch.no_grad():
                    share = 1 / min(2 * steps, 1 + epoch * steps)
                    for mean, value in zip(average.parameters(), net.parameters(), strict=True):
                        mean.lerp_(value, share)
        if recipe == "cosine":
            rate = 1e-3 * (1 + math.cos(math.pi * (epoch + 1) / epochs)) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
        current = average if recipe == "mean of weights" else net
        proba = predict(current, X_held)
        scale = best_temperature(Y_held, proba) if recipe == "temperature" else 1.0
        value = log_loss(Y_held, scaled(proba, scale).clip(SURE, 1 - SURE))
        kept.append(copy.deepcopy(current.state_dict()))
        waited += 1
        if value < best:
            best, waited, temperature, at = value, 0, scale, epoch
        elif waited >= PATIENCE and recipe != "cosine":
            break
    around = range(at - 2, at + 3) if recipe == "mean of checkpoints" else [at]
    states = [kept[epoch] for epoch in around if 0 <= epoch < len(kept)]

    def probabilities(inputs):
        parts = []
        for state in states:
            net.load_state_dict(state)
            parts.append(predict(net, inputs))
        return scaled(np.mean(parts, axis=0), temperature).clip(SURE, 1 - SURE)

    return probabilities, at + 1


RECIPES = (
    "plain", "TabM, 8", "TabM, 32", "embeddings", "temperature", "mean of weights",
    "mean of checkpoints", "cosine", "five folds", "default", "default, five folds",
)  # fmt: skip
ESTIMATORS = {
    "default": partial(MultiLabelNetClassifier, decoder="threshold", device="cpu"),
    "default, five folds": partial(
        MultiLabelNetClassifier, decoder="threshold", device="cpu", cv=5
    ),
}


def encode(X_train, X_test):
    """Return encoded rows, and the number of the column of each encoded one."""
    dense = [
        np.asarray(X.toarray() if sp.issparse(X) else X, np.float32) for X in (X_train, X_test)
    ]
    name = choose_encoding(dense[0])[0]
    encoding = IdentityEncoding(binary=True) if name is None else get_encoding(name)
    encoding.fit(dense[0])
    module = encoding.module()
    rows = [module(torch.from_numpy(part)).float() for part in dense]
    groups = torch.arange(encoding.n_outputs_)
    if name == "piecewise_linear":
        widths = torch.tensor([max(0, len(edges) - 1) for edges in encoding.edges_])
        groups = torch.repeat_interleave(torch.arange((widths > 0).sum()), widths[widths > 0])
    return *rows, groups


def measure(X, Y, split, name, plain_epochs):
    """Return the errors of a recipe on one split, the seconds, and its best epoch."""
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=1 / 3, random_state=split)
    fit, test = next(splitter.split(Y, Y))
    at = None
    if name in ESTIMATORS:
        start = time.perf_counter()
        model = ESTIMATORS[name](random_state=split).fit(X[fit], Y[fit])
        proba = model.predict_proba(X[test])
    else:
        inputs, test_inputs, groups = encode(X[fit], X[test])
        targets = torch.from_numpy(Y[fit].astype(np.float32))
        start = time.perf_counter()
        arguments = inputs.shape[1], Y.shape[1], groups
        make = partial(Plain, *arguments)
        if name == "five folds":
            folds = MultilabelStratifiedKFold(5, random_state=split).split(Y[fit], Y[fit])
            parts = [fold for _, fold in folds]
        else:
            tenth = MultilabelStratifiedShuffleSplit(1, test_size=0.1, random_state=split)
            parts = [next(tenth.split(Y[fit], Y[fit]))[1]]
        if name.startswith("TabM"):
            make = partial(TabM, *arguments, k=int(name.split(", ")[1]))
        elif name == "embeddings":
            make = partial(Embeddings, *arguments)
        epochs = max(plain_epochs, 5) if name == "cosine" else EPOCHS
        proba = np.zeros((len(test), Y.shape[1]))
        for part in parts:
            held_out = torch.zeros(len(fit), dtype=torch.bool)
            held_out[torch.from_numpy(part)] = True
            model, at = train(make, inputs, targets, held_out, split, name, epochs)
            proba += model(test_inputs) / len(parts)
    seconds = time.perf_counter() - start
    metrics = errors(Y[test], proba)
    return {
        "errors": [metrics[metric] for metric in METRICS], "seconds": seconds, "epochs": at,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=["emotions", "yeast", "heavy tails"])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--out", type=Path, default=Path("recipes.jsonl"))
    parser.add_argument("--report", action="store_true", help="print results of --out only")
    options = parser.parse_args()
    names = ["plain", *(name for name in options.recipes if name != "plain")]
    rows = [json.loads(line) for line in options.out.open()] if options.out.exists() else []
    done = {(row["table"], row["split"], row["recipe"]): row for row in rows}
    if not options.report:
        print_machine()
        for table in options.tables:
            X, Y = read(table, options.data, options.rows)
            X = X.to_numpy() if hasattr(X, "to_numpy") else X
            for split, name in product(range(options.splits), names):
                if (table, split, name) in done:
                    continue
                plain = done.get((table, split, "plain"), {"epochs": None})
                row = {"table": table, "split": split, "recipe": name}
                row |= measure(X, Y, split, name, plain["epochs"])
                done[table, split, name] = row
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    report(list(done.values()), names)


def report(rows, names):
    """Print the gain of each recipe per data set, and its mean."""
    gains, seconds = {name: {} for name in names}, {name: [] for name in names}
    for table in dict.fromkeys(row["table"] for row in rows):
        of_table = {
            name: [row for row in rows if (row["table"], row["recipe"]) == (table, name)]
            for name in names
        }
        if not all(of_table.values()):
            continue
        means = {
            name: [np.mean([row[key] for row in of_name], axis=0) for key in ("errors", "seconds")]
            for name, of_name in of_table.items()
        }
        base, base_seconds = means["plain"]
        for name, (values, of_name) in means.items():
            gains[name][table] = 100 * (base - values) / np.maximum(base, LEAST_ERROR)
            seconds[name].append(of_name / base_seconds)
    print(f"\n| recipe | gain % | {' | '.join(METRICS)} | time | per data set |")
    print("| --- " * (len(METRICS) + 4) + "|")
    for name, of_tables in gains.items():
        values = np.array(list(of_tables.values()))
        cells = " | ".join(f"{value:+.1f}" for value in [values.mean(), *values.mean(axis=0)])
        tables = ", ".join(f"{table} {value.mean():+.1f}" for table, value in of_tables.items())
        print(f"| {name} | {cells} | {np.exp(np.mean(np.log(seconds[name]))):.1f} | {tables} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
