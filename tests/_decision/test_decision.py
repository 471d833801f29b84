"""Decisions: a calibrator and a decoder on held-out scores, and which of them suit the scores."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_mlloss._data.targets import TargetCodec
from sklearn_mlloss._decision.decision import (
    Decision,
    HeldOut,
    make_decision,
    reserve,
    try_metric,
)
from sklearn_mlloss.calibration import BetaCalibrator, SigmoidCalibrator
from sklearn_mlloss.decoders import (
    Argmax,
    AtLeastOne,
    CardinalityCut,
    Decoder,
    FixedThreshold,
    GlobalThreshold,
    LabelSetDecoder,
    PerLabelThreshold,
    TopK,
)

rng = np.random.default_rng(0)
SCORES = rng.uniform(size=(100, 3))
Y = (SCORES + rng.normal(0, 0.3, SCORES.shape) > 0.6).astype(float)
WEIGHT = rng.uniform(0.5, 2, 100)
COUNT = rng.uniform(0, 3, 100)
NEW = rng.uniform(size=(20, 3))


class Untouched(Decoder):
    """Keeps the scores that it was fitted on."""

    requires_fit = True
    untouched_rows = True

    def _fit(self, scores, Y, sample_weight, count):
        self.given_ = scores.copy()

    def _decode(self, scores, count):
        return scores >= 0.5


# ------------------------------------------------------------------ held-out rows


def test_some_held_out_rows():
    rows = HeldOut(np.arange(6.0).reshape(3, 2), np.eye(3)[:, :2], count=np.arange(3))
    part = rows[np.array([2, 0])]
    assert part.scores.tolist() == [[4, 5], [0, 1]] and part.Y.tolist() == [[0, 0], [1, 0]]
    assert part.weight is None and part.count.tolist() == [2, 0]
    assert len(rows) == 3 and len(part) == 2


def test_informative_rows_have_an_observed_entry_and_one_weight():
    targets = np.array([[0, 1], [np.nan, np.nan], [1, 1], [1, 0]])
    weight = np.array([[1.0, 3], [1, 1], [0, 2], [0, 0]])
    rows = HeldOut(np.arange(8.0).reshape(4, 2), targets, weight, groups=np.arange(4)).informative()
    assert rows.groups.tolist() == [0, 2] and rows.weight.tolist() == [2, 2]
    np.testing.assert_array_equal(rows.Y, [[0, 1], [np.nan, 1]])
    again = rows.informative()
    np.testing.assert_array_equal(again.Y, rows.Y)
    np.testing.assert_array_equal(again.weight, rows.weight)


# ------------------------------------------------------------------ fitting


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("calibrator", [None, SigmoidCalibrator(), BetaCalibrator()], ids=str)
def test_the_decoder_is_fitted_on_calibrated_scores(calibrator, weight):
    held_out = HeldOut(SCORES, Y, weight)
    decision = Decision(GlobalThreshold(), calibrator and clone(calibrator)).fit(held_out)
    by_hand = None if calibrator is None else clone(calibrator).fit(SCORES, Y, weight)
    scores, new = (part if by_hand is None else by_hand.transform(part) for part in (SCORES, NEW))
    decoder = GlobalThreshold().fit(scores, Y, weight)
    assert decision.decoder.threshold_ == decoder.threshold_
    np.testing.assert_array_equal(decision.calibrate(NEW), new)
    np.testing.assert_array_equal(decision.decide(new), decoder.decode(new))
    assert decision.n_rows == ({"calibration": 100} if calibrator else {}) | {"decoder": 100}


def test_counts_reach_the_decoder():
    decision = Decision(CardinalityCut()).fit(HeldOut(SCORES, Y, count=COUNT))
    decoder = CardinalityCut().fit(SCORES, Y, count=COUNT)
    expected = decoder.decode(NEW, COUNT[:20])
    np.testing.assert_array_equal(decision.decide(NEW, COUNT[:20]), expected)


def test_decoders_share_a_fitted_calibrator():
    held_out = HeldOut(SCORES, Y)
    first = Decision(GlobalThreshold(), SigmoidCalibrator())
    calibrated = first.fit_calibrator(held_out)
    for decoder in (GlobalThreshold(), PerLabelThreshold(), LabelSetDecoder()):
        alone = Decision(clone(decoder), SigmoidCalibrator()).fit(held_out)
        shared = Decision(clone(decoder), first.calibrator)
        shared.fit_decoder(calibrated, all_targets=(Y, None))
        scores = alone.calibrate(NEW)
        np.testing.assert_array_equal(shared.calibrate(NEW), scores)
        np.testing.assert_array_equal(shared.decide(scores), alone.decide(scores))


def test_rows_for_the_decoder_alone():
    held_out = HeldOut(SCORES, Y, groups=np.arange(100) // 4)
    decision = Decision(Untouched(), SigmoidCalibrator(), seed=3).fit(held_out)
    rest, reserved = reserve(Y, 3, groups=held_out.groups)
    calibrator = SigmoidCalibrator().fit(SCORES[rest], Y[rest])
    given = calibrator.transform(SCORES[reserved])
    np.testing.assert_array_equal(decision.decoder.given_, given)
    assert decision.n_rows == {"calibration": len(rest), "decoder": len(reserved)}
    # Where the caller has reserved rows, all others serve the calibration.
    decision.fit(held_out, reserved=HeldOut(NEW, np.ones((20, 3))))
    calibrator = SigmoidCalibrator().fit(SCORES, Y)
    np.testing.assert_array_equal(decision.decoder.given_, calibrator.transform(NEW))
    # Without a calibrator no other part needs them.
    assert len(Decision(Untouched()).fit(held_out).decoder.given_) == 100


def test_label_sets_are_those_of_all_rows():
    held_out = HeldOut(SCORES[:50], Y[:50])
    for all_targets, rows in ((None, 50), ((Y, WEIGHT), 100)):
        found = Decision(LabelSetDecoder()).fit(held_out, all_targets=all_targets).decoder
        weight = None if all_targets is None else WEIGHT
        expected = LabelSetDecoder().fit(SCORES[:rows], Y[:rows], weight)
        np.testing.assert_array_equal(found.label_sets_, expected.label_sets_)
        np.testing.assert_array_equal(found.log_prior_, expected.log_prior_)


def test_a_decision_without_anything_to_fit():
    decision = Decision(FixedThreshold(0.3))
    assert not decision.requires_fit and Decision(GlobalThreshold()).requires_fit
    assert Decision(FixedThreshold(), SigmoidCalibrator()).requires_fit
    assert decision.fit(HeldOut(SCORES, Y)).n_rows == {}
    assert decision.calibrate(NEW) is NEW
    np.testing.assert_array_equal(decision.decide(NEW), NEW >= 0.3)


def test_what_is_not_fitted_raises():
    decision = Decision(GlobalThreshold(), SigmoidCalibrator())
    with pytest.raises(NotFittedError, match="SigmoidCalibrator has not been fitted.*fit_decoder"):
        decision.calibrate(NEW)
    with pytest.raises(NotFittedError, match="GlobalThreshold has not been fitted.*fit_decoder"):
        decision.decide(NEW)


def test_copies_decide_alike():
    decision = Decision(GlobalThreshold(), SigmoidCalibrator()).fit(HeldOut(SCORES, Y))
    scores = decision.calibrate(NEW)
    for other in (copy.deepcopy(decision), pickle.loads(pickle.dumps(decision))):
        np.testing.assert_array_equal(other.calibrate(NEW), scores)
        np.testing.assert_array_equal(other.decide(scores), decision.decide(scores))
        assert other.n_rows == decision.n_rows and other.decoder is not decision.decoder


# ------------------------------------------------------------------ what suits the scores


def make(decoder="auto", calibration=None, y=Y, **params):
    defaults = dict(default="global_threshold", natural="threshold")
    return make_decision(decoder, calibration, TargetCodec().fit(y), **(defaults | params))


def test_names_and_objects():
    assert isinstance(make().decoder, GlobalThreshold) and make().calibrator is None
    assert isinstance(make("top_k", "beta").decoder, TopK)
    decoder, calibrator = PerLabelThreshold(), SigmoidCalibrator()
    decision = make(decoder, calibrator, seed=7)
    assert decision.decoder is not decoder and decision.calibrator is not calibrator
    assert decision.seed == 7
    with pytest.raises(ValueError, match="min_positives"):
        make(calibration=BetaCalibrator(min_positives=-1))


def test_scores_that_are_not_probabilities():
    message = "takes scores for probabilities, but those of decision_function are not"
    with pytest.warns(UserWarning, match=message):
        make("expected_fbeta", source="decision_function")
    # Warnings are errors here.
    make("expected_fbeta")
    make("expected_fbeta", "sigmoid", source="decision_function")
    make("threshold", source="decision_function")
    make("global_threshold", source="decision_function")


def test_classes_are_decided_by_the_largest_score():
    classes = np.arange(100) % 3
    assert isinstance(make(y=classes).decoder, Argmax)
    assert isinstance(make("argmax", y=classes).decoder, Argmax)
    assert isinstance(make("threshold", y=classes).decoder, Argmax)
    with pytest.warns(UserWarning, match="decoder='top_k' is not used"):
        assert isinstance(make("top_k", y=classes).decoder, Argmax)


def test_a_single_label_has_nothing_to_be_compared_with():
    with pytest.warns(UserWarning, match="compares labels of a row, and there is only one"):
        make("argmax", y=np.arange(100) % 2)


def test_too_few_positives():
    few = np.zeros((100, 3))
    few[:12, 0] = 1
    decision = Decision(PerLabelThreshold()).fit(HeldOut(SCORES, few))
    message = "2 of 3 labels have too few positives among the 100 rows .*: use more rows"
    with pytest.warns(UserWarning, match=message):
        decision.warn_of_fallback("more rows")
    Decision(PerLabelThreshold()).fit(HeldOut(SCORES, Y)).warn_of_fallback("more rows")
    Decision(FixedThreshold()).warn_of_fallback("more rows")


# ------------------------------------------------------------------ metrics of the user


@pytest.mark.parametrize(
    "returned, message",
    [
        (np.ones(3), "must return a number, got ndarray"),
        (None, "must return a number, got NoneType"),
        (np.nan, "must return finite numbers"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_metric_without_one_finite_number_is_refused(returned, message, wrapped):
    decoder = GlobalThreshold(lambda Y, Y_hat: returned)
    decoder = AtLeastOne(decoder) if wrapped else decoder
    with pytest.raises((TypeError, ValueError), match=message):
        try_metric(decoder, Y, None)


def test_a_metric_is_tried_on_complete_rows_with_the_weights_and_three_predictions():
    seen = []

    def metric(Y, Y_hat, sample_weight=None):
        seen.append((Y, Y_hat, sample_weight))
        return np.average((Y == Y_hat).mean(axis=1), weights=sample_weight)

    missing = np.where(np.arange(100)[:, None] < 10, np.nan, Y)
    try_metric(GlobalThreshold(metric), missing, WEIGHT)
    assert [Y_hat.mean() for _, Y_hat, _ in seen] == [0, Y[10:].mean(), 1]
    for true, _, weight in seen:
        np.testing.assert_array_equal(true, Y[10:])
        np.testing.assert_allclose(weight / weight.mean(), WEIGHT[10:] / WEIGHT[10:].mean())
    with pytest.raises(ValueError, match="takes no sample_weight"):
        try_metric(GlobalThreshold(lambda Y, Y_hat: 0.0), Y, WEIGHT)
