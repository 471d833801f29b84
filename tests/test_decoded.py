"""Decisions for any classifier: scores of every kind, folds, swaps, routing."""

import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    cross_val_predict,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    MultiLabelExtraTreesClassifier,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._data.responses import takes_many_labels
from sklearn_mlloss._decision.presets import PRESETS
from sklearn_mlloss.calibration import CALIBRATORS, BetaCalibrator, SigmoidCalibrator
from sklearn_mlloss.decoders import (
    DECODERS,
    Decoder,
    FixedThreshold,
    GlobalThreshold,
    PerLabelThreshold,
    RiskControl,
    get_decoder,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(150, 3)) > 0.7).astype(int)
CV = KFold(3)
LINEAR = OneVsRestClassifier(LogisticRegression())
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
BAGGED = dict(oob_score=True, bootstrap=True, random_state=0)


class Array3(ClassifierMixin, BaseEstimator):
    """Returns probabilities as boosting packages may: (n, n_labels, 2)."""

    def fit(self, X, y):
        self.inner_ = KNeighborsClassifier(5).fit(X, y)
        return self

    def predict_proba(self, X):
        return np.stack(self.inner_.predict_proba(X), axis=1)


class Counting(LogisticRegression):
    """Counts fits of all its clones."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        Counting.fits += 1
        return super().fit(X, y, sample_weight)


KINDS = {
    "forest": RandomForestClassifier(10, random_state=0),
    "extra trees": ExtraTreesClassifier(10, random_state=0),
    "neighbours": KNeighborsClassifier(5),
    "tree": TREE,
    "perceptron": MLPClassifier((8,), max_iter=50, random_state=0),
    "one-vs-rest": LINEAR,
    "chain": ClassifierChain(LogisticRegression()),
    "multi-output": MultiOutputClassifier(LogisticRegression()),
    "pipeline": make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)),
    "search": GridSearchCV(TREE, {"max_depth": [1, 3]}, cv=2),
    "boosting": Array3(),
    "svm": OneVsRestClassifier(LinearSVC()),
    "ridge": RidgeClassifier(),
    "net": MultiLabelNetClassifier(
        hidden_layer_sizes=(8,), max_epochs=5, random_state=0, device="cpu"
    ),
}


def make(estimator=LINEAR, decoder="global_threshold", **params):
    return DecodedClassifierCV(
        estimator, decoder, **(dict(cv=CV, ensemble=False, random_state=0) | params)
    )


def positives(proba):
    """Return what predict_proba gives as (n, n_labels)."""
    if isinstance(proba, list):
        return np.column_stack([p[:, 1] for p in proba])
    return proba[:, :, 1] if proba.ndim == 3 else proba


# ------------------------------------------------------------------ kinds of classifiers


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_classifiers(name, ensemble):
    clf = make(KINDS[name], ensemble=ensemble, store_cv_results=True).fit(X, Y)
    oof = np.empty(Y.shape)
    models = []
    for train, test in CV.split(X):
        model = clone(KINDS[name]).fit(X[train], Y[train])
        models.append(model)
        if name in ("svm", "ridge"):
            oof[test] = 1 / (1 + np.exp(-model.decision_function(X[test])))
        else:
            oof[test] = positives(model.predict_proba(X[test]))
    np.testing.assert_allclose(clf.oof_scores_, oof, atol=1e-7)
    by_hand = GlobalThreshold().fit(clf.oof_scores_, Y)
    assert clf.decoder_.threshold_ == by_hand.threshold_
    if not ensemble:
        models = [clone(KINDS[name]).fit(X, Y)]
    assert len(clf.estimators_) == len(models) and clf.estimator_ is clf.estimators_[0]
    if name in ("svm", "ridge"):
        scores = np.mean([1 / (1 + np.exp(-m.decision_function(X))) for m in models], axis=0)
        assert not hasattr(clf, "predict_proba") and not hasattr(clf, "predict_log_proba")
    else:
        scores = np.mean([positives(m.predict_proba(X)) for m in models], axis=0)
        np.testing.assert_allclose(clf.predict_proba(X), scores, atol=1e-12)
        np.testing.assert_allclose(clf.predict_log_proba(X), np.log(clf.predict_proba(X)))
    odds = clf.decision_function(X)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), scores, atol=1e-7)
    np.testing.assert_array_equal(clf.predict(X), by_hand.decode(1 / (1 + np.exp(-odds))))
    assert clf.predict(X).dtype == Y.dtype and f1_score(Y, clf.predict(X), average="micro") > 0.5


def test_out_of_fold_scores_are_those_of_cross_val_predict():
    clf = make(store_cv_results=True).fit(X, Y)
    expected = cross_val_predict(LINEAR, X, Y, cv=CV, method="predict_proba")
    np.testing.assert_array_equal(clf.oof_scores_, expected)


def test_a_row_that_is_in_several_test_parts_has_the_mean_of_their_scores():
    rows = np.arange(150)
    tests = [rows[:50], rows[30:60]]
    splits = [(np.setdiff1d(rows, test), test) for test in tests]
    clf = make(cv=splits, store_cv_results=True, ensemble=True).fit(X, Y)
    parts = [positives(model.predict_proba(X)) for model in clf.estimators_]
    expected = np.full(Y.shape, np.nan)
    expected[:30], expected[50:60] = parts[0][:30], parts[1][50:60]
    expected[30:50] = (parts[0] + parts[1])[30:50] / 2
    np.testing.assert_allclose(clf.oof_scores_, expected, atol=1e-12)


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("name", ["forest", "neighbours", "tree", "one-vs-rest"])
@pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")
@pytest.mark.filterwarnings("ignore:the training rows of some folds lack")
def test_a_label_that_is_constant_in_a_fold_has_its_constant(name, constant):
    other = Y.copy()
    train, test = next(CV.split(X))
    other[train, 1], other[test, 1] = constant, 1 - constant
    clf = make(KINDS[name], store_cv_results=True).fit(X, other)
    np.testing.assert_allclose(clf.oof_scores_[test, 1], constant, atol=1e-12)
    assert np.ptp(clf.oof_scores_[test, 0]) > 0


@pytest.mark.filterwarnings("ignore:the training rows of some folds lack")
def test_one_column_without_classes_is_refused():
    class Silent(Array3):
        def predict_proba(self, X):
            return self.inner_.predict_proba(X)

    other = Y.copy()
    other[next(CV.split(X))[0], 1] = 0
    with pytest.raises(ValueError, match="no classes_ to check"):
        make(Silent()).fit(X, other)
    make(Silent()).fit(X, Y)  # nothing to doubt otherwise


@pytest.mark.parametrize("name", ["forest", "one-vs-rest", "perceptron", "ridge", "net"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_one_label(name):
    column = Y[:, :1]
    clf = make(KINDS[name], store_cv_results=True).fit(X, column)
    assert clf.n_labels_ == 1 and clf.oof_scores_.shape == clf.predict(X).shape == (150, 1)
    assert f1_score(column, clf.predict(X)) > 0.5


def test_decisions_keep_their_order_where_the_sigmoid_saturates():
    class Far(BaseEstimator):
        def fit(self, X, y):
            return self

        def decision_function(self, X):
            return 50 + X[:, :3]

    clf = make(Far(), FixedThreshold(), response_method="decision_function").fit(X, Y)
    odds = clf.decision_function(X)
    assert all(len(np.unique(column)) == 150 for column in odds.T)
    np.testing.assert_array_equal(odds.argsort(0), X[:, :3].argsort(0))


def test_response_method_is_taken():
    clf = make(LINEAR, "threshold", response_method="decision_function").fit(X, Y)
    assert not hasattr(clf, "predict_proba") and hasattr(make(LINEAR), "predict_proba")
    assert not hasattr(make(LINEAR, response_method="decision_function"), "predict_proba")
    np.testing.assert_array_equal(clf.predict(X), clf.estimator_.decision_function(X) >= 0)
    clf = make(SVC(), "threshold").fit(X, Y[:, 0])
    np.testing.assert_array_equal(clf.predict(X), clf.estimator_.predict(X))


# ------------------------------------------------------------------ kinds of y


@pytest.mark.parametrize("ensemble", [True, False])
def test_binary_targets(ensemble):
    y = np.array(["no", "yes"])[Y[:, 0]]
    clf = make(LogisticRegression(), ensemble=ensemble, store_cv_results=True).fit(X, y)
    assert clf.classes_.tolist() == ["no", "yes"]
    assert clf.decoder_.threshold_ == GlobalThreshold().fit(clf.oof_scores_, Y[:, :1]).threshold_
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba.sum(1), 1)
    np.testing.assert_array_equal(clf.predict(X) == "yes", proba[:, 1] >= clf.decoder_.threshold_)
    np.testing.assert_array_equal(clf.decode(proba), clf.predict(X))
    assert clf.decision_function(X).shape == (150,)


@pytest.mark.parametrize("estimator", [LogisticRegression(), TREE, RidgeClassifier()], ids=str)
def test_multiclass_targets_take_the_largest_score(estimator):
    y = np.array(["b", "a", "c"])[Y.argmax(1)]
    with pytest.warns(UserWarning, match="decided by the largest score"):
        clf = make(estimator).fit(X, y)
    np.testing.assert_array_equal(clf.predict(X), clf.estimator_.predict(X))
    assert clf.decision_function(X).shape == (150, 3)
    with pytest.raises(ValueError, match="largest score"):
        clf.fit_decoder(X, y, "top_k")
    clf = make(estimator, "auto", calibration="sigmoid").fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X).sum(1), 1)
    assert clf.score(X, y) > 0.6


@pytest.mark.filterwarnings("ignore:the training rows of some folds lack")
def test_a_class_that_a_fold_lacks_has_score_zero():
    y = np.zeros(150, dtype=int)
    y[50:100], y[100:] = 1, 2
    clf = make(LogisticRegression(), "auto", store_cv_results=True).fit(X, y)
    for value in range(3):  # the folds are the classes
        np.testing.assert_allclose(clf.oof_scores_[y == value, value], 0, atol=1e-300)
    clf = make(LogisticRegression(), "auto", ensemble=True, calibration="sigmoid").fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()


def test_forms_of_an_indicator():
    expected = make().fit(X, Y).predict(X)
    for form in (sp.csr_matrix, sp.csc_array, sp.coo_matrix):
        predicted = make().fit(X, form(Y)).predict(X)
        assert sp.issparse(predicted)
        np.testing.assert_array_equal(predicted.toarray(), expected)
    frame = pd.DataFrame(Y.astype(bool), columns=["a", "b", "c"])
    rows = pd.DataFrame(X, columns=list("wxyz"))
    clf = make(KINDS["forest"]).fit(rows, frame)
    assert clf.label_names_.tolist() == ["a", "b", "c"] and clf.predict(rows).dtype == bool
    assert clf.feature_names_in_.tolist() == list("wxyz") and clf.n_features_in_ == 4
    np.testing.assert_array_equal(make().fit(X.tolist(), Y.tolist()).predict(X), expected)
    np.testing.assert_array_equal(make().fit(sp.csr_matrix(X), Y).predict(X), expected)


def test_labels_not_observed_are_left_out_of_the_decision():
    missing = Y.astype(float)
    missing[::7, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        make(TREE).fit(X, missing)
    fitted = clone(LINEAR).fit(X, Y)
    clf = make(fitted, "per_label_threshold", cv="prefit").fit(X, missing)
    by_hand = PerLabelThreshold().fit(fitted.predict_proba(X), missing)
    np.testing.assert_array_equal(clf.decoder_.thresholds_, by_hand.thresholds_)
    clf = make(KINDS["net"], cv=3).fit(X, missing)
    assert clf.predict(X).shape == Y.shape


# ------------------------------------------------------------------ folds


def test_without_anything_to_fit_the_estimator_is_fitted_once():
    Counting.fits = 0
    y = Y[:, 0]
    for ensemble in ("auto", False):
        make(Counting(), "threshold", ensemble=ensemble).fit(X, y)
    assert Counting.fits == 2
    make(Counting(), "threshold", store_cv_results=True).fit(X, y)
    assert Counting.fits == 2 + 4
    make(Counting(), ensemble=True).fit(X, y)
    assert Counting.fits == 2 + 4 + 3


@pytest.mark.parametrize("ensemble", [True, np.True_], ids=repr)
@pytest.mark.parametrize("decoder", ["threshold", "expected_fbeta", "top_k", "risk_control"])
def test_a_requested_ensemble_without_anything_to_fit(decoder, ensemble):
    clf = make(TREE, decoder, ensemble=ensemble).fit(X, Y)
    assert len(clf.estimators_) == 3 and not hasattr(clf, "oof_scores_")
    scores = np.mean([positives(m.predict_proba(X)) for m in clf.estimators_], axis=0)
    np.testing.assert_allclose(clf.predict_proba(X), scores, atol=1e-12)
    if decoder != "risk_control":  # whose rows are left out of the folds
        folds = [clone(TREE).fit(X[train], Y[train]) for train, _ in CV.split(X)]
        scores = np.mean([positives(m.predict_proba(X)) for m in folds], axis=0)
        np.testing.assert_allclose(clf.predict_proba(X), scores, atol=1e-12)
        by_hand = DECODERS[decoder]().fit(scores, Y)
        np.testing.assert_array_equal(clf.predict(X), by_hand.decode(clf.predict_proba(X)))


def test_a_number_of_folds_is_stratified_and_seeded():
    one, two = (make(TREE, cv=4, store_cv_results=True).fit(X, Y) for _ in range(2))
    np.testing.assert_array_equal(one.oof_scores_, two.oof_scores_)
    other = make(TREE, cv=4, store_cv_results=True, random_state=1).fit(X, Y)
    assert (one.oof_scores_ != other.oof_scores_).any()
    assert len(make(TREE, cv=None, ensemble=True).fit(X, Y).estimators_) == 5
    rare = Y.copy()
    rare[:, 2] = 0
    rare[[3, 60], 2] = 1  # fewer than folds
    make(TREE, cv=4).fit(X, rare)


def test_splits_of_any_kind():
    splits = list(CV.split(X))
    expected = make().fit(X, Y).decoder_.threshold_
    assert make(cv=splits).fit(X, Y).decoder_.threshold_ == expected
    masks = [(np.isin(range(150), a), np.isin(range(150), b)) for a, b in splits]
    assert make(cv=masks).fit(X, Y).decoder_.threshold_ == expected
    # One part held out: rows never tested have no score.
    cv = ShuffleSplit(1, test_size=0.3, random_state=0)
    clf = make(cv=cv, ensemble=True, store_cv_results=True).fit(X, Y)
    seen = ~np.isnan(clf.oof_scores_).any(1)
    assert seen.sum() == 45 and len(clf.estimators_) == 1
    by_hand = GlobalThreshold().fit(clf.oof_scores_[seen], Y[seen])
    assert clf.decoder_.threshold_ == by_hand.threshold_
    # Rows tested twice count twice.
    cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    clf = make(cv=cv).fit(X, Y)
    found = [(t, clone(LINEAR).fit(X[r], Y[r]).predict_proba(X[t])) for r, t in cv.split(X)]
    rows, scores = map(np.concatenate, zip(*found, strict=True))
    assert clf.decoder_.threshold_ == GlobalThreshold().fit(scores, Y[rows]).threshold_
    with pytest.raises(ValueError, match="without rows"):
        make(cv=[(np.arange(150), [])]).fit(X, Y)


@pytest.mark.parametrize("calibration", CALIBRATORS)
@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("estimator", [LINEAR, RidgeClassifier()], ids=["proba", "decision"])
def test_calibration_comes_before_the_decoder(calibration, ensemble, estimator):
    clf = make(estimator, calibration=calibration, ensemble=ensemble, store_cv_results=True)
    clf.fit(X, Y)
    calibrator = CALIBRATORS[calibration]().fit(clf.oof_scores_, Y)
    by_hand = GlobalThreshold().fit(calibrator.transform(clf.oof_scores_), Y)
    assert clf.decoder_.threshold_ == by_hand.threshold_
    proba = clf.predict_proba(X)
    assert 0 < proba.min() and proba.max() < 1
    np.testing.assert_array_equal(proba, calibrator.transform(clf._raw_scores(X)[0]))
    np.testing.assert_array_equal(clf.decode(proba), clf.predict(X))


@pytest.mark.parametrize("how", ["prefit", "frozen", "frozen, ensemble"])
def test_a_fitted_estimator_is_not_trained(how):
    fitted = MultiOutputClassifier(Counting()).fit(X[:75], Y[:75])
    Counting.fits = 0
    coefficients = fitted.estimators_[0].coef_.copy()
    params = dict(cv="prefit") if how == "prefit" else dict(ensemble="ensemble" in how)
    given = fitted if how == "prefit" else FrozenEstimator(fitted)
    clf = make(given, **params, calibration="sigmoid").fit(X[75:], Y[75:])
    assert Counting.fits == 0 and clf.estimators_ == [given]
    np.testing.assert_array_equal(fitted.estimators_[0].coef_, coefficients)
    scores = positives(fitted.predict_proba(X[75:]))
    calibrator = SigmoidCalibrator().fit(scores, Y[75:])
    by_hand = GlobalThreshold().fit(calibrator.transform(scores), Y[75:])
    assert clf.decoder_.threshold_ == by_hand.threshold_


def test_a_fitted_estimator_of_classes_that_are_not_all_there():
    y = np.array(["a", "b", "c"])[Y.argmax(1)]
    fitted = LogisticRegression().fit(X, y)
    some = y != "b"
    clf = make(fitted, "auto", cv="prefit").fit(X[some], y[some])
    np.testing.assert_array_equal(clf.predict(X), fitted.predict(X))


def test_rows_of_a_guarantee_are_used_for_nothing_else():
    Counting.fits = 0
    clf = make(MultiOutputClassifier(Counting()), "risk_control").fit(X, Y)
    assert Counting.fits == 3  # one model of three labels
    for params in (dict(ensemble=True), dict(ensemble=False), dict(cv=3)):
        seen = []

        class Spy(KNeighborsClassifier):
            def fit(self, X, y, seen=seen):
                seen.append(X)
                return super().fit(X, y)

        given = dict(calibration="sigmoid") | params
        clf = make(Spy(), RiskControl(0.3), **given).fit(X, Y)
        trained = np.unique(np.concatenate(seen), axis=0)
        assert len(trained) == 120
        own = ~(X[:, None] == trained).all(-1).any(1)
        by_hand = RiskControl(0.3).fit(clf.predict_proba(X[own]), Y[own])
        np.testing.assert_array_equal(clf.predict(X), by_hand.decode(clf.predict_proba(X)))
    # Nothing but the decoder learns: all rows are its own.
    fitted = clone(LINEAR).fit(X[:50], Y[:50])
    clf = make(fitted, RiskControl(0.3), cv="prefit").fit(X[50:], Y[50:])
    by_hand = RiskControl(0.3).fit(fitted.predict_proba(X[50:]), Y[50:])
    np.testing.assert_array_equal(clf.predict(X), by_hand.decode(fitted.predict_proba(X)))


def test_folds_in_two_processes_give_the_same():
    forest = KINDS["forest"]
    one, two = (make(forest, n_jobs=n, ensemble=True).fit(X, Y) for n in (1, 2))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert one.decoder_.threshold_ == two.decoder_.threshold_


def test_kernel_matrices_are_cut_along_both_axes():
    K, y = X @ X.T, Y[:, 0]
    clf = make(SVC(kernel="precomputed"), store_cv_results=True).fit(K, y)
    expected = make(SVC(kernel="linear"), store_cv_results=True).fit(X, y)
    np.testing.assert_allclose(clf.oof_scores_, expected.oof_scores_, atol=1e-3)
    with pytest.raises(ValueError, match="ensemble=False"):
        make(SVC(kernel="precomputed"), ensemble=True).fit(K, y)
    assert len(make(SVC(kernel="precomputed"), ensemble="auto").fit(K, y).estimators_) == 1
    assert len(make(SVC(), ensemble="auto").fit(X, y).estimators_) == 3


# ------------------------------------------------------------------ what suits a metric


@pytest.mark.parametrize("metric", PRESETS)
def test_decisions_for_a_metric(metric):
    clf = DecodedClassifierCV.for_metric(metric, TREE, random_state=0)
    preset = PRESETS[metric]
    assert clf.estimator is TREE and (clf.decoder, clf.cv) == (preset["decoder"], preset["cv"])
    assert clf.ensemble is True and clf.random_state == 0
    assert len(clf.fit(X, Y).estimators_) == preset["cv"]
    expected = get_decoder("per_label_threshold" if clf.decoder == "auto" else clf.decoder)
    assert type(clf.decoder_) is type(expected)


def test_what_is_given_besides_the_metric_takes_precedence():
    clf = DecodedClassifierCV.for_metric(
        "neg_hamming_loss", LINEAR, cv=CV, ensemble="auto", decoder="top_k", calibration="beta"
    )
    assert (clf.cv, clf.ensemble, clf.decoder, clf.calibration) == (CV, "auto", "top_k", "beta")
    with pytest.raises(ValueError, match="metric must be one of .*did you mean 'f1_macro'"):
        DecodedClassifierCV.for_metric("f1_makro")
    with pytest.raises(TypeError, match="folds"):
        DecodedClassifierCV.for_metric("f1_macro", folds=3)


@pytest.mark.parametrize(
    "metric", ["hamming_loss", "f1_macro", "neg_calibration_error", "macro_ap"]
)
def test_the_strongest_for_a_metric(metric):
    clf = DecodedClassifierCV.for_metric(metric, random_state=3, cv=2, store_cv_results=True)
    voting = clf.estimator
    assert isinstance(voting, SoftVotingClassifier) and clf.cv == "oof"
    assert voting.weights == (None if metric == "macro_ap" else "learned")
    names = ["net", "trees", "linear"][: 2 if metric == "macro_ap" else 3]
    assert [name for name, _ in voting.estimators] == names
    net, trees = voting.named_estimators.net, voting.named_estimators.trees
    assert isinstance(net, MultiLabelNetClassifier) and isinstance(trees, DecodedClassifierCV)
    forest = trees.estimator
    assert isinstance(forest, MultiLabelExtraTreesClassifier)
    assert net.random_state == trees.random_state == forest.random_state == clf.random_state == 3
    assert (forest.n_estimators, forest.max_leaf_nodes) == (50, 512)
    clf.set_params(
        estimator__net__max_epochs=3,
        estimator__net__device="cpu",
        estimator__trees__estimator__n_estimators=5,
    ).fit(X, Y)
    members = clf.estimator_.estimators_
    net, trees = members[:2]
    assert len(clf.estimators_) == 1 and len(net.nets_) == len(trees.estimators_) == 2
    given = MultiLabelNetClassifier.for_metric(metric)
    assert (net.loss, net.hidden_layer_sizes) == (given.loss, given.hidden_layer_sizes)
    assert (net.decoder, net.calibration) == ("auto", None)
    weights = clf.estimator_.weights_
    scores = np.average([m.predict_proba(X) for m in members], axis=0, weights=weights)
    np.testing.assert_array_equal(clf.oof_scores_, clf.estimator_.oof_scores_)
    oof = clf.oof_scores_
    assert (clf.calibrator_ is not None) == (metric == "neg_calibration_error")
    if clf.calibrator_ is not None:
        calibrator = BetaCalibrator().fit(oof, Y)
        scores, oof = calibrator.transform(scores), calibrator.transform(oof)
    np.testing.assert_allclose(clf.predict_proba(X), scores, atol=1e-12)
    by_hand = get_decoder("per_label_threshold" if clf.decoder == "auto" else clf.decoder)
    by_hand.fit(oof, Y)
    np.testing.assert_array_equal(clf.predict(X), by_hand.decode(clf.predict_proba(X)))
    np.testing.assert_array_equal(clone(clf).fit(X, Y).predict_proba(X), clf.predict_proba(X))


def test_what_is_given_for_the_strongest_is_of_its_members():
    clf = DecodedClassifierCV.for_metric("f1_micro", cv=CV, ensemble=False, n_jobs=2)
    net, trees, linear = (member for _, member in clf.estimator.estimators)
    for member in (net, trees):
        assert member.cv is CV and member.ensemble is False and member.n_jobs == 2
        assert member.random_state is None
    assert isinstance(linear, MultiLabelLogisticRegressionCV)
    assert linear.cv is CV and linear.store_cv_results and linear.random_state is None
    assert clf.cv == "oof" and clf.n_jobs is None
    members = DecodedClassifierCV.for_metric("f1_micro").estimator.estimators
    net, trees, linear = (member for _, member in members)
    assert net.cv == trees.cv == linear.cv == 10 and net.ensemble is trees.ensemble is True
    clf = DecodedClassifierCV.for_metric("ece", cv=None, ensemble="auto")
    net, trees, linear = (member for _, member in clf.estimator.estimators)
    assert net.cv == trees.cv == linear.cv == 5 and net.ensemble is True
    for cv in ("oof", "prefit"):
        with pytest.raises(ValueError, match=f"cv='{cv}' needs an estimator"):
            DecodedClassifierCV.for_metric("f1_macro", cv=cv)
    for cv in (ShuffleSplit(3), KFold(3, shuffle=True)):
        with pytest.raises(ValueError, match="give each member other folds: set its random_state"):
            DecodedClassifierCV.for_metric("f1_macro", cv=cv)
    for cv in (KFold(3), ShuffleSplit(3, random_state=0)):
        assert DecodedClassifierCV.for_metric("f1_macro", cv=cv).estimator.estimators[0][1].cv is cv
    with pytest.raises(ValueError, match="weights is for an estimator that is a list"):
        DecodedClassifierCV.for_metric("f1_micro", weights=[1, 1, 1]).fit(X, Y)
    clf = DecodedClassifierCV.for_metric("f1_micro", linear=False)
    assert [name for name, _ in clf.estimator.estimators] == ["net", "trees"]
    with pytest.raises(ValueError, match="linear must be True or False, got 'no'"):
        DecodedClassifierCV.for_metric("f1_micro", linear="no")
    bagged = RandomForestClassifier(40, **BAGGED)
    clf = DecodedClassifierCV.for_metric("f1_macro", bagged, cv="oof").fit(X, Y)
    assert clf.estimators_[0].n_estimators == 40


# ------------------------------------------------------------------ out-of-fold scores of its own


def own_folds(estimator=TREE, **params):
    given = dict(cv=3, ensemble=True, store_cv_results=True, random_state=0) | params
    return DecodedClassifierCV(estimator, "threshold", **given)


@pytest.mark.parametrize("calibration", [None, "sigmoid"])
def test_scores_that_the_estimator_has_kept(calibration):
    Counting.fits = 0
    inner = own_folds(MultiOutputClassifier(Counting()), calibration=calibration)
    weight = np.linspace(0, 2, len(Y))
    clf = make(inner, cv="oof", calibration="beta", store_cv_results=True)
    clf.fit(X, Y, sample_weight=weight)
    weight /= weight[weight > 0].mean()
    assert Counting.fits == 9  # three folds of three labels
    (model,) = clf.estimators_
    scores = model.oof_scores_
    if calibration is not None:
        scores = model.calibrator_.transform(scores)
    np.testing.assert_array_equal(clf.oof_scores_, scores)
    calibrator = BetaCalibrator().fit(scores, Y, weight)
    by_hand = GlobalThreshold().fit(calibrator.transform(scores), Y, weight)
    assert clf.decoder_.threshold_ == by_hand.threshold_
    expected = calibrator.transform(model.predict_proba(X))
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    np.testing.assert_array_equal(clf.predict(X), by_hand.decode(expected))


def test_a_network_with_its_own_folds():
    net = MultiLabelNetClassifier(
        hidden_layer_sizes=(8,), max_epochs=5, cv=3, store_cv_results=True, random_state=0,
        device="cpu", decoder="global_threshold",
    )  # fmt: skip
    clf = make(net, "global_threshold", cv="oof").fit(X, Y)
    alone = clone(net).fit(X, Y)
    assert clf.decoder_.threshold_ == alone.decoder_.threshold_
    np.testing.assert_array_equal(clf.predict(X), alone.predict(X))
    y = np.array(["a", "b", "c"])[Y.argmax(1)]
    net.set_params(decoder="auto")
    found = make(net, "auto", cv="oof").fit(X, y).predict(X)
    np.testing.assert_array_equal(found, clone(net).fit(X, y).predict(X))


def test_rows_that_no_fold_of_the_estimator_has_tested():
    some = [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(30))]
    clf = make(own_folds(cv=some), cv="oof", store_cv_results=True).fit(X, Y)
    scores = clf.estimator_.oof_scores_
    known = np.r_[:30, 100:150]
    assert np.isnan(clf.oof_scores_[30:100]).all()
    by_hand = GlobalThreshold().fit(scores[known], Y[known])
    assert clf.decoder_.threshold_ == by_hand.threshold_


def test_reserved_rows_are_kept_from_an_estimator_with_folds():
    seen = []

    class Spy(KNeighborsClassifier):
        def fit(self, X, y):
            seen.append(X)
            return super().fit(X, y)

    clf = make(own_folds(Spy()), RiskControl(0.3), cv="oof", calibration="sigmoid").fit(X, Y)
    trained = np.unique(np.concatenate(seen), axis=0)
    own = ~(X[:, None] == trained).all(-1).any(1)
    assert own.sum() == 30 and clf.estimator_.oof_scores_.shape == (120, 3)
    calibrator = SigmoidCalibrator().fit(clf.estimator_.oof_scores_, Y[~own])
    expected = calibrator.transform(clf.estimator_.predict_proba(X))
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    by_hand = RiskControl(0.3).fit(expected[own], Y[own])
    np.testing.assert_array_equal(clf.predict(X), by_hand.decode(expected))
    # Splits by number would mean other rows.
    numbered = own_folds(Spy(), cv=list(KFold(3).split(X)))
    with pytest.raises(ValueError, match="cv of estimator lists rows by number, .*RiskControl"):
        make(numbered, "risk_control", cv="oof", calibration="sigmoid").fit(X, Y)
    # Also where the decoder is all that learns.
    strongest = DecodedClassifierCV.for_metric(
        "f1_macro", cv=list(KFold(3).split(X)), decoder="risk_control"
    )
    with pytest.raises(ValueError, match="net__cv of estimator lists rows by number"):
        strongest.fit(X, Y)


def test_scores_of_classes_are_probabilities():
    y = np.array(["a", "b", "c"])[Y.argmax(1)]
    net = MultiLabelNetClassifier(
        "focal", hidden_layer_sizes=(8,), max_epochs=5, cv=3, store_cv_results=True,
        random_state=0, device="cpu",
    )  # fmt: skip
    clf = make(net, "auto", cv="oof", store_cv_results=True).fit(X, y)
    own = clf.estimator_.oof_scores_
    assert np.abs(own.sum(1) - 1).max() > 0.01
    np.testing.assert_allclose(clf.oof_scores_, own / own.sum(1, keepdims=True))


def test_groups_are_for_the_estimator_where_it_has_the_folds():
    groups = np.arange(150) // 5
    inner = own_folds(cv=GroupKFold(3))
    clf = make(inner, cv="oof", store_cv_results=True).fit(X, Y, groups=groups)
    expected = clone(inner).fit(X, Y, groups=groups).oof_scores_
    np.testing.assert_array_equal(clf.oof_scores_, expected)
    with pytest.raises(TypeError, match="groups"):
        make(TREE, "threshold", cv="oof").fit(X, Y, groups=groups)
    splits = list(GroupKFold(3).split(X, Y, groups))
    for cv in (splits, iter(splits)):
        clf = DecodedClassifierCV.for_metric("f1_macro", cv=cv, random_state=0)
        clf.set_params(
            estimator__net__max_epochs=2,
            estimator__net__early_stopping=False,
            estimator__net__device="cpu",
            estimator__trees__estimator__n_estimators=5,
        )
        net, trees, linear = clf.fit(X, Y).estimator_.estimators_
        assert len(net.nets_) == len(trees.estimators_) == 3
        alone = MultiLabelLogisticRegressionCV(cv=splits, store_cv_results=True).fit(X, Y)
        np.testing.assert_array_equal(linear.oof_scores_, alone.oof_scores_)


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
def test_out_of_bag_scores_of_a_forest(kind):
    forest = kind(60, **BAGGED)
    clf = make(forest, cv="oof", store_cv_results=True).fit(X, Y)
    scores = clone(forest).fit(X, Y).oob_decision_function_[:, 1, :].clip(1e-300, 1 - 1e-15)
    np.testing.assert_allclose(clf.oof_scores_, scores, rtol=0, atol=1e-12)
    by_hand = GlobalThreshold().fit(scores, Y)
    np.testing.assert_array_equal(clf.predict(X), by_hand.decode(clf.predict_proba(X)))
    one = Y[:, :1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        column = make(forest, cv="oof", store_cv_results=True).fit(X, one)
        flat = make(forest, cv="oof", store_cv_results=True).fit(X, one.ravel())
    np.testing.assert_array_equal(column.oof_scores_, flat.oof_scores_)
    assert column.predict(X).shape == (150, 1) and flat.predict(X).shape == (150,)


def test_out_of_bag_scores_of_classes():
    y = np.array(["a", "b", "c"])[Y.argmax(1)]
    bag = BaggingClassifier(LogisticRegression(), 40, **BAGGED)
    clf = make(bag, "auto", cv="oof", store_cv_results=True).fit(X, y)
    expected = clone(bag).fit(X, y).oob_decision_function_
    np.testing.assert_allclose(clf.oof_scores_, expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
@pytest.mark.parametrize("kind", [RandomForestClassifier, BaggingClassifier])
def test_rows_that_all_trees_have_drawn(kind):
    y = Y if kind is RandomForestClassifier else Y[:, 0]
    model = kind(n_estimators=4, **BAGGED)
    clf = make(model, cv="oof", store_cv_results=True).fit(X, y)
    values = clone(model).fit(X, y).oob_decision_function_
    sums = values.sum(axis=1).reshape(150, -1)[:, 0]
    drawn = np.isnan(sums) | (sums == 0)
    np.testing.assert_array_equal(np.isnan(clf.oof_scores_).all(axis=1), drawn)
    assert 10 < drawn.sum() < 60
    positive = values[:, 1] if values.ndim == 3 else values[:, 1:]
    matrix = Y[:, : positive.shape[1]]
    by_hand = GlobalThreshold().fit(positive[~drawn].clip(1e-300, 1 - 1e-15), matrix[~drawn])
    assert clf.decoder_.threshold_ == by_hand.threshold_


def test_no_scores_are_needed_without_anything_to_fit():
    clf = make(TREE, "threshold", cv="oof").fit(X, Y)
    np.testing.assert_array_equal(clf.predict(X), clone(TREE).fit(X, Y).predict(X))


@pytest.mark.parametrize(
    "params, match",
    [
        (dict(estimator=LINEAR), "OneVsRestClassifier keeps none: set store_cv_results=True"),
        (dict(estimator=own_folds(store_cv_results=False)), "store_cv_results=True"),
        (dict(estimator=own_folds(), ensemble=True), "with cv='oof' there are none"),
        (dict(estimator=own_folds(), ensemble=np.True_), "with cv='oof' there are none"),
        (
            dict(estimator=FrozenEstimator(own_folds().fit(X, Y))),
            "for a FrozenEstimator are others",
        ),
        (
            dict(estimator=SoftVotingClassifier([("a", own_folds()), ("b", TREE)])),
            "SoftVotingClassifier keeps none",
        ),
        (
            dict(
                estimator=SoftVotingClassifier(
                    [
                        ("a", own_folds(cv=[(np.arange(50), np.arange(50, 100))])),
                        ("b", own_folds(cv=[(np.arange(50), np.arange(100, 150))])),
                    ]
                )
            ),
            "SoftVotingClassifier keeps none",
        ),
        (
            dict(
                estimator=BaggingClassifier(LogisticRegression(), 40, oob_score=True),
                response_method="decision_function",
            ),
            "out-of-bag scores are those of predict_proba",
        ),
    ],
    ids=["none", "not stored", "folds", "folds, numpy", "frozen", "vote", "no rows", "method"],
)
def test_scores_that_the_estimator_has_not(params, match):
    clf = make(**params, cv="oof")
    y = Y[:, 0] if isinstance(params["estimator"], BaggingClassifier) else Y
    with pytest.raises(ValueError, match=match):
        clf.fit(X, y)
    assert not hasattr(clf, "estimators_")


def test_an_estimator_without_scores_is_not_trained():
    Counting.fits = 0
    with pytest.raises(ValueError, match="MultiOutputClassifier keeps none"):
        make(MultiOutputClassifier(Counting()), cv="oof").fit(X, Y)
    assert not Counting.fits


class AsMany(Decoder):
    """As many labels as are said to be there."""

    def _decode(self, scores, count):
        count = np.ones(len(scores)) if count is None else count
        return np.argsort(np.argsort(-scores)) < count[:, None]


def test_a_custom_decoder_may_use_counts():
    clf = make(decoder=AsMany()).fit(X, Y)
    count = np.arange(len(X)) % 4
    proba = clf.predict_proba(X)
    decided = clf.decode(proba, count)
    np.testing.assert_array_equal(decided.sum(axis=1), count)
    np.testing.assert_array_equal(decided[count == 1].argmax(axis=1), proba[count == 1].argmax(1))


# ------------------------------------------------------------------ swapping the decision


def test_replacing_the_decoder_trains_nothing():
    clf = make(MultiOutputClassifier(Counting()), ensemble=True).fit(X, Y)
    Counting.fits = 0
    new = X + 0.01
    before = clf.get_params()
    for name in DECODERS:
        if name != "hierarchy":
            assert clf.fit_decoder(new, Y, name).predict(X).shape == Y.shape
            assert isinstance(clf.decoder_, DECODERS[name])
    clf.fit_decoder(new, Y, "per_label_threshold", "beta")
    assert isinstance(clf.calibrator_, BetaCalibrator)
    calibrator = BetaCalibrator().fit(clf._raw_scores(new)[0], Y)
    by_hand = PerLabelThreshold().fit(calibrator.transform(clf._raw_scores(new)[0]), Y)
    np.testing.assert_array_equal(clf.decoder_.thresholds_, by_hand.thresholds_)
    predicted = clf.predict(X)
    np.testing.assert_array_equal(clf.fit_decoder(new, Y).predict(X), predicted)
    clf.fit_decoder(new, Y, calibration=None)
    assert clf.calibrator_ is None and isinstance(clf.decoder_, PerLabelThreshold)
    assert Counting.fits == 0 and clf.get_params() == before
    weight = np.arange(150) % 3.0
    clf.fit_decoder(new, Y, "global_threshold", sample_weight=weight)
    by_hand = GlobalThreshold().fit(clf._raw_scores(new)[0], Y, weight)
    assert clf.decoder_.threshold_ == by_hand.threshold_


def test_probabilities_come_and_go_with_the_calibration():
    clf = make(RidgeClassifier(), calibration="sigmoid")
    assert hasattr(clf, "predict_proba")
    clf.fit(X, Y).fit_decoder(X, Y, calibration=None)
    assert not hasattr(clf, "predict_proba")
    clf.fit_decoder(X, Y, calibration="sigmoid").predict_proba(X)


def test_a_decoder_of_probabilities_warns_of_decisions():
    with pytest.warns(UserWarning, match="takes scores for probabilities"):
        make(RidgeClassifier(), "expected_fbeta").fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(RidgeClassifier(), "threshold").fit(X, Y)  # where decision_function changes sign
        make(RidgeClassifier(), "expected_fbeta", calibration="sigmoid").fit(X, Y)
        make(LINEAR, "expected_fbeta").fit(X, Y)


def test_too_few_positives_are_reported():
    with pytest.warns(UserWarning, match="labels have too few positives among the 15 rows"):
        make(TREE, "per_label_threshold").fit(X[:15], Y[:15])


# ------------------------------------------------------------------ weights and routing


def test_weights_reach_estimator_calibration_and_decoder():
    weight = np.ones(150)
    weight[::2] = 3
    model = LogisticRegression()
    clf = make(model, store_cv_results=True, calibration="sigmoid")
    clf.fit(X, Y[:, 0], sample_weight=weight)
    oof = cross_val_predict(
        model, X, Y[:, 0], cv=CV, method="predict_proba", params={"sample_weight": weight}
    )
    np.testing.assert_array_equal(clf.oof_scores_[:, 0], oof[:, 1])
    scaled = weight / 2  # to mean 1
    calibrator = SigmoidCalibrator().fit(oof[:, 1:], Y[:, :1], scaled)
    by_hand = GlobalThreshold().fit(calibrator.transform(oof[:, 1:]), Y[:, :1], scaled)
    assert clf.decoder_.threshold_ == by_hand.threshold_
    final = clone(model).fit(X, Y[:, 0], weight)
    np.testing.assert_array_equal(clf.estimator_.coef_, final.coef_)


def test_weights_that_the_estimator_does_not_take_reach_the_decision():
    weight = np.arange(150) % 4.0
    with pytest.warns(UserWarning, match="takes no sample_weight"):
        clf = make(KINDS["neighbours"], store_cv_results=True).fit(X, Y, sample_weight=weight)
    by_hand = GlobalThreshold().fit(clf.oof_scores_, Y, weight)
    assert clf.decoder_.threshold_ == by_hand.threshold_


def test_routing():
    weight, groups = np.arange(150) % 4.0, np.arange(150) % 5
    with config_context(enable_metadata_routing=True):
        plain = make(LogisticRegression(), cv=GroupKFold(5), store_cv_results=True)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            plain.fit(X, Y[:, 0], sample_weight=weight, groups=groups)
        inner = LogisticRegression().set_fit_request(sample_weight=False)
        clf = make(inner, cv=GroupKFold(5), store_cv_results=True)
        clf.fit(X, Y[:, 0], sample_weight=weight, groups=groups)
    expected = cross_val_predict(
        inner, X, Y[:, 0], cv=GroupKFold(5), groups=groups, method="predict_proba"
    )
    np.testing.assert_array_equal(clf.oof_scores_[:, 0], expected[:, 1])
    by_hand = GlobalThreshold().fit(clf.oof_scores_, Y[:, :1], weight)
    assert clf.decoder_.threshold_ == by_hand.threshold_
    # Without routing, groups reach the splitter all the same.
    clf.fit(X, Y[:, 0], groups=groups)
    np.testing.assert_array_equal(clf.oof_scores_[:, 0], expected[:, 1])


def test_other_arguments_reach_the_estimator():
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    weight = np.arange(150) % 4.0
    clf = make(pipe, "threshold").fit(X, Y[:, 0], logisticregression__sample_weight=weight)
    expected = clone(pipe).fit(X, Y[:, 0], logisticregression__sample_weight=weight)
    np.testing.assert_array_equal(clf.predict(X), expected.predict(X))


# ------------------------------------------------------------------ tools of scikit-learn


def test_grid_search_over_decoders_and_parameters_of_the_tree():
    grid = [
        {"decoder": ["threshold", "global_threshold"], "estimator__max_depth": [1, 4]},
        {"decoder": ["per_label_threshold"], "decoder__beta": [0.5, 2.0]},
    ]
    search = GridSearchCV(make(TREE, cv=2), grid, scoring="f1_macro", cv=2, error_score="raise")
    pipe = make_pipeline(StandardScaler(), search).fit(X, Y)
    scores = pipe[-1].cv_results_["mean_test_score"]
    assert len(set(scores.round(6))) > 4 and np.isfinite(scores).all()
    assert pipe.predict(X).shape == Y.shape


def test_parameters_of_a_named_decoder_or_calibration():
    clf = DecodedClassifierCV(LINEAR).set_params(decoder__beta=2)
    assert isinstance(clf.decoder, PerLabelThreshold) and clf.decoder.beta == 2
    clf.set_params(decoder="threshold", decoder__threshold=0.3, estimator__estimator__C=2)
    assert clf.decoder.threshold == 0.3 and clf.estimator.estimator.C == 2
    clf.set_params(calibration="beta", calibration__min_positives=3)
    assert clf.calibration.min_positives == 3
    with pytest.raises(ValueError, match="alpha"):
        DecodedClassifierCV(LINEAR).set_params(decoder__alpha=2)
    LINEAR.set_params(estimator__C=1.0)


def test_copies(tmp_path):
    clf = make(KINDS["forest"], calibration="isotonic").fit(X, Y)
    loaded = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict(X), clf.predict(X))
    joblib.dump(clf, tmp_path / "clf.joblib")
    loaded = joblib.load(tmp_path / "clf.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    copy = clone(clf)
    assert not [name for name in vars(copy) if name.endswith("_")]
    np.testing.assert_array_equal(copy.fit(X, Y).predict_proba(X), clf.predict_proba(X))


def test_cross_val_predict_and_scorers():
    proba = cross_val_predict(make(), X, Y, cv=CV, method="predict_proba")
    assert proba.shape == Y.shape
    assert cross_val_predict(make(), X, Y, cv=CV, method="decision_function").shape == Y.shape


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "params, error, match",
    [
        (dict(estimator=StandardScaler()), TypeError, "estimator must be a classifier"),
        (dict(estimator=MultiOutputClassifier(LinearSVC())), TypeError, "decision_function"),
        (dict(estimator=TREE, response_method="decision_function"), TypeError, "estimator must"),
        (dict(response_method="predict"), ValueError, "response_method must be .* got 'predict'"),
        (dict(ensemble="yes"), ValueError, "ensemble must be True, False or 'auto', got 'yes'"),
        (dict(cv=1), ValueError, "cv must be at least 2"),
        (dict(cv="fitted"), ValueError, "'oof' or 'prefit', got 'fitted'"),
        (dict(store_cv_results=1), TypeError, "store_cv_results"),
        (dict(decoder="best"), ValueError, "unknown decoder 'best'"),
        (dict(calibration="platt"), ValueError, "unknown calibration 'platt'"),
        (dict(cv="prefit"), NotFittedError, "cv='prefit' needs an estimator that is fitted"),
        (dict(estimator=FrozenEstimator(TREE)), NotFittedError, "a FrozenEstimator needs"),
    ],
    ids=str,
)
def test_wrong_parameters_say_what_to_do(params, error, match):
    with pytest.raises(error, match=match):
        make(**params).fit(X, Y)


def test_scores_of_another_shape_are_refused():
    fitted = clone(LINEAR).fit(X, Y)
    with pytest.raises(ValueError, match=r"returned scores of shape \(150, 3\) for 2 labels"):
        make(fitted, cv="prefit").fit(X, Y[:, :2])

    y = np.arange(150) % 4
    with pytest.raises(ValueError, match="returned 6 columns for 4 classes"):
        make(SVC(decision_function_shape="ovo"), "auto").fit(X, y).predict(X)

    class Odd(KNeighborsClassifier):
        def predict_proba(self, X):
            return np.full((len(X), 3), 1.5)

    with pytest.raises(ValueError, match="no probabilities: use response_method"):
        make(Odd()).fit(X, Y)


def test_nothing_half_fitted_is_left():
    clf = make()
    with pytest.raises(NotFittedError):
        clf.predict(X)
    before = dict(vars(clf))
    with pytest.raises(ValueError):
        clf.fit(np.full_like(X, np.nan), Y)
    assert vars(clf) == before
    clf.fit(X, Y)
    before = dict(vars(clf))
    with pytest.raises(ValueError):
        clf.fit(np.full_like(X, np.nan), Y)
    with pytest.raises(ValueError, match="unknown decoder"):
        clf.fit_decoder(X, Y, "best")
    with pytest.raises(ValueError, match="columns"):
        clf.fit_decoder(X, Y[:, :2])
    assert vars(clf) == before
    with pytest.raises(ValueError, match="proba must have 3 columns, got 2"):
        clf.decode(np.zeros((4, 2)))


def test_the_estimator_given_is_not_touched():
    given = LogisticRegression()
    make(given).fit(X, Y[:, 0])
    assert not hasattr(given, "coef_")


def test_torch_and_forests_are_not_imported():
    code = """
import sys, warnings
import numpy as np, sklearn_mlloss
from sklearn.tree import DecisionTreeClassifier
warnings.simplefilter("ignore")
X = np.arange(40.0).reshape(20, 2)
clf = sklearn_mlloss.DecodedClassifierCV(DecisionTreeClassifier(), calibration="sigmoid")
clf.fit(X, (X > 20).astype(int)).fit_decoder(X, (X > 20).astype(int), "top_k").predict(X)
sklearn_mlloss.DecodedClassifierCV.for_metric("f1_micro", DecisionTreeClassifier())
names = ("torch", "skorch", "sklearn.ensemble", "sklearn_mlloss.decoded")
print(*[name for name in names if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["sklearn_mlloss.decoded"]


# ------------------------------------------------------------------ classifiers of one label


class Strict(LogisticRegression):
    """Accepts one label only, without a tag or a base class that declares it."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight)


class Untrained(LogisticRegression):
    """Must not be trained."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X, y):
        raise AssertionError("trained")


ONE_LABEL = [
    LogisticRegression(),
    GradientBoostingClassifier(n_estimators=2),
    SVC(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    make_pipeline(make_pipeline(LogisticRegression())),
    GridSearchCV(LogisticRegression(), {"C": [1, 2]}),
]
MANY_LABELS = [
    LINEAR,
    OneVsRestClassifier(LINEAR),
    MultiOutputClassifier(LogisticRegression()),
    ClassifierChain(LogisticRegression()),
    make_pipeline(StandardScaler(), LINEAR),
    GridSearchCV(LINEAR, {"estimator__C": [1, 2]}, error_score="raise"),
    TREE,
    KNeighborsClassifier(),
    RidgeClassifier(),
    KINDS["net"],
    Array3(),
    DecodedClassifierCV(LINEAR),
    SoftVotingClassifier([("tree", TREE)]),
]


@pytest.mark.parametrize("estimator", ONE_LABEL, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, sp.csr_matrix, np.ndarray.tolist])
def test_estimators_whose_tags_allow_one_label_only(estimator, kind):
    name = type(estimator).__name__
    match = rf"^{name} takes one label only, and y has 3: give .*=OneVsRestClassifier\({name}\("
    assert takes_many_labels(estimator) is False
    with pytest.raises(ValueError, match=match):
        make(estimator).fit(np.full_like(X, np.nan), kind(Y))
    vote = SoftVotingClassifier([("first", Untrained()), ("one", estimator)])
    if hasattr(estimator, "predict_proba"):
        with pytest.raises(ValueError, match=f"^{name} takes one label only") as caught:
            vote.fit(X, kind(Y))
        assert caught.value.__notes__ == ["This was raised by the member 'one'."]


@pytest.mark.parametrize("estimator", MANY_LABELS, ids=lambda e: type(e).__name__)
def test_errors_of_classifiers_of_many_labels_are_left_as_they_are(estimator):
    assert takes_many_labels(estimator) in (True, None)
    nothing = np.full((150, 4), np.inf)
    with pytest.raises(ValueError) as expected:
        clone(estimator).fit(nothing, Y)
    for clf in (make(estimator, n_jobs=None), SoftVotingClassifier([("one", estimator)])):
        if isinstance(clf, SoftVotingClassifier) and not hasattr(estimator, "predict_proba"):
            continue
        with pytest.raises(ValueError) as caught:
            clf.fit(nothing, Y)
        assert str(caught.value) == str(expected.value)
        notes = " ".join(getattr(caught.value, "__notes__", []))
        assert "constant" not in notes
        assert ("OneVsRest" in notes) == (type(estimator) is Array3)


def test_errors_of_estimators_without_such_tags_get_a_note():
    assert takes_many_labels(Strict()) is None
    assert takes_many_labels(StackingClassifier([("tree", TREE)], TREE)) is None
    for clf in (make(Strict()), SoftVotingClassifier([("a", Strict())])):
        with pytest.raises(ValueError, match="^y should be a 1d array") as caught:
            clf.fit(X, Y)
        assert "give OneVsRestClassifier(Strict(...))" in " ".join(caught.value.__notes__)
    make(Strict()).fit(X, Y[:, 0])
    with pytest.raises(ValueError) as caught:
        make(Strict(C=-1)).fit(X, Y[:, 0])
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.filterwarnings("ignore:the training rows of some folds lack")
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("kind", [MultiOutputClassifier, ClassifierChain])
def test_labels_that_a_classifier_refuses_are_named(kind, n_jobs):
    other = pd.DataFrame(Y, columns=["a", "b", "c"])
    other.loc[50:, "b"] = 0
    inner = kind(LogisticRegression())
    with pytest.raises(ValueError, match="^This solver needs samples of at least 2 cl") as caught:
        make(inner, n_jobs=n_jobs).fit(X, other)
    (note,) = caught.value.__notes__
    assert note.startswith("Label(s) 'b' are constant in the training rows of fold 0 of cv, which")
    other["b"] = 1
    with pytest.raises(ValueError, match="^This solver needs") as caught:
        make(inner, "threshold").fit(X, other)
    assert caught.value.__notes__[0].startswith("Label(s) 'b' are constant in the rows, which")
    with pytest.raises(ValueError, match="^This solver needs") as caught:
        SoftVotingClassifier([("linear", inner)]).fit(X, other)
    named, note = caught.value.__notes__
    assert "the member 'linear'" in named and "Label(s) 'b' are constant in y" in note


@pytest.mark.parametrize(
    "changed, note",
    [
        (
            {"X": pd.DataFrame(X, columns=list("abcd")).assign(color="red", size=2)},
            "Column(s) 'color' of X hold no numbers, which RandomForestClassifier may not take",
        ),
        ({"X": np.where(np.arange(4) == 2, "red", X.astype(object))}, "Column(s) 2 of X hold no"),
        ({"sample_weight": np.ones((150, 3))}, "sample_weight has one weight per row and label"),
        ({"y": np.where(np.arange(150)[:, None] == 7, np.nan, Y)}, "y has NaN, labels that were"),
        ({"y": 0.1 + 0.8 * Y}, "y has soft labels, which RandomForestClassifier may not take"),
    ],
    ids=["text", "objects", "weights", "missing", "soft"],
)
def test_what_a_classifier_of_scikit_learn_does_not_take_is_explained(changed, note):
    given = {"X": X, "y": Y} | changed
    forest = RandomForestClassifier(2, random_state=0)
    members = [("forest", forest), ("trees", MultiLabelExtraTreesClassifier(n_estimators=2))]
    for estimator in (forest, members):
        with pytest.raises(ValueError) as caught:
            DecodedClassifierCV.for_metric("f1_macro", estimator, cv=2).fit(**given)
        notes = [one for one in caught.value.__notes__ if one.startswith(note)]
        assert len(notes) == 1 and "for_metric(metric), without an estimator" in notes[0]


def test_one_column_is_one_label():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf = make(LogisticRegression()).fit(X, Y[:, :1])
    assert clf.predict(X).shape == (150, 1)
