"""
How sure is a threshold?
========================

One threshold a label is fitted on out-of-fold scores of a random forest. On test rows, the F1 of
each label against the threshold shows where the best cut would have been, with the band and the
best cuts of resampled rows: a wide bar below a flat curve is a threshold that hardly matters, a
wide bar below a steep one a label with too few positives to tell.
"""

import matplotlib.pyplot as plt
from sklearn.ensemble import RandomForestClassifier

from sklearn_mlloss import DecodedClassifierCV
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import ThresholdDisplay

X, Y = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)

forest = RandomForestClassifier(100, min_samples_leaf=3, random_state=0)
model = DecodedClassifierCV(forest, "per_label_threshold", cv=3, random_state=0).fit(X, Y)
ThresholdDisplay.from_estimator(model, X_test, Y_test, labels=[1, 2, 3, 5, 9, 13], random_state=0)
plt.show()
