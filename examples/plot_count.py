"""
Predicting the number of labels per row
=======================================

A network may predict each label independently, or a number of labels and a distribution over them.
When is the second better? We compare three data sets: one generated from a count and a
distribution, one with independent labels, and a real one.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.metrics import accuracy_score, f1_score

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.decoders import get_decoder
from sklearn_mlloss.losses import FactorizedLoss, WithCount

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# The first data set resembles orders in a shop: the first column, the size of an order, determines
# how many of 30 products are ordered, and the other columns determine which. In the second data
# set, each label depends on all columns, with its own coefficients; given the columns, labels are
# independent.
N_LABELS, N_COLUMNS = 30, 10
world = np.random.default_rng(0)
SLOPES = 3 * world.normal(size=(N_COLUMNS, N_LABELS)) / np.sqrt(N_COLUMNS)
INTERCEPTS = world.normal(size=N_LABELS) - 3


def count_and_distribution(n_rows, seed):
    """Return a data set whose number of labels per row depends on one column."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_rows, N_COLUMNS))
    number = np.exp(0.9 + X[:, 0]).round().clip(0, N_LABELS // 2)
    # The labels with the best noisy scores are a draw without replacement from their softmax.
    scores = X[:, 1:] @ SLOPES[1:] + random.gumbel(size=(n_rows, N_LABELS))
    rank = (-scores).argsort(axis=1).argsort(axis=1)
    return X, (rank < number[:, None]).astype(int)


def independent(n_rows, seed):
    """Return a data set with labels that are independent, given the columns."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_rows, N_COLUMNS))
    P = expit(X @ SLOPES + INTERCEPTS)
    return X, (random.random(P.shape) < P).astype(int)


n_train, n_test = (400, 1000) if SMALL else (2000, 5000)
tables = {
    "a count and a distribution": (
        *count_and_distribution(n_train, seed=1),
        *count_and_distribution(n_test, seed=2),
    ),
    "independent labels": (*independent(n_train, seed=1), *independent(n_test, seed=2)),
    "yeast": (
        *load_yeast(subset="train", return_X_y=True),
        *load_yeast(subset="test", return_X_y=True),
    ),
}

# %%
# Binary cross-entropy is compared with three models of the count: a count times a softmax, trained
# separately or as one Poisson distribution per label, and binary cross-entropy with a count head.
losses = {
    "bce": "bce",
    "factorized": FactorizedLoss("kl_poisson"),
    "poisson_softmax": "poisson_softmax",
    "bce with count": WithCount("bce"),
}
decoders = ["threshold", "expected_fbeta", "cardinality"]
results, counts = {}, {}
for table, (X, Y, X_test, Y_test) in tables.items():
    for name, loss in losses.items():
        model = MultiLabelNetClassifier(
            loss,
            "cardinality",
            cv=3,
            hidden_layer_sizes=(64,),
            # With 64 units, a dropout of one half would leave too few units to predict counts. The
            # training loss of "bce with count" decreases in steps, so it needs more patience than
            # the other three.
            dropout=0.1,
            n_iter_no_change=20,
            learning_rate=3e-3,
            max_epochs=400,
            random_state=0,
        ).fit(X, Y)
        proba = model.predict_proba(X_test)
        # Binary cross-entropy has no count: use the sum of its probabilities.
        count = proba.sum(axis=1) if name == "bce" else model.predict_count(X_test)
        counts[table, name] = count
        for decoder in decoders:
            if decoder == "cardinality":
                Y_hat = model.predict(X_test)  # fitted on out-of-fold scores and counts
            else:
                Y_hat = get_decoder(decoder).decode(proba)  # nothing to learn
            results[table, name, decoder] = (
                f1_score(Y_test, Y_hat, average="samples", zero_division=1),
                accuracy_score(Y_test, Y_hat),
            )

# %%
# Top: the mean predicted count of rows with a given number of labels. On the first data set, the
# number is predictable, on the second partly, and on yeast hardly: the prediction is about four
# labels for all rows.
#
# Below: three decoders on the same probabilities. A count improves the first data set and subset
# accuracy, which requires exactly the right labels: ``cardinality`` with any of the count models is
# better than all decoders with binary cross-entropy. In samples-F1, it gains little over
# ``expected_fbeta`` with binary cross-entropy. On the other two data sets, it gains hardly
# anything.
#
# The cost of a count: with a threshold of 1/2, binary cross-entropy alone is better everywhere. For
# poisson_softmax, this threshold is wrong, because ``1 - exp(-rate)`` is too low for likely labels;
# ``cardinality``, its default, does not depend on it.
colours = dict(zip(losses, ["#0072B2", "#D55E00", "#E69F00", "#009E73"], strict=True))
markers = dict(zip(decoders, "os^", strict=True))
figure, axes = plt.subplots(
    3, 3, figsize=(11, 8.5), layout="constrained", height_ratios=[1.7, 1, 1], sharey="row"
)
for column, (table, (_, _, _, Y_test)) in zip(axes.T, tables.items(), strict=True):
    top = column[0]
    true = Y_test.sum(axis=1)
    numbers = [m for m in np.unique(true) if (true == m).sum() >= 10]
    for name in losses:
        means = [counts[table, name][true == m].mean() for m in numbers]
        top.plot(numbers, means, color=colours[name], marker=".", label=name)
    top.plot([0, 15], [0, 15], color="0.5", linestyle=":", label="perfect prediction")
    top.set(title=table, xlabel="true number of labels", xlim=(-0.5, 15.5), xticks=[0, 5, 10, 15])
    for row, (axis, measure) in enumerate(
        zip(column[1:], ["samples-F1", "subset accuracy"], strict=True)
    ):
        axis.sharex(axes[row + 1, 0])
        for name, decoder in np.ndindex(len(losses), len(decoders)):
            value = results[table, list(losses)[name], decoders[decoder]][row]
            axis.plot(
                value, name, markers[decoders[decoder]], color=list(colours.values())[name],
                markersize=8, alpha=0.85,
            )  # fmt: skip
        axis.set_yticks(range(len(losses)), losses)
        axis.set(xlabel=measure, ylim=(len(losses) - 0.5, -0.5))
        axis.grid(axis="y", color="0.93")
for axis in axes.flat:
    axis.spines[["top", "right"]].set_visible(False)
axes[0, 0].set_ylabel("mean predicted number")
axes[0, 0].legend(frameon=False)
shapes = [
    plt.Line2D([], [], color="0.4", marker=marker, linestyle="", label=decoder)
    for decoder, marker in markers.items()
]
figure.legend(handles=shapes, loc="outside lower center", ncols=3, frameon=False)
plt.show()
