"""MultiLabelExtraTreesClassifier: the same as scikit-learn's trees, kinds of X and y, errors."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.ensemble import ExtraTreesRegressor

from sklearn_mlloss import DecodedClassifierCV, MultiLabelExtraTreesClassifier
from sklearn_mlloss.persistence import load, save

N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
Y = (X @ RNG.normal(size=(4, 3)) + RNG.normal(size=(N, 3)) > [0, 0.5, 1]).astype(int)
NEW = RNG.normal(size=(30, 4))
KIND = RNG.choice(list("abc"), N)


def make(**params):
    return MultiLabelExtraTreesClassifier(**{"n_estimators": 10, "random_state": 0, **params})


def forest_of(clf, X, Y, weight=None):
    """Return scikit-learn's forest with the parameters of a fitted classifier."""
    seed = clf.forests_[0].random_state
    forest = ExtraTreesRegressor(10, max_leaf_nodes=512, max_features="sqrt", random_state=seed)
    return forest.fit(X, Y, weight)


def test_equals_the_trees_of_scikit_learn():
    weight = RNG.uniform(0.5, 2, N)
    for given in (None, weight):
        clf = make().fit(X, Y, sample_weight=given)
        (forest,) = clf.forests_
        expected = forest_of(clf, X, Y.astype(float), given)
        np.testing.assert_allclose(clf.predict_proba(NEW), expected.predict(NEW), atol=1e-12)
        expected = expected.feature_importances_
        np.testing.assert_allclose(clf.feature_importances_, expected, atol=1e-12)
    assert forest.n_estimators == 10
    np.testing.assert_array_equal(clf.predict(X), Y)


def test_sparse_rows():
    some = np.where(X > 0.5, X, 0)
    dense, sparse = make().fit(some, Y), make().fit(sp.csr_array(some), sp.csr_array(Y))
    found = sparse.predict_proba(sp.csr_matrix(np.where(NEW > 0.5, NEW, 0)))
    np.testing.assert_allclose(found, dense.predict_proba(np.where(NEW > 0.5, NEW, 0)), atol=1e-12)
    assert sp.issparse(sparse.predict(some))


def test_rows_like_short_texts_draw_from_half_of_the_columns():
    words = (RNG.random((N, 100)) < 0.05).astype(float)
    flipped = np.where(np.arange(100) % 2, words, 1 - words)
    for rows in (words, sp.csr_array(words), flipped, sp.csr_array(flipped)):
        assert make(n_estimators=1).fit(rows, Y).forests_[0].max_features == 0.5
    for rows in (X, np.abs(X).round(), sp.csr_array((RNG.random((N, 100)) < 0.15).astype(float))):
        assert make(n_estimators=1).fit(rows, Y).forests_[0].max_features == "sqrt"
    many = make(n_estimators=1, max_leaf_nodes=2).fit(words, np.tile(Y, (1, 3000)))
    assert many.forests_[0].max_features == "sqrt"  # 108 million numbers
    assert make(max_features=0.2, n_estimators=1).fit(words, Y).forests_[0].max_features == 0.2


def test_categories_and_missing_values():
    frame = pd.DataFrame(X[:, :2], columns=["p", "q"])
    frame["kind"] = pd.Categorical(KIND)
    target = np.column_stack([KIND == "b", X[:, 0] > 0]).astype(int)
    clf = make(n_estimators=30, max_features=None).fit(frame, target)
    assert clf.is_categorical_.tolist() == [False, False, True]
    np.testing.assert_array_equal(clf.predict(frame), target)
    assert clf.feature_importances_[1] < 0.05
    by_number = make(n_estimators=30, max_features=None, categorical_features=[2])
    plain = np.column_stack([X[:, 0].astype(object), X[:, 1].astype(object), KIND])
    np.testing.assert_array_equal(by_number.fit(plain, target).predict(plain), target)
    # A value that is missing where a label is present.
    holes = np.where(target[:, :1] == 1, np.nan, X)
    clf = make(n_estimators=30, max_features=None).fit(holes, target)
    np.testing.assert_array_equal(clf.predict(holes)[:, 0], target[:, 0])
    assert np.isfinite(make().fit(X, Y).predict_proba(np.full((2, 4), np.nan))).all()


def test_labels_that_were_not_observed_are_left_out():
    some = Y.astype(float)
    some[:40, 1] = np.nan
    clf = make().fit(X, some)
    assert [labels.tolist() for labels in clf.labels_of_forests_] == [[1], [0, 2]]
    proba = clf.predict_proba(NEW)
    alone = forest_of(clf, X[40:], some[40:, 1]).predict(NEW)
    np.testing.assert_allclose(proba[:, 1], alone, atol=1e-12)
    others = forest_of(clf, X, some[:, [0, 2]]).predict(NEW)
    np.testing.assert_allclose(proba[:, [0, 2]], others, atol=1e-12)
    assert clf.feature_importances_.sum() == pytest.approx(1)
    # A weight of 0 equals a label that was not observed.
    weight = np.where(np.isnan(some), 0.0, 1.0)
    weighted = make().fit(X, Y, sample_weight=weight).predict_proba(NEW)
    np.testing.assert_allclose(weighted, proba, atol=1e-12)
    # Rows without any observed label do not count.
    some[:10] = np.nan
    np.testing.assert_allclose(
        make().fit(X, some).predict_proba(NEW), make().fit(X[10:], some[10:]).predict_proba(NEW),
        atol=1e-12,
    )  # fmt: skip


def test_labels_without_any_observed_row():
    some = np.column_stack([Y[:, 0], np.full(N, np.nan), Y[:, 1]])
    with pytest.warns(UserWarning, match=r"1 label\(s\) were not observed in any row: 1"):
        clf = make().fit(X, some)
    proba = clf.predict_proba(NEW)
    assert (proba[:, 1] == 0.5).all()
    np.testing.assert_allclose(proba[:, [0, 2]], make().fit(X, Y[:, :2]).predict_proba(NEW))
    weight = np.where(np.isnan(some), 0.0, 1.0)
    with pytest.warns(UserWarning, match="not observed in any row"):
        weighted = make().fit(X, np.nan_to_num(some), sample_weight=weight)
    np.testing.assert_allclose(weighted.predict_proba(NEW), proba)


def test_warns_of_columns_that_float32_cannot_keep_apart():
    seconds = (1.7e9 + np.arange(N) % 60)[:, None]
    with pytest.warns(UserWarning, match="far from 0 that float32 keeps fewer"):
        make(n_estimators=1).fit(seconds, Y)


def test_probabilities_and_classes_as_targets():
    soft = np.clip(Y * 0.8 + 0.1, 0, 1)
    clf = make(max_leaf_nodes=None).fit(X, soft)
    np.testing.assert_allclose(clf.predict_proba(X), soft, atol=1e-9)
    clf = make().fit(X, KIND)
    proba = clf.predict_proba(NEW)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert clf.classes_.tolist() == ["a", "b", "c"] and set(clf.predict(X)) == {"a", "b", "c"}
    assert make().fit(X, Y[:, 0]).predict_proba(NEW).shape == (30, 2)


def test_saved_and_with_a_decoder(tmp_path):
    clf = DecodedClassifierCV(make(), "global_threshold", cv=3, random_state=0).fit(X, Y)
    save(clf, tmp_path / "trees.mlloss")
    found = load(tmp_path / "trees.mlloss").predict_proba(NEW)
    np.testing.assert_array_equal(found, clf.predict_proba(NEW))


@pytest.mark.parametrize(
    "params, X, match",
    [
        (dict(n_estimators=0), X, "n_estimators must be"),
        (dict(n_jobs=0), X, "n_jobs must be"),
        (dict(max_leaf_nodes=1), X, "max_leaf_nodes"),
        (dict(max_features="all"), X, "max_features"),
        ({}, np.where(X > 2, np.inf, X), "infinity"),
        ({}, np.column_stack([X.astype(object), KIND]), "column 4 of X is not numeric"),
    ],
    ids=["n_estimators", "n_jobs", "max_leaf_nodes", "max_features", "infinity", "text"],
)
def test_wrong_parameters_and_rows(params, X, match):
    clf = make(**params)
    with pytest.raises(ValueError, match=match):
        clf.fit(X, Y)
    assert not [name for name in vars(clf) if name.endswith("_")]
