"""What both classifiers share: the decision on scores, swaps, log-odds, warnings."""

import copy
import inspect
import warnings
from functools import cache, partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import DecodedClassifierCV, LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._decision.base import DecidingClassifier
from sklearn_mlloss._decision.decision import KEEP, HeldOut
from sklearn_mlloss._search import scoring as search_scoring
from sklearn_mlloss.calibration import BetaCalibrator, SigmoidCalibrator
from sklearn_mlloss.decoders import (
    CardinalityCut,
    Decoder,
    FixedThreshold,
    GlobalThreshold,
    LabelSetDecoder,
    PerLabelThreshold,
)
from sklearn_mlloss.metrics import multilabel_scorers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(150, 3)) > 0.5).astype(int)
LINEAR = OneVsRestClassifier(LogisticRegression())


def net(decoder="global_threshold", **params):
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=6, batch_size=32, learning_rate=0.02,
                    random_state=0, device="cpu", cv=3, linear_part=False)  # fmt: skip
    return MultiLabelNetClassifier(decoder=decoder, **(defaults | params))


def decoded(decoder="global_threshold", **params):
    return DecodedClassifierCV(LINEAR, decoder, **(dict(cv=3, random_state=0) | params))


both = pytest.mark.parametrize("make", [net, decoded])


class Untouched(Decoder):
    """Keeps which rows it was given."""

    requires_fit = True
    untouched_rows = True

    def _fit(self, scores, Y, sample_weight, count):
        self.given_ = scores.copy()

    def _decode(self, scores, count):
        return scores >= 0.5


# ------------------------------------------------------------------ classes


@pytest.mark.parametrize("cls", [MultiLabelNetClassifier, DecodedClassifierCV])
def test_public_methods_have_docstrings_wherever_they_are_inherited_from(cls):
    names = {"decision_function", "decode", "fit", "fit_decoder", "predict", "predict_log_proba",
             "predict_proba", "set_params"}  # fmt: skip
    for name in names:
        assert inspect.getdoc(getattr(cls, name)), name
    assert list(inspect.signature(cls.decode).parameters) == ["self", "proba", "count"]


@both
def test_another_decoder_and_calibrator_can_be_assigned(make):
    model = make(calibration="sigmoid").fit(X, Y)
    scores = model.predict_proba(X)
    copied = copy.copy(model)
    copied.decoder_, copied.calibrator_ = FixedThreshold(0.7), None
    np.testing.assert_array_equal(copied.predict(X), copied.predict_proba(X) >= 0.7)
    assert not np.allclose(copied.predict_proba(X), scores)
    np.testing.assert_array_equal(model.predict_proba(X), scores)


def test_the_base_class_cannot_be_used_alone():
    with pytest.raises(TypeError, match="abstract"):
        DecidingClassifier()


@both
def test_parameters_of_a_named_calibration(make):
    clf = make().set_params(calibration="beta", calibration__min_positives=3)
    assert isinstance(clf.calibration, BetaCalibrator) and clf.calibration.min_positives == 3
    clf.set_params(calibration__min_positives=4, decoder="threshold", decoder__threshold=0.4)
    assert clf.calibration.min_positives == 4 and clf.decoder.threshold == 0.4


# ------------------------------------------------------------------ predictions


@pytest.mark.parametrize(
    "clf",
    [
        net("auto", cv=None),
        net("auto", cv=None, loss="softmax_ce"),
        net("auto", calibration="sigmoid"),
        DecodedClassifierCV(DecisionTreeClassifier(random_state=0), cv=3, random_state=0),
        DecodedClassifierCV(RidgeClassifier(), calibration="sigmoid", cv=3, random_state=0),
    ],
    ids=str,
)
@pytest.mark.parametrize("y", [Y, Y[:, 0], Y.argmax(1)], ids=["labels", "binary", "classes"])
@pytest.mark.filterwarnings("ignore:.*labels have too few positives")
def test_log_odds_and_logarithm_are_those_of_the_probabilities(clf, y):
    clf = clf.fit(X, y)
    proba, odds = clf.predict_proba(X), clf.decision_function(X)
    assert np.isfinite(odds).all()  # also where a tree is sure of its class
    expected = proba[:, 1] if odds.ndim == 1 else proba
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), expected, rtol=1e-7)
    np.testing.assert_array_equal(clf.predict_log_proba(X), np.log(proba))
    np.testing.assert_array_equal(clf.decode(proba), clf.predict(X))
    if y.ndim == 1 and odds.ndim == 2:
        np.testing.assert_array_equal(clf.predict(X), odds.argmax(1))


# ------------------------------------------------------------------ the decision on known scores


def refit(clf, scores, Y, weight=None, count=None, decoder=KEEP, calibration=KEEP):
    clf._replace_decision(decoder, calibration)
    clf._fit_decision(HeldOut(scores, Y, weight, count))


@both
@pytest.mark.parametrize("weighted", ["", "rows", "labels"])
def test_a_decision_on_scores_that_are_known(make, weighted):
    clf = make("threshold", store_cv_results=True).fit(X, Y)
    shape = {"": None, "rows": 150, "labels": (150, 3)}[weighted]
    weight = None if shape is None else np.random.default_rng(1).uniform(0, 2, shape)
    scores, given = clf.oof_scores_, GlobalThreshold()
    refit(clf, scores, Y, weight, decoder=given, calibration="sigmoid")
    of_rows = weight.mean(axis=1) if weighted == "labels" else weight
    calibrator = SigmoidCalibrator().fit(scores, Y, of_rows)
    by_hand = GlobalThreshold().fit(calibrator.transform(scores), Y, of_rows)
    assert clf.decoder_.threshold_ == by_hand.threshold_ and clf.decoder_ is not given
    np.testing.assert_array_equal(clf.calibrator_.transform(scores), calibrator.transform(scores))
    # The present ones again, on half of the rows.
    refit(clf, scores[::2], Y[::2])
    calibrator = SigmoidCalibrator().fit(scores[::2], Y[::2])
    by_hand = GlobalThreshold().fit(calibrator.transform(scores[::2]), Y[::2])
    assert clf.decoder_.threshold_ == by_hand.threshold_
    refit(clf, scores, Y, decoder="top_k", calibration=None)
    assert (clf.predict(X).sum(1) == 1).all() and clf.calibrator_ is None
    refit(clf, scores, Y, decoder="label_set")
    sets = LabelSetDecoder().fit(scores, Y).label_sets_
    np.testing.assert_array_equal(clf.decoder_.label_sets_, sets)


@both
def test_a_decision_on_the_scores_of_the_folds_is_that_of_fit(make):
    fitted = make(calibration="sigmoid").fit(X, Y)
    clf = make("threshold", store_cv_results=True).fit(X, Y)
    refit(clf, clf.oof_scores_, Y, decoder="global_threshold", calibration="sigmoid")
    assert clf.decoder_.threshold_ == pytest.approx(fitted.decoder_.threshold_, abs=1e-12)
    np.testing.assert_allclose(clf.predict_proba(X), fitted.predict_proba(X), atol=1e-12)


def test_a_decision_on_scores_with_a_count():
    clf = net("top_k", loss="factorized", store_cv_results=True).fit(X, Y)
    count = np.random.default_rng(1).uniform(0, 3, 150)
    refit(clf, clf.oof_scores_, Y, count=count, decoder="cardinality")
    by_hand = CardinalityCut().fit(clf.oof_scores_, Y, count=count)
    expected = by_hand.decode(clf.predict_proba(X), clf.predict_count(X))
    np.testing.assert_array_equal(clf.predict(X), expected)
    assert (expected != CardinalityCut().fit(clf.oof_scores_, Y).decode(clf.oof_scores_)).any()


@both
def test_classes_are_decided_by_the_largest_score(make):
    clf = make("auto", store_cv_results=True).fit(X, Y.argmax(1))
    targets = np.eye(3)[Y.argmax(1)]
    with pytest.raises(ValueError, match="largest score"):
        refit(clf, clf.oof_scores_, targets, decoder="top_k")
    refit(clf, clf.oof_scores_, targets, calibration="sigmoid")
    calibrator = SigmoidCalibrator().fit(clf.oof_scores_, targets)
    scores = calibrator.transform(clf._raw_scores(clf._check_X(X))[0])
    np.testing.assert_array_equal(clf.predict(X), scores.argmax(1))


@both
@pytest.mark.parametrize("random_state", [0, None])
def test_risk_control_reserves_a_fifth_that_does_not_fit_the_calibrator(make, random_state):
    clf = make("threshold", random_state=random_state).fit(X, Y)
    raw, _ = clf._raw_scores(clf._check_X(X))
    for _ in range(2):  # the same rows each time
        clf.fit_decoder(X, Y, Untouched(), "sigmoid")
        calibrated = clf.calibrator_.transform(raw)
        own = (calibrated[:, None] == clf.decoder_.given_).all(-1).any(1)
        assert own.sum() == len(clf.decoder_.given_) == 30
        alone = SigmoidCalibrator().fit(raw[~own], Y[~own])
        np.testing.assert_array_equal(alone.transform(raw), calibrated)
    # Without a calibration, nothing else needs them.
    assert len(clf.fit_decoder(X, Y, calibration=None).decoder_.given_) == 150


def test_all_rows_of_a_fitted_estimator_are_scored():
    fitted = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    clf = DecodedClassifierCV(
        fitted, Untouched(), cv="prefit", calibration="sigmoid", store_cv_results=True
    ).fit(X, Y)
    np.testing.assert_array_equal(clf.oof_scores_, fitted.predict_proba(X))
    assert len(clf.decoder_.given_) == 30


# ------------------------------------------------------------------ weights


@pytest.fixture(autouse=True, scope="module")
def few_bootstraps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_scoring, "N_BOOTSTRAPS", 2)
        yield


def searched(decoder, calibration, X, Y, weight):
    search = LossDecoderSearchCV(
        net("threshold", cv=None), ["bce"], [decoder], calibrations=[calibration], cv=3,
        random_state=0, scoring=multilabel_scorers()["f1_micro"],
    )  # fmt: skip
    return search.fit(X, Y, **({} if weight is None else {"sample_weight": weight})).best_estimator_


def fitted_by(make, decoder, calibration, X, Y, weight):
    return make(decoder, calibration=calibration).fit(X, Y, sample_weight=weight)


@cache
def fitted_once(make):
    return make("threshold").fit(X0, Y0)


def refitted(make, decoder, calibration, X, Y, weight):
    clf = copy.deepcopy(fitted_once(make))
    return clf.fit_decoder(X, Y, decoder, calibration, sample_weight=weight)


def decoded_net(decoder, **params):
    inner = net("threshold", cv=None)
    return DecodedClassifierCV(inner, decoder, **(dict(cv=3, random_state=0) | params))


def prefit(decoder, **params):
    return decoded_net(decoder, cv="prefit", **params).set_params(estimator=FITTED)


X0, Y0 = X, Y
FITTED = net("threshold", cv=None, early_stopping=False).fit(X, Y)
WAYS = {
    "net, folds": partial(fitted_by, net),
    "net, held out": partial(fitted_by, partial(net, cv=None, validation_fraction=0.4)),
    "net, fit_decoder": partial(refitted, partial(net, cv=None)),
    "decoded, folds": partial(fitted_by, decoded_net),
    "decoded, fitted": partial(fitted_by, prefit),
    "decoded, fit_decoder": partial(refitted, prefit),
    "search": searched,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
# It counts positives, as do calibrations; the rarest label has about thirty in the folds.
COUNTING = PerLabelThreshold(min_positives=8)


def assert_same_decision(one, two):
    np.testing.assert_allclose(one.decoder_.thresholds_, two.decoder_.thresholds_, rtol=1e-6)
    assert one.decoder_.fallback_labels_.tolist() == two.decoder_.fallback_labels_.tolist()
    if one.calibrator_ is not None:
        scores = np.random.default_rng(3).uniform(size=(20, 3))
        left, right = (clf.calibrator_.transform(scores) for clf in (one, two))
        np.testing.assert_allclose(left, right, rtol=1e-5)
    assert one._decision.n_rows == two._decision.n_rows


@ways
@pytest.mark.parametrize("calibration", [None, "sigmoid", "isotonic"])
def test_weights_decide_by_their_ratio_only(way, calibration):
    weight = np.random.default_rng(1).uniform(0, 2, 150) ** 3
    plain = way(COUNTING, calibration, X, Y, None)
    assert not len(plain.decoder_.fallback_labels_)
    assert_same_decision(way(COUNTING, calibration, X, Y, np.full(150, 2.0**-8)), plain)
    weighted = way(COUNTING, calibration, X, Y, weight)
    for unit in (2.0**-8, 2.0**8):  # which cost no digits
        assert_same_decision(way(COUNTING, calibration, X, Y, unit * weight), weighted)
    assert (weighted.decoder_.thresholds_ != plain.decoder_.thresholds_).any()


@ways
@pytest.mark.parametrize("calibration", [None, "sigmoid"])
def test_an_entry_of_weight_zero_was_not_observed(way, calibration):
    own = np.random.default_rng(2)
    hidden = own.random(Y.shape) < 0.4
    hidden[:5] = True  # rows of which nothing is left
    missing = np.where(hidden, np.nan, Y)
    left = way(COUNTING, calibration, X, Y, np.where(hidden, 0.0, 3.0))
    assert_same_decision(left, way(COUNTING, calibration, X, missing, None))
    weight = own.uniform(0.5, 2, Y.shape)
    left = way(COUNTING, calibration, X, Y, np.where(hidden, 0, weight))
    assert_same_decision(left, way(COUNTING, calibration, X, missing, weight))


@pytest.mark.parametrize("name", [name for name in WAYS if "fit" in name])
@pytest.mark.parametrize("decoder", [COUNTING, PerLabelThreshold(shrinkage=5)], ids=str)
def test_rows_of_weight_zero_do_not_count(name, decoder):
    kept = np.arange(150) % 3 > 0
    wrong = np.where(kept[:, None], Y, 1 - Y)
    weight = np.where(kept, 5.0, 0)
    left = WAYS[name](decoder, "beta", X, wrong, weight)
    assert_same_decision(left, WAYS[name](decoder, "beta", X[kept], Y[kept], None))


@pytest.mark.parametrize("name", [name for name in WAYS if name != "search"])
def test_label_sets_are_weighted_by_observed_entries(name):
    weight = np.random.default_rng(2).uniform(0.5, 2, Y.shape)
    weight[::4, 0] = 0
    found = WAYS[name]("label_set", None, X, Y, weight).decoder_
    kept = weight.all(axis=1)
    expected = LabelSetDecoder().fit(np.zeros((kept.sum(), 3)), Y[kept], weight[kept].mean(axis=1))
    np.testing.assert_array_equal(found.label_sets_, expected.label_sets_)
    np.testing.assert_allclose(found.log_prior_, expected.log_prior_, rtol=1e-6)


@ways
@pytest.mark.parametrize(
    "weight, match",
    [
        (np.zeros(150), "no row is left to learn from"),
        (np.zeros((150, 3)), "no row is left to learn from"),
        (-np.ones(150), "sample_weight must be non-negative"),
        (np.full(150, np.nan), "sample_weight must be finite"),
        (np.ones((150, 2)), "sample_weight must have shape"),
    ],
    ids=["rows of zero", "entries of zero", "negative", "NaN", "shape"],
)
def test_weights_are_checked_before_training(way, weight, match, monkeypatch):
    monkeypatch.setattr("sklearn_mlloss._training.net.TableNet.train", lambda *a, **k: 1 / 0)
    if way in (WAYS["net, fit_decoder"], WAYS["decoded, fit_decoder"]):
        monkeypatch.undo()
    with pytest.raises(ValueError, match=match):
        way(COUNTING, None, X, Y, weight)


# ------------------------------------------------------------------ warnings


@both
def test_warnings_are_of_the_users_line(make):
    few = np.zeros((150, 3), int)
    few[::30] = 1
    clf = make("threshold").fit(X, Y)
    calls = {
        "too few positives": [
            lambda: make("per_label_threshold").fit(X, few),
            lambda: clf.fit_decoder(X, few, "per_label_threshold"),
            lambda: refit(clf, Y * 0.5, few, decoder="per_label_threshold"),
        ],
        "decided by the largest score": [lambda: make("top_k").fit(X, Y.argmax(1))],
        "there is only one": [
            lambda: make("argmax").fit(X, Y[:, 0]),
            lambda: make("threshold").fit(X, Y[:, 0]).fit_decoder(X, Y[:, 0], "argmax"),
        ],
    }
    for message, functions in calls.items():
        for function in functions:
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                function()
            (own,) = [w for w in found if message in str(w.message)]
            assert own.filename == __file__, message
