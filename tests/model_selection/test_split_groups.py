import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedGroupKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier

from sklearn_mlloss.model_selection import MultilabelStratifiedGroupKFold


def table(n_rows=2000, n_groups=200, n_labels=10, seed=0):
    """Groups of very different sizes, whose rows have similar labels."""
    rng = np.random.default_rng(seed)
    size = rng.lognormal(size=n_groups)
    groups = rng.choice(n_groups, n_rows, p=size / size.sum())
    of_group = rng.normal(size=(n_groups, n_labels))
    scores = of_group[groups] + rng.normal(size=(n_rows, n_labels))
    return (scores < np.linspace(-3.2, -0.5, n_labels)).astype(int), groups


def splits(cv, Y, groups):
    return list(cv.split(np.zeros((len(groups), 1)), Y, groups))


def shares(cv, Y, groups):
    """Return each fold's share of each label and, last, of the rows, times their number."""
    counts = np.array([np.append(Y[t].sum(axis=0), len(t)) for _, t in splits(cv, Y, groups)])
    return counts / counts.mean(axis=0)


def assert_same_splits(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@st.composite
def tables(draw):
    n_rows, n_labels = draw(st.integers(4, 60)), draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Y = (rng.random((n_rows, n_labels)) < rng.random(n_labels)).astype(int)
    return Y, np.append(np.arange(4), rng.integers(0, draw(st.integers(4, 30)), n_rows - 4))


@given(table=tables(), n_splits=st.integers(2, 4), seed=st.none() | st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_folds_partition_the_rows_and_keep_groups_whole(table, n_splits, seed):
    Y, groups = table
    parts = splits(MultilabelStratifiedGroupKFold(n_splits, random_state=seed), Y, groups)
    assert len(parts) == n_splits
    tests = np.concatenate([test for _, test in parts])
    np.testing.assert_array_equal(np.sort(tests), np.arange(len(Y)))
    for train, test in parts:
        assert len(test) and len(train) + len(test) == len(Y)
        assert not np.intersect1d(groups[train], groups[test]).size
        np.testing.assert_array_equal(np.union1d(train, test), np.arange(len(Y)))
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_more_balanced_than_by_group_k_fold(seed):
    Y, groups = table(seed=seed)
    ours = np.abs(shares(MultilabelStratifiedGroupKFold(5), Y, groups) - 1)
    plain = np.abs(shares(GroupKFold(5), Y, groups) - 1)
    assert ours[:, :-1].mean() < 0.5 * plain[:, :-1].mean()
    assert ours[:, -1].max() < 0.1


def test_one_label_is_balanced_as_well_as_by_stratified_group_k_fold():
    ours, theirs = [], []
    for seed in range(10):
        Y, groups = table(500, 60, 2, seed)
        Y = Y[:, 1:]
        ours.append(shares(MultilabelStratifiedGroupKFold(5), Y, groups))
        parts = splits(StratifiedGroupKFold(5), Y[:, 0], groups)
        theirs.append([[Y[test].sum()] for _, test in parts])
        other = splits(MultilabelStratifiedGroupKFold(5), np.eye(2, dtype=int)[Y[:, 0]], groups)
        assert_same_splits(splits(MultilabelStratifiedGroupKFold(5), Y[:, 0], groups), other)
    assert np.abs(np.array(ours)[..., 0] - 1).mean() < 1.2 * np.mean(
        np.abs([counts / np.mean(counts) - 1 for counts in theirs])
    )


def test_groups_of_one_row_are_rows():
    Y = table()[0]
    found = shares(MultilabelStratifiedGroupKFold(5), Y, np.arange(len(Y)))
    assert np.abs(found[:, -1] - 1).max() < 0.01
    assert np.abs(found[:, :-1] - 1)[:, Y.sum(axis=0) >= 100].max() < 0.05


@given(table=tables(), n_splits=st.integers(2, 4))
@settings(max_examples=200, deadline=None)
def test_a_label_that_many_groups_have_reaches_every_fold(table, n_splits):
    """At exactly n_splits groups overlaps can make it impossible."""
    Y, groups = table
    n_having = np.array([len(np.unique(groups[y == 1])) for y in Y.T])
    counts = np.array(
        [Y[t].sum(0) for _, t in splits(MultilabelStratifiedGroupKFold(n_splits), Y, groups)]
    )
    assert (counts[:, n_having >= 4 * n_splits] > 0).all()


def test_a_label_that_just_enough_groups_have_reaches_every_fold():
    gaps = labels = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n_rows, n_splits = rng.integers(20, 100), int(rng.integers(2, 6))
        groups = rng.integers(0, rng.integers(8, 40), n_rows)
        Y = rng.random((n_rows, rng.integers(1, 6))) < rng.uniform(0.02, 0.4)
        n_having = np.array([len(np.unique(groups[y])) for y in Y.T])
        parts = splits(MultilabelStratifiedGroupKFold(n_splits), Y, groups)
        counts = np.array([Y[test].sum(axis=0) for _, test in parts])
        gaps += (counts[:, n_having >= n_splits] == 0).any(axis=0).sum()
        labels += (n_having >= n_splits).sum()
    assert labels > 300 and gaps <= 0.01 * labels


def test_a_gap_is_closed_by_moving_a_group():
    """Large groups fill the folds first, and the rare label is where it fits in size."""
    Y = np.zeros((60, 3), dtype=int)
    groups = np.repeat(np.arange(20), 3)
    Y[::3, 0] = 1
    Y[[0, 3, 6], 1] = 1
    Y[[0, 3, 6, 9, 12], 2] = 1
    counts = np.array(
        [Y[test].sum(axis=0) for _, test in splits(MultilabelStratifiedGroupKFold(3), Y, groups)]
    )
    assert (counts[:, 1:] > 0).all()


def test_rare_labels_never_fail():
    Y = np.zeros((30, 3), dtype=int)
    Y[:2, 0] = Y[7, 1] = 1
    assert len(splits(MultilabelStratifiedGroupKFold(5), Y, np.arange(30) // 3)) == 5
    assert len(splits(MultilabelStratifiedGroupKFold(3), Y, np.arange(30) // 10)) == 3
    assert len(splits(MultilabelStratifiedGroupKFold(3), np.zeros((30, 0)), np.arange(30))) == 3


def test_it_is_deterministic_and_the_seed_breaks_ties():
    Y, groups = table(300, 150)
    cv = MultilabelStratifiedGroupKFold(5)
    first = splits(cv, Y, groups)
    assert_same_splits(first, splits(cv, Y, groups))
    one = splits(MultilabelStratifiedGroupKFold(5, random_state=1), Y, groups)
    again = clone(MultilabelStratifiedGroupKFold(5, random_state=1), safe=False)
    assert_same_splits(one, splits(again, Y, groups))
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(first, one, strict=True))


@pytest.mark.parametrize(
    "convert",
    [
        pd.DataFrame,
        np.ndarray.tolist,
        sparse.csr_matrix,
        sparse.coo_array,
        lambda Y: Y.astype(bool),
        lambda Y: np.where(Y == 1, 0.5, 0.49),
        lambda Y: np.where(Y == 1, 1.0, np.nan),
        lambda Y: pd.DataFrame(Y).astype("Int64").mask(Y == 0),
    ],
)
def test_kinds_of_indicators_split_alike(convert):
    Y, groups = table(200, 40, 4)
    cv = MultilabelStratifiedGroupKFold(3)
    assert_same_splits(splits(cv, Y, groups), splits(cv, convert(Y), groups))


@pytest.mark.parametrize(
    "convert",
    [list, pd.Series, lambda g: pd.Series(g, index=-g), lambda g: g * 0.5, lambda g: g - 50,
     lambda g: np.array([f"{i:03}" for i in g]),
     lambda g: np.array([f"{i:03}" for i in g], dtype=object)],
)  # fmt: skip
def test_kinds_of_groups_split_alike(convert):
    Y, groups = table(200, 40, 4)
    cv = MultilabelStratifiedGroupKFold(3)
    assert_same_splits(splits(cv, Y, groups), splits(cv, Y, convert(groups)))


def test_inputs_are_unchanged():
    Y, groups = table(200, 40, 4)
    Y, S = Y.astype(float), sparse.csr_array(Y)
    Y.flags.writeable = groups.flags.writeable = False
    data, indices = S.data.copy(), S.indices.copy()
    splits(MultilabelStratifiedGroupKFold(3), Y, groups)
    splits(MultilabelStratifiedGroupKFold(3), S, groups)
    np.testing.assert_array_equal(S.data, data)
    np.testing.assert_array_equal(S.indices, indices)


@pytest.mark.parametrize(
    "params, y, groups, message",
    [
        (dict(n_splits=1), np.zeros((8, 2)), range(8), "n_splits must be an integer >= 2"),
        (dict(n_splits=4), np.zeros((8, 2)), [0, 1, 2] * 2 + [0, 0],
         r"n_splits must be at most the number of groups \(3\).*got 4"),
        ({}, np.zeros((8, 2)), None, "groups must be given.*MultilabelStratifiedKFold"),
        ({}, None, range(8), "y must be given"),
        ({}, np.zeros((8, 2)), range(7), r"groups must be 1-D, .* shape \(8,\), got shape \(7,\)"),
        ({}, np.zeros((8, 2)), np.zeros((8, 2)), r"groups must be 1-D, .* got shape \(8, 2\)"),
        ({}, np.zeros((8, 2)), [np.nan] * 8, "groups contains NaN"),
        ({}, np.linspace(0, 1, 8), range(8), "continuous"),
        (dict(random_state="a"), np.zeros((8, 2)), range(8), "seed"),
    ],
)  # fmt: skip
def test_invalid_input(params, y, groups, message):
    groups = None if groups is None else np.asarray(groups)
    with pytest.raises(ValueError, match=message):
        next(MultilabelStratifiedGroupKFold(**params).split(np.zeros((8, 1)), y, groups))


# ---- with scikit-learn


def test_repr_and_number_of_splits():
    cv = MultilabelStratifiedGroupKFold()
    assert repr(cv) == "MultilabelStratifiedGroupKFold(n_splits=5, random_state=None)"
    assert cv.get_n_splits() == 5


def test_in_cross_validation_and_grid_search():
    Y, groups = table(300, 60, 4)
    X = Y + np.random.default_rng(0).normal(scale=0.3, size=Y.shape)
    cv, model = MultilabelStratifiedGroupKFold(3), KNeighborsClassifier()
    for y in (Y, pd.DataFrame(Y)):
        given = dict(cv=cv, groups=groups, scoring="f1_micro")
        scores = cross_val_score(model, X, y, **given)
        assert scores.shape == (3,) and (scores > 0.5).all()
    search = GridSearchCV(model, {"n_neighbors": [1, 5]}, cv=cv).fit(X, Y, groups=groups)
    assert search.n_splits_ == 3
    # cross_val_score refuses a sparse y by itself.
    search = GridSearchCV(DummyClassifier(), {"strategy": ["prior", "most_frequent"]}, cv=cv)
    search.fit(X, sparse.csr_matrix(Y), groups=groups)
    assert search.n_splits_ == 3
    with pytest.raises(ValueError, match="groups must be given"):
        cross_val_score(model, X, Y, cv=cv)


def test_groups_are_routed_as_to_the_splitters_of_scikit_learn():
    Y, groups = table(300, 60, 4)
    X = Y + np.random.default_rng(0).normal(scale=0.3, size=Y.shape)
    cv, model = MultilabelStratifiedGroupKFold(3), KNeighborsClassifier()
    plain = cross_val_score(model, X, Y, cv=cv, groups=groups)
    with config_context(enable_metadata_routing=True):
        assert cv.get_metadata_routing().split.requests == {"groups": True}
        assert cv.get_metadata_routing().split.requests == (
            GroupKFold(3).get_metadata_routing().split.requests
        )
        routed = cross_validate(model, X, Y, cv=cv, params={"groups": groups})["test_score"]
        GridSearchCV(model, {"n_neighbors": [1, 5]}, cv=cv).fit(X, Y, groups=groups)
    np.testing.assert_array_equal(routed, plain)


def test_many_groups_are_dealt_out_in_seconds():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 20_000, 200_000)
    Y = sparse.random_array((200_000, 50), density=0.05, rng=rng, format="csr")
    Y.data[:] = 1
    start = time.process_time()
    parts = splits(MultilabelStratifiedGroupKFold(5), Y, groups)
    assert time.process_time() - start < 10
    assert np.ptp([len(test) for _, test in parts]) < 100
