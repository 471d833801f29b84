"""Names of labels in the displays of a fitted classifier."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import DecodedClassifierCV
from sklearn_mlloss.inspection import (
    CalibrationDisplay,
    ConfusionMatrixDisplay,
    CooccurrenceDisplay,
    PrecisionRecallDisplay,
    ThresholdDisplay,
)
from sklearn_mlloss.inspection._inputs import names_of_labels

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2))
Y = pd.DataFrame((X > 0).astype(int), columns=["sea", "sun"])
MODEL = DecodedClassifierCV(DecisionTreeClassifier(max_depth=2, random_state=0), cv=2).fit(X, Y)


@pytest.mark.parametrize(
    "display",
    [
        CalibrationDisplay,
        ConfusionMatrixDisplay,
        CooccurrenceDisplay,
        PrecisionRecallDisplay,
        ThresholdDisplay,
    ],
)
def test_labels_have_the_names_of_the_model_if_y_has_none(display):
    drawn = display.from_estimator(MODEL, X, Y.to_numpy())
    assert sorted(drawn.label_names) == ["sea", "sun"]
    plt.close(drawn.figure_)


def test_given_names_and_those_of_y_come_first():
    assert names_of_labels(MODEL, Y.to_numpy(), None, 2) == ["sea", "sun"]
    assert names_of_labels(MODEL, Y, None, 2) == ["sea", "sun"]
    assert names_of_labels(MODEL, Y, ["a", "b"], 2) == ["a", "b"]
    assert names_of_labels(MODEL, np.zeros((1, 3)), None, 3) == [0, 1, 2]
    assert names_of_labels(DecisionTreeClassifier(), Y.to_numpy(), None, 2) == [0, 1]
