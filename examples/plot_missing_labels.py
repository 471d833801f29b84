"""
Labels that nobody looked at
============================

An annotator has looked at some labels of a row only. Is a label that was not looked at absent?
Training rows lose a share of their labels, once marked as NaN and once taken as absent, and are
judged on complete test rows.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import average_precision_score, f1_score

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
X, Y = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)
if SMALL:
    X, Y = X[::3], Y[::3]

# %%
# Each entry is hidden with the same probability, whether the label is there or not. In NaN it is
# left out of the loss, of early stopping, and of what decoders and calibrations learn. As a 0 it
# says that the label is absent, which is wrong wherever it was hidden from a positive. Hill and
# SPLC are losses made for that: they let go of absent labels that the network doubts.
methods = {
    "NaN, bce": ("bce", np.nan),
    "0, bce": ("bce", 0),
    "0, hill": ("hill", 0),
    "0, splc": ("splc", 0),
}
shares = [0, 0.5] if SMALL else [0, 0.2, 0.4, 0.6, 0.8]
n_repeats = 1 if SMALL else 3
measures = ["mean average precision", "micro-F1 at a threshold of 1/2", "predicted labels a row"]

found = np.empty((len(methods), len(shares), n_repeats, len(measures)))
for repeat in range(n_repeats):
    chance = np.random.default_rng(repeat).random(Y.shape)
    for i, (loss, value) in enumerate(methods.values()):
        for j, share in enumerate(shares):
            Y_seen = np.where(chance < share, value, Y)
            model = MultiLabelNetClassifier(loss, "threshold", random_state=repeat)
            proba = model.fit(X, Y_seen).predict_proba(X_test)
            Y_hat = model.decode(proba)
            found[i, j, repeat] = (
                average_precision_score(Y_test, proba, average="macro"),
                f1_score(Y_test, Y_hat, average="micro"),
                Y_hat.sum(axis=1).mean(),
            )

# %%
# Left out, hidden labels cost little: with 60 % of them hidden, micro-F1 is 0.02 lower. Taken as
# absent, they ruin the decision: probabilities are then those of a label that is there and was
# looked at, and sink below 1/2 one after the other. The ranking suffers less. Hill is no cure here.
# SPLC takes likely labels for present ones: too many of them where few were hidden, about the right
# number around 50 %, and at 80 % it no longer helps. So it is worth knowing which labels were
# hidden. (Bands are the lowest and the highest of the repeats.)
figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
colours, markers = ["#0072B2", "#D55E00", "#E69F00", "#009E73"], "os^D"
for k, (axis, measure) in enumerate(zip(axes, measures, strict=True)):
    for i, name in enumerate(methods):
        values = found[i, :, :, k]
        axis.plot(shares, values.mean(axis=1), color=colours[i], marker=markers[i], label=name)
        axis.fill_between(
            shares, values.min(axis=1), values.max(axis=1), color=colours[i], alpha=0.2, lw=0
        )
    axis.set(title=measure, xlabel="share of training labels hidden", xlim=(-0.03, 0.83))
    axis.spines[["top", "right"]].set_visible(False)
axes[2].axhline(Y_test.mean(axis=0).sum(), color="0.4", linestyle=":", label="true number")
handles, names = axes[2].get_legend_handles_labels()
figure.legend(handles, names, loc="outside upper center", ncols=5, frameon=False)
plt.show()
