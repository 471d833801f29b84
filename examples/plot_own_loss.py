"""
A loss and a decision of your own
=================================

A robust loss in two methods and a decision with a budget in two more. Both are checked against
the contract of the library, and then serve like any other: the loss brings its link, the decision
works on any scores.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.metrics import average_precision_score, precision_score
from torch.nn.functional import logsigmoid

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.decoders import Decoder, TopK
from sklearn_mlloss.losses import BinaryCrossEntropy, SeparableLoss
from sklearn_mlloss.testing import check_decoder, check_loss

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# The loss
# --------
#
# Generalised cross-entropy (Zhang and Sabuncu, NeurIPS 2018) lies between cross-entropy, q → 0, and
# the absolute error, q = 1: it is bounded, so that a wrong label cannot cost more than 1/q. A
# separable loss takes two methods, the loss of a logit where the label is present and where it is
# absent.


class GeneralisedCrossEntropy(SeparableLoss):
    """``(1 - p ** q) / q`` of the probability p that is given to the truth."""

    def __init__(self, q=0.7):
        super().__init__()
        self.q = q

    def positive(self, s):
        """Return the loss of a logit whose label is present."""
        return -torch.expm1(self.q * logsigmoid(s)) / self.q

    def negative(self, s):
        """Return the loss of a logit whose label is absent."""
        return self.positive(-s)


# %%
# The check runs the whole contract: gradients, masks, weights, extreme outputs, pickling. It
# says what is wrong where, here for a loss that takes the logarithm of a probability.
check_loss(GeneralisedCrossEntropy())


class Careless(GeneralisedCrossEntropy):
    """Cross-entropy as one would write it first."""

    def positive(self, s):
        """Return the loss of a logit whose label is present."""
        return -s.sigmoid().log()


try:
    check_loss(Careless())
except AssertionError as error:
    print(error)

# %%
# The link needs no code: it is derived from the two methods. For this loss it is the sigmoid of
# (1 − q) s, which is what theory gives, up to a tiny slope that keeps scores apart where other
# links are flat.
s = torch.linspace(-6, 6, 241, dtype=torch.float64).unsqueeze(1)
loss = GeneralisedCrossEntropy().fit([[0], [1]])
print("largest error of the link:", float((loss.link(s) - (0.3 * s).sigmoid()).abs().max()))

# %%
# Does it help against wrong labels? A share of the training labels of yeast is flipped.
X, Y = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)
shares = [0, 0.2] if SMALL else [0, 0.1, 0.2, 0.3]
n_repeats = 1 if SMALL else 3
losses = {"bce": BinaryCrossEntropy(), "own, q = 0.7": GeneralisedCrossEntropy()}
precision = np.empty((len(losses), len(shares), n_repeats))
for repeat in range(n_repeats):
    chance = np.random.default_rng(repeat).random(Y.shape)
    for j, share in enumerate(shares):
        Y_noisy = np.where(chance < share, 1 - Y, Y)
        for i, loss in enumerate(losses.values()):
            model = MultiLabelNetClassifier(loss, random_state=repeat).fit(X, Y_noisy)
            precision[i, j, repeat] = average_precision_score(
                Y_test, model.predict_proba(X_test), average="macro"
            )

# %%
# The decision
# ------------
#
# Somebody checks the predicted labels by hand, and has time for two a gene on average. ``TopK``
# gives two to each gene; this one spends them where the probability is highest. What ``_fit`` gets
# is checked already, and weights of rows are above 0.


class Budget(Decoder):
    """The labels with the highest scores, of a given number a row on average."""

    requires_fit = True

    def __init__(self, labels_per_row=1.0):
        self.labels_per_row = labels_per_row

    def _fit(self, scores, Y, sample_weight, count):
        order = np.argsort(-scores, axis=None)
        weight = np.broadcast_to(sample_weight[:, None], scores.shape).ravel()[order]
        spent = weight.cumsum() / sample_weight.sum()
        affordable = np.searchsorted(spent, self.labels_per_row, side="right")
        # The best score that is too expensive, and with it all that equal it.
        too_low = scores.ravel()[order][affordable:]
        self.threshold_ = too_low[0] if len(too_low) else -np.inf

    def _decode(self, scores, count):
        return scores > self.threshold_


check_decoder(Budget(labels_per_row=2))

# %%
# The model with cross-entropy, trained once; then one decision after the other, fitted on half of
# the test rows and measured on the other half.
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
print("spent for a budget of 1, 2, ..., 7 labels a row:", np.round(spent["Budget"], 2))

# %%
# Here the bounded loss helps little: what it gains where labels are wrong, and loses where none is,
# is hardly more than repeats differ (the band is their lowest and highest). Early stopping and
# dropout keep a network from learning wrong labels by heart, too. But a small budget is better
# spent over all genes than gene by gene; from four labels a gene on, which is what they have on
# average, it matters less.
BLUE, VERMILLION = "#0072B2", "#D55E00"
figure, axes = plt.subplots(1, 4, figsize=(14, 3.8), layout="constrained")
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
axes[3].set(title="precision", xlabel="predicted labels a row")
for axis in axes:
    axis.spines[["top", "right"]].set_visible(False)
for axis in axes[[0, 3]]:
    axis.legend(frameon=False)
plt.show()
