"""Training of a search on folds that lack classes: their scores are joined by class."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:the training rows of some folds lack classes"),
]

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
NET = MultiLabelNetClassifier(
    hidden_layer_sizes=(4,), max_epochs=3, learning_rate=0.05, early_stopping=False, random_state=0
)


def search(cv, **params):
    defaults = dict(estimator=NET, losses=["bce", "softmax_ce"], cv=cv, random_state=0,
                    scoring="accuracy", error_score="raise", store_cv_results=True)  # fmt: skip
    return LossDecoderSearchCV(**(defaults | params))


def targets(*rare):
    """Return classes, two of which are frequent, and others in some rows."""
    y = np.where(X[:, 0] > 0, "b", "d").astype(object)
    for name, rows in rare:
        y[list(rows)] = name
    return y.astype(str)


CASES = {
    "one class in one test part": (targets(("a", [7])), PredefinedSplit(np.arange(60) % 3)),
    "last class": (targets(("e", [7])), PredefinedSplit(np.arange(60) % 3)),
    "two folds, two others of four": (
        targets(("a", [10, 20]), ("c", [11, 21])),
        PredefinedSplit(np.arange(60) % 2),
    ),
    "rows never tested": (targets(("c", [7])), PredefinedSplit(np.arange(60) % 4 - 1)),
    "repeated": (targets(("c", [7])), RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)),
    "single split": (targets(("c", [0])), [(np.arange(1, 50), np.r_[0, 50:60])]),
    "overlapping": (targets(("a", [3])), ShuffleSplit(3, test_size=0.4, random_state=0)),
}
# Where each fold trains on two of three classes, it trains a binary model.
BINARY = np.array(["a"] * 60)
BINARY[[10, 20]], BINARY[[11, 21]] = "b", "c"
CASES["binary models"] = BINARY, PredefinedSplit(np.arange(60) % 2)
CASES["a binary and a multi-class model"] = (
    np.where(np.arange(60) == 7, "c", np.where(X[:, 0] > 0, "a", "b")),
    PredefinedSplit(np.arange(60) % 3),
)


@pytest.mark.parametrize("name", [*CASES, "pipeline"])
def test_scores_are_those_of_cross_validation(name):
    estimator = make_pipeline(StandardScaler(), NET) if name == "pipeline" else NET
    y, cv = CASES.get(name, CASES["two folds, two others of four"])
    fitted = search(cv, estimator=estimator).fit(X, y)
    for row, params in enumerate(fitted.cv_results_["params"]):
        setting = {key: value for key, value in params.items() if key.endswith("loss")}
        model = clone(estimator).set_params(**setting)
        expected = cross_val_score(model, X, y, cv=cv, scoring="accuracy")
        scores = [fitted.cv_results_[f"split{k}_test_score"][row] for k in range(len(expected))]
        np.testing.assert_allclose(scores, expected)
    classes = np.unique(y)
    np.testing.assert_array_equal(fitted.classes_, classes)
    assert fitted.predict_proba(X).shape == (60, len(classes))
    assert fitted.best_estimator_.predict_proba(X).shape == (60, len(classes))


@pytest.mark.parametrize("y, cv", CASES.values(), ids=CASES)
def test_each_class_has_its_column(y, cv):
    fitted = search(cv, losses=["softmax_ce"]).fit(X, y)
    classes = np.unique(y)
    folds = list(cv) if isinstance(cv, list) else list(cv.split(X, y))
    total, times = np.zeros((60, len(classes))), np.zeros(60)
    for train, test in folds:
        model = clone(NET).set_params(loss="softmax_ce").fit(X[train], y[train])
        places = np.searchsorted(classes, model.classes_)
        total[test[:, None], places] += model.predict_proba(X[test])
        times[test] += 1
    tested = times > 0
    np.testing.assert_allclose(
        fitted.oof_scores_[0][tested], total[tested] / times[tested, None], atol=1e-5
    )
    assert np.isnan(fitted.oof_scores_[0][~tested]).all()
    assert (fitted.oof_scores_[0][tested] > 0).all()


def test_calibrations_are_fitted_on_joined_scores():
    y, cv = CASES["two folds, two others of four"]
    fitted = search(
        cv, calibrations=[None, "sigmoid"], scoring=["accuracy", "f1_macro"], refit="f1_macro"
    ).fit(X, y)
    assert not any(fitted.cv_results_["error"])
    assert np.isfinite(fitted.best_score_corrected_)
    calibrated = search(cv, calibrations=["sigmoid"]).fit(X, y)
    proba = calibrated.predict_proba(X)
    assert proba.shape == (60, 4)
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_without_refit_and_with_a_grid():
    y, cv = CASES["binary models"]
    fitted = search(
        cv, losses=["bce"], refit=False, param_grid={"max_epochs": [1, 2]}, n_jobs=1
    ).fit(X, y)
    grid = GridSearchCV(NET, {"max_epochs": [1, 2]}, cv=cv,
                        scoring="accuracy", refit=False).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(
        fitted.cv_results_["mean_test_score"], grid.cv_results_["mean_test_score"]
    )


def test_scores_that_are_cached(tmp_path):
    y, cv = CASES["a binary and a multi-class model"]
    plain = search(cv).fit(X, y)
    for _ in range(2):
        cached = search(cv, estimator=clone(NET).set_params(memory=str(tmp_path))).fit(X, y)
        np.testing.assert_array_equal(cached.oof_scores_, plain.oof_scores_)
