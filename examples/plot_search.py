"""
Selecting a loss and a decoder by cross-validation
==================================================

A search trains each loss once per fold, and evaluates every decoder on the held-out scores. The
heat map shows the mean score of each candidate. The dot plot shows the difference of each candidate
from the best on the same folds, with its confidence interval.
"""

import os

import matplotlib.pyplot as plt

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import LossComparisonDisplay

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# Use a third of the training rows, so that the example takes seconds.
X, Y = load_yeast(subset="train", return_X_y=True)
X, Y = X[::3], Y[::3]
net = MultiLabelNetClassifier(hidden_layer_sizes=(32,) if SMALL else (256,))
search = LossDecoderSearchCV(
    net, scoring="f1_macro", cv=3 if SMALL else 5, refit=False, random_state=0
).fit(X, Y)

# %%
# The summary in words: the decoder matters more than the loss, and some candidates are not
# significantly different from the best.
print(search.summary())

# %%
# The score of the best of 36 candidates is too high because of selection bias.
best, corrected = search.best_score_, search.best_score_corrected_
print(f"best macro-F1 {best:.3f}, corrected for selection bias {corrected:.3f}")

# %%
figure, axes = plt.subplots(
    1, 2, figsize=(15, 6), layout="constrained", gridspec_kw={"width_ratios": [1.3, 1]}
)
LossComparisonDisplay.from_search(search, ax=axes[0])
LossComparisonDisplay.from_search(search, kind="dots", max_pairs=15, ax=axes[1])
plt.show()
