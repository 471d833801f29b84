import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_mlloss.decoders import (
    CostSensitiveThreshold,
    FixedThreshold,
    ProportionCut,
    RiskControl,
)


@st.composite
def problems(draw, max_rows=8, max_labels=3):
    """Small tables with many ties, degenerate columns, NaN and integer weights."""
    shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, max_labels)))
    scores = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 6))) / 8
    Y = draw(hnp.arrays(float, shape, elements=st.sampled_from([0.0, 1.0, np.nan])))
    weight = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(1, 3))).astype(float)
    return scores, Y, weight


def every_cut(scores):
    """All thresholds that give different predictions, from none to all."""
    distinct = np.unique(scores)[::-1]
    return np.concatenate([[np.inf], (distinct[1:] + distinct[:-1]) / 2, distinct[-1:]])


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_proportion_is_the_nearest_of_all_cuts(problem):
    scores, Y, weight = problem
    decoder = ProportionCut().fit(scores, Y, weight)
    seen = ~np.isnan(Y)
    assert decoder.fallback_labels_.tolist() == np.flatnonzero(~seen.any(axis=0)).tolist()
    wide = np.repeat(weight[:, None], Y.shape[1], axis=1)
    for label in range(Y.shape[1]):
        if label in decoder.fallback_labels_:
            if not seen.any():
                assert decoder.thresholds_[label] == 0.5
                continue
            s, y, w = scores[seen], Y[seen], wide[seen]
        else:
            s, y, w = (a[seen[:, label], label] for a in (scores, Y, wide))
        off = [abs(w @ (s >= t) - w @ y) for t in every_cut(s)]
        assert decoder.thresholds_[label] == every_cut(s)[np.argmin(off)]


def test_proportion_predicts_as_many_as_there_are():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(500, 4))
    Y = 1.0 * (rng.random((500, 4)) < [0.01, 0.2, 0.5, 0.99])
    assert (ProportionCut().fit(scores, Y).decode(scores).sum(axis=0) == Y.sum(axis=0)).all()
    Y[:, 0], Y[:, 1] = 0, 1
    decoder = ProportionCut().fit(scores, Y)
    assert decoder.decode(scores).mean(axis=0)[:2].tolist() == [0, 1]
    assert decoder.thresholds_[0] == np.inf and decoder.fallback_labels_.size == 0


@pytest.mark.parametrize(("fp", "fn"), [(1, 1), (1, 3), (2.5, 0.5), (0, 1), (1, 0)])
def test_cost_minimises_the_expected_cost(fp, fn):
    p = np.linspace(0, 1, 101)[:, None]
    hat = CostSensitiveThreshold(fp, fn).decode(p)
    cost = np.where(hat, fp * (1 - p), fn * p)
    assert (cost <= np.minimum(fp * (1 - p), fn * p) + 1e-12).all()


def test_cost_per_label():
    p = np.random.default_rng(0).random((50, 3))
    hat = CostSensitiveThreshold([1, 0, 2], [3, 1, 2]).decode(p)
    assert (hat == FixedThreshold([0.25, 0, 0.5]).decode(p)).all()
    hat = CostSensitiveThreshold(1, [1, 3, 4]).decode(p)
    assert (hat == FixedThreshold([0.5, 0.25, 0.2]).decode(p)).all()


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (CostSensitiveThreshold(-1), "fp_cost must be a finite number >= 0"),
        (CostSensitiveThreshold(fn_cost=[1, np.inf]), "fn_cost must be a finite"),
        (CostSensitiveThreshold("1"), "fp_cost must be"),
        (CostSensitiveThreshold([1, 1, 1]), r"fp_cost has shape \(3,\) but scores has 2 labels"),
        (CostSensitiveThreshold([0, 1], 0), "both 0"),
        (RiskControl(0), r"alpha must be a number in \(0, 1\), got 0"),
        (RiskControl(1), "alpha must be"),
        (RiskControl("0.1"), "alpha must be"),
    ],
)
def test_bad_parameters(decoder, message):
    with pytest.raises(ValueError, match=message):
        decoder.fit([[0.1, 0.2], [0.3, 0.4]], [[0, 1], [1, 0]])


def losses(scores, Y, t):
    """The share of missed labels of each row, by loops; rows without observed labels are none."""
    values = []
    for s, y in zip(scores, Y, strict=True):
        size = np.nansum(y)
        if np.isnan(y).all():
            continue
        values.append(1 - np.nansum(y * (s >= t)) / size if size else 0.0)
    return values


@pytest.mark.parametrize("alpha", [0.05, 0.25, 0.5, 0.9])
@settings(max_examples=80, deadline=None)
@given(problem=problems())
def test_risk_control_is_the_largest_of_all_thresholds(alpha, problem):
    scores, Y, weight = problem
    found = RiskControl(alpha).fit(scores, Y, weight).threshold_
    rows = np.repeat(np.arange(len(Y)), weight.astype(int))
    scores, Y = scores[rows], Y[rows]
    n = (~np.isnan(Y).all(axis=1)).sum()

    def holds(t):
        return (sum(losses(scores, Y, t)) + 1) / (n + 1) <= alpha + 1e-9

    candidates = [t for t in [np.inf, *np.unique(scores)[::-1]] if holds(t)]
    if alpha < 1 / (n + 1):
        assert found == -np.inf
    else:
        assert found == candidates[0]


def test_risk_control_bounds_the_loss_and_not_by_far():
    """The mean over 500 splits is within [alpha − 2 / (n + 1), alpha], up to sampling error."""
    rng = np.random.default_rng(0)
    n, n_labels, alpha = 100, 6, 0.1
    missed = []
    for _ in range(500):
        logits = rng.normal(-0.5, 1.5, (2 * n, n_labels))
        Y = 1.0 * (rng.random(logits.shape) < 1 / (1 + np.exp(-logits)))
        scores = logits + rng.normal(size=logits.shape)  # bad and not calibrated
        decoder = RiskControl(alpha).fit(scores[:n], Y[:n])
        Y_new, hat = Y[n:], decoder.decode(scores[n:])
        size = Y_new.sum(axis=1)
        missed.append(np.where(size > 0, 1 - (Y_new * hat).sum(axis=1) / np.maximum(size, 1), 0))
    means = np.mean(missed, axis=1)
    error = means.std() / np.sqrt(500)
    assert error < 0.002
    assert alpha - 2 / (n + 1) - 2 * error <= means.mean() <= alpha + 2 * error


def test_risk_control_at_its_ends():
    scores, Y = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([[1, 1], [1, 1]])
    assert RiskControl(0.33).fit(scores, Y).decode([[-9.0, 9.0]]).all()  # below 1 / (n + 1)
    assert RiskControl(0.34).fit(scores, Y).threshold_ == 0.1
    # Rows without positives lose nothing: nothing need be predicted.
    assert RiskControl(0.34).fit(scores, 0 * Y).threshold_ == np.inf
    assert RiskControl(0.1).fit(np.zeros((9, 1)), np.zeros((9, 1))).threshold_ == np.inf
    assert RiskControl().untouched_rows and RiskControl().requires_fit


def test_risk_control_keeps_tied_scores_together():
    scores, Y = np.full((30, 2), 0.4), np.tile([1.0, 0.0], (30, 1))
    decoder = RiskControl().fit(scores, Y)
    assert decoder.threshold_ == 0.4 and decoder.decode(scores).all()
