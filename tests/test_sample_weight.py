"""Weights that are none, or too large to be summed: refused by name wherever they are taken."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.calibration import SigmoidCalibrator
from sklearn_mlloss.decoders import GlobalThreshold, LabelSetDecoder
from sklearn_mlloss.losses import BinaryCrossEntropy
from sklearn_mlloss.metrics import hamming_loss, multilabel_report

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 40
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 3))
Y = (X @ rng.normal(size=(3, 2)) > 0).astype(int)
P = rng.random(Y.shape)
ONES = np.ones(N)
FOREST = RandomForestClassifier(2, max_depth=2, random_state=0)


def net(**params):
    defaults = dict(hidden_layer_sizes=(2,), max_epochs=1, early_stopping=False, random_state=0)
    return MultiLabelNetClassifier(**(defaults | params))


class Untrained(OneVsRestClassifier):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("trained")


UNTRAINED = Untrained(LogisticRegression())
NET = net().fit(X, Y)
DECODED = DecodedClassifierCV(FOREST, "threshold", cv=2, random_state=0).fit(X, Y)
SETS = LabelSetDecoder().fit(P, Y)
TAKERS = {
    "net": lambda w: net().fit(X, Y, sample_weight=w),
    "net of classes": lambda w: net().fit(X, Y[:, 0], sample_weight=w),
    "folds": lambda w: net(cv=2).fit(X, Y, sample_weight=w),
    "partial_fit": lambda w: net().partial_fit(X, Y, sample_weight=w),
    "fit_decoder": lambda w: NET.fit_decoder(X, Y, "global_threshold", sample_weight=w),
    "decoded": lambda w: DecodedClassifierCV(UNTRAINED).fit(X, Y, sample_weight=w),
    "decoded, refitted": lambda w: DECODED.fit_decoder(X, Y, sample_weight=w),
    "vote": lambda w: SoftVotingClassifier([("a", UNTRAINED)]).fit(X, Y, sample_weight=w),
    "search": lambda w: LossDecoderSearchCV(net(), ["bce"], ["threshold"], cv=2).fit(
        X, Y, sample_weight=w
    ),
    "linear": lambda w: MultiLabelLogisticRegressionCV(cv=2).fit(X, Y, sample_weight=w),
    "decoder": lambda w: GlobalThreshold().fit(P, Y, sample_weight=w),
    "label sets": lambda w: SETS.learn_sets(Y, sample_weight=w),
    "calibrator": lambda w: SigmoidCalibrator().fit(P, Y, sample_weight=w),
    "loss": lambda w: BinaryCrossEntropy().fit(Y, sample_weight=w),
    "metric": lambda w: hamming_loss(Y, Y, sample_weight=w),
    "report": lambda w: multilabel_report(Y, P, Y, sample_weight=w),
}
EVERY = pytest.mark.parametrize("take", TAKERS.values(), ids=list(TAKERS))


def with_first(value, dtype=float):
    weight = np.ones(N, dtype=dtype)
    weight[0] = value
    return weight


NUMBERS = "sample_weight must be an array of numbers, "
SHAPE = r"sample_weight must have shape \(40,\).*, got "
WRONG = {
    "NaN": (with_first(np.nan), "sample_weight must be finite"),
    "infinity": (with_first(np.inf), "sample_weight must be finite"),
    "None": (with_first(None, object), "sample_weight must be finite"),
    "NA": (pd.Series(with_first(1)).astype("Int64").mask(X[:, 0] > 0), "must be finite"),
    "masked": (np.ma.array(ONES, mask=X[:, 0] > 0), "sample_weight must be finite"),
    "negative": (with_first(-1), "sample_weight must be non-negative, got a minimum of -1"),
    "zero": (0 * ONES, "sample_weight is 0 for every row"),
    "short": (ONES[1:], SHAPE + r"\(39,\)"),
    "3-D": (np.ones((N, 2, 1)), SHAPE + r"\(40, 2, 1\)"),
    "number": (2.0, SHAPE + r"\(\)"),
    "complex": (ONES + 1j, NUMBERS + "got ndarray: .*complex128"),
    "text": (["1"] * N, NUMBERS + "got list: .*<U1"),
    "mixed": (np.array([1, "1"] * (N // 2), dtype=object), NUMBERS + "got ndarray"),
    "dates": (np.zeros(N, "M8[D]"), NUMBERS + "got ndarray: .*datetime64"),
    "name": ("balanced", NUMBERS + "got 'balanced'"),
    "dict": ({0: 1.0}, NUMBERS + "got {0: 1.0}"),
    "generator": ((w for w in ONES), NUMBERS + r"got generator: give list\(sample_weight\)"),
    "sparse": (sp.csr_array(np.ones((N, 2))), r"got csr_array: give sample_weight.toarray\(\)"),
}


@EVERY
@pytest.mark.parametrize("weight, message", WRONG.values(), ids=list(WRONG))
def test_what_is_no_weight_is_refused_before_training(take, weight, message):
    with pytest.raises(ValueError, match=message) as caught:
        take(weight)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("size", [1e308, 5e-324])
def test_only_ratios_matter_where_weights_are_scaled(size):
    wanted = net().fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(net().fit(X, Y, size * ONES).predict_proba(X), wanted)
    np.testing.assert_array_equal(net().fit(X, Y, size * np.ones(Y.shape)).predict_proba(X), wanted)
    scaled = net().fit(X, Y).fit_decoder(X, Y, "global_threshold", sample_weight=size * ONES)
    plain = net().fit(X, Y).fit_decoder(X, Y, "global_threshold")
    assert scaled.decoder_.threshold_ == plain.decoder_.threshold_


@pytest.mark.filterwarnings("ignore:.*only positives or no positive")
def test_one_weight_beyond_all_others():
    assert np.isfinite(net().fit(X, Y, with_first(1e308)).predict_proba(X)).all()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in TAKERS
        if name not in ("net", "net of classes", "folds", "fit_decoder", "linear")
    ],
)
@pytest.mark.parametrize(
    "weight", [1e308, with_first(1e200), 5e-324], ids=["large", "one", "small"]
)
def test_weights_that_are_used_as_they_are_have_a_sum(name, weight):
    with pytest.raises(ValueError, match="sample_weight is used as it is.*divide it by its mean"):
        TAKERS[name](weight * ONES)


@pytest.mark.parametrize(
    "make", [list, tuple, pd.Series, lambda w: pd.DataFrame({"w": w}), lambda w: w.reshape(-1, 1),
             lambda w: w.astype(object), lambda w: np.ma.array(w)],
)  # fmt: skip
@pytest.mark.parametrize(
    "estimator",
    [
        net(),
        DecodedClassifierCV(FOREST, cv=2, random_state=0),
        SoftVotingClassifier([("a", FOREST)]),
        MultiLabelLogisticRegressionCV(cv=2, random_state=0),
    ],
    ids=["net", "decoded", "vote", "linear"],
)
def test_forms_of_weights(estimator, make):
    weight = np.arange(N) % 3.0
    wanted = estimator.fit(X, Y, sample_weight=weight).predict_proba(X)
    found = estimator.fit(X, Y, sample_weight=make(weight)).predict_proba(X)
    np.testing.assert_array_equal(found, wanted)
