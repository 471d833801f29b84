"""MultiLabelLogisticRegressionCV: fits, folds, kinds of X and y, errors."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold, ShuffleSplit, StratifiedKFold

from sklearn_mlloss import DecodedClassifierCV, MultiLabelLogisticRegressionCV, SoftVotingClassifier

N = 240
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 6))
X[:, 5] = RNG.random(N) < 0.1
Y = (X @ RNG.normal(size=(6, 3)) + 3 * RNG.normal(size=(N, 3)) > [0, 1, 2]).astype(int)
NEW = RNG.normal(size=(50, 6))
SPLITS = list(KFold(4).split(X))
# Fits end when a step lowers an objective by less than 1e-4 of the loss of the label priors.
CLOSE = 2e-3


def make(**params):
    return MultiLabelLogisticRegressionCV(**{"random_state": 0, "cv": 3, **params})


def encoded(clf, X):
    return clf.encoding_(torch.as_tensor(X)).numpy()


def reference(clf, rows, y, new, weight=None):
    """Return log-odds by scikit-learn, with the inputs and the penalty of a fitted classifier."""
    model = LogisticRegression(C=1 / clf.penalty_, tol=1e-8, max_iter=10_000)
    model.fit(encoded(clf, X[rows]), y[rows], None if weight is None else weight[rows])
    return model.decision_function(encoded(clf, new))


def log_loss(y, p):
    return -np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))


# ------------------------------------------------------------------ the models


def test_equals_logistic_regression_of_scikit_learn():
    clf = make().fit(X, Y)
    expected = [reference(clf, slice(None), Y[:, j], NEW) for j in range(3)]
    np.testing.assert_allclose(clf.predict_proba(NEW), expit(expected).T, atol=CLOSE)
    by_hand = encoded(clf, NEW) @ clf.coef_.T + clf.intercept_
    np.testing.assert_allclose(clf.decision_function(NEW), by_hand, atol=1e-9)
    assert clf.coef_.shape == (3, 6) and clf.intercept_.shape == (3,)
    assert (clf.predict(NEW) == (by_hand > 0)).all()


def test_out_of_fold_scores_are_those_of_separate_fits():
    clf = make(cv=SPLITS, store_cv_results=True).fit(X, Y)
    for train, test in SPLITS:
        for j in range(3):
            expected = expit(reference(clf, train, Y[:, j], X[test]))
            np.testing.assert_allclose(clf.oof_scores_[test, j], expected, atol=CLOSE)


def test_rows_that_are_tested_often_or_never():
    splits = list(ShuffleSplit(3, test_size=0.3, random_state=0).split(X))
    clf = make(cv=splits, store_cv_results=True).fit(X, Y)
    total, n_tests = np.zeros(N), np.zeros(N)
    for train, test in splits:
        total[test] += reference(clf, train, Y[:, 0], X[test])
        n_tests[test] += 1
    assert n_tests.min() == 0 and n_tests.max() > 1
    never = n_tests == 0
    assert np.isnan(clf.oof_scores_[never]).all() and not np.isnan(clf.oof_scores_[~never]).any()
    means = total[~never] / n_tests[~never]
    np.testing.assert_allclose(clf.oof_scores_[~never, 0], expit(means), atol=CLOSE)


def test_folds_without_the_rest_of_the_rows():
    # Rows 0 to 59 serve neither to train nor to test.
    splits = [(np.arange(60, 150), np.arange(150, N)), (np.arange(150, N), np.arange(60, 150))]
    clf = make(cv=splits, store_cv_results=True).fit(X, Y)
    expected = expit(reference(clf, splits[0][0], Y[:, 1], X[150:]))
    np.testing.assert_allclose(clf.oof_scores_[150:, 1], expected, atol=CLOSE)
    assert np.isnan(clf.oof_scores_[:60]).all()


def test_repeated_folds():
    cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    clf = make(cv=cv, store_cv_results=True).fit(X, Y)
    parts = list(cv.split(X))
    log_odds = np.zeros(N)
    for train, test in parts:
        log_odds[test] += reference(clf, train, Y[:, 0], X[test]) / 2
    np.testing.assert_allclose(clf.oof_scores_[:, 0], expit(log_odds), atol=CLOSE)


@pytest.mark.parametrize("strength", [0, 1, 8])
def test_the_penalty_is_the_best_on_the_folds(strength):
    rng = np.random.default_rng(1)
    wide = rng.normal(size=(150, 40))
    signal = strength * wide @ rng.normal(size=(40, 2)) / 40**0.5
    target = (rng.random((150, 2)) < expit(signal)).astype(int)
    clf = make(cv=SPLITS_OF_150, store_cv_results=True).fit(wide, target)
    losses = {}
    for penalty in (1000.0, 100.0, 10.0, 1.0):
        scores = np.empty(target.shape)
        for train, test in SPLITS_OF_150:
            for j in range(2):
                model = LogisticRegression(C=1 / penalty, tol=1e-6, max_iter=10_000)
                model.fit(encoded(clf, wide[train]), target[train, j])
                scores[test, j] = model.predict_proba(encoded(clf, wide[test]))[:, 1]
        losses[penalty] = log_loss(target, scores)
    assert log_loss(target, clf.oof_scores_) <= min(losses.values()) + 1e-3
    assert clf.penalty_ == 1000 if strength == 0 else clf.penalty_ <= 30


SPLITS_OF_150 = list(KFold(3).split(np.zeros(150)))


def test_many_rows_choose_the_penalty_on_the_first_folds():
    rng = np.random.default_rng(2)
    many = rng.normal(size=(3000, 10))
    target = (rng.random((3000, 1)) < expit(many[:, :1])).astype(int)
    folds = list(KFold(3).split(many))
    first = make(cv=folds[:1]).fit(many, target)
    # Other folds may have any targets.
    target[1000:, 0] = 1 - target[1000:, 0]
    reverse = make(cv=[folds[0], (folds[1][1], folds[1][1])]).fit(many, target)
    assert first.penalty_ < 1000 and reverse.penalty_ == 1000


def test_the_same_twice_and_after_pickling():
    clf = make(store_cv_results=True).fit(X, Y)
    again = clone(clf).fit(X, Y)
    assert (again.oof_scores_ == clf.oof_scores_).all() and (again.coef_ == clf.coef_).all()
    loaded = pickle.loads(pickle.dumps(clf))
    assert (loaded.predict_proba(NEW) == clf.predict_proba(NEW)).all()
    assert not hasattr(clf.set_params(store_cv_results=False).fit(X, Y), "oof_scores_")


def test_generators_and_defaults_of_torch_stay():
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    make(random_state=None).fit(X, Y).predict(NEW)
    assert (torch.random.get_rng_state() == state).all()
    assert (np.random.get_state()[1] == before).all()


# ------------------------------------------------------------------ kinds of y


def test_missing_labels_are_left_out_label_by_label():
    holes = Y.astype(float)
    missing = RNG.random(Y.shape) < 0.3
    holes[missing] = np.nan
    clf = make(cv=SPLITS, store_cv_results=True).fit(X, holes)
    for j in range(3):
        seen = np.flatnonzero(~missing[:, j])
        expected = expit(reference(clf, seen, Y[:, j], NEW))
        np.testing.assert_allclose(clf.predict_proba(NEW)[:, j], expected, atol=CLOSE)
    assert (np.isnan(clf.oof_scores_) == missing.all(axis=1)[:, None]).all()


def test_rows_without_any_label():
    holes = Y.astype(float)
    holes[:20] = np.nan
    clf = make(cv=SPLITS, store_cv_results=True).fit(X, holes)
    assert np.isnan(clf.oof_scores_[:20]).all() and not np.isnan(clf.oof_scores_[20:]).any()


def test_soft_labels_are_weighted_halves():
    soft = np.full((N, 1), 0.25)
    soft[: N // 2] = 0.75
    clf = make().fit(X, np.hstack([soft, 1 - soft]))
    proba = clf.predict_proba(NEW)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=CLOSE)
    model = LogisticRegression(C=1 / clf.penalty_, tol=1e-8, max_iter=10_000)
    twice = np.vstack([encoded(clf, X)] * 2)
    targets = np.repeat([1, 0], N)
    model.fit(twice, targets, np.concatenate([soft[:, 0], 1 - soft[:, 0]]))
    expected = model.predict_proba(encoded(clf, NEW))[:, 1]
    np.testing.assert_allclose(proba[:, 0], expected, atol=CLOSE)


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_matrix, pd.DataFrame, np.ndarray.tolist])
def test_forms_of_an_indicator(kind):
    y = pd.DataFrame(Y, columns=list("abc")) if kind is pd.DataFrame else kind(Y)
    clf = make().fit(X, y)
    assert (clf.predict_proba(NEW) == make().fit(X, Y).predict_proba(NEW)).all()
    assert sp.issparse(clf.predict(NEW)) == sp.issparse(y)
    assert clf.label_names_.tolist() == (["a", "b", "c"] if kind is pd.DataFrame else [0, 1, 2])


def test_classes():
    names = np.array(["few", "some", "many"])
    y = names[Y[:, 0] + Y[:, 1]]
    clf = make(store_cv_results=True).fit(X, y)
    proba = clf.predict_proba(NEW)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (clf.predict(NEW) == clf.classes_[proba.argmax(axis=1)]).all()
    assert clf.coef_.shape == (3, 6) and clf.oof_scores_.shape == (N, 3)
    binary = make().fit(X, names[Y[:, 0]])
    assert binary.predict_proba(NEW).shape == (50, 2) and binary.coef_.shape == (1, 6)
    assert (binary.predict(NEW) == binary.classes_[(binary.decision_function(NEW) > 0) + 0]).all()
    assert binary.score(X, names[Y[:, 0]]) > 0.7


def test_a_constant_label_gets_its_frequency():
    y = Y.copy()
    y[:, 1] = 0
    with pytest.warns(UserWarning, match="1 label\\(s\\) have only positives or no positive"):
        clf = make().fit(X, y)
    assert clf.predict_proba(NEW)[:, 1].max() < 0.02


# ------------------------------------------------------------------ weights


def test_a_weight_is_a_number_of_repetitions():
    weight = np.where(np.arange(N) % 2 == 0, 5, 1)
    many = np.repeat(np.arange(N), weight)
    splits = [
        (np.flatnonzero(np.isin(many, train)), np.flatnonzero(np.isin(many, test)))
        for train, test in SPLITS
    ]
    weighted = make(cv=SPLITS, store_cv_results=True).fit(X, Y, weight)
    repeated = make(cv=splits, store_cv_results=True).fit(X[many], Y[many])
    # There are three times as many rows, and weights are scaled to mean 1.
    assert repeated.penalty_ == 3 * weighted.penalty_
    np.testing.assert_allclose(weighted.predict_proba(NEW), repeated.predict_proba(NEW), atol=CLOSE)
    np.testing.assert_allclose(weighted.oof_scores_[many], repeated.oof_scores_, atol=CLOSE)
    unweighted = make(cv=SPLITS).fit(X, Y)
    assert abs(weighted.predict_proba(NEW) - unweighted.predict_proba(NEW)).max() > 0.05


def test_only_ratios_of_weights_matter():
    weight = RNG.random(N)
    one, other = (make(cv=SPLITS).fit(X, Y, scale * weight) for scale in (1, 1e6))
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-6)
    expected = expit(reference(one, slice(None), Y[:, 2], NEW, weight / weight.mean()))
    np.testing.assert_allclose(one.predict_proba(NEW)[:, 2], expected, atol=CLOSE)


def test_weights_of_entries():
    weight = RNG.random(Y.shape)
    weight[RNG.random(Y.shape) < 0.2] = 0
    clf = make(cv=SPLITS).fit(X, Y, weight)
    for j in range(3):
        seen = np.flatnonzero(weight[:, j])
        scaled = weight[:, j] / weight[weight > 0].mean()
        expected = expit(reference(clf, seen, Y[:, j], NEW, scaled))
        np.testing.assert_allclose(clf.predict_proba(NEW)[:, j], expected, atol=CLOSE)


def test_rows_of_weight_zero_are_left_out():
    weight = np.ones(N)
    weight[:30] = 0
    clf = make(cv=SPLITS, store_cv_results=True).fit(X, Y, weight)
    wrong = Y.copy()
    wrong[:30] = 1 - wrong[:30]
    other = make(cv=SPLITS).fit(np.vstack([X[:30] * 9, X[30:]]), wrong, weight)
    assert (clf.coef_ == other.coef_).all() and np.isnan(clf.oof_scores_[:30]).all()


# ------------------------------------------------------------------ kinds of X


def test_sparse_equals_dense():
    counts = RNG.poisson(0.1, size=(N, 60)).astype(float)
    y = (counts[:, :3] + 0.3 * RNG.normal(size=(N, 3)) > 0.5).astype(int)
    new = RNG.poisson(0.1, size=(40, 60)).astype(float)
    dense = make(cv=SPLITS, store_cv_results=True).fit(counts, y)
    for kind in (sp.csr_array, sp.csr_matrix, sp.csc_array):
        sparse = make(cv=SPLITS, store_cv_results=True).fit(kind(counts), y)
        assert sparse.penalty_ == dense.penalty_
        for part in (kind(new), new):
            proba = sparse.predict_proba(part)
            np.testing.assert_allclose(proba, dense.predict_proba(new), atol=CLOSE)
        np.testing.assert_allclose(sparse.oof_scores_, dense.oof_scores_, atol=CLOSE)


def test_categories():
    codes = RNG.integers(0, 4, size=N)
    frame = pd.DataFrame({"x": X[:, 0], "c": pd.Categorical(np.array(list("abcd"))[codes])})
    effect = np.array([-3.0, 3.0, 0.0, 1.0])[codes]
    y = (effect + 0.5 * RNG.normal(size=N) > 0).astype(int)
    clf = make().fit(frame, y)
    assert clf.is_categorical_.tolist() == [False, True] and clf.coef_.shape == (1, 5)
    assert clf.categories_[0].tolist() == list("abcd") and clf.score(frame, y) > 0.75
    one_hot = pd.get_dummies(frame["c"]).to_numpy(float)
    assert clf.score(frame, y) >= make().fit(one_hot, y).score(one_hot, y) - 0.02
    by_number = make(categorical_features=[1]).fit(np.column_stack([X[:, 0], codes]), y)
    np.testing.assert_allclose(by_number.coef_, clf.coef_)


def test_missing_values():
    holes = X.copy()
    holes[RNG.random(X.shape) < 0.2] = np.nan
    y = np.isnan(holes[:, 0]).astype(int)
    clf = make().fit(holes, y)
    assert clf.coef_.shape == (1, 12) and clf.score(holes, y) == 1


def test_values_far_from_zero():
    far = make(cv=SPLITS).fit(1e6 + 1e-2 * X, Y)
    np.testing.assert_allclose(
        far.predict_proba(1e6 + 1e-2 * NEW),
        make(cv=SPLITS).fit(X, Y).predict_proba(NEW),
        atol=CLOSE,
    )


# ------------------------------------------------------------------ folds and other estimators


def test_groups_by_their_splits():
    groups = np.arange(N) // 4
    splits = list(GroupKFold(4).split(X, Y, groups))
    clf = make(cv=splits, store_cv_results=True).fit(X, Y)
    expected = expit(reference(clf, splits[0][0], Y[:, 0], X[splits[0][1]]))
    np.testing.assert_allclose(clf.oof_scores_[splits[0][1], 0], expected, atol=CLOSE)
    with pytest.raises(ValueError, match="cv=GroupKFold.* needs groups"):
        make(cv=GroupKFold(4)).fit(X, Y)


def test_splitters_get_the_classes():
    splitter = StratifiedKFold(3)
    y = Y[:, 0] + Y[:, 1]
    given = make(cv=list(splitter.split(X, y))).fit(X, y)
    assert (make(cv=splitter).fit(X, y).coef_ == given.coef_).all()
    assert (make(cv=None).fit(X, Y).coef_ == make(cv=5).fit(X, Y).coef_).all()


def test_out_of_fold_scores_serve_a_decoder_and_learned_weights():
    linear = make(store_cv_results=True)
    decoded = DecodedClassifierCV(linear, "global_threshold", cv="oof", store_cv_results=True)
    decoded.fit(X, Y)
    np.testing.assert_allclose(decoded.oof_scores_, decoded.estimator_.oof_scores_)
    useless = make(cv=SPLITS, store_cv_results=True, categorical_features=list(range(6)))
    vote = SoftVotingClassifier([("linear", linear), ("no", useless)], weights="learned")
    assert vote.fit(X, Y).weights_[0] > 0.8
    with pytest.raises(ValueError, match="'linear' keeps none.*store_cv_results=True"):
        SoftVotingClassifier([("linear", make())], weights="learned").fit(X, Y)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(cv=1), "cv must be at least 2, a splitter or splits, got 1"),
        (dict(cv="oof"), "cv must be an int, a splitter or an iterable .*got 'oof'"),
        (dict(cv=[]), "cv .*"),
        (dict(store_cv_results="yes"), "store_cv_results must be True or False, got 'yes'"),
        (dict(random_state="x"), "random_state must be None, an int"),
        (dict(categorical_features=[9]), "categorical_features"),
    ],
)
def test_wrong_parameters(params, words):
    clf = make().fit(X, Y)
    before = vars(clf).copy()
    with pytest.raises(ValueError, match=words):
        clf.set_params(**params).fit(X, Y)
    assert clf.coef_ is before["coef_"]


def test_wrong_rows():
    with pytest.raises(ValueError, match="sample_weight must be non-negative"):
        make().fit(X, Y, -np.ones(N))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make().fit(X[:-1], Y)
    holes = np.where(X > 0, X, 0)
    sparse = make().fit(sp.csr_array(holes), Y)
    holes[0, 0] = np.nan
    with pytest.raises(ValueError, match="sparse X left no place for missing values: train on den"):
        sparse.predict(holes)
