"""
Confusion matrix and precision-recall curve per label
=====================================================

Averages such as macro-F1 hide what a classifier does with each label. Four displays show it for any
scikit-learn classifier: precision and recall at all thresholds, the confusion matrix of the labels
that it predicts, labels that occur together, and the number of labels per row.
"""

import matplotlib.pyplot as plt
from sklearn.ensemble import ExtraTreesClassifier

from sklearn_mlloss import DecodedClassifierCV
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import (
    ConfusionMatrixDisplay,
    CooccurrenceDisplay,
    LabelCountDisplay,
    PrecisionRecallDisplay,
)

# %%
# One threshold per label, tuned for its F1 on out-of-fold scores of the trees.
X, Y = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)
trees = ExtraTreesClassifier(100, min_samples_leaf=3, random_state=0)
model = DecodedClassifierCV(trees, decoder="per_label_threshold", cv=3, random_state=0).fit(X, Y)

# %%
# The curve of a label shows which precision each recall would cost; the diamond is what its
# threshold has chosen. Beside it are the numbers behind the diamond. For the most frequent label,
# F1 is best if it is predicted for nearly all rows.
names = [f"label {k}" for k in range(Y.shape[1])]
shown = {"labels": [11, 2, 3, 9], "label_names": names}
figure, axes = plt.subplots(2, 4, figsize=(10.5, 5.6), layout="constrained")
PrecisionRecallDisplay.from_estimator(model, X_test, Y_test, ax=axes[0], **shown)
ConfusionMatrixDisplay.from_estimator(model, X_test, Y_test, ax=axes[1], **shown)
for axis in axes.flat:
    axis.label_outer()
plt.show()

# %%
# On the left, each row has the labels that occur together with one label, against the bottom line,
# their prevalence in all rows: labels 11 and 12 nearly always come together, and four in five rows
# with label 5 have label 4, against one in three of all rows. On the right, thresholds that are
# tuned for the F1 of each label predict too many labels per row; a decoder for metrics of rows,
# such as "expected_fbeta", predicts fewer.
figure, axes = plt.subplots(1, 2, figsize=(11.5, 5.4), layout="constrained")
CooccurrenceDisplay.from_labels(Y_test, label_names=names, ax=axes[0])
LabelCountDisplay.from_estimator(model, X_test, Y_test, ax=axes[1])
plt.show()
