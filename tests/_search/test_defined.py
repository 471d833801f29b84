"""Metrics that some test rows leave undefined: an average over the rest, or an early error."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    get_scorer,
    log_loss,
    make_scorer,
    roc_auc_score,
    top_k_accuracy_score,
)
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._data.targets import TargetCodec
from sklearn_mlloss._search import scoring as search_scoring
from sklearn_mlloss._search.defined import where_defined
from sklearn_mlloss._search.scored_rows import ScoredRows
from sklearn_mlloss.metrics import multilabel_scorers

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*label\\(s\\) have only positives or no positive"),
    pytest.mark.filterwarnings("ignore:the training rows of some folds lack"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def few_bootstraps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_scoring, "N_SLOW_BOOTSTRAPS", 4)
        yield


rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
ROWS = np.arange(60)
CV = PredefinedSplit(ROWS % 3)
# Fold 2 tests no positive of label 2; label 3 has one class only in each.
RARE = np.isin(ROWS, [30, 31])
Y = np.column_stack([X[:, :2] > 0, RARE, ROWS % 3 > 0]).astype(int)
ONE = Y[:, 2:3]
CLASSES = np.where(X[:, 0] > 0, "a", "b")
CLASSES[RARE] = "r"
NET = MultiLabelNetClassifier(
    hidden_layer_sizes=(4,), max_epochs=2, early_stopping=False, random_state=0
)


def search(**params):
    defaults = dict(estimator=NET, losses=["bce", "focal"], decoders=["threshold"], cv=CV,
                    random_state=0)  # fmt: skip
    return LossDecoderSearchCV(**(defaults | params))


def never(outputs, targets):
    raise AssertionError("trained")


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **kwargs)


# ------------------------------------------------------------------ averages over the rest


@pytest.mark.parametrize("error_score", [np.nan, "raise", 0])
@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_roc_auc_leaves_out_labels_of_one_class(average, error_score):
    names = list("pqrs")
    scoring = make_scorer(roc_auc_score, average=average, response_method="predict_proba")
    fitted = search(scoring=scoring, error_score=error_score)
    match = (
        r"leaves out labels .* \(fold 0: label 's'; fold 1: label 's'; fold 2: labels 'r', 's'\)"
    )
    with pytest.warns(UserWarning, match=match) as caught:
        fitted.fit(X, pd.DataFrame(Y, columns=names))
    assert {w.filename for w in caught if "leaves out" in str(w.message)} == {__file__}
    for k, (train, test) in enumerate(CV.split(X)):
        proba = clone(NET).fit(X[train], Y[train]).predict_proba(X[test])
        kept = [0, 1] if k == 2 else [0, 1, 2]
        expected = roc_auc_score(Y[test][:, kept], proba[:, kept], average=average)
        assert fitted.cv_results_[f"split{k}_test_score"][0] == pytest.approx(expected)
    assert np.isfinite(fitted.best_score_corrected_)


def test_average_precision_of_an_indicator_is_that_of_scikit_learn():
    with pytest.warns(
        UserWarning, match=r"counts labels without positives .* as 0, .* fold 2: label 2"
    ):
        fitted = search(scoring="average_precision").fit(X, Y)
    grid = quietly(
        GridSearchCV(NET, {"loss": ["bce", "focal"]}, cv=CV, scoring="average_precision").fit, X, Y
    )
    assert fitted.best_score_ == pytest.approx(grid.best_score_)


def response_to(y):
    targets = TargetCodec().fit(CLASSES if len(np.shape(y)) == 1 else y)
    scores = np.random.default_rng(1).dirichlet(np.ones(targets.n_labels_), len(y))
    return targets, ScoredRows(targets, scores, scores == scores.max(axis=1, keepdims=True))


def test_averages_over_the_classes_that_rows_have():
    y = CLASSES[~RARE]
    targets, response = response_to(y)
    proba, one_hot = response.predict_proba(None), y[:, None] == targets.classes_
    expected = {
        "roc_auc_ovr": np.mean([roc_auc_score(one_hot[:, j], proba[:, j]) for j in (0, 1)]),
        "roc_auc_ovr_weighted": roc_auc_score(
            one_hot[:, :2], proba[:, :2], average="weighted"
        ),
        "roc_auc_ovo": np.mean([
            roc_auc_score(one_hot[:, j], proba[:, j]) for j in (0, 1)
        ]),
        "neg_log_loss": -log_loss(y, proba, labels=targets.classes_),
        "neg_brier_score": -brier_score_loss(y, proba, labels=targets.classes_),
        "top_k_accuracy": top_k_accuracy_score(y, proba, labels=targets.classes_),
    }  # fmt: skip
    for name, value in expected.items():
        with pytest.raises(ValueError, match="class"):
            get_scorer(name)(response, None, y)
        score = where_defined(get_scorer(name), targets)(response, None, y)
        assert score == pytest.approx(value), name
    score = where_defined(get_scorer("average_precision"), targets)(response, None, y)
    scores = response.decision_function(None)
    parts = [average_precision_score(one_hot[:, j], scores[:, j]) for j in (0, 1)]
    assert score == pytest.approx(np.mean(parts))


def test_missing_labels_are_not_taken_for_negatives():
    targets, response = response_to(Y)
    missing = np.where(ROWS[:, None] == 5, np.nan, Y)
    with pytest.raises(ValueError, match="NaN"):
        quietly(where_defined(get_scorer("roc_auc"), targets), response, None, missing)


@pytest.mark.parametrize("y", [ONE, ONE[:, 0], CLASSES], ids=["one label", "binary", "classes"])
@pytest.mark.parametrize("scoring", ["neg_log_loss", "neg_brier_score", "top_k_accuracy"])
def test_proper_scores_know_all_classes(scoring, y):
    fitted = search(scoring=scoring, error_score="raise").fit(X, y)
    assert np.isfinite([fitted.best_score_, fitted.best_score_corrected_]).all()


@pytest.mark.parametrize("scoring", ["roc_auc_ovr", "roc_auc_ovo", "average_precision"])
def test_classes_that_are_left_out_are_named(scoring):
    match = rf"scoring='{scoring}' leaves out classes .* \(fold 2: class 'r'\)"
    with pytest.warns(UserWarning, match=match):
        fitted = search(scoring=scoring, error_score="raise").fit(X, CLASSES)
    assert np.isfinite(fitted.best_score_)


# ------------------------------------------------------------------ errors before training

NO_LABEL = r"not defined for labels with one class only .* \(fold 2: label 0\): use"
UNDEFINED = {
    "one label": ("roc_auc", ONE, f"scoring='roc_auc' is {NO_LABEL}"),
    "binary": ("roc_auc", ONE[:, 0], r"classes without test rows in a fold \(fold 2: class 1\)"),
    "no label": ("roc_auc", Y[:, 2:], r"labels with one class only .* \(fold 2: labels 0, 1\)"),
    "metric of this package": (multilabel_scorers()["macro_average_precision"], ONE, NO_LABEL),
    "raised": ("d2_log_loss_score", CLASSES, r"\(fold 2: class 'r'\) \(ValueError: y_true and"),
    "average": ("f1", Y, "scoring='f1' cannot score y: .* Target is multilabel.*use 'f1_macro'"),
    "samples": ("f1_samples", Y[:, :1], "cannot score y: ValueError: Samplewise metrics"),
    "several classes": ("roc_auc", CLASSES, "cannot score y: ValueError: multi_class must be in"),
    "missing labels": ("f1_macro", np.where(Y, Y, np.nan), r"y has NaN .*multilabel_scorers\(\)"),
    "soft labels": (None, 0.3 + 0.4 * Y, "scoring=None cannot score y: .*soft labels"),
    "of a dict": ({"auc": "roc_auc", "f1": "f1"}, ONE, rf"'auc' of scoring is {NO_LABEL}"),
    "of a list": (["f1_macro", "roc_auc"], ONE, rf"'roc_auc' of scoring is {NO_LABEL}"),
}  # fmt: skip


@pytest.mark.parametrize("error_score", [np.nan, "raise"])
@pytest.mark.parametrize("scoring, y, message", UNDEFINED.values(), ids=UNDEFINED)
def test_undefined_scores_raise_before_training(scoring, y, message, error_score):
    several = {"dict": "auc", "list": "roc_auc"}
    refit = several.get(type(scoring).__name__, True)
    fitted = search(losses={"never": never}, scoring=scoring, refit=refit, error_score=error_score)
    with pytest.raises(ValueError, match=message):
        fitted.fit(X, y)
    assert not hasattr(fitted, "n_splits_")


def test_scores_of_missing_labels_say_which_scorers_take_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = search(scoring="f1_micro").fit(X, Y)
    missing = np.where(ROWS[:, None] == 3, np.nan, Y)
    with pytest.raises(ValueError, match=r"contains NaN. y has NaN .*multilabel_scorers\(\)"):
        fitted.score(X, missing)
    assert fitted.score(X, Y.astype(float)) == fitted.score(X, Y)
    fitted.scorer_ = multilabel_scorers()["f1_micro"]
    assert 0 <= fitted.score(X, missing) <= 1


def test_undefined_metrics_that_do_not_choose_only_warn():
    fitted = search(scoring=["f1_macro", "roc_auc"], refit="f1_macro")
    with pytest.warns(UserWarning, match=rf"'roc_auc' of scoring is {NO_LABEL}"):
        fitted.fit(X, ONE)
    assert np.isfinite(fitted.best_score_)
    assert np.isnan(fitted.cv_results_["mean_test_roc_auc"]).all()
    with pytest.warns(UserWarning, match="'f1' of scoring cannot score y"):
        fitted = search(scoring=["f1_macro", "f1"], refit=False).fit(X, Y)
    assert np.isfinite(fitted.cv_results_["mean_test_f1_macro"]).all()


def test_a_score_for_folds_that_fail():
    with pytest.warns(UserWarning, match="d2_log_loss_score' is not defined for classes"):
        fitted = search(scoring="d2_log_loss_score", error_score=-9).fit(X, CLASSES)
    assert fitted.cv_results_["split2_test_score"].tolist() == [-9, -9]
    assert np.isfinite(fitted.best_score_) and fitted.cv_results_["split0_test_score"][0] > -9


# ------------------------------------------------------------------ custom metrics


def test_custom_metrics_are_not_called_before_training():
    calls = []

    def area(y, scores):
        calls.append(len(y))
        return 0.5

    scorer = make_scorer(area, response_method="predict_proba")
    with pytest.raises(AssertionError, match="trained"):
        search(losses={"never": never}, scoring=scorer, error_score="raise").fit(X, Y)
    assert not calls


@pytest.mark.parametrize("rule", ["best", "one_std_error"])
def test_nothing_is_lost_where_a_custom_metric_is_nan(rule):
    def custom(estimator, X, y):
        return np.nan if y[0, 0] else 0.5

    fitted = search(scoring=custom, rule=rule)
    with pytest.warns(
        UserWarning, match="not finite for any candidate.*the first candidate is taken"
    ):
        fitted.fit(X, Y)
    assert np.isnan(fitted.best_score_) and fitted.best_index_ == 0
    assert fitted.predict(X).shape == Y.shape
    assert "its score is not finite" in fitted.summary()
    assert (fitted.compare()["verdict"] == "failed").all()
    several = search(scoring={"custom": custom, "f1": "f1_macro"}, refit="f1").fit(X, Y)
    assert np.isfinite(several.best_score_)


def test_errors_after_training_have_a_reason():
    def wrong(estimator, X, y):
        raise RuntimeError("no such metric")

    for scorer, message in ((wrong, "2 times: fold 0: RuntimeError: no such metric"),
                         (lambda estimator, X, y: {}, "scoring returned no score")):  # fmt: skip
        with pytest.raises(ValueError, match=rf"{message}\nWith memory=... of the classifier"):
            search(scoring=scorer).fit(X, Y)
