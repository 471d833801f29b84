"""Rows, weights, groups and folds of a search are checked before anything is trained."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.metrics import multilabel_scorers

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
Y = (X[:, :2] > 0.3).astype(int)
ROWS = np.arange(40)
NET = MultiLabelNetClassifier(
    hidden_layer_sizes=(4,), max_epochs=1, early_stopping=False, random_state=0
)


def never(outputs, targets):
    raise AssertionError("trained")


def untrained(**params):
    """Return a search that fails if it trains anything."""
    defaults = dict(estimator=NET, losses={"never": never}, decoders=["threshold"], cv=2,
                    error_score="raise", random_state=0)  # fmt: skip
    return LossDecoderSearchCV(**(defaults | params))


@pytest.mark.parametrize("names", [["no", "yes"], [0, 1], ["a", "b", "c"]])
def test_a_fold_that_trains_on_one_class(names):
    y = np.array(names)[np.minimum(ROWS // 20, len(names) - 1)]
    y[39] = names[-1]
    halves = [(ROWS[:30], ROWS[30:]), (ROWS[:20], ROWS[20:])]
    with pytest.raises(ValueError, match=rf"fold 1 of cv have only 1 class, {names[0]!r}: use"):
        untrained(cv=halves).fit(X, y)


def test_classes_that_folds_do_not_train_on_are_named():
    y = np.where(X[:, 0] > 0, "a", "b")
    y[7] = "r"
    search = LossDecoderSearchCV(NET, ["bce"], cv=4, scoring="accuracy", random_state=0)
    with pytest.warns(UserWarning, match=r"lack classes, .* \(fold \d: class .r.\)") as caught:
        search.fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


W = rng.uniform(0.5, 2, 40)
WEIGHTS = {
    "text": ["a"] * 40,
    "negative": np.where(ROWS == 3, -1, W),
    "not finite": np.where(ROWS == 3, np.inf, W),
    "missing": np.where(ROWS == 3, np.nan, W),
    "masked": np.ma.masked_array(W, mask=ROWS == 3),
    "too short": W[1:],
    "too many labels": np.ones((40, 3)),
    "sparse": sp.csr_array(np.ones((40, 2))),
    "sparse column": sp.csr_matrix(W[:, None]),
    "all 0": np.zeros(40),
    "a number": 2.0,
    "an iterator": iter(W),
}


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_the_classifier_refuses_are_refused_before_training(weight):
    with pytest.raises(ValueError, match="^sample_weight ") as by_net:
        NET.fit(X, Y, weight)
    with pytest.raises(ValueError) as by_search:
        untrained().fit(X, Y, sample_weight=weight)
    assert str(by_search.value) == str(by_net.value)
    pipe = make_pipeline(StandardScaler(), NET)
    with pytest.raises(ValueError) as by_pipeline:
        untrained(estimator=pipe).fit(X, Y, multilabelnetclassifier__sample_weight=weight)
    assert str(by_pipeline.value) == str(by_net.value)


@pytest.mark.parametrize("weight", [np.ones((40, 2)), np.ones((40, 3))])
def test_weights_per_label_are_for_an_indicator(weight):
    y = np.array(["a", "b", "c"])[ROWS % 3]
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(40,\), got"):
        untrained(scoring="accuracy").fit(X, y, sample_weight=weight)


def test_weights_of_scorers_alone_are_checked_before_training():
    with config_context(enable_metadata_routing=True):
        scorer = get_scorer("roc_auc").set_score_request(sample_weight="importance")
        search = untrained(scoring={"auc": scorer, "f1": "f1_macro"}, refit="auc")
        with pytest.raises(ValueError, match="sample_weight must be non-negative"):
            search.fit(X, Y, importance=-W)


@pytest.mark.parametrize(
    "weight",
    [W.tolist(), tuple(W), pd.Series(W, index=-ROWS), pd.DataFrame(W), W[:, None]],
    ids=["list", "tuple", "Series", "DataFrame", "column"],
)
def test_forms_of_weights(weight):
    one, other = (
        search_of(["global_threshold"]).fit(X, Y, sample_weight=values) for values in (W, weight)
    )
    assert one.best_score_ == other.best_score_
    assert one.best_estimator_.decoder_.threshold_ == other.best_estimator_.decoder_.threshold_


def search_of(decoders, **params):
    defaults = dict(estimator=NET, losses=["bce"], decoders=decoders, cv=2, random_state=0)
    return LossDecoderSearchCV(**(defaults | params))


@pytest.mark.parametrize("per_label", [False, True])
@pytest.mark.parametrize("scale", [1 / 400, 1000])
def test_the_scale_of_weights_does_not_matter(scale, per_label):
    weight = np.column_stack([W, W[::-1]]) if per_label else W
    decoders = ["per_label_threshold", "global_threshold", "cardinality"]
    one, other = (
        search_of(decoders, calibrations=[None, "sigmoid"]).fit(X, Y, sample_weight=values)
        for values in (weight, scale * weight)
    )
    for name in ("mean_test_score", "split1_test_score"):
        np.testing.assert_allclose(one.cv_results_[name], other.cv_results_[name])
    assert one.best_index_ == other.best_index_
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-6)


def test_folds_without_weight_raise_before_training():
    halves = [(ROWS[:20], ROWS[20:]), (ROWS[20:], ROWS[:20])]
    for weight in (np.where(ROWS < 20, 0, W), np.where(ROWS < 20, 0, W)[:, None] * [1, 1]):
        with pytest.raises(ValueError, match="training rows of fold 0 of cv have sample_weight 0"):
            untrained(cv=halves).fit(X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match="training rows of fold 0 .* NaN in y"):
        untrained(cv=halves, scoring=multilabel_scorers()["f1_macro"]).fit(
            X, np.where(ROWS[:, None] < 20, np.nan, Y)
        )
    for scoring in ("accuracy", "roc_auc", "f1_macro"):
        with pytest.raises(ValueError, match="test rows of fold 0 of cv have sample_weight 0, so"):
            untrained(cv=[(ROWS, ROWS[20:])], scoring=scoring).fit(
                X, Y, sample_weight=np.where(ROWS < 20, W, 0)
            )


@pytest.mark.parametrize("groups", [ROWS[1:], np.ones((40, 2)), [None, *ROWS[1:]]])
def test_groups_are_checked_before_training(groups):
    with pytest.raises(ValueError, match="groups "):
        untrained().fit(X, Y, groups=groups)
