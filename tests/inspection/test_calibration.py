"""Reliability diagrams."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.neighbors import KNeighborsClassifier

from sklearn_mlloss.inspection import CalibrationDisplay
from sklearn_mlloss.metrics import expected_calibration_error, multilabel_report


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def table(n_rows=200, n_labels=3, seed=0):
    rng = np.random.default_rng(seed)
    proba = rng.random((n_rows, n_labels))
    return (rng.random(proba.shape) < proba).astype(float), proba


@st.composite
def problems(draw):
    shape = (draw(st.integers(1, 30)), draw(st.integers(1, 3)))
    proba = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 20))) / 20
    return draw(hnp.arrays(float, shape, elements=st.sampled_from([0, 1, np.nan]))), proba


# An edge between quantiles that is a value of many rows, to the last digit.
TIES = (np.array([[0.0] + [1.0] * 9]).T, np.array([[3, 1, 2, 2, 2, 0, 0, 0, 0, 0]]).T / 20)


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
@settings(max_examples=25, deadline=None)
@example(problem=TIES, n_bins=3)
@given(problem=problems(), n_bins=st.integers(1, 12))
def test_bins_are_those_of_scikit_learn(strategy, problem, n_bins):
    Y, proba = problem
    n_labels = Y.shape[1]
    display = CalibrationDisplay.from_predictions(
        Y,
        proba,
        labels=range(n_labels),
        n_bins=n_bins,
        strategy=strategy,
        ax=Figure().subplots(n_labels),
    )
    for y, p, curve in zip(Y.T, proba.T, display.curves["predictions"], strict=True):
        seen = ~np.isnan(y)
        y, p = y[seen], p[seen]
        if not y.any():
            assert curve is None
            continue
        # scikit-learn wants both classes: one more row in a bin of its own data is not an option,
        # so a label with positives only is compared with what must come out.
        if y.all():
            np.testing.assert_array_equal(curve.prob_true, np.ones(curve.counts.size))
        else:
            true, pred = calibration_curve(y, p, n_bins=n_bins, strategy=strategy)
            np.testing.assert_allclose(curve.prob_true, true, atol=1e-12)
            np.testing.assert_allclose(curve.prob_pred, pred, atol=1e-12)
        assert curve.counts.sum() == curve.histogram.sum() == y.size
        for share, n, low, high in zip(
            curve.prob_true, curve.counts, curve.lower, curve.upper, strict=True
        ):
            interval = binomtest(round(share * n), n).proportion_ci(0.9, method="wilson")
            np.testing.assert_allclose([low, high], interval, atol=1e-9)


def test_the_error_is_that_of_the_metric_and_the_report():
    pytest.importorskip("pandas")
    Y, proba = table()
    Y[::5, 1] = np.nan
    display = CalibrationDisplay.from_predictions(Y, proba, labels=[0, 1, 2], n_bins=4)
    errors = [curve.ece for curve in display.curves["predictions"]]
    np.testing.assert_allclose(errors, expected_calibration_error(Y, proba, average=None))
    np.testing.assert_allclose(errors, multilabel_report(Y, proba, proba > 0.5)["ece"][:3])
    texts = [text.get_text() for text in display.axes_[1].texts]
    assert texts == [f"{int(np.nansum(Y[:, 1]))} positives\ncalibration error {errors[1]:.3f}"]


@pytest.mark.parametrize("is_new", [True, False])
def test_the_figure_says_how_many_labels_are_not_drawn(is_new):
    Y, proba = table(n_labels=14)
    axes = None if is_new else Figure(layout="constrained").subplots(3, 4)
    display = CalibrationDisplay.from_predictions(Y, proba, ax=axes)
    last = display.axes_[-1].get_xlabel()
    text = display.figure_.get_supxlabel() if is_new else last
    assert text == "predicted probability\nThe 12 labels with the most positives of 14."
    chosen = CalibrationDisplay.from_predictions(Y, proba, labels=[3])
    assert chosen.figure_.get_supxlabel() == "predicted probability"


def test_several_sets_are_drawn_together():
    Y, proba = table()
    display = CalibrationDisplay.from_predictions(
        Y, {"raw": proba**2, "calibrated": proba}, labels=[2, 0]
    )
    assert list(display.lines_) == ["raw", "calibrated"]
    for name, lines in display.lines_.items():
        for line, curve in zip(lines, display.curves[name], strict=True):
            np.testing.assert_array_equal(line.get_xdata(), curve.prob_pred)
            np.testing.assert_array_equal(line.get_ydata(), curve.prob_true)
    legend = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert legend == ["as predicted", "raw", "calibrated"]
    colours = {lines[0].get_color() for lines in display.lines_.values()}
    assert len(colours) == 2
    alone = CalibrationDisplay.from_predictions(Y, proba, labels=[2, 0])
    for ours, theirs in zip(
        alone.curves["predictions"][0], display.curves["calibrated"][0], strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_an_estimator_with_a_list_of_probabilities():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    Y = pd.DataFrame((X[:, :2] > 0).astype(int), columns=["left", "right"])
    knn = KNeighborsClassifier().fit(X, Y)
    display = CalibrationDisplay.from_estimator(knn, X, Y, labels=["right"], n_bins=3)
    assert display.label_names == ["right"]
    true, pred = calibration_curve(
        Y["right"], knn.predict_proba(X)[1][:, 1], n_bins=3, strategy="quantile"
    )
    curve = display.curves["KNeighborsClassifier"][0]
    np.testing.assert_allclose([curve.prob_true, curve.prob_pred], [true, pred])
    display = CalibrationDisplay.from_estimator(knn, X, Y, name="neighbours")
    assert list(display.curves) == ["neighbours"]


@pytest.mark.parametrize("zoom", [False, True])
def test_panels_of_labels_without_positives_have_a_note(zoom):
    Y, proba = table()
    Y[:, 1], Y[:, 0] = 0, np.nan
    display = CalibrationDisplay.from_predictions(Y, proba, labels=[0, 1, 2], zoom=zoom)
    has_note = [any(t.get_text() == "no positives" for t in ax.texts) for ax in display.axes_]
    assert has_note == [True, True, False]
    assert [line is None for line in display.lines_["predictions"]] == has_note
    display.figure_.canvas.draw()


@pytest.mark.parametrize("zoom", [False, True])
def test_all_points_and_intervals_are_within_the_panels(zoom):
    Y, proba = table(n_labels=6)
    proba[:, 1] /= 50  # a rare label
    Y[:, 1] = np.arange(len(Y)) < 3
    display = CalibrationDisplay.from_predictions(Y, proba, labels=range(6), zoom=zoom)
    for ax, curve in zip(display.axes_, display.curves["predictions"], strict=True):
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert left <= curve.prob_pred.min() and curve.prob_pred.max() <= right
        assert bottom < curve.lower.min() and curve.upper.max() <= top
        assert zoom or (left < 0 and right > 1)
    width = np.ptp(display.axes_[1].get_xlim())
    assert (width < 0.5) == zoom


@pytest.mark.parametrize("zoom", [False, True])
def test_a_single_point_can_be_drawn(zoom):
    display = CalibrationDisplay.from_predictions([[1.0]], [[1.0]], zoom=zoom)
    display.figure_.canvas.draw()
    assert display.curves["predictions"][0].prob_true.tolist() == [1]


def test_existing_axes_are_used_and_nothing_global_changes():
    before = dict(matplotlib.rcParams)
    Y, proba = table()
    axes = Figure().subplots(1, 3)
    display = CalibrationDisplay.from_predictions(Y, proba, ax=axes)
    assert list(display.axes_) == list(axes) and display.figure_ is axes[0].figure
    assert axes[0].get_legend() is not None and not plt.get_fignums()
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(ValueError, match="ax must hold one axes for each of the 3 labels, got 2"):
        CalibrationDisplay.from_predictions(Y, proba, ax=axes[:2])


Y2, PROBA2 = [[0, 1], [1, 0]], [[0.1, 0.8], [0.7, 0.2]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"y_true": [0, 1]}, "y_true must be 2-D"),
        ({"y_prob": [[2, 0], [0, 0]]}, r"y_prob must hold probabilities in \[0, 1\], got 2"),
        ({"y_prob": {"a": PROBA2, "b": [[1]]}}, r"y_prob\['b'\] must have the shape \(2, 2\)"),
        ({"y_prob": {}}, "y_prob must hold 1 to 6 sets of probabilities, got 0"),
        ({"strategy": "equal"}, "strategy must be one of 'quantile', 'uniform', got 'equal'"),
        ({"n_bins": 0}, r"n_bins must be an integer in \[1, 1e\+06\], got 0"),
        ({"n_bins": True}, "n_bins must be an integer"),
        ({"confidence": 0}, "confidence must be a number in"),
        ({"labels": ["x"]}, "labels has 'x'"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        CalibrationDisplay.from_predictions(**({"y_true": Y2, "y_prob": PROBA2} | options))


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'CalibrationDisplay.*"sklearn_mlloss\[plot\]"'):
        CalibrationDisplay.from_predictions(Y2, PROBA2)
