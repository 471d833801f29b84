"""Other architectures (`module=`), compared with the built-in multi-layer perceptron.

Uses the training parts of data sets, split several times into training and test rows, like
`defaults.py` and with its metrics. The gain is the relative reduction of the errors of the built-in
network without `input_dropout` and `mixup`, which a `module` would have to implement itself.

    python benchmarks/networks.py --data FOLDER --tables emotions yeast

* "residual": two residual blocks (normalisation, linear, ReLU, dropout, linear) between linear
  layers, after Gorishniy et al. (2021).
* "labels": log-odds to which a linear function of all labels' probabilities is added, so that one
  label can depend on another.
* "members": eight networks with common weights and separate scalings, after Gorishniy et al.
  (TabM, 2025), whose log-odds are averaged; TabM has a separate loss for each member, which a
  `module` cannot have.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from contenders import print_machine
from defaults import METRICS, SIMULATED, errors, read
from torch import nn

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit

WIDTH, DROPOUT = 256, 0.5


class Residual(nn.Module):
    """A residual network."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_features, WIDTH)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(DROPOUT),
                nn.Linear(WIDTH, WIDTH),
            )
            for _ in range(2)
        )  # fmt: skip
        self.norm = nn.LayerNorm(WIDTH)
        self.last = nn.Linear(WIDTH, n_outputs)

    def forward(self, X):
        """Return log-odds."""
        X = self.first(X)
        for block in self.blocks:
            X = X + block(X)
        return self.last(torch.relu(self.norm(X)))


class Labels(nn.Module):
    """A perceptron whose log-odds depend on the probabilities of all labels."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Linear(n_features, WIDTH), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Linear(WIDTH, n_outputs),
        )  # fmt: skip
        self.others = nn.Linear(n_outputs, n_outputs, bias=False)
        nn.init.zeros_(self.others.weight)

    def forward(self, X):
        """Return log-odds."""
        first = self.perceptron(X)
        return first + self.others(torch.sigmoid(first))


class Members(nn.Module):
    """Networks that share their weights, except for scalings of inputs and units."""

    def __init__(self, n_features, n_outputs, n_members=8):
        super().__init__()
        self.inputs = nn.Parameter(1 - 2 * torch.randint(0, 2, (n_members, 1, n_features)).float())
        self.units = nn.Parameter(torch.ones(n_members, 1, WIDTH))
        self.hidden = nn.Linear(n_features, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.last = nn.Linear(WIDTH, n_outputs)

    def forward(self, X):
        """Return the mean of the members' log-odds."""
        units = self.dropout(torch.relu(self.hidden(X * self.inputs)) * self.units)
        return self.last(units).mean(dim=0)


NETWORKS = {
    "perceptron": {"input_dropout": 0.0, "mixup": 0.0},
    "residual": {"module": Residual},
    "labels": {"module": Labels},
    "members": {"module": Members},
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    tables = ["emotions", "yeast", "birds", "enron", *SIMULATED]
    parser.add_argument("--tables", nargs="+", default=tables)
    parser.add_argument("--splits", type=int, default=5)
    options = parser.parse_args()
    print_machine()
    print("\n| network | data set | gain % | " + " | ".join(METRICS) + " | seconds |")
    print("| --- " * (len(METRICS) + 4) + "|")
    gains = {name: [] for name in NETWORKS}
    for table in options.tables:
        X, Y = read(table, options.data)
        for name, params in NETWORKS.items():
            of_splits, seconds = [], []
            for split in range(options.splits):
                splitter = MultilabelStratifiedShuffleSplit(1, test_size=1 / 3, random_state=split)
                train, test = next(splitter.split(Y, Y))
                net = MultiLabelNetClassifier(
                    decoder="threshold", device="cpu", random_state=split, **params
                )
                start = time.perf_counter()
                net.fit(X[train], Y[train])
                seconds.append(time.perf_counter() - start)
                metrics = errors(Y[test], net.predict_proba(X[test]))
                of_splits.append([metrics[name] for name in METRICS])
            mean = np.mean(of_splits, axis=0)
            if name == "perceptron":
                base = mean
            gains[name].append(np.mean(1 - mean / base))
            cells = " | ".join(f"{value:.4f}" for value in mean)
            print(f"| {name} | {table} | {100 * gains[name][-1]:+.1f} | {cells} "
                  f"| {np.mean(seconds):.1f} |", flush=True)  # fmt: skip
    print()
    for name, values in gains.items():
        print(f"{name}: {100 * np.mean(values):+.2f}% on average")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
