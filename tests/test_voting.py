"""The mean of probabilities: values, kinds of members and targets, parameters, errors."""

import pickle
import re
import subprocess
import sys
import traceback

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import ExtraTreesClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier, SoftVotingClassifier
from sklearn_mlloss._decision.members import least_log_loss
from sklearn_mlloss.decoders import GlobalThreshold

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(120, 3)) > 0.7).astype(int)
LINEAR = OneVsRestClassifier(LogisticRegression())
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
TREES = ExtraTreesClassifier(10, max_depth=4, random_state=0)
NEAR = KNeighborsClassifier(5)


class Array3(ClassifierMixin, BaseEstimator):
    """Returns probabilities as boosting packages may: (n, n_labels, 2)."""

    def fit(self, X, y):
        self.inner_ = KNeighborsClassifier(7).fit(X, y)
        return self

    def predict_proba(self, X):
        return np.stack(self.inner_.predict_proba(X), axis=1)


MEMBERS = {
    "linear": LINEAR,  # an array (n, L)
    "trees": TREES,  # a list of arrays (n, 2)
    "array3": Array3(),
    "pipeline": make_pipeline(StandardScaler(), TREE),
    "search": GridSearchCV(TREE, {"max_depth": [1, 3]}, cv=2),
    "net": MultiLabelNetClassifier(
        hidden_layer_sizes=(8,), max_epochs=5, random_state=0, device="cpu", early_stopping=False
    ),
}


def vote(*names, **params):
    return SoftVotingClassifier([(name, MEMBERS[name]) for name in names], **params)


def positives(proba):
    """Return what predict_proba gives for an indicator as (n, n_labels)."""
    if isinstance(proba, list):
        return np.column_stack([p[:, 1] for p in proba])
    return proba[:, :, 1] if proba.ndim == 3 else proba


def by_hand(names, X, Y, X_new, weights=None):
    found = [positives(clone(MEMBERS[name]).fit(X, Y).predict_proba(X_new)) for name in names]
    return np.average(found, axis=0, weights=weights)


# ------------------------------------------------------------------ values


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("weights", [None, [3, 1], np.array([0.0, 2.0])], ids=str)
@pytest.mark.parametrize("first", MEMBERS)
def test_the_mean_of_the_probabilities_of_any_members(first, weights):
    names = [first, "linear" if first == "trees" else "trees"]
    clf = vote(*names, weights=weights).fit(X[:80], Y[:80])
    expected = by_hand(names, X[:80], Y[:80], X[80:], weights)
    np.testing.assert_allclose(clf.predict_proba(X[80:]), expected, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(clf.predict(X[80:]), clf.predict_proba(X[80:]) > 0.5)
    assert clf.score(X[80:], Y[80:]) == accuracy_score(Y[80:], expected > 0.5)
    assert clf.weights_.sum() == 1 and len(clf.weights_) == len(clf.estimators_) == 2


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weights", [None, [1, 2, 0.5]], ids=str)
def test_one_dimensional_targets_as_in_scikit_learn(n_classes, weights):
    y = np.array(["b", "c", "a"])[Y[:, :2].sum(1) % n_classes]
    members = [("lr", LogisticRegression()), ("tree", TREE), ("nb", GaussianNB())]
    clf = SoftVotingClassifier(members, weights=weights).fit(X, y)
    theirs = VotingClassifier(members, voting="soft", weights=weights).fit(X, y)
    assert clf.classes_.tolist() == theirs.classes_.tolist() and clf.predict(X).dtype == y.dtype
    np.testing.assert_allclose(clf.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(clf.predict_proba(X).sum(1), 1)
    np.testing.assert_array_equal(clf.predict(X), theirs.predict(X))
    assert clf.n_labels_ == (1 if n_classes == 2 else 3)


def test_half_is_no_majority():
    class Sure(ClassifierMixin, BaseEstimator):
        def __init__(self, proba=0.0):
            self.proba = proba

        def fit(self, X, y):
            self.classes_ = np.tile([0, 1], (3, 1)) if np.ndim(y) == 2 else np.unique(y)
            self.shape_ = 3 if np.ndim(y) == 2 else 2
            return self

        def predict_proba(self, X):
            return np.full((len(X), self.shape_), self.proba)

    halves = SoftVotingClassifier([("no", Sure(0.25)), ("yes", Sure(0.75))])
    assert not halves.fit(X, Y).predict(X).any()
    assert (halves.fit(X, Y[:, 0]).predict(X) == 0).all()
    assert halves.set_params(weights=[1, 1.01]).fit(X, Y).predict(X).all()


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")
def test_a_label_that_is_constant_in_training(constant):
    other = Y.copy()
    other[:, 1] = constant
    clf = vote("trees", "linear").fit(X, other)
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba[:, 1], constant, atol=1e-12)
    np.testing.assert_array_equal(clf.predict(X)[:, 1], constant)
    trees = clf.named_estimators_.trees.predict_proba(X)
    linear = clf.named_estimators_.linear.predict_proba(X)
    np.testing.assert_allclose(proba[:, 0], (trees[0][:, 1] + linear[:, 0]) / 2, atol=1e-12)


def test_a_class_missing_in_the_training_of_a_member_has_probability_zero():
    y = Y[:, 0] + Y[:, 1]
    some = FrozenEstimator(clone(TREE).fit(X[y < 2], y[y < 2]))
    clf = SoftVotingClassifier([("some", some), ("all", TREE)]).fit(X, y)
    theirs = np.pad(some.predict_proba(X), [(0, 0), (0, 1)])
    expected = (theirs + clf.named_estimators_["all"].predict_proba(X)) / 2
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-12)
    assert clf.named_estimators_.some is some


def test_one_label():
    column = Y[:, :1]
    # A forest treats a column as a vector, with a warning.
    with pytest.warns(UserWarning, match="column-vector"):
        clf = vote("trees", "linear").fit(X, column)
    trees, linear = (m.predict_proba(X) for m in clf.estimators_)
    expected = (trees[:, 1] + linear.reshape(120, -1)[:, -1]) / 2
    np.testing.assert_allclose(clf.predict_proba(X), expected[:, None], atol=1e-12)
    assert clf.predict(X).shape == (120, 1)


# ------------------------------------------------------------------ X and y of any form


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_array], ids=str)
def test_sparse(form):
    clf = vote("trees", "linear")
    assert get_tags(clf).input_tags.sparse
    expected = clf.fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(clf.fit(form(X), Y).predict_proba(form(X)), expected, atol=1e-5)
    # y as well, where all take it.
    near = SoftVotingClassifier([("linear", LINEAR), ("same", LINEAR)]).fit(X, form(Y))
    assert sp.issparse(near.predict(X))
    np.testing.assert_array_equal(near.predict(X).toarray(), clone(LINEAR).fit(X, Y).predict(X))


def test_frames():
    rows = pd.DataFrame(X, columns=list("wxyz"))
    frame = pd.DataFrame(Y.astype(bool), columns=["a", "b", "c"])
    clf = vote("trees", "pipeline").fit(rows, frame)
    assert clf.label_names_.tolist() == ["a", "b", "c"] and clf.predict(rows).dtype == bool
    assert clf.feature_names_in_.tolist() == list("wxyz") and clf.n_features_in_ == 4
    expected = by_hand(["trees", "pipeline"], X, Y, X)
    np.testing.assert_allclose(clf.predict_proba(rows), expected, atol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(rows[list("zyxw")])
    clf.fit(X, Y)  # without names
    assert not hasattr(clf, "feature_names_in_") and clf.label_names_.tolist() == [0, 1, 2]


def test_tags_are_those_that_all_have():
    clf = SoftVotingClassifier([("trees", TREES), ("tree", TREE)])
    tags = get_tags(clf)
    assert tags.classifier_tags.multi_label and tags.input_tags.sparse and tags.input_tags.allow_nan
    tags = get_tags(SoftVotingClassifier([("trees", TREES), ("nb", GaussianNB())]))
    assert not tags.input_tags.sparse and not tags.input_tags.allow_nan
    missing = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    assert np.isfinite(clf.fit(missing, Y).predict_proba(missing)).all()


# ------------------------------------------------------------------ parameters


def test_nested_parameters_and_dropped_members():
    clf = vote("trees", "linear", "net", weights=[1, 2, 3])
    clf = clone(clf).set_params(trees__max_depth=2, linear__estimator__C=0.1, net="drop")
    assert clf.get_params()["trees__max_depth"] == 2 and clf.named_estimators["net"] == "drop"
    clf.fit(X, Y)
    assert list(clf.named_estimators_) == ["trees", "linear", "net"]
    assert clf.named_estimators_.net == "drop" and len(clf.estimators_) == 2
    trees, linear = (positives(m.predict_proba(X)) for m in clf.estimators_)
    np.testing.assert_allclose(clf.predict_proba(X), (trees + 2 * linear) / 3, atol=1e-12)
    assert clf.named_estimators_.linear.estimator.C == 0.1


def test_grid_search_over_members_and_weights():
    clf = clone(vote("trees", "linear"))
    grid = [
        {"trees__max_depth": [1, 4], "weights": [None, [1, 9]]},
        {"linear": ["drop", NEAR]},
    ]
    search = GridSearchCV(clf, grid, scoring="f1_micro", cv=3, error_score="raise").fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and len(set(scores.round(6))) == 6


def test_parameters_of_a_named_loss_of_a_member():
    clf = clone(vote("net", "trees")).set_params(net__loss="focal", net__loss__gamma=3)
    assert clf.named_estimators.net.loss.gamma == 3


def test_copies():
    clf = vote("trees", "linear", weights=[1, 2]).fit(X, Y)
    loaded = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    copy = clone(clf)
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert copy.named_estimators.trees is not TREES
    np.testing.assert_array_equal(copy.fit(X, Y).predict_proba(X), clf.predict_proba(X))
    assert not hasattr(TREES, "estimators_")  # what was given is not touched


def test_two_processes_give_the_same():
    one, two = (vote("trees", "linear", n_jobs=n).fit(X, Y).predict_proba(X) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_the_diagram_shows_the_members():
    diagram = vote("trees", "linear")._repr_html_()
    assert "ExtraTreesClassifier" in diagram and "OneVsRestClassifier" in diagram


# ------------------------------------------------------------------ with other tools


def test_in_a_pipeline_and_with_decisions():
    clf = clone(vote("trees", "linear"))
    pipe = make_pipeline(StandardScaler(), clf).fit(X, Y)
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_array_equal(pipe.predict(X), clone(clf).fit(scaled, Y).predict(scaled))
    cv = KFold(3)
    decoded = DecodedClassifierCV(clf, "global_threshold", cv=cv, store_cv_results=True).fit(X, Y)
    oof = cross_val_predict(clf, X, Y, cv=cv, method="predict_proba")
    np.testing.assert_allclose(decoded.oof_scores_, oof, atol=1e-12)
    assert decoded.decoder_.threshold_ == GlobalThreshold().fit(decoded.oof_scores_, Y).threshold_
    decoded.set_params(estimator__trees__max_depth=2, estimator__weights=[1, 3])
    assert decoded.fit(X, Y).estimator_.weights_.tolist() == [0.25, 0.75]
    assert decoded.estimator_.named_estimators_.trees.max_depth == 2


def test_weights_of_rows_reach_all_members():
    weight = np.arange(120) % 3.0
    clf = vote("trees", "net").fit(X, Y, sample_weight=weight)
    found = [
        positives(clone(MEMBERS[name]).fit(X, Y, sample_weight=weight).predict_proba(X))
        for name in ("trees", "net")
    ]
    np.testing.assert_allclose(clf.predict_proba(X), np.mean(found, axis=0), atol=1e-12)
    # A search hands them on.
    vote("trees", "search").fit(X, Y, sample_weight=weight)
    near = SoftVotingClassifier([("trees", TREES), ("near", NEAR)])
    with pytest.raises(TypeError, match="sample_weight was given, and the member 'near' takes"):
        near.fit(X, Y, sample_weight=weight)
    near.set_params(near="drop").fit(X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match="metadata_routing") as caught:
        vote("trees", "linear").fit(X, Y, sample_weight=weight)
    assert caught.value.__notes__ == ["This was raised by the member 'linear'."]
    with pytest.raises(TypeError, match="SoftVotingClassifier.fit.. got an .* argument 'depth'"):
        vote("trees").fit(X, Y, depth=3)


def test_routing():
    weight = np.arange(120) % 3.0
    y = Y[:, 0]
    with config_context(enable_metadata_routing=True):
        members = [("lr", LogisticRegression()), ("near", NEAR)]
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            SoftVotingClassifier(members).fit(X, y, sample_weight=weight)
        members[0] = ("lr", LogisticRegression().set_fit_request(sample_weight=True))
        clf = SoftVotingClassifier([*members, ("no", "drop")]).fit(X, y, sample_weight=weight)
        decoded = DecodedClassifierCV(clf, "threshold", ensemble=False)
        decoded.set_fit_request(sample_weight=False).fit(X, y, sample_weight=weight)
        assert not hasattr(clf, "set_fit_request")
    expected = LogisticRegression().fit(X, y, weight).coef_
    np.testing.assert_array_equal(clf.named_estimators_.lr.coef_, expected)
    np.testing.assert_array_equal(decoded.estimator_.named_estimators_.lr.coef_, expected)
    near = clone(NEAR).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(clf.named_estimators_.near.predict_proba(X), near)


# ------------------------------------------------------------------ weights that are learned


def cross_fitted(estimator, **params):
    given = dict(ensemble=True, store_cv_results=True, cv=3, random_state=0) | params
    return DecodedClassifierCV(estimator, "threshold", **given)


OF_FOLDS = {"linear": cross_fitted(LINEAR), "trees": cross_fitted(TREES, cv=4)}


def learned(members, **params):
    return SoftVotingClassifier([*members.items()], weights="learned", **params)


def log_loss_of_mean(shares, parts, Y, weight=1.0):
    mean = np.tensordot(shares, parts, 1).clip(1e-6, 1 - 1e-6)
    return -np.nanmean(weight * (Y * np.log(mean) + (1 - Y) * np.log1p(-mean)))


def best_share(parts, Y, weight=1.0):
    """Return the first of two weights by trying a thousand of them."""
    grid = np.linspace(0, 1, 1001)
    return grid[np.argmin([log_loss_of_mean([a, 1 - a], parts, Y, weight) for a in grid])]


@pytest.mark.parametrize("weighted", [False, True])
def test_learned_weights_have_the_least_log_loss(weighted):
    weight = rng.uniform(0, 2, len(Y)) ** 3 if weighted else None
    # A linear model would need routing to take weights, and is as good as these tables are made.
    members = {"trees": OF_FOLDS["trees"], "tree": cross_fitted(TREE)}
    clf = learned(members).fit(X, Y, sample_weight=weight)
    parts = np.stack([model.oof_scores_ for model in clf.estimators_])
    share = best_share(parts, Y, 1.0 if weight is None else weight[:, None])
    assert 0.05 < share < 0.95 and abs(clf.weights_[0] - share) < 2e-3
    assert clf.weights_.sum() == pytest.approx(1)
    mean = np.average(parts, axis=0, weights=clf.weights_)
    np.testing.assert_allclose(clf.oof_scores_, mean, atol=1e-12)
    found = [model.predict_proba(X) for model in clf.estimators_]
    expected = np.average(found, axis=0, weights=clf.weights_)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-12)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_array_equal(clone(clf).fit(X, Y, weight).weights_, clf.weights_)


def test_three_weights_against_a_grid():
    members = OF_FOLDS | {"near": cross_fitted(NEAR)}
    clf = learned(members).fit(X, Y)
    parts = np.stack([model.oof_scores_ for model in clf.estimators_])
    least = min(
        log_loss_of_mean([a, b, 1 - a - b], parts, Y)
        for a in np.linspace(0, 1, 51)
        for b in np.linspace(0, 1 - a, 51)
    )
    assert log_loss_of_mean(clf.weights_, parts, Y) <= least + 1e-9


def test_a_member_that_knows_nothing_gets_no_weight():
    class Noise(KNeighborsClassifier):
        def predict_proba(self, X):
            return np.random.default_rng(len(X)).uniform(size=(len(X), 3))

    clf = learned(OF_FOLDS | {"noise": cross_fitted(Noise())}).fit(X, Y)
    assert clf.weights_[2] < 0.02 and (clf.weights_ >= 0).all()
    alone = learned({"noise": cross_fitted(Noise())}).fit(X, Y)
    assert alone.weights_.tolist() == [1.0]
    alike = learned({"one": cross_fitted(LINEAR), "two": cross_fitted(LINEAR)}).fit(X, Y)
    np.testing.assert_allclose(alike.weights_, 0.5)


@pytest.mark.filterwarnings("ignore:.*decided by the largest score")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_learned_weights_of_classes(n_classes):
    y = np.array(["b", "c", "a"])[Y[:, :2].sum(1) % n_classes]
    members = {"lr": cross_fitted(LogisticRegression()), "nb": cross_fitted(GaussianNB())}
    clf = learned(members).fit(X, y)
    parts = np.stack([model.oof_scores_ for model in clf.estimators_])
    target = y[:, None] == clf.classes_[-clf.n_labels_ :]
    assert abs(clf.weights_[0] - best_share(parts, target)) < 2e-3
    np.testing.assert_allclose(clf.predict_proba(X).sum(1), 1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_votes_of_votes_networks_and_rows_without_scores():
    some = [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(20, 60))]
    net = MultiLabelNetClassifier(
        hidden_layer_sizes=(8,), max_epochs=5, cv=some, store_cv_results=True,
        random_state=0, device="cpu", calibration="sigmoid", linear_part=False,
    )  # fmt: skip
    inner = learned(OF_FOLDS | {"no": "drop"})
    clf = SoftVotingClassifier([("net", net), ("vote", inner)], weights="learned").fit(X, Y)
    fitted, vote = clf.estimators_
    assert np.isnan(clf.oof_scores_[:20]).all() and not np.isnan(clf.oof_scores_[20:]).any()
    parts = fitted.calibrator_.transform(fitted.oof_scores_[20:]), vote.oof_scores_[20:]
    assert abs(clf.weights_[0] - best_share(np.stack(parts), Y[20:])) < 2e-3
    mean = np.average(parts, axis=0, weights=clf.weights_)
    np.testing.assert_allclose(clf.oof_scores_[20:], mean, atol=1e-12)
    # What is not observed is no evidence.
    missing = Y.astype(float)
    missing[rng.random(Y.shape) < 0.3] = np.nan
    wide = clone(net).set_params(hidden_layer_sizes=(32,))
    clf = SoftVotingClassifier([("one", net), ("two", wide)], weights="learned").fit(X, missing)
    seen = np.flatnonzero(~np.isnan(missing).all(1) & (np.arange(120) >= 20))
    parts = [m.calibrator_.transform(m.oof_scores_[seen]) for m in clf.estimators_]
    assert abs(clf.weights_[0] - best_share(np.stack(parts), missing[seen])) < 2e-3


def test_out_of_bag_scores_of_a_forest():
    bagged = ExtraTreesClassifier(40, bootstrap=True, oob_score=True, random_state=0)
    clf = learned({"trees": bagged, "tree": cross_fitted(TREE)}).fit(X, Y)
    trees, tree = clf.estimators_
    parts = np.stack([trees.oob_decision_function_[:, 1], tree.oof_scores_])
    assert abs(clf.weights_[0] - best_share(parts, Y)) < 2e-3


def test_scores_that_not_all_members_keep():
    members = [("linear", OF_FOLDS["linear"]), ("trees", TREES)]
    clf = SoftVotingClassifier(members).fit(X, Y)
    assert not hasattr(clf, "oof_scores_")
    clf.set_params(trees=OF_FOLDS["trees"]).fit(X, Y)
    parts = [model.oof_scores_ for model in clf.estimators_]
    np.testing.assert_allclose(clf.oof_scores_, np.mean(parts, axis=0), atol=1e-12)
    assert not hasattr(clf.set_params(trees="drop", linear=LINEAR).fit(X, Y), "oof_scores_")


@pytest.mark.parametrize(
    "member, match",
    [
        (TREES, r"the member 'odd' keeps none, got ExtraTrees.* DecodedClassifierCV\(ExtraT"),
        (
            cross_fitted(TREES, store_cv_results=False),
            "(?s)'odd' .*: set its store_cv_results=True",
        ),
        (FrozenEstimator(clone(OF_FOLDS["trees"]).fit(X, Y)), "the member 'odd' keeps none"),
        (
            MultiLabelNetClassifier(max_epochs=1, early_stopping=False, store_cv_results=True),
            r"(?s)'odd' .* got MultiLabelNet.*: set its store_cv_results=True",
        ),
        (
            cross_fitted(TREES, cv=[(np.arange(80), np.arange(80, 120))]),
            "rows of weight above 0 that all members have out-of-fold scores of",
        ),
    ],
    ids=["plain", "not stored", "frozen", "no folds", "other rows"],
)
def test_members_that_weights_cannot_be_learned_for(member, match):
    first = cross_fitted(LINEAR, cv=[(np.arange(20, 120), np.arange(20))])
    clf = SoftVotingClassifier([("first", first), ("odd", member)], weights="learned")
    with pytest.raises(ValueError, match=match):
        clf.fit(X, Y)
    assert vars(clf).keys() == {"estimators", "weights", "n_jobs", "verbose"}


def test_what_weights_need_is_checked_before_training():
    class Untouched(DecodedClassifierCV):
        def fit(self, X, y, **params):
            raise AssertionError("trained")

    of_folds = Untouched(TREES, "threshold", store_cv_results=True)
    inner = SoftVotingClassifier([("a", of_folds), ("b", TREES)])
    for member in (TREES, inner):
        clf = SoftVotingClassifier([("of folds", of_folds), ("odd", member)], weights="learned")
        with pytest.raises(ValueError, match="the member 'odd' keeps none"):
            clf.fit(X, Y)
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        learned({"of folds": of_folds}).fit(X, Y, sample_weight=np.ones(len(Y) - 1))


def test_weights_of_labels_count_in_learned_weights():
    scores = [rng.uniform(0.1, 0.9, Y.shape) for _ in range(3)]
    weight = rng.uniform(0, 2, Y.shape) * (rng.random(Y.shape) < 0.8)
    without = np.where(weight > 0, Y, np.nan)
    found = least_log_loss(scores, Y.astype(float), weight)
    np.testing.assert_allclose(found, least_log_loss(scores, without, weight), atol=1e-6)
    once = np.broadcast_to(np.linspace(0, 1, len(Y))[:, None], Y.shape)
    by_rows = least_log_loss(scores, Y.astype(float), once[:, 0])
    np.testing.assert_allclose(least_log_loss(scores, Y.astype(float), once), by_rows, atol=1e-6)


def test_verbose_prints_names_and_seconds(capsys):
    vote("trees", "linear").set_params(verbose=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub("[0-9.]+ s", "0 s", line) for line in lines] == [
        "[SoftVotingClassifier] fitting trees: ExtraTreesClassifier",
        "[SoftVotingClassifier] fitted trees in 0 s",
        "[SoftVotingClassifier] fitting linear: OneVsRestClassifier",
        "[SoftVotingClassifier] fitted linear in 0 s",
    ]


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "params, error, match",
    [
        (dict(estimators=None), TypeError, "estimators must be a list of pairs .* NoneType"),
        (dict(estimators=[]), ValueError, r"estimators must be a list of pairs .* got \[\]"),
        (dict(estimators=[TREE]), ValueError, "estimators must be a list of pairs"),
        (dict(estimators=[("a", TREE, 1)]), ValueError, "estimators must be a list of pairs"),
        (dict(estimators=[("a", "drop")]), ValueError, "All estimators are dropped"),
        (dict(estimators=[("a", TREE), ("a", TREE)]), ValueError, "with different names"),
        (dict(estimators=[("weights", TREE)]), ValueError, "conflict.*weights"),
        (dict(estimators=[("a", DecisionTreeClassifier)]), TypeError, "instance"),
        (dict(estimators=[("a", 5)]), TypeError, "estimators must be a list of pairs"),
        (dict(estimators=[("a", StandardScaler())]), ValueError, "should be a classifier"),
        (dict(estimators=[("a", TREE), ("svm", LinearSVC())]), TypeError, "'svm' has none"),
        (dict(estimators=[("r", RidgeClassifier())]), TypeError, "estimators must have predict_p"),
        (dict(weights=[1]), ValueError, r"weights must be None, 'learned' or 2 .* got \[1\]"),
        (dict(weights=[1, -1]), ValueError, "weights must be None, 'learned' or 2 numbers >= 0"),
        (
            dict(weights=[1, np.nan]),
            ValueError,
            "weights must be None, 'learned' or 2 numbers >= 0",
        ),
        (dict(weights="ab"), ValueError, "weights must be None, 'learned' or 2 numbers >= 0"),
        (dict(weights=2), ValueError, "weights must be None, 'learned' or 2 numbers >= 0"),
        (dict(weights=[0, 0]), ValueError, "weights must be above 0"),
        (dict(n_jobs=0), ValueError, "n_jobs must be None"),
    ],
    ids=str,
)
def test_wrong_parameters_say_what_to_do(params, error, match):
    clf = SoftVotingClassifier(**(dict(estimators=[("a", TREE), ("b", TREES)]) | params))
    with pytest.raises(error, match=match):
        clf.fit(X, Y)
    assert vars(clf).keys() == {"estimators", "weights", "n_jobs", "verbose"}


def test_weights_of_dropped_members_do_not_count():
    clf = vote("trees", "linear", weights=[0, 1]).set_params(linear="drop")
    with pytest.raises(ValueError, match="above 0 for one of estimators .* not dropped"):
        clf.fit(X, Y)


@pytest.mark.parametrize(
    "y, match",
    [
        (Y + 1, "y must hold 0 and 1"),
        ([[0, 1], [2]] * 60, "MultiLabelBinarizer"),
        (np.zeros(120), "only 1 class"),
        (rng.normal(size=120), "continuous"),
        (None, "requires y"),
    ],
    ids=["classes", "sets", "one class", "regression", "none"],
)
def test_targets_that_are_none(y, match):
    with pytest.raises(ValueError, match=match):
        vote("trees", "linear").fit(X, y)


def test_a_member_that_fails_is_named():
    clf = SoftVotingClassifier([("trees", TREES), ("lr", LogisticRegression())])
    with pytest.raises(ValueError, match="1d array") as caught:
        clf.fit(X, Y)
    text = "".join(traceback.format_exception_only(caught.value))
    assert "by the member 'lr'" in text and "OneVsRestClassifier(LogisticRegression(" in text
    with pytest.raises(ValueError, match="NaN|missing") as caught:
        clf.fit(np.full_like(X, np.nan), Y[:, 0])
    assert "the member" in caught.value.__notes__[0]
    assert "OneVsRest" not in caught.value.__notes__[0]


def test_nothing_half_fitted_is_left():
    clf = SoftVotingClassifier([("trees", TREES), ("lr", LogisticRegression())])
    with pytest.raises(NotFittedError):
        clf.predict(X)
    before = dict(vars(clf))
    with pytest.raises(ValueError):
        clf.fit(X, Y)
    assert vars(clf) == before
    clf.fit(X, Y[:, 0])
    before = dict(vars(clf))
    with pytest.raises(ValueError):
        clf.fit(X, Y)
    assert vars(clf) == before


def test_torch_is_not_imported():
    code = """
import sys
import numpy as np, sklearn_mlloss
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier
X = np.arange(40.0).reshape(20, 2)
clf = sklearn_mlloss.SoftVotingClassifier(
    [("a", DecisionTreeClassifier()), ("b", ExtraTreesClassifier(5))]
)
clf.fit(X, (X > 20).astype(int)).predict(X)
decoded = sklearn_mlloss.DecodedClassifierCV(clf, "threshold").fit(X, (X > 20).astype(int))
print(*[name for name in ("torch", "skorch", "sklearn_mlloss.voting") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["sklearn_mlloss.voting"]


class Fixed(ClassifierMixin, BaseEstimator):
    """Returns fixed probabilities."""

    def __init__(self, proba):
        self.proba = proba

    def fit(self, X, y):
        self.classes_ = np.tile([0, 1], (y.shape[1], 1))
        return self

    def predict_proba(self, X):
        return self.proba


@pytest.mark.parametrize(
    "proba, message",
    [
        (np.where(np.eye(120, 3), np.nan, 0.5), "Fixed returned NaN for 3 of 120 rows"),
        (np.full((7, 3), 0.5), "Fixed returned 7 rows for 120 rows of X"),
    ],
    ids=["NaN", "rows"],
)
def test_scores_of_a_member_that_are_none(proba, message):
    one = Fixed(proba).fit(X, Y)
    decoded = DecodedClassifierCV(one, "threshold", cv="prefit")
    for clf in (SoftVotingClassifier([("one", one)]), decoded):
        with pytest.raises(ValueError, match=message):
            clf.fit(X, Y).predict(X)


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
def test_a_member_that_takes_no_sparse_labels(kind):
    with pytest.raises(ValueError, match=r"takes the columns of a sparse y.*give y.toarray\(\)"):
        SoftVotingClassifier([("near", KNeighborsClassifier())]).fit(X, kind(Y)).predict(X)
