"""
Which loss, which decoder?
==========================

A search trains each loss once a fold, and tries every decoder on the scores of rows that the
network has not seen. The heat map shows the mean score of each pair; the dots, how far each is from
the best on the same folds, and whether that is more than chance.
"""

import os

import matplotlib.pyplot as plt

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import LossComparisonDisplay

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# A third of the training rows, so that it takes seconds.
X, Y = load_yeast(subset="train", return_X_y=True)
X, Y = X[::3], Y[::3]
net = MultiLabelNetClassifier(hidden_layer_sizes=(32,) if SMALL else (256,))
search = LossDecoderSearchCV(
    net, scoring="f1_macro", cv=3 if SMALL else 5, refit=False, random_state=0
).fit(X, Y)

# %%
# In words. The decoder matters more than the loss, and some candidates are not significantly
# different from the best.
print(search.summary())

# %%
# The score of the best of 36 is too high, since luck was among the reasons for choosing it.
best, corrected = search.best_score_, search.best_score_corrected_
print(f"best macro-F1 {best:.3f}, to be expected on new rows {corrected:.3f}")

# %%
figure, axes = plt.subplots(
    1, 2, figsize=(15, 6), layout="constrained", gridspec_kw={"width_ratios": [1.3, 1]}
)
LossComparisonDisplay.from_search(search, ax=axes[0])
LossComparisonDisplay.from_search(search, kind="dots", max_pairs=15, ax=axes[1])
plt.show()
