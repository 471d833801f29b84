import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.calibration import _SigmoidCalibration
from sklearn.exceptions import NotFittedError
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted

from sklearn_mlloss.calibration import (
    CALIBRATORS,
    BetaCalibrator,
    Calibrator,
    IsotonicCalibrator,
    SigmoidCalibrator,
    TemperatureCalibrator,
    get_calibrator,
)

VARIANTS = {
    **{name: cls() for name, cls in CALIBRATORS.items()},
    "sigmoid, own slopes": SigmoidCalibrator(min_positives=0),
    "sigmoid, one slope": SigmoidCalibrator(min_positives=10**6),
    "beta, own slopes": BetaCalibrator(min_positives=0),
    "beta, shared slopes": BetaCalibrator(min_positives=10**6),
    "isotonic, no fallback": IsotonicCalibrator(min_positives=0),
}
LINES = [name for name in VARIANTS if "isotonic" not in name]


@pytest.fixture(params=VARIANTS)
def calibrator(request):
    return clone(VARIANTS[request.param])


def sample(n=400, n_labels=3, seed=0, slope=0.5, shift=-0.5):
    """Scores whose logits must be multiplied by `slope` and moved by `shift`."""
    rng = np.random.default_rng(seed)
    s = rng.normal(0, 2, (n, n_labels))
    proba = expit(slope * s + shift)
    return expit(s), 1.0 * (rng.random((n, n_labels)) < proba), proba


def entropy(z, t, w=1.0):
    return np.sum(w * (np.logaddexp(0, z) - t * z))


def smoothed(y, w=None):
    w = np.ones_like(y) if w is None else w
    positives, negatives = w @ y, w @ (1 - y)
    return y * (positives + 1) / (positives + 2) + (1 - y) / (negatives + 2)


def ece(proba, truth, bins=15):
    """Mean distance of predicted and known probability, over equally filled bins, of one label."""
    parts = np.array_split(np.argsort(proba), bins)
    return np.mean([abs(proba[part].mean() - truth[part].mean()) for part in parts])


@st.composite
def problems(draw, max_rows=12, max_labels=3):
    """Small tables with ties, exact 0 and 1, soft, missing and degenerate labels, and weights."""
    shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, max_labels)))
    scores = draw(
        hnp.arrays(float, shape, elements=st.sampled_from([0, 1e-9, 0.1, 0.3, 0.5, 0.9, 1]))
        | hnp.arrays(float, shape, elements=st.floats(0, 1))
    )
    values = st.sampled_from([0.0, 1.0, 0.3, np.nan])
    Y = draw(hnp.arrays(float, shape, elements=values))
    weight = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, 3))).astype(float)
    weight[draw(st.integers(0, shape[0] - 1))] = 1.0
    return scores, Y, weight


# Agreement with independent references


@pytest.mark.parametrize("weighted", [False, True])
def test_sigmoid_is_platt_as_in_scikit_learn(weighted):
    scores, Y, _ = sample()
    weight = np.random.default_rng(1).integers(1, 4, 400).astype(float) if weighted else None
    calibrator = SigmoidCalibrator().fit(scores, Y, weight)
    assert calibrator.fallback_labels_.size == 0 and calibrator.offset_ == 0
    for label in range(3):
        platt = _SigmoidCalibration().fit(logit(scores[:, label]), Y[:, label], weight)
        assert calibrator.slopes_[label] == pytest.approx(-platt.a_, rel=1e-4)
        assert calibrator.intercepts_[label] == pytest.approx(-platt.b_, abs=1e-4)
        expected = platt.predict(logit(scores[:, label]))
        np.testing.assert_allclose(calibrator.transform(scores)[:, label], expected, atol=1e-4)


@pytest.mark.parametrize("soft", [False, True])
def test_sigmoid_and_beta_minimise_the_log_loss_of_smoothed_targets(soft):
    scores, Y, proba = sample(n=150)
    Y = proba if soft else Y
    weight = np.random.default_rng(2).uniform(0.5, 2, 150)
    sigmoid = SigmoidCalibrator().fit(scores, Y, weight)
    beta = BetaCalibrator().fit(scores, Y, weight)
    for label in range(3):
        p, t = scores[:, label], smoothed(Y[:, label], weight)
        s = logit(p)
        best = minimize(lambda v, s=s, t=t: entropy(v[0] * s + v[1], t, weight), [1, 0], tol=1e-10)
        np.testing.assert_allclose(
            [sigmoid.slopes_[label], sigmoid.intercepts_[label]], best.x, atol=1e-4
        )
        best = minimize(
            lambda v, p=p, t=t: entropy(v[0] * np.log(p) - v[1] * np.log1p(-p) + v[2], t, weight),
            [1, 1, 0],
            bounds=[(0, None), (0, None), (None, None)],
            method="L-BFGS-B",
            options={"ftol": 1e-14, "gtol": 1e-9},
        )
        np.testing.assert_allclose(
            [*beta.slopes_[label], beta.intercepts_[label]], best.x, atol=1e-3
        )


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_beta_is_no_worse_than_any_map_it_contains(problem):
    scores, Y, weight = problem
    beta = BetaCalibrator(min_positives=0).fit(scores, Y, weight)
    for label in np.setdiff1d(np.arange(Y.shape[1]), beta.identity_labels_):
        seen = ~np.isnan(Y[:, label]) & (weight > 0)
        p = (scores[seen, label] + beta.offset_) / (1 + 2 * beta.offset_)
        p, w = np.clip(p, 1e-15, 1 - 1e-15), weight[seen]
        t = smoothed(Y[seen, label], w)
        X = np.column_stack([np.log(p), -np.log1p(-p)])
        # scipy starts from the fit and from the identity, and finds nothing better.
        start = np.array([*beta.slopes_[label], beta.intercepts_[label]])
        value = entropy(X @ start[:2] + start[2], t, w)
        for x0 in (start, np.array([1.0, 1.0, 0.0])):
            best = minimize(
                lambda v, X=X, t=t, w=w: entropy(X @ v[:2] + v[2], t, w),
                x0,
                bounds=[(1e-6, 50), (1e-6, 50), (-50, 50)],
                method="L-BFGS-B",
            )
            # The ridge towards a = b = 1, for slopes not determined by the rows, costs this much.
            slack = 1e-7 + 1e-6 * ((best.x[:2] - 1) ** 2).sum()
            assert value <= best.fun + slack


def test_beta_drops_negative_coefficients():
    p = np.linspace(0.01, 0.99, 500).reshape(-1, 1)
    a = BetaCalibrator().fit(p, expit(-0.5 * np.log(p) - np.log1p(-p)))  # a = -0.5, b = 1
    b = BetaCalibrator().fit(p, expit(np.log(p) + 0.5 * np.log1p(-p)))  # a = 1, b = -0.5
    both = BetaCalibrator().fit(p, 1 - p)
    assert a.slopes_[0, 0] == 1e-6 < 0.1 < a.slopes_[0, 1]
    assert b.slopes_[0, 1] == 1e-6 < 0.1 < b.slopes_[0, 0]
    assert both.slopes_.tolist() == [[1e-6, 1e-6]]


def test_beta_recovers_known_parameters_and_contains_the_identity():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.99, (20_000, 2))
    truth = expit(np.array([0.4, 1.0]) * np.log(p) - np.array([1.6, 1.0]) * np.log1p(-p))
    calibrator = BetaCalibrator().fit(p, truth)  # soft labels: no sampling error
    np.testing.assert_allclose(calibrator.slopes_, [[0.4, 1.6], [1, 1]], atol=5e-3)
    np.testing.assert_allclose(calibrator.intercepts_, 0, atol=5e-3)
    np.testing.assert_allclose(calibrator.transform(p), truth, atol=1e-3)


def test_isotonic_is_scikit_learns_up_to_clip_and_ties():
    scores, Y, _ = sample()
    weight = np.random.default_rng(1).uniform(0.5, 2, 400)
    calibrator = IsotonicCalibrator().fit(scores, Y, weight)
    clip = 1 / (weight.sum() + 2)
    np.testing.assert_allclose(calibrator.clips_, clip)
    new = sample(seed=5)[0]
    for label in range(3):
        reference = IsotonicRegression(out_of_bounds="clip").fit(
            scores[:, label], Y[:, label], weight
        )
        expected = np.clip(reference.predict(new[:, label]), clip, 1 - clip)
        np.testing.assert_allclose(calibrator.transform(new)[:, label], expected, atol=2e-6)


def test_isotonic_falls_back_to_the_sigmoid_label_by_label():
    scores, Y, _ = sample(n_labels=4)
    Y[:, 1] = 0.0
    Y[:20, 1] = 1.0  # enough for a slope of its own
    Y[:, 2] = 0.0
    Y[:3, 2] = 1.0
    calibrator = IsotonicCalibrator().fit(scores, Y)
    assert calibrator.fallback_labels_.tolist() == [1, 2]
    assert [r is None for r in calibrator.regressions_] == [False, True, True, False]
    sigmoid = SigmoidCalibrator().fit(scores, Y)
    assert sigmoid.fallback_labels_.tolist() == [2]
    np.testing.assert_array_equal(
        calibrator.transform(scores)[:, 1:3], sigmoid.transform(scores)[:, 1:3]
    )


def test_temperature_is_the_best_of_a_fine_grid():
    scores, Y, _ = sample(shift=0.0)
    temperature = TemperatureCalibrator().fit(scores, Y).temperature_
    s, t = logit(scores).ravel(), smoothed(Y.ravel())
    grid = np.geomspace(0.5, 8, 2001)
    best = grid[np.argmin([entropy(s / T, t) for T in grid])]
    assert temperature == pytest.approx(best, rel=2e-3)
    assert 1.5 < temperature < 2.7


def test_temperature_stays_within_bounds():
    # Told that 0.50025 is certain, then that every score points the wrong way.
    p = np.array([[0.50025], [0.49975]]).repeat(500, axis=0)
    Y = np.array([[1.0], [0.0]]).repeat(500, axis=0)
    assert TemperatureCalibrator().fit(p, Y).temperature_ == pytest.approx(1e-2)
    assert TemperatureCalibrator().fit(expit(10 * logit(p)), 1 - Y).temperature_ == 1e2
    assert TemperatureCalibrator().fit([[0.5], [0.5]], [[0], [1]]).temperature_ == 1.0


# What calibration is for


@pytest.mark.parametrize("name", CALIBRATORS)
def test_distorted_probabilities_become_calibrated(name):
    rng = np.random.default_rng(0)
    truth = expit(rng.normal(-1, 1.5, (8000, 3)))
    Y = 1.0 * (rng.random(truth.shape) < truth)
    factor = 2.5
    # Temperature cannot undo a shift.
    shift = 0.0 if name == "temperature" else np.array([1.0, -1.0, 2.0])
    scores = expit(factor * logit(truth) + shift)
    proba = get_calibrator(name).fit(scores[:4000], Y[:4000]).transform(scores[4000:])
    for label in range(3):
        before = ece(scores[4000:, label], truth[4000:, label])
        after = ece(proba[:, label], truth[4000:, label])
        assert before > 0.05
        assert after < 0.025


def test_exact_zeros_and_ones_of_a_forest_are_not_outliers():
    rng = np.random.default_rng(0)
    truth = rng.beta(0.3, 0.9, (3000, 2))
    Y = 1.0 * (rng.random(truth.shape) < truth)
    votes = rng.binomial(50, truth) / 50
    calibrator = SigmoidCalibrator().fit(votes, Y)
    assert calibrator.offset_ == pytest.approx(0.01)
    for label in range(2):
        assert ece(calibrator.transform(votes)[:, label], truth[:, label]) < 0.03
        assert 0.6 < calibrator.slopes_[label] < 1.2


# Contract


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(list(VARIANTS)), problem=problems())
def test_outputs_are_inside_and_increasing(name, problem):
    scores, Y, weight = problem
    calibrator = clone(VARIANTS[name]).fit(scores, Y, weight)
    grid = np.concatenate([[1e-14, 1e-9, 1e-5], np.linspace(0.01, 0.99, 99), [1 - 1e-5, 1 - 1e-9]])
    proba = calibrator.transform(np.repeat(grid[:, None], Y.shape[1], axis=1))
    assert proba.dtype == np.float64
    assert (proba > 0).all() and (proba < 1).all()
    assert (np.diff(proba, axis=0) > 0).all()
    proba = calibrator.transform(scores)
    assert (proba > 0).all() and (proba < 1).all()
    order = np.argsort(scores, axis=0)
    assert (np.diff(np.take_along_axis(proba, order, axis=0), axis=0) >= -1e-15).all()


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(list(VARIANTS)), problem=problems())
def test_weights_are_counts(name, problem):
    scores, Y, weight = problem
    new = np.linspace(0.02, 0.98, 7)[:, None].repeat(Y.shape[1], axis=1)
    weighted = clone(VARIANTS[name]).fit(scores, Y, weight).transform(new)
    rows = np.repeat(np.arange(len(Y)), weight.astype(int))
    repeated = clone(VARIANTS[name]).fit(scores[rows], Y[rows]).transform(new)
    np.testing.assert_allclose(weighted, repeated, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(list(VARIANTS)), problem=problems(), data=st.data())
def test_labels_can_be_permuted(name, problem, data):
    scores, Y, weight = problem
    order = data.draw(st.permutations(range(Y.shape[1])))
    one = clone(VARIANTS[name]).fit(scores, Y, weight).transform(scores)
    other = clone(VARIANTS[name]).fit(scores[:, order], Y[:, order], weight)
    np.testing.assert_allclose(other.transform(scores[:, order]), one[:, order], atol=1e-6)


def test_nan_equals_the_entry_left_out(calibrator):
    scores, Y, _ = sample(n_labels=1, n=200)
    gone = np.random.default_rng(3).random(200) < 0.4
    holed = np.where(gone[:, None], np.nan, Y)
    expected = clone(calibrator).fit(scores[~gone], Y[~gone]).transform(scores)
    np.testing.assert_allclose(calibrator.fit(scores, holed).transform(scores), expected, atol=1e-9)


def test_nan_of_one_label_leaves_the_others_alone():
    scores, Y, _ = sample()
    holed = Y.copy()
    holed[:200, 0] = np.nan
    for cls in (SigmoidCalibrator, BetaCalibrator, IsotonicCalibrator):
        one, other = cls().fit(scores, Y), cls().fit(scores, holed)
        np.testing.assert_array_equal(one.transform(scores)[:, 1:], other.transform(scores)[:, 1:])


def test_soft_labels_are_fractions_of_two_rows(calibrator):
    scores, _, proba = sample(n=80)
    soft = np.round(proba, 1)
    # A soft label 0.3 is 0.3 of a row with the label and 0.7 of a row without.
    for label in range(3):
        p, y = scores[:, [label]], soft[:, [label]]
        split = clone(calibrator).fit(
            np.vstack([p, p]),
            np.vstack([np.ones_like(y), np.zeros_like(y)]),
            np.concatenate([y, 1 - y]).ravel(),
        )
        split, whole = split.transform(p), clone(calibrator).fit(p, y).transform(p)
        # The clip of the isotonic map counts weight, which is the same.
        np.testing.assert_allclose(whole, split, atol=1e-7)


def test_constant_labels_keep_their_scores(calibrator):
    scores, Y, _ = sample(n_labels=5)
    Y[:, 0], Y[:, 1], Y[:, 2] = 0.0, 1.0, np.nan
    Y[:200, 1] = np.nan
    proba = calibrator.fit(scores, Y).transform(scores)
    assert calibrator.identity_labels_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(proba[:, :3], scores[:, :3])
    assert (proba[:, 3:] != scores[:, 3:]).any(axis=0).all()
    # They do not enter the fit of the others.
    rest = clone(calibrator).fit(scores[:, 3:], Y[:, 3:]).transform(scores[:, 3:])
    np.testing.assert_allclose(proba[:, 3:], rest, atol=1e-12)
    nothing = clone(calibrator).fit(scores, np.zeros_like(Y))
    np.testing.assert_array_equal(nothing.transform(scores), scores)


def test_constant_labels_with_exact_scores_stay_inside(calibrator):
    proba = calibrator.fit([[0.0, 1.0]], [[0, 1]]).transform([[0.0, 1.0]])
    assert 0 < proba[0, 0] < 1e-15 < 1 - 1e-15 < proba[0, 1] < 1


def test_rare_labels_share_a_slope_and_keep_their_intercepts():
    scores, Y, _ = sample(n=2000, n_labels=4)
    for label in (1, 3):
        Y[np.flatnonzero(Y[:, label])[label + 3 :], label] = 0.0
    sigmoid, beta = SigmoidCalibrator().fit(scores, Y), BetaCalibrator().fit(scores, Y)
    for calibrator in (sigmoid, beta):
        slopes = calibrator.slopes_.reshape(4, -1)
        assert calibrator.fallback_labels_.tolist() == [1, 3]
        assert (slopes[1] == slopes[3]).all() and (slopes[0] != slopes[1]).all()
        np.testing.assert_allclose(slopes[1], 0.5, atol=0.1)
        assert calibrator.intercepts_[1] != calibrator.intercepts_[3]
        # With its intercept free, the mean probability is that of the smoothed targets.
        for label in (1, 3):
            mean = calibrator.transform(scores)[:, label].mean()
            assert mean == pytest.approx(smoothed(Y[:, label]).mean(), rel=1e-4)


def test_the_shared_slope_is_not_fooled_by_shifts_between_labels():
    # Labels of very different frequency whose scores are all centred, as after weighting.
    rng = np.random.default_rng(0)
    s = rng.normal(0, 2, (3000, 6))
    Y = 1.0 * (rng.random(s.shape) < expit(s + np.linspace(-7, 3, 6)))
    shared = SigmoidCalibrator(min_positives=10**6).fit(expit(s), Y)
    np.testing.assert_allclose(shared.slopes_, 1, atol=0.1)
    np.testing.assert_allclose(shared.intercepts_[1:], np.linspace(-7, 3, 6)[1:], atol=0.4)


def test_a_single_rare_label_is_its_own_pool():
    scores, Y, _ = sample(n=60, n_labels=1)
    own = SigmoidCalibrator(min_positives=0).fit(scores, Y)
    pool = SigmoidCalibrator(min_positives=1000).fit(scores, Y)
    assert pool.fallback_labels_.tolist() == [0] and own.fallback_labels_.size == 0
    assert pool.slopes_ == pytest.approx(own.slopes_, rel=1e-6)
    assert pool.intercepts_ == pytest.approx(own.intercepts_, abs=1e-6)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("spread", [1e-9, 1e-3, 10, 34])
@pytest.mark.parametrize("sign", [1, -1])
def test_separable_and_reversed_rows_stay_finite(name, spread, sign):
    s = sign * np.array([-2.0, -1, 1, 2]).repeat(50) / 2 * spread
    Y = np.array([0.0, 1.0]).repeat(100)[:, None]
    calibrator = clone(VARIANTS[name]).fit(expit(s)[:, None], Y)
    for value in vars(calibrator).values():
        assert np.isfinite(np.asarray(value, dtype=float)).all()
    proba = calibrator.transform(expit(s)[:, None]).ravel()
    assert (np.diff(proba[np.argsort(s)])[[49, 99, 149]] > 0).all()
    if sign > 0 and spread > 1e-3:
        assert proba[0] < 0.05 and proba[-1] > 0.95


def test_one_row(calibrator):
    proba = calibrator.fit([[0.2, 0.9, 0.4]], [[1, np.nan, 0.3]]).transform([[0.2, 0.9, 0.4]])
    assert proba[0, :2].tolist() == [0.2, 0.9]
    # One row does not determine a slope: the map moves the score towards the (smoothed) target.
    assert 0.2 < proba[0, 2] < 0.5


def test_no_rows_to_transform(calibrator):
    scores, Y, _ = sample()
    assert calibrator.fit(scores, Y).transform(np.empty((0, 3))).shape == (0, 3)


def test_arguments_are_not_changed(calibrator):
    scores, Y, _ = sample()
    Y[::5] = np.nan
    weight = np.ones(len(Y))
    weight[::7] = 0.0
    copies = scores.copy(), Y.copy(), weight.copy()
    params = calibrator.get_params()
    proba = calibrator.fit(scores, Y, weight).transform(scores)
    proba[:] = 0.5  # a new, writable array
    for given_, copy in zip((scores, Y, weight), copies, strict=True):
        np.testing.assert_array_equal(given_, copy)
    assert calibrator.get_params() == params


def test_clone_pickle_refit_and_other_containers(calibrator):
    scores, Y, _ = sample()
    with pytest.raises(NotFittedError, match="not fitted yet; call fit"):
        calibrator.transform(scores)
    with pytest.raises(NotFittedError):
        check_is_fitted(calibrator)
    assert calibrator.fit(scores, Y) is calibrator
    check_is_fitted(calibrator)
    expected = calibrator.transform(scores)
    copy = pickle.loads(pickle.dumps(calibrator))
    np.testing.assert_array_equal(copy.transform(scores), expected)
    assert not hasattr(clone(calibrator), "n_labels_")
    calibrator.fit(scores[:, :2], 1 - Y[:, :2])  # nothing is left of the first fit
    again = calibrator.fit(scores.tolist(), Y.astype(bool)).transform(scores)
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize(
    ("scores", "Y", "weight", "message"),
    [
        ([[2.5]], [[1]], None, r"must lie in \(0, 1\) to be calibrated, got 2.5.*not logits"),
        ([[-0.5]], [[1]], None, "got -0.5"),
        ([[np.nan]], [[1]], None, "scores must be finite"),
        ([0.5, 0.5], [1, 0], None, r"scores must be 2-D.*\(2,\)"),
        ([["a"]], [[1]], None, "scores must be a dense numeric array"),
        (np.empty((0, 2)), np.empty((0, 2)), None, "scores has 0 rows"),
        ([[0.5]], [[1, 0]], None, r"Y has shape \(1, 2\) but scores has shape \(1, 1\)"),
        ([[0.5]], [[2]], None, r"Y must hold values in \[0, 1\].*got 2"),
        ([[0.5]], [[1]], [1, 1], r"sample_weight must have shape \(1,\), got \(2,\)"),
        ([[0.5]], [[1]], [-1], "sample_weight must be non-negative, got a minimum of -1"),
        ([[0.5]], [[1]], [np.inf], "sample_weight must be finite"),
        ([[0.5]], [[1]], [0], "sample_weight is 0 for every row"),
    ],
)
def test_errors_of_fit(calibrator, scores, Y, weight, message):
    with pytest.raises(ValueError, match=message):
        calibrator.fit(scores, Y, weight)


def test_errors_of_transform_and_parameters():
    scores, Y, _ = sample()
    fitted = TemperatureCalibrator().fit(scores, Y)
    with pytest.raises(ValueError, match=r"scores has 2 labels \(columns\).*fitted with 3"):
        fitted.transform(scores[:, :2])
    with pytest.raises(ValueError, match="got 7"):
        fitted.transform([[7, 0.5, 0.5]])
    for cls in (SigmoidCalibrator, BetaCalibrator, IsotonicCalibrator):
        for bad in (-1, "ten", None, np.nan):
            with pytest.raises(ValueError, match="min_positives must be a number >= 0"):
                cls(min_positives=bad).fit(scores, Y)


def test_registry():
    for name, cls in CALIBRATORS.items():
        assert type(get_calibrator(name)) is type(get_calibrator(cls)) is cls
        assert issubclass(cls, Calibrator)
    given_ = BetaCalibrator(3)
    assert get_calibrator(given_) is given_
    assert get_calibrator(None) is None
    with pytest.raises(ValueError, match="unknown calibration 'platt'; the names are: temperature"):
        get_calibrator("platt")
    with pytest.raises(TypeError, match="got 3; the names are"):
        get_calibrator(3)
