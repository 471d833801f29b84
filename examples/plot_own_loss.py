"""
A custom loss and a custom decoder
==================================

A robust loss in two methods, and a decoder with a budget in two more. Both are checked against the
contract of the library and can then be used like any other: the loss has its own link, and the
decoder works on any scores.
"""

import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, precision_score
from torch.nn.functional import logsigmoid

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.decoders import Decoder, TopK
from sklearn_mlloss.losses import BinaryCrossEntropy, SeparableLoss
from sklearn_mlloss.testing import check_decoder, check_loss

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# A custom loss
# -------------
#
# Generalised cross-entropy (Zhang and Sabuncu, NeurIPS 2018) lies between cross-entropy, q → 0, and
# the absolute error, q = 1. It is bounded, so a wrong label cannot cost more than 1/q. A separable
# loss takes two methods, the loss of a logit if the label is present and if it is absent.


class GeneralisedCrossEntropy(SeparableLoss):
    """``(1 - p ** q) / q`` of the probability p of the true value."""

    def __init__(self, q=0.7):
        super().__init__()
        self.q = q

    def positive(self, s):
        """Return the loss of a logit if the label is present."""
        return -torch.expm1(self.q * logsigmoid(s)) / self.q

    def negative(self, s):
        """Return the loss of a logit if the label is absent."""
        return self.positive(-s)


# %%
# ``check_loss`` tests the whole contract: gradients, masks, weights, extreme outputs, pickling. It
# reports each violation, here for a loss that computes the logarithm of a probability.
check_loss(GeneralisedCrossEntropy())


class Unstable(GeneralisedCrossEntropy):
    """Cross-entropy without numerical stability."""

    def positive(self, s):
        """Return the loss of a logit if the label is present."""
        return -s.sigmoid().log()


try:
    check_loss(Unstable())
except AssertionError as error:
    print(error)

# %%
# The link needs no code: it is derived from the two methods. For this loss, it is the sigmoid of (1
# − q) s, as in theory, up to a tiny slope that separates scores where other links are flat.
s = torch.linspace(-6, 6, 241, dtype=torch.float64).unsqueeze(1)
loss = GeneralisedCrossEntropy().fit([[0], [1]])
error = (loss.link(s) - (0.3 * s).sigmoid()).abs().max()
print(f"largest error of the link: {error:.1e}")

# %%
# Does the loss help with label noise? A share of the training labels of yeast is flipped. That a
# network learns little from them is a result here, not a reason to warn.
warnings.simplefilter("ignore", ConvergenceWarning)
X, Y = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)
shares = [0, 0.2] if SMALL else [0, 0.1, 0.2, 0.3]
n_repeats = 1 if SMALL else 3
losses = {"bce": BinaryCrossEntropy(), "GCE, q = 0.7": GeneralisedCrossEntropy()}
precision = np.empty((len(losses), len(shares), n_repeats))
for repeat in range(n_repeats):
    draws = np.random.default_rng(repeat).random(Y.shape)
    for j, share in enumerate(shares):
        Y_noisy = np.where(draws < share, 1 - Y, Y)
        for i, loss in enumerate(losses.values()):
            model = MultiLabelNetClassifier(loss, random_state=repeat).fit(X, Y_noisy)
            precision[i, j, repeat] = average_precision_score(
                Y_test, model.predict_proba(X_test), average="macro"
            )

# %%
# A custom decoder
# ----------------
#
# Suppose that predicted labels are checked by hand, with time for two per gene on average. ``TopK``
# predicts two for each gene; this decoder predicts those with the highest scores. The inputs of
# ``_fit`` are validated, and sample weights are positive.


class Budget(Decoder):
    """The labels with the highest scores, up to a given mean number per row."""

    requires_fit = True

    def __init__(self, labels_per_row=1.0):
        self.labels_per_row = labels_per_row

    def _fit(self, scores, Y, sample_weight, count):
        order = np.argsort(-scores, axis=None)
        weight = np.broadcast_to(sample_weight[:, None], scores.shape).ravel()[order]
        spent = weight.cumsum() / sample_weight.sum()
        affordable = np.searchsorted(spent, self.labels_per_row, side="right")
        # The highest score that exceeds the budget, and all scores equal to it.
        rejected = scores.ravel()[order][affordable:]
        self.threshold_ = rejected[0] if len(rejected) else -np.inf

    def _decode(self, scores, count):
        return scores > self.threshold_


check_decoder(Budget(labels_per_row=2))

# %%
# The model with binary cross-entropy is trained once. Each decoder is then fitted on half of the
# test rows and evaluated on the other half.
model = MultiLabelNetClassifier(random_state=0).fit(X, Y)
budgets = np.arange(1, 8)
spent, hits = {"Budget": [], "TopK": []}, {"Budget": [], "TopK": []}
for budget in budgets:
    for decoder in (Budget(labels_per_row=budget), TopK(k=budget)):
        model.fit_decoder(X_test[:450], Y_test[:450], decoder)
        Y_hat = model.predict(X_test[450:])
        name = type(decoder).__name__
        spent[name].append(Y_hat.sum(axis=1).mean())
        hits[name].append(precision_score(Y_test[450:], Y_hat, average="micro"))
print("predicted labels per row for a budget of 1, 2, ..., 7:", np.round(spent["Budget"], 2))

# %%
# Here, the bounded loss helps little: its gain with wrong labels, and its loss without, are hardly
# larger than the differences between repeats (the band ranges from the lowest to the highest).
# Early stopping and dropout also keep a network from memorising wrong labels. A small budget is
# better spent over all genes than per gene; from four labels per gene on, their mean number, it
# matters less.
BLUE, VERMILLION = "#0072B2", "#D55E00"
figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
axes = axes.ravel()
for name, loss, colour in zip(losses, losses.values(), (BLUE, VERMILLION), strict=True):
    loss.fit([[0], [1]])
    axes[0].plot(s, loss.positive(s), color=colour, label=name)
    axes[1].plot(s, loss.link(s), color=colour)
axes[0].set(title="loss of a present label", xlabel="logit s", ylim=(0, 5))
axes[1].set(title="link", xlabel="logit s", ylim=(0, 1))
for values, colour, marker in zip(precision, (BLUE, VERMILLION), "os", strict=True):
    axes[2].plot(shares, values.mean(axis=1), color=colour, marker=marker)
    axes[2].fill_between(
        shares, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.2, lw=0
    )
axes[2].set(title="mean average precision", xlabel="share of training labels flipped")
axes[2].set_xticks(shares)
for name, colour, marker in (("TopK", "#009E73", "^"), ("Budget", "#CC79A7", "D")):
    axes[3].plot(spent[name], hits[name], color=colour, marker=marker, label=name)
axes[3].set(title="precision", xlabel="predicted labels per row")
for axis in axes:
    axis.spines[["top", "right"]].set_visible(False)
for axis in axes[[0, 3]]:
    axis.legend(frameon=False)
plt.show()
