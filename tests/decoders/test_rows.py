import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import Ridge

from sklearn_mlloss.decoders import GlobalThreshold, MaxGapCut, ThresholdFunction
from sklearn_mlloss.decoders.rows import _row_thresholds


@settings(max_examples=150, deadline=None)
@given(
    row=hnp.arrays(np.int64, st.integers(1, 7), elements=st.integers(-5, 5)),
    scale=st.sampled_from([1.0, 0.1, 1e-3, 1e300]),
)
def test_max_gap_against_a_loop(row, scale):
    ranked = np.sort(row)[::-1]
    gaps = ranked[:-1] - ranked[1:]
    if not gaps.any():
        wanted = np.ones(row.shape, dtype=bool)
    else:
        wanted = row >= ranked[np.argmax(gaps)]
    assert MaxGapCut().decode(scale * row[None])[0].tolist() == wanted.tolist()


def test_max_gap_does_not_depend_on_rounding_or_shifts():
    # 0.9 − 0.6 and 0.6 − 0.3 differ in their last bits, in this order.
    for row in ([0.9, 0.6, 0.3], [0.3, 0.2, 0.1], [0.7, 0.4, 0.1]):
        assert MaxGapCut().decode([row]).tolist() == [[True, False, False]]
    scores = np.random.default_rng(0).normal(size=(100, 6))
    shift = np.random.default_rng(1).normal(size=(100, 1))
    assert (MaxGapCut().decode(scores) == MaxGapCut().decode(3 * scores + shift)).all()
    assert MaxGapCut().decode(scores).any(axis=1).all()
    assert not MaxGapCut().decode(scores).all(axis=1).any()


def test_max_gap_without_a_gap_and_with_huge_scores():
    assert MaxGapCut().decode([[0.2], [0.0]]).all()
    assert MaxGapCut().decode([[0.0, 0.0, 0.0]]).all()
    assert MaxGapCut().decode([[1.7e308, -1.7e308]]).tolist() == [[True, False]]
    low = 1.0
    assert MaxGapCut().decode([[np.nextafter(low, 2), low]]).tolist() == [[True, False]]


def best_threshold(s, y):
    """By trying every cut of the observed labels."""
    s, y = s[~np.isnan(y)], y[~np.isnan(y)]
    distinct = np.unique(s)[::-1]
    middles = (distinct[1:] + distinct[:-1]) / 2
    cuts = [distinct[0] + 0.1, *middles, distinct[-1] - 0.1]
    errors = [np.where(s >= t, 1 - y, y).sum() for t in cuts]
    return cuts[int(np.flatnonzero(np.array(errors) <= min(errors) + 1e-9)[0])]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), n_labels=st.integers(1, 6))
def test_row_thresholds_against_all_cuts(data, n_labels):
    shape = (4, n_labels)
    scores = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 6))) / 8
    values = st.sampled_from([0.0, 1.0, 0.25, np.nan])
    Y = data.draw(hnp.arrays(float, shape, elements=values))
    Y[np.isnan(Y).all(axis=1), 0] = 1.0
    wanted = [best_threshold(s, y) for s, y in zip(scores, Y, strict=True)]
    assert _row_thresholds(scores, Y) == pytest.approx(wanted, abs=1e-12)


def test_rows_with_no_and_with_all_labels():
    scores = np.array([[0.3, 0.7, 0.5], [0.3, 0.7, 0.5], [0.3, 0.7, 0.5]])
    Y = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 1]])
    assert _row_thresholds(scores, Y) == pytest.approx([0.8, 0.2, 0.4])


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 50])
def test_the_regression_is_that_of_scikit_learn(ridge):
    rng = np.random.default_rng(0)
    scores = rng.random((80, 5))
    Y = 1.0 * (rng.random((80, 5)) < scores)
    weight = rng.integers(1, 4, 80).astype(float)
    best = _row_thresholds(scores, Y)
    model = Ridge(alpha=ridge).fit(scores, best, weight)
    decoder = ThresholdFunction(ridge).fit(scores, Y, weight)
    assert decoder.coef_ == pytest.approx(model.coef_)
    assert decoder.intercept_ == pytest.approx(model.intercept_)
    new = rng.random((30, 5))
    assert (decoder.decode(new) == (new >= model.predict(new)[:, None])).all()


def test_it_finds_what_no_common_threshold_can():
    rng = np.random.default_rng(0)
    shift = rng.normal(0, 5, (400, 1))
    Y = 1.0 * (rng.random((400, 6)) < 0.4)
    scores = shift + Y + rng.uniform(-0.4, 0.4, Y.shape)
    decoder = ThresholdFunction().fit(scores[:200], Y[:200])
    common = GlobalThreshold("accuracy").fit(scores[:200], Y[:200])
    right = [(d.decode(scores[200:]) == Y[200:]).mean() for d in (decoder, common)]
    assert right[0] > 0.85 > 0.7 > right[1]
    assert decoder.coef_.sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("ridge", [0, 1.0])
def test_scores_without_full_rank(ridge):
    rng = np.random.default_rng(0)
    exp = np.exp(rng.normal(size=(50, 4)))
    scores = exp / exp.sum(axis=1, keepdims=True)
    Y = 1.0 * (scores > 0.2)
    decoder = ThresholdFunction(ridge).fit(scores, Y)
    assert np.abs(decoder.coef_).max() < 10
    assert (decoder.decode(scores) == Y).mean() > 0.8


def test_blocks_do_not_change_anything(monkeypatch):
    rng = np.random.default_rng(0)
    scores = rng.random((50, 4))
    Y = 1.0 * (rng.random((50, 4)) < scores)
    whole = ThresholdFunction().fit(scores, Y)
    monkeypatch.setattr("sklearn_mlloss.decoders.expected._BLOCK_ENTRIES", 20)
    assert ThresholdFunction().fit(scores, Y).coef_ == pytest.approx(whole.coef_, rel=1e-12)


def test_nothing_observed():
    decoder = ThresholdFunction().fit([[0.1, 0.2]], [[np.nan, np.nan]])
    assert decoder.decode([[0.5, 0.4]]).tolist() == [[True, False]]


@pytest.mark.parametrize("ridge", [-1, np.inf, None, "1"])
def test_bad_ridge(ridge):
    with pytest.raises(ValueError, match="ridge must be a finite number >= 0"):
        ThresholdFunction(ridge).fit([[0.1, 0.2]], [[0, 1]])
