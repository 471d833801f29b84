"""
Per-label thresholds and their uncertainty
==========================================

One threshold per label is fitted on out-of-fold scores of a random forest. How much would it differ
with other rows, and how much does this matter? We show the optimal thresholds of bootstrap samples
per label, then the F1 of some labels on test rows as a function of the threshold.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

from sklearn_mlloss import DecodedClassifierCV
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.decoders import PerLabelThreshold
from sklearn_mlloss.inspection import ThresholdDisplay

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
X, Y = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)

forest = RandomForestClassifier(30 if SMALL else 100, min_samples_leaf=3, random_state=0)
model = DecodedClassifierCV(
    forest, "per_label_threshold", cv=3, store_cv_results=True, random_state=0
).fit(X, Y)

# %%
# Rows are drawn with replacement, and a decoder is fitted to each bootstrap sample. The scores are
# fixed: only the thresholds vary.
random = np.random.default_rng(0)
draws = []
for _ in range(20 if SMALL else 200):
    rows = random.integers(len(Y), size=len(Y))
    decoder = PerLabelThreshold(min_positives=1).fit(model.oof_scores_[rows], Y[rows])
    draws.append(decoder.thresholds_)

# %%
# Left: thresholds decrease with the label frequency (grey tick), and those of all but the two most
# frequent labels are below 1/2. Right: the effect of their variation on the F1 on test rows. For
# most labels, it is a few hundredths, small compared with the gain of all of these thresholds over
# 1/2 (cross). The fewer the positives, the larger the variation relative to the gain.
proba = model.predict_proba(X_test)
f1 = np.array([f1_score(Y_test, proba >= t, average=None, zero_division=0) for t in draws])
f1_of_half = f1_score(Y_test, proba >= 0.5, average=None, zero_division=0)
order = np.argsort(Y.sum(axis=0))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained", sharey=True)
for axis, values in ((left, np.array(draws)), (right, f1)):
    boxes = axis.boxplot(
        values[:, order],
        whis=(5, 95),
        orientation="horizontal",
        showfliers=False,
        patch_artist=True,
        widths=0.6,
    )
    for box in boxes["boxes"]:
        box.set(facecolor="#56B4E9", edgecolor="#0072B2")
    for line in boxes["medians"] + boxes["whiskers"] + boxes["caps"]:
        line.set_color("#0072B2")
    axis.grid(axis="y", color="0.93")
    axis.spines[["top", "right"]].set_visible(False)
rows = np.arange(1, len(order) + 1)
(fitted,) = left.plot(model.decoder_.thresholds_[order], rows, "D", color="#D55E00", markersize=5)
(frequency,) = left.plot(Y.mean(axis=0)[order], rows, "|", color="0.3", markersize=13)
(half,) = right.plot(f1_of_half[order], rows, "x", color="black", markersize=7)
left.set_yticks(rows, [f"label {k}, {Y[:, k].sum()} positives" for k in order])
left.set(xlabel="threshold", xlim=(0, 1))
right.set(xlabel="F1 on test rows", xlim=(-0.02, 1))
figure.legend(
    [boxes["boxes"][0], fitted, frequency, half],
    ["bootstrap, whiskers cover 90 %", "fitted", "label frequency", "threshold 1/2"],
    loc="outside upper center",
    ncols=4,
    frameon=False,
)
plt.show()

# %%
# ``ThresholdDisplay`` shows all of this for single labels: F1 against the threshold on test rows
# with a bootstrap band, the fitted threshold, and the bootstrap interval of the optimal threshold
# on the test rows. A wide interval below a flat curve is a threshold that hardly matters, a wide
# interval below a steep curve a label with too few positives to fit one.
ThresholdDisplay.from_estimator(
    model,
    X_test,
    Y_test,
    labels=[1, 2, 3, 5, 9, 13],
    label_names=[f"label {k}" for k in range(Y.shape[1])],
    random_state=0,
)
plt.show()
