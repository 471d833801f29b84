"""Precision-recall curves per label."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn import metrics as sk
from sklearn.neighbors import KNeighborsClassifier

from sklearn_mlloss.inspection import PrecisionRecallDisplay


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def table(n_rows=100, n_labels=3, seed=0):
    rng = np.random.default_rng(seed)
    proba = rng.random((n_rows, n_labels))
    return (rng.random(proba.shape) < proba).astype(float), proba


def test_curves_and_marks_are_those_of_scikit_learn():
    Y, proba = table()
    Y[::4, 1] = np.nan
    decisions = proba > 0.6
    display = PrecisionRecallDisplay.from_predictions(Y, proba, y_pred=decisions, labels=[2, 1])
    for i, label in enumerate([2, 1]):
        seen = ~np.isnan(Y[:, label])
        y, scores, guess = (values[seen, label] for values in (Y, proba, decisions))
        curve = display.curves["predictions"][i]
        assert curve.average_precision == pytest.approx(sk.average_precision_score(y, scores))
        precision, recall, _ = sk.precision_recall_curve(y, scores)
        points = set(zip(precision, recall, strict=True))
        assert set(zip(curve.precision, curve.recall, strict=True)) <= points
        chosen = [sk.recall_score(y, guess), sk.precision_score(y, guess)]
        np.testing.assert_allclose(curve.chosen, chosen)
        np.testing.assert_allclose(display.chosen_["predictions"][i].get_xydata(), [chosen])
        assert display.priors[i] == pytest.approx(y.mean())
        line = display.lines_["predictions"][i]
        np.testing.assert_array_equal(line.get_xydata().T, [curve.recall, curve.precision])
        note = f"{int(y.sum())} positives\naverage precision {curve.average_precision:.3f}"
        assert display.axes_[i].texts[0].get_text() == note


def test_several_sets_have_a_legend_and_their_own_marks():
    Y, proba = table()
    display = PrecisionRecallDisplay.from_predictions(
        Y, {"new": proba, "old": proba**2 - Y / 9}, y_pred={"new": proba > 0.5}
    )
    legend = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert legend == ["new", "old", "predicted labels", "prior"]
    assert display.chosen_["old"] == [None] * 3
    assert len({lines[0].get_color() for lines in display.lines_.values()}) == 2


def test_labels_without_positives_or_predictions():
    Y, proba = table()
    Y[:, 1] = 0
    display = PrecisionRecallDisplay.from_predictions(
        Y, proba, y_pred=np.zeros(Y.shape), labels=[0, 1]
    )
    assert display.lines_["predictions"][1] is None
    assert display.chosen_["predictions"] == [None, None]  # a precision of 0/0
    assert [t.get_text() for t in display.axes_[1].texts] == ["0 positives", "no positives"]


def test_of_many_labels_twelve_are_drawn_and_the_figure_says_so():
    Y, proba = table(n_labels=13)
    display = PrecisionRecallDisplay.from_predictions(Y, proba)
    assert len(display.axes_) == 12
    assert display.figure_.get_supxlabel().endswith("The 12 labels with the most positives of 13.")


def test_estimators_and_existing_axes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    Y = (X > 0).astype(int)
    knn = KNeighborsClassifier().fit(X[:30], Y[:30])
    axes = Figure().subplots(2)
    display = PrecisionRecallDisplay.from_estimator(
        knn, X[30:], Y[30:], label_names=["a", "b"], name="neighbours", ax=axes
    )
    assert list(display.axes_) == list(axes) and not plt.get_fignums()
    curve = display.curves["neighbours"][display.label_names.index("b")]
    assert curve.chosen[0] == sk.recall_score(Y[30:, 1], knn.predict(X[30:])[:, 1])
    assert axes[0].get_legend() is not None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"y_score": {}}, "y_score must hold 1 to 6 sets of scores, got 0"),
        ({"y_score": {"a": [[1]]}}, r"y_score\['a'\] must have the shape \(2, 2\)"),
        ({"y_pred": [[0.5, 0], [0, 0]]}, "y_pred must hold 0 or 1, got 0.5"),
        ({"y_pred": {"b": [[1, 0], [0, 0]]}}, "y_pred has 'b', which is none of .*'predictions'"),
        ({"labels": [7]}, "labels has 7"),
    ],
)
def test_bad_input_is_named(options, message):
    Y = [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match=message):
        PrecisionRecallDisplay.from_predictions(**({"y_true": Y, "y_score": Y} | options))
