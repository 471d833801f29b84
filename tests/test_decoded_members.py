"""DecodedClassifierCV around several classifiers: the mean of members on the same folds."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier, SoftVotingClassifier
from sklearn_mlloss._decision.members import least_log_loss
from sklearn_mlloss.calibration import SigmoidCalibrator
from sklearn_mlloss.decoders import GlobalThreshold, RiskControl

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(150, 3)) > 0.7).astype(int)
WEIGHT = rng.uniform(0.5, 2, 150)
CV = KFold(3, shuffle=True, random_state=0)
TREES = ExtraTreesClassifier(10, max_depth=4, random_state=0)
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
LINEAR = OneVsRestClassifier(LogisticRegression())
MEMBERS = [("trees", TREES), ("tree", TREE)]


def make(members=None, decoder="global_threshold", **params):
    defaults = dict(cv=CV, random_state=0, store_cv_results=True)
    return DecodedClassifierCV(members or MEMBERS, decoder, **(defaults | params))


def positives(proba):
    return np.column_stack([p[:, 1] for p in proba]) if isinstance(proba, list) else proba


def scores_of(members, X_train, Y_train, X_test, **params):
    """Return the scores of each member, shape (n_members, n_test, n_labels)."""
    return np.stack(
        [
            positives(clone(member).fit(X_train, Y_train, **params).predict_proba(X_test))
            for _, member in members
        ]
    )


def out_of_fold(members, weight=None):
    found = np.empty((len(members), *Y.shape))
    for train, test in CV.split(X):
        params = {} if weight is None else {"sample_weight": weight[train]}
        found[:, test] = scores_of(members, X[train], Y[train], X[test], **params)
    return found


def shares_by_hand(weights, parts, weight=None):
    if isinstance(weights, str):
        return least_log_loss(list(parts), Y, weight)
    weights = np.ones(len(parts)) if weights is None else np.asarray(weights, float)
    return weights / weights.sum()


# ------------------------------------------------------------------ values


@pytest.mark.parametrize("weights", [None, [3, 1], "learned"], ids=str)
@pytest.mark.parametrize("ensemble", [True, False, "auto"])
@pytest.mark.parametrize("calibration", [None, "sigmoid"])
def test_the_weighted_mean_of_the_members_on_the_same_folds(weights, ensemble, calibration):
    clf = make(weights=weights, ensemble=ensemble, calibration=calibration).fit(X, Y)
    parts = out_of_fold(MEMBERS)
    shares = shares_by_hand(weights, parts)
    np.testing.assert_allclose(clf.weights_, shares, atol=1e-12)
    scores = np.tensordot(shares, parts, 1)
    np.testing.assert_allclose(clf.oof_scores_, scores, atol=1e-12)
    models = CV.split(X) if ensemble else [(np.arange(150), None)]
    of_models = [scores_of(MEMBERS, X[train], Y[train], X) for train, _ in models]
    proba = np.mean([np.tensordot(shares, part, 1) for part in of_models], axis=0)
    scores = clf.oof_scores_
    if calibration is not None:
        calibrator = SigmoidCalibrator().fit(scores, Y)
        scores, proba = calibrator.transform(scores), calibrator.transform(proba)
    np.testing.assert_allclose(clf.predict_proba(X), proba, atol=1e-12)
    decoder = GlobalThreshold().fit(scores, Y)
    assert clf.decoder_.threshold_ == decoder.threshold_
    np.testing.assert_array_equal(clf.predict(X), decoder.decode(clf.predict_proba(X)))
    assert len(clf.estimators_) == (3 if ensemble else 1)
    for vote in clf.estimators_:
        np.testing.assert_array_equal(vote.weights_, clf.weights_)


@pytest.mark.parametrize("weights", [None, [1, 0.5]], ids=str)
def test_a_list_equals_soft_voting_as_estimator(weights):
    vote = SoftVotingClassifier(MEMBERS, weights=weights)
    one, two = (make(members, weights=w).fit(X, Y) for members, w in ((MEMBERS, weights),
                                                                      (vote, None)))  # fmt: skip
    np.testing.assert_array_equal(one.oof_scores_, two.oof_scores_)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert not hasattr(two, "weights_")


def test_learned_weights_equal_those_of_soft_voting_with_the_same_folds():
    of_folds = [
        (name, DecodedClassifierCV(member, "threshold", cv=CV, ensemble=True,
                                   store_cv_results=True))
        for name, member in MEMBERS
    ]  # fmt: skip
    vote = SoftVotingClassifier(of_folds, weights="learned").fit(X, Y)
    clf = make(weights="learned", ensemble=True).fit(X, Y)
    np.testing.assert_allclose(clf.weights_, vote.weights_, atol=1e-9)
    np.testing.assert_allclose(clf.predict_proba(X), vote.predict_proba(X), atol=1e-9)
    # Or of members that bring scores of their own.
    own = make(of_folds, weights="learned", cv="oof").fit(X, Y)
    np.testing.assert_allclose(own.weights_, vote.weights_, atol=1e-9)
    np.testing.assert_allclose(own.oof_scores_, vote.oof_scores_, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*decided by the largest score")
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weights", [None, "learned"])
def test_one_dimensional_targets(n_classes, weights):
    y = np.array(["b", "c", "a"])[Y[:, :2].sum(1) % n_classes]
    members = [("lr", LogisticRegression()), ("nb", GaussianNB())]
    clf = make(members, "auto", weights=weights, calibration="sigmoid").fit(X, y)
    assert clf.predict_proba(X).shape == (150, n_classes)
    np.testing.assert_allclose(clf.predict_proba(X).sum(1), 1)
    assert set(clf.predict(X)) <= set(y) and np.isclose(clf.weights_.sum(), 1)
    vote = make(SoftVotingClassifier(members, weights=clf.weights_), "auto").fit(X, y)
    np.testing.assert_allclose(clf.oof_scores_, vote.oof_scores_, atol=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks_among_the_members():
    net = MultiLabelNetClassifier(
        hidden_layer_sizes=(8,), max_epochs=5, random_state=0, device="cpu", early_stopping=False
    )
    missing = Y.astype(float)
    missing[::7, 0] = np.nan
    members = [("net", net), ("wide", clone(net).set_params(hidden_layer_sizes=(32,)))]
    clf = make(members, weights="learned").fit(X, missing)
    parts = [model.predict_proba(X) for model in clf.estimator_.estimators_]
    expected = np.average(parts, axis=0, weights=clf.weights_)
    np.testing.assert_allclose(clf.estimator_.predict_proba(X), expected, atol=1e-7)
    assert clf.set_params(net__loss="focal", net__loss__gamma=1).estimator[0][1].loss.gamma == 1


# ------------------------------------------------------------------ fitting


class Counting(DecisionTreeClassifier):
    """Counts how often it is fitted."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        Counting.fits += 1
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize(
    "params, fits",
    [
        (dict(ensemble=True), 3),
        (dict(ensemble=False), 4),
        (dict(decoder="threshold", store_cv_results=False), 1),
        (dict(decoder="threshold", store_cv_results=False, weights="learned"), 3),
    ],
    ids=str,
)
def test_each_member_is_fitted_once_per_fold(params, fits):
    Counting.fits = 0
    make([("one", Counting(max_depth=2)), ("two", TREE)], **params).fit(X, Y)
    assert Counting.fits == fits


@pytest.mark.parametrize("weights", [None, "learned"])
def test_two_processes_give_the_same(weights):
    one, two = (make(weights=weights, n_jobs=n, ensemble=False).fit(X, Y) for n in (1, 2))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    np.testing.assert_array_equal(one.weights_, two.weights_)


def test_members_of_a_distance_matrix():
    near = KNeighborsClassifier(7, metric="precomputed")
    distances = np.linalg.norm(X[:, None] - X, axis=2)
    clf = make([("near", near)]).fit(distances, Y)
    expected = make(near).fit(distances, Y)
    np.testing.assert_array_equal(clf.predict_proba(distances), expected.predict_proba(distances))
    np.testing.assert_array_equal(clf.oof_scores_, expected.oof_scores_)
    assert get_tags(clf).input_tags.pairwise and len(clf.estimators_) == 1
    learned = make([("near", near), ("tree", TREE)], weights="learned").fit(distances, Y)
    assert learned.weights_.shape == (2,)


def test_weights_of_rows_reach_members_weights_and_decision():
    clf = make(weights="learned").fit(X, Y, sample_weight=WEIGHT)
    parts = out_of_fold(MEMBERS, WEIGHT)
    scaled = WEIGHT / WEIGHT.mean()
    np.testing.assert_allclose(clf.weights_, least_log_loss(list(parts), Y, scaled), atol=1e-9)
    scores = np.tensordot(clf.weights_, parts, 1)
    np.testing.assert_allclose(clf.oof_scores_, scores, atol=1e-12)
    by_hand = GlobalThreshold().fit(clf.oof_scores_, Y, scaled)
    assert clf.decoder_.threshold_ == by_hand.threshold_
    with pytest.raises(TypeError, match="sample_weight was given, and the member 'near' takes"):
        make([*MEMBERS, ("near", KNeighborsClassifier())]).fit(X, Y, sample_weight=WEIGHT)


def test_groups_are_kept_together_for_all_members():
    seen = []

    class Spy(KNeighborsClassifier):
        def fit(self, X, y):
            seen.append(X[:, 0])
            return super().fit(X, y)

    groups = np.arange(150) // 5
    numbered = np.column_stack([groups, X])
    members = [("one", Spy()), ("two", Spy(3))]
    clf = make(members, cv=3, weights="learned", ensemble=True).fit(numbered, Y, groups=groups)
    assert len(seen) == 6 and np.isfinite(clf.oof_scores_).all()
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        np.testing.assert_array_equal(first, second)
        assert (np.unique(first, return_counts=True)[1] == 5).all()
    with pytest.raises(ValueError, match="one within estimator has cv=3|one.* has cv=3"):
        inner = DecodedClassifierCV(TREE, cv=3)
        make([("one", inner), ("two", TREE)]).fit(X, Y, groups=groups)


def test_reserved_rows_are_kept_from_members_and_weights():
    clf = make(decoder=RiskControl(0.3), weights="learned", calibration="sigmoid").fit(X, Y)
    kept = np.isnan(clf.oof_scores_).all(axis=1)
    assert kept.sum() == 30
    raw, _ = clf._raw_scores(X)
    calibrator = SigmoidCalibrator().fit(clf.oof_scores_[~kept], Y[~kept])
    by_hand = RiskControl(0.3).fit(calibrator.transform(raw[kept]), Y[kept])
    np.testing.assert_array_equal(clf.predict(X), by_hand.decode(calibrator.transform(raw)))


def test_replacing_the_decoder_trains_nothing():
    clf = make([("one", Counting(max_depth=2)), ("two", TREE)], weights="learned").fit(X, Y)
    Counting.fits = 0
    weights = clf.weights_
    clf.fit_decoder(X, Y, "top_k", "sigmoid")
    assert (clf.predict(X).sum(axis=1) == 1).all() and clf.weights_ is weights
    assert not Counting.fits


# ------------------------------------------------------------------ parameters


def test_parameters_of_members():
    clf = make()
    params = clf.get_params()
    assert params["trees"] is TREES and params["trees__max_depth"] == 4
    assert params["estimator"] is MEMBERS
    assert "trees" not in clf.get_params(deep=False)
    clf = clone(clf).set_params(trees__max_depth=2, tree=LINEAR, decoder__average="macro")
    assert clf.get_params()["trees__max_depth"] == 2 and TREES.max_depth == 4
    assert clf.estimator[1] == ("tree", LINEAR) and clf.decoder.average == "macro"
    clf.set_params(tree="drop").fit(X, Y)
    assert clf.weights_.tolist() == [1.0]
    assert clf.estimator_.named_estimators_.tree == "drop"
    clf.set_params(estimator=[("other", TREE)], other__max_depth=1)
    assert clf.estimator[0][1].max_depth == 1
    TREE.set_params(max_depth=3)
    # And back to a single one, whose parameters are those of the estimator.
    clf.set_params(estimator=clone(TREE), estimator__max_depth=5).fit(X, Y)
    assert clf.estimator_.max_depth == 5 and not hasattr(clf, "weights_")
    with pytest.raises(ValueError, match="depth"):
        make().set_params(trees__depth=3)
    with pytest.raises(ValueError, match="forest"):
        make().set_params(forest=TREE)


def test_grid_search_over_members_weights_and_decoders():
    grid = [
        {"trees__max_depth": [1, 4], "weights": [None, "learned"]},
        {"tree": ["drop", LINEAR], "decoder": ["threshold", "per_label_threshold"]},
    ]
    search = GridSearchCV(make(cv=2), grid, scoring="f1_micro", cv=2, error_score="raise")
    assert np.isfinite(search.fit(X, Y).cv_results_["mean_test_score"]).all()


def test_copies_and_what_is_shown():
    clf = make(weights="learned").fit(X, Y)
    loaded = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    copy = clone(clf)
    assert not [name for name in vars(copy) if name.endswith("_")]
    np.testing.assert_array_equal(copy.fit(X, Y).predict_proba(X), clf.predict_proba(X))
    assert not hasattr(TREES, "estimators_")
    assert "ExtraTreesClassifier" in make()._repr_html_()
    assert "DecisionTreeClassifier" in clf._repr_html_() and "\nweights " in clf.summary()
    assert "trees 1" in clf.set_params(tree="drop").fit(X, Y).summary()
    assert get_tags(clf).input_tags.sparse and get_tags(clf).classifier_tags.multi_label
    assert clf.n_features_in_ == 4


@pytest.mark.parametrize("params", [{"tree": "drop"}, {"estimator": TREE}], ids=str)
def test_the_summary_is_of_the_fitted_members(params):
    clf = make(weights="learned").fit(X, Y)
    expected = clf.summary()
    assert clf.set_params(**params).summary() == expected
    assert "\nweights " not in make(TREE).fit(X, Y).set_params(estimator=MEMBERS).summary()


def test_for_metric():
    clf = DecodedClassifierCV.for_metric("f1_micro", MEMBERS, weights="learned", cv=3)
    assert clf.decoder == "global_threshold" and clf.ensemble is True
    assert len(clf.fit(X, Y).estimators_) == 3


# ------------------------------------------------------------------ metadata


def test_routing():
    y, groups = Y[:, 0], np.arange(150) % 5
    members = [("lr", LogisticRegression()), ("near", KNeighborsClassifier())]
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            make(members).fit(X, y, sample_weight=WEIGHT)
        members[0] = ("lr", LogisticRegression().set_fit_request(sample_weight=True))
        clf = make(members, cv=GroupKFold(5), ensemble=False, weights="learned")
        clf.fit(X, y, sample_weight=WEIGHT, groups=groups)
    expected = LogisticRegression().fit(X, y, WEIGHT).coef_
    np.testing.assert_array_equal(clf.estimator_.named_estimators_.lr.coef_, expected)
    parts = np.empty((2, 150, 1))
    for train, test in GroupKFold(5).split(X, y, groups):
        lr = LogisticRegression().fit(X[train], y[train], WEIGHT[train])
        near = KNeighborsClassifier().fit(X[train], y[train])
        parts[:, test, 0] = [m.predict_proba(X[test])[:, 1] for m in (lr, near)]
    scores = np.tensordot(clf.weights_, parts, 1)
    np.testing.assert_allclose(clf.oof_scores_, scores, atol=1e-9)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "params, error, match",
    [
        (dict(estimator=[]), ValueError, r"estimator must be a list of pairs .* got \[\]"),
        (dict(estimator=[TREE]), ValueError, "estimator must be a list of pairs"),
        (dict(estimator=[("a", TREE), ("a", TREES)]), ValueError, "with different names"),
        (dict(estimator=[("cv", TREE)]), ValueError, "(?s)estimator must be .*conflict.*cv"),
        (dict(estimator=[("a__b", TREE)]), ValueError, "estimator must be .*must not contain __"),
        (dict(estimator=[("a", "drop")]), ValueError, "estimator must be .*are dropped"),
        (dict(estimator=[("a", DecisionTreeClassifier)]), TypeError, "'a' must be an instance"),
        (dict(estimator=[("a", TREE), ("b", None)]), TypeError, "'b' .*or 'drop' to .*, got None"),
        (dict(estimator=[("s", LinearSVC())]), TypeError, "estimator must have predict_proba, and"),
        (dict(estimator=(("a", TREE),)), TypeError, "or a list of pairs .name, classifier., got"),
        (dict(weights=[1]), ValueError, "weights must be .* 2 numbers >= 0, one for each of estim"),
        (dict(weights=[0, 0]), ValueError, "weights must be above 0 for one of estimator at least"),
        (dict(weights="best"), ValueError, "weights must be None, 'learned' or 2 numbers"),
        (dict(estimator=TREE, weights=[1]), ValueError, "weights is for an estimator that is a li"),
        (dict(cv="prefit"), ValueError, "cv='prefit' needs one fitted classifier, got estimator="),
        (dict(response_method="decision_function"), TypeError, "fit and decision_function"),
        (dict(cv="oof"), ValueError, "SoftVotingClassifier keeps none"),
    ],
    ids=str,
)
def test_wrong_parameters_say_what_to_do(params, error, match):
    clf = DecodedClassifierCV(**(dict(estimator=MEMBERS, decoder="global_threshold") | params))
    before = dict(vars(clf))
    with pytest.raises(error, match=match):
        clf.fit(X, Y)
    assert vars(clf) == before


def test_members_of_for_metric_are_dropped_by_a_word():
    clf = DecodedClassifierCV.for_metric("f1_macro", cv=2, max_epochs=1)
    with pytest.raises(TypeError, match="'linear' must be .*or 'drop' to leave it out, got None"):
        clf.set_params(estimator__linear=None).fit(X, Y)


@pytest.mark.parametrize(
    "short, whole",
    [
        ("linear", "'estimator__linear'"),
        ("max_epochs", "'estimator__net__max_epochs'"),
        ("net__loss", "'estimator__net__loss'"),
        ("categorical_features", "'estimator__net__categorical_features' or 'estimator__trees__"),
    ],
)
def test_parameters_of_members_are_named_in_full(short, whole):
    clf = DecodedClassifierCV.for_metric("f1_macro", cv=2, max_epochs=1)
    with pytest.raises(ValueError, match=f"Invalid parameter '{short}' for .*CV: use {whole}"):
        clf.set_params(**{short: "drop"})


def test_a_member_that_fails_is_named():
    with pytest.raises(ValueError, match="takes one label only") as caught:
        make([("trees", TREES), ("lr", LogisticRegression())]).fit(X, Y)
    assert any("'lr'" in note for note in caught.value.__notes__)


def test_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(weights="learned", decoder="expected_fbeta").fit(X, Y).predict(X)
