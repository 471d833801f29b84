"""The curves of a metric against the threshold."""

import sys
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from sklearn import metrics as sk
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier

from sklearn_mlloss.decoders import (
    CostSensitiveThreshold,
    FixedThreshold,
    GlobalThreshold,
    PerLabelThreshold,
    ProportionCut,
    TopK,
)
from sklearn_mlloss.inspection import ThresholdDisplay


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def quiet(metric, **options):
    def measure(y, y_hat):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metric(y, y_hat, **options)

    return measure


REFERENCES = {
    "f1": quiet(sk.f1_score, zero_division=0),
    "fbeta": quiet(sk.fbeta_score, beta=2, zero_division=0),
    "precision": quiet(sk.precision_score, zero_division=0),
    "recall": quiet(sk.recall_score, zero_division=0),
    "jaccard": quiet(sk.jaccard_score, zero_division=0),
    "balanced_accuracy": quiet(sk.balanced_accuracy_score),
    "accuracy": quiet(sk.accuracy_score),
}


@st.composite
def problems(draw, max_rows=12):
    """Tables with ties, missing entries and constant labels."""
    shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, 3)))
    scores = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 6))) / 8
    return draw(hnp.arrays(float, shape, elements=st.sampled_from([0, 1, np.nan]))), scores


def table(n_rows=300, n_labels=3, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.random((n_rows, n_labels))
    return (rng.random(scores.shape) < scores**2).astype(float), scores


def draw(Y, scores, **options):
    """Draw on a figure outside of pyplot, which is fast."""
    n_panels = np.shape(Y)[1] if options.get("labels") is None else len(options["labels"])
    axes = Figure().subplots(1, n_panels, squeeze=False)
    return ThresholdDisplay.from_predictions(Y, scores, ax=axes, **options)


@pytest.mark.parametrize("metric", REFERENCES)
@settings(max_examples=12, deadline=None)
@given(problem=problems())
def test_the_curve_is_the_metric_at_all_thresholds(metric, problem):
    Y, scores = problem
    display = draw(
        Y, scores, labels=range(Y.shape[1]), metric=metric, beta=2, n_bootstrap=3, random_state=0
    )
    for y, score, curve in zip(Y.T, scores.T, display.curves, strict=True):
        seen = ~np.isnan(y)
        y, score = y[seen].astype(int), score[seen]
        if not y.any():
            assert curve is None
            continue
        np.testing.assert_array_equal(curve.thresholds, [*np.unique(score), np.inf])
        expected = [REFERENCES[metric](y, (score >= t).astype(int)) for t in curve.thresholds]
        np.testing.assert_allclose(curve.values, expected, atol=1e-12)
        assert curve.best_value == pytest.approx(max(expected))
        at_best = REFERENCES[metric](y, (score >= curve.best).astype(int))
        assert at_best == pytest.approx(curve.best_value)
        assert (curve.lower <= curve.upper).all()
        assert curve.best_interval[0] <= curve.best_interval[1]


@settings(max_examples=12, deadline=None)
@given(problem=problems())
def test_the_best_cut_is_that_of_the_decoder(problem):
    Y, scores = problem
    decoder = PerLabelThreshold(min_positives=0).fit(scores, Y)
    display = draw(Y, scores, labels=range(Y.shape[1]), n_bootstrap=0)
    for label, curve in enumerate(display.curves):
        if label not in decoder.fallback_labels_:
            assert curve.best == decoder.thresholds_[label]


def test_counts_and_calls_give_the_same_bootstrap():
    Y, scores = table(n_rows=25, n_labels=2)
    Y[::7, 0] = np.nan
    options = {"n_bootstrap": 8, "random_state": 3}
    named = draw(Y, scores, **options)
    called = draw(Y, scores, metric=REFERENCES["f1"], **options)
    for a, b in zip(named.curves, called.curves, strict=True):
        for ours, theirs in zip(a, b, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_bootstrap_resamples_rows():
    Y, scores = table(n_rows=30, n_labels=1)
    y, score = Y[:, 0], scores[:, 0]
    curve = draw(Y, scores, n_bootstrap=20, confidence=0.8, random_state=5).curves[0]
    random = np.random.RandomState(5)
    distinct = np.unique(score)
    cuts = [distinct[0], *(distinct[1:] + distinct[:-1]) / 2, np.inf]
    values, bests = [], []
    for _ in range(20):
        rows = random.randint(30, size=30)
        values.append([REFERENCES["f1"](y[rows], score[rows] >= t) for t in cuts])
        bests.append(max(zip(np.round(values[-1], 12), cuts, strict=True))[1])
    np.testing.assert_allclose(curve.lower, np.quantile(values, 0.1, axis=0))
    np.testing.assert_allclose(curve.upper, np.quantile(values, 0.9, axis=0))
    # Of 20 cuts those of rank 2 and 18, without a mean of two; narrower, all ranks are seen.
    np.testing.assert_allclose(curve.best_interval, np.sort(bests)[[1, 17]])
    for rank in range(1, 10):
        narrow = draw(
            Y, scores, n_bootstrap=20, confidence=1 - (2 * rank - 1) / 20, random_state=5
        ).curves[0]
        np.testing.assert_allclose(narrow.best_interval, np.sort(bests)[[rank - 1, 20 - rank]])


def test_the_band_narrows_with_rows_and_confidence():
    def width(n_rows, confidence):
        Y, scores = table(n_rows, 1)
        curve = draw(Y, scores, confidence=confidence, random_state=0).curves[0]
        return (curve.upper - curve.lower).mean(), np.ptp(curve.best_interval)

    wide, narrow, sure = width(100, 0.9), width(10_000, 0.9), width(100, 0.99)
    assert narrow[0] < wide[0] / 5 and narrow[1] < wide[1]
    assert wide[0] < sure[0] and wide[1] <= sure[1]


def test_many_scores_are_thinned_but_the_marked_threshold_is_exact():
    Y, scores = table(5000, 1)
    cut = 0.123456
    display = draw(Y, scores, decoder=cut, n_bootstrap=2, random_state=0)
    curve = display.curves[0]
    assert curve.thresholds.size < 410
    decoder = PerLabelThreshold().fit(scores, Y)
    assert curve.best == decoder.thresholds_[0]
    for t in (cut, curve.best):
        expected = sk.f1_score(Y[:, 0], scores[:, 0] >= t)
        assert curve.value_at(t) == pytest.approx(expected, abs=1e-12)
    few = draw(Y, scores, metric=sk.f1_score, n_bootstrap=0).curves[0]
    assert few.thresholds.size <= 52
    assert few.best_value == pytest.approx(
        sk.f1_score(Y[:, 0], scores[:, 0] >= few.best), abs=1e-12
    )


def test_lines_show_the_curve_as_it_is():
    Y, scores = table(50, 1)
    display = draw(Y, scores, n_bootstrap=0)
    line = display.lines_[0]
    assert line.get_drawstyle() == "steps-pre"
    np.testing.assert_array_equal(line.get_xdata()[1:-1], display.curves[0].thresholds[:-1])
    np.testing.assert_array_equal(line.get_ydata()[1:], display.curves[0].values)
    assert display.bands_ == display.intervals_ == display.chosen_ == [None]


@pytest.mark.parametrize(
    "decoder, expected",
    [
        (FixedThreshold(0.3), [0.3, 0.3, 0.3]),
        (FixedThreshold([0.1, 0.2, 0.4]), [0.1, 0.2, 0.4]),
        (CostSensitiveThreshold(fn_cost=4), [0.2, 0.2, 0.2]),
        (PerLabelThreshold(), "thresholds_"),
        (ProportionCut(), "thresholds_"),
        (GlobalThreshold(), "threshold_"),
        (0.25, [0.25] * 3),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]),
    ],
    ids=str,
)
def test_chosen_cuts_are_marked(decoder, expected):
    Y, scores = table()
    if isinstance(expected, str):
        expected = np.broadcast_to(getattr(decoder.fit(scores, Y), expected), 3)
    display = draw(Y, scores, decoder=decoder, labels=[0, 1, 2], n_bootstrap=0)
    np.testing.assert_allclose(display.chosen, expected)
    drawn = [line.get_xdata()[0] for line in display.chosen_]
    np.testing.assert_allclose(drawn, expected)


def test_infinite_cuts_stay_on_the_page():
    Y, scores = table(n_labels=2)
    display = draw(Y, scores, decoder=[np.inf, -np.inf], labels=[0, 1], n_bootstrap=0)
    low, high = display.axes_[0].get_xlim()
    assert [line.get_xdata()[0] for line in display.chosen_] == [high, low]


class Classifier:
    """A fitted classifier that has its answers."""

    def __init__(self, proba, decoder=None):
        self.proba = proba
        if decoder is not None:
            self.decoder_ = decoder

    def predict_proba(self, X):
        return self.proba


def test_the_decoder_of_an_estimator_is_used_if_it_has_thresholds():
    Y, scores = table()
    axes = Figure().subplots(3)

    def chosen(own, **options):
        return ThresholdDisplay.from_estimator(
            Classifier(scores, own), None, Y, n_bootstrap=0, ax=axes, labels=[0, 1, 2], **options
        ).chosen

    np.testing.assert_array_equal(chosen(FixedThreshold(0.4)), [0.4] * 3)
    np.testing.assert_array_equal(chosen(FixedThreshold(0.4), decoder=0.1), [0.1] * 3)
    assert chosen(TopK(1)) is None
    assert chosen(None) is None


def test_probabilities_in_any_form_give_the_same():
    Y, scores = table()
    pairs = [np.column_stack([1 - p, p]) for p in scores.T]
    axes = Figure().subplots(3)
    for proba in (scores, pairs):
        display = ThresholdDisplay.from_estimator(
            Classifier(proba), None, Y, n_bootstrap=0, labels=[0, 1, 2], ax=axes
        )
        for label, curve in enumerate(display.curves):
            np.testing.assert_array_equal(curve.thresholds[:-1], np.unique(scores[:, label]))
    single = ThresholdDisplay.from_estimator(
        Classifier(pairs[0]), None, Y[:, :1], n_bootstrap=0, ax=axes
    )
    np.testing.assert_array_equal(single.curves[0].thresholds[:-1], np.unique(scores[:, 0]))


def test_estimators_of_scikit_learn_with_labels_that_were_constant():
    X = np.random.default_rng(0).normal(size=(60, 4))
    Y = np.column_stack([X[:, 0] > 0, np.zeros(60), np.ones(60)]).astype(int)
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    test = 1 - Y  # the labels need not be constant in other rows
    display = ThresholdDisplay.from_estimator(forest, X, test, n_bootstrap=0, labels=[0, 1, 2])
    assert display.curves[1].thresholds.tolist() == [0, np.inf]
    assert display.curves[2] is None
    one_by_one = MultiOutputClassifier(LogisticRegression()).fit(X, Y[:, :1])
    display = ThresholdDisplay.from_estimator(one_by_one, X, Y[:, :1], n_bootstrap=0)
    expected = one_by_one.estimators_[0].predict_proba(X)[:, 1]
    np.testing.assert_array_equal(display.curves[0].thresholds[:-1], np.unique(expected))


def test_labels_by_name_index_and_number_of_positives():
    pd = pytest.importorskip("pandas")
    Y, scores = table(60, 14)
    Y[:, 5], Y[:, 9] = 1, 0
    frame = pd.DataFrame(Y, columns=[f"label {k}" for k in range(14)])
    axes = Figure().subplots(12)
    most = np.argsort(-Y.sum(axis=0), kind="stable")[:12]
    options = {"n_bootstrap": 0, "ax": axes}
    display = ThresholdDisplay.from_predictions(frame, scores, **options)
    assert display.label_names == [f"label {k}" for k in most]
    assert display.positives == Y.sum(axis=0)[most].tolist()
    display = ThresholdDisplay.from_predictions(frame, scores, labels=["label 3", 0, 13], **options)
    assert display.label_names == ["label 3", "label 0", "label 13"]
    assert [ax.get_title(loc="left") for ax in display.axes_] == display.label_names
    # A name that is a number is a name before it is an index.
    display = ThresholdDisplay.from_predictions(
        Y, scores, labels=[1], label_names=range(1, 15), **options
    )
    assert display.label_names == [1] and display.positives == [Y[:, 0].sum()]


@pytest.mark.parametrize("zoom", [False, True])
def test_panels_of_labels_without_positives_have_a_note(zoom):
    Y, scores = table()
    Y[:, 1], Y[:, 2] = 0, np.nan
    display = ThresholdDisplay.from_predictions(
        Y, scores, labels=[1, 0, 2], decoder=0.5, zoom=zoom, n_bootstrap=2, random_state=0
    )
    has_note = [any(t.get_text() == "no positives" for t in ax.texts) for ax in display.axes_]
    assert has_note == [True, False, True]
    assert [line is None for line in display.lines_] == has_note
    assert [line is None for line in display.chosen_] == has_note
    display.figure_.canvas.draw()


def test_nothing_but_empty_panels_can_be_drawn():
    display = ThresholdDisplay.from_predictions(np.zeros((3, 2)), np.zeros((3, 2)), n_bootstrap=0)
    display.figure_.canvas.draw()
    assert display.curves == [None, None]


def test_existing_axes_are_used():
    Y, scores = table()
    figure = Figure()
    axes = figure.subplots(2, 2)
    display = ThresholdDisplay.from_predictions(Y, scores, ax=axes, n_bootstrap=0)
    assert list(display.axes_) == list(axes.ravel()[:3]) and display.figure_ is figure
    assert not axes[1, 1].has_data()
    assert not plt.get_fignums()
    ax = Figure().subplots()
    assert display.plot(ax=list(axes.ravel())) is display
    single = ThresholdDisplay.from_predictions(Y, scores, labels=[0], ax=ax, n_bootstrap=0)
    assert list(single.axes_) == [ax] and ax.get_legend() is not None
    with pytest.raises(ValueError, match="ax must hold one axes for each of the 3 labels, got 1"):
        ThresholdDisplay.from_predictions(Y, scores, ax=ax, n_bootstrap=0)


def test_a_legend_that_is_wider_than_the_axes_is_below_them():
    Y, scores = table()
    figure = Figure()
    axes = figure.subplots(1, 3)
    ThresholdDisplay.from_predictions(Y, scores, ax=axes, n_bootstrap=5)
    figure.draw_without_rendering()
    legend = axes[0].get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    assert names[-1] == "90% interval of the best threshold" and names[1] == "90% interval of F1"
    box = legend.get_window_extent()
    assert 0 <= box.y0 and box.y1 <= axes[0].xaxis.label.get_window_extent().y0 + 1


@pytest.mark.parametrize("n_labels", [1, 2, 5, 6, 12])
def test_figures_of_any_size_are_drawn_without_warnings(n_labels):
    before = dict(matplotlib.rcParams)
    Y, scores = table(50, n_labels)
    display = ThresholdDisplay.from_predictions(Y, scores, n_bootstrap=5, random_state=0)
    display.figure_.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert len(display.figure_.axes) == n_labels
    edges = display.figure_.legends[0].get_window_extent()
    assert edges.x0 >= 0 and edges.x1 <= display.figure_.bbox.width


def test_random_state_controls_the_bootstrap_and_the_global_generator_is_left_alone():
    Y, scores = table()
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first, again, other = (
        draw(Y, scores, n_bootstrap=10, random_state=seed).curves[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.lower, again.lower)
    assert (first.lower != other.lower).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before)


Y2, SCORES2 = [[0, 1], [1, 0]], [[0.1, 0.8], [0.7, 0.2]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"y_true": [0, 1]}, r"y_true must be 2-D.*got shape \(2,\)"),
        ({"y_true": [[0, 2], [1, 0]]}, "y_true must hold 0, 1, or NaN where not observed, got 2"),
        ({"y_true": [[0, 0.5], [1, 0]]}, "got 0.5; cut soft labels first"),
        ({"y_true": [["a", "b"], ["a", "b"]]}, "y_true must be an array of numbers"),
        ({"y_score": [[0.1], [0.2]]}, r"y_score must have the shape \(2, 2\) of y_true.*\(2, 1\)"),
        ({"y_score": [[0.1, np.inf], [1, 1]]}, "y_score must be finite, got inf"),
        ({"metric": "auc"}, "metric must be .*one of 'f1', .*got 'auc'"),
        ({"metric": "fbeta", "beta": 0}, "beta must be a finite number > 0, got 0"),
        ({"metric": lambda y, y_hat: np.nan}, "must return finite numbers"),
        ({"labels": [0, -1]}, "labels has -1, which is neither a name nor an index"),
        ({"labels": ["x"]}, "labels has 'x', which is neither a name nor an index of the 2 labels"),
        ({"labels": [2]}, "labels has 2"),
        ({"labels": "x"}, "labels must be a sequence of names or indices, got 'x'"),
        ({"labels": []}, "labels is empty"),
        ({"label_names": ["a"]}, "label_names must have one name for each of the 2 labels, got 1"),
        ({"n_bootstrap": -1}, r"n_bootstrap must be an integer in \[0, 100000\], got -1"),
        ({"confidence": 1.0}, r"confidence must be a number in \(0, 1\), got 1.0"),
        ({"decoder": TopK(1)}, r"decoder TopK\(k=1\) has no thresholds per label"),
        ({"decoder": [0.5, 0.5, 0.5]}, "decoder must give one threshold, or one for each of the 2"),
        ({"decoder": "threshold"}, "decoder must give one threshold"),
    ],
)
def test_bad_input_is_named(options, message):
    arguments = {"y_true": Y2, "y_score": SCORES2} | options
    with pytest.raises(ValueError, match=message):
        ThresholdDisplay.from_predictions(**arguments)


def test_estimators_that_cannot_serve_are_refused():
    with pytest.raises(NotFittedError):
        ThresholdDisplay.from_predictions(Y2, SCORES2, decoder=PerLabelThreshold())
    with pytest.raises(ValueError, match="RidgeClassifier has none; give its scores to"):
        ThresholdDisplay.from_estimator(RidgeClassifier(), None, Y2)
    with pytest.raises(ValueError, match="predict_proba of Classifier returned 1 arrays for 2"):
        ThresholdDisplay.from_estimator(Classifier([np.ones((2, 2))]), None, Y2)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'ThresholdDisplay.*"sklearn_mlloss\[plot\]"'):
        ThresholdDisplay.from_predictions(Y2, SCORES2)
