"""
Partially labelled data (missing labels)
========================================

Annotators often check only some labels of a row. Is an unchecked label absent? Here, a share of the
training labels is removed, either marked as NaN or recorded as 0, and the models are evaluated on
fully labelled test rows.
"""

import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
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
# Each entry is hidden with the same probability, whether the label is present or not. Entries with
# NaN are ignored by the loss, by early stopping, and by decoders and calibrators. A 0 marks the
# label as absent, which is wrong for each hidden positive. Hill and SPLC are losses for this case:
# they down-weight absent labels to which the network assigns a high probability.
methods = {
    "NaN, bce": ("bce", np.nan),
    "0, bce": ("bce", 0),
    "0, hill": ("hill", 0),
    "0, splc": ("splc", 0),
}
# That a network learns little from wrong labels is a result here.
warnings.simplefilter("ignore", ConvergenceWarning)
shares = [0, 0.5] if SMALL else [0, 0.2, 0.4, 0.6, 0.8]
n_repeats = 1 if SMALL else 3
measures = ["mean average precision", "micro-F1 at a threshold of 1/2", "predicted labels per row"]

results = np.empty((len(methods), len(shares), n_repeats, len(measures)))
for repeat in range(n_repeats):
    draws = np.random.default_rng(repeat).random(Y.shape)
    for i, (loss, value) in enumerate(methods.values()):
        for j, share in enumerate(shares):
            Y_partial = np.where(draws < share, value, Y)
            model = MultiLabelNetClassifier(loss, "threshold", random_state=repeat)
            proba = model.fit(X, Y_partial).predict_proba(X_test)
            Y_hat = model.decode(proba)
            results[i, j, repeat] = (
                average_precision_score(Y_test, proba, average="macro"),
                f1_score(Y_test, Y_hat, average="micro"),
                Y_hat.sum(axis=1).mean(),
            )

# %%
# With NaN, hidden labels cost little: with 60 % of them hidden, micro-F1 is 0.02 lower. Recorded as
# 0, they make the predictions useless: the network then estimates the probability that a label is
# present and was checked, and this probability falls below 1/2 for one label after the other. The
# ranking suffers less. Hill does not help here. SPLC relabels likely labels as present: too many of
# them if few were hidden, about the right number around 50 %, and at 80 % it no longer helps. So it
# is important to record which labels were hidden. (Bands range from the lowest to the highest of
# the repeats.)
figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
colours, markers = ["#0072B2", "#D55E00", "#E69F00", "#009E73"], "os^D"
for k, (axis, measure) in enumerate(zip(axes, measures, strict=True)):
    for i, name in enumerate(methods):
        values = results[i, :, :, k]
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
