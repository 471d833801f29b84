import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsClassifier

from sklearn_mlloss.model_selection import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
    RepeatedMultilabelStratifiedKFold,
)
from sklearn_mlloss.model_selection.split import _apportion

SPLITTERS = [
    MultilabelStratifiedKFold(4, random_state=0),
    MultilabelStratifiedShuffleSplit(3, test_size=0.25, random_state=0),
]
both = pytest.mark.parametrize("cv", SPLITTERS, ids=["kfold", "shuffle"])


def skewed(n_rows=400, n_labels=12, seed=0):
    """Labels from 1% to 60%, which come in groups, as they do in life."""
    rng = np.random.default_rng(seed)
    group = rng.normal(size=(n_rows, 1))
    quantiles = np.linspace(0.4, 0.99, n_labels)
    scores = group + rng.normal(size=(n_rows, n_labels))
    return (scores > np.quantile(scores, quantiles, axis=0).diagonal()).astype(int)


def splits(cv, y):
    return list(cv.split(np.zeros((y.shape[0], 1)), y))


def fold_counts(cv, Y):
    return np.array([Y[test].sum(axis=0) for _, test in splits(cv, Y)])


def assert_same_splits(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@st.composite
def indicators(draw, max_rows=40, max_labels=6):
    n_rows = draw(st.integers(4, max_rows))
    n_labels = draw(st.integers(1, max_labels))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (rng.random((n_rows, n_labels)) < rng.random(n_labels)).astype(int)


# ---- large tables


@both
@pytest.mark.parametrize("dtype", [np.uint8, float])
def test_a_split_needs_little_memory(cv, dtype):
    Y = (np.random.default_rng(0).random((100_000, 20)) < 0.2).astype(dtype)
    tracemalloc.start()
    try:
        next(cv.split(Y, Y))
        # 4 bytes a positive, and 8 each for the order, the parts and the numbers of the rows.
        assert tracemalloc.get_traced_memory()[1] < 1.5 * (4 * Y.sum() + 3 * 8 * len(Y))
    finally:
        tracemalloc.stop()


# ---- partition and sizes


@given(Y=indicators(), n_splits=st.integers(2, 6), shuffle=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_folds_partition_the_rows_in_equal_sizes(Y, n_splits, shuffle, seed):
    n_splits = min(n_splits, len(Y))
    cv = MultilabelStratifiedKFold(
        n_splits, shuffle=shuffle, random_state=seed if shuffle else None
    )
    parts = splits(cv, Y)
    assert len(parts) == n_splits
    np.testing.assert_array_equal(
        np.sort(np.concatenate([test for _, test in parts])), np.arange(len(Y))
    )
    sizes = [len(test) for _, test in parts]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
    for train, test in parts:
        np.testing.assert_array_equal(np.union1d(train, test), np.arange(len(Y)))
        assert len(train) + len(test) == len(Y)
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()


@given(Y=indicators(), test_size=st.floats(0.01, 0.99), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_shuffle_split_has_the_size_asked_for(Y, test_size, seed):
    cv = MultilabelStratifiedShuffleSplit(2, test_size=test_size, random_state=seed)
    for train, test in splits(cv, Y):
        assert len(test) == min(max(round(test_size * len(Y)), 1), len(Y) - 1)
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(Y)))


@pytest.mark.parametrize("test_size, n_test", [(7, 7), (np.int64(1), 1), (49, 49), (0.001, 1)])
def test_test_size(test_size, n_test):
    cv = MultilabelStratifiedShuffleSplit(1, test_size=test_size, random_state=0)
    (train, test), *_ = splits(cv, skewed(50))
    assert (len(train), len(test)) == (50 - n_test, n_test)


def test_as_many_folds_as_rows():
    Y = skewed(20)
    tests = [test for _, test in splits(MultilabelStratifiedKFold(20, random_state=0), Y)]
    assert sorted(np.concatenate(tests)) == list(range(20))


@pytest.mark.parametrize("Y", [np.zeros((10, 3)), np.ones((10, 3)), np.zeros((10, 0))])
@both
def test_rows_all_alike(cv, Y):
    for train, test in splits(cv, Y):
        assert len(train) + len(test) == 10 and 2 <= len(test) <= 3


# ---- balance


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_more_balanced_than_kfold(seed):
    Y = skewed(seed=seed)
    due = Y.sum(axis=0) / 5
    ours = np.abs(fold_counts(MultilabelStratifiedKFold(5, random_state=seed), Y) - due)
    plain = np.abs(fold_counts(KFold(5, shuffle=True, random_state=seed), Y) - due)
    assert ours.mean() < 0.5 * plain.mean()
    # the rarer half is dealt out first and comes within a row or two of its quota
    rarer = np.argsort(Y.sum(axis=0))[: Y.shape[1] // 2]
    assert ours[:, rarer].max() < 2


@pytest.mark.parametrize("seed", range(5))
def test_shuffle_splits_are_more_balanced_than_shuffle_split(seed):
    Y = skewed(seed=seed)
    due = Y.sum(axis=0) * 0.2
    ours = MultilabelStratifiedShuffleSplit(5, test_size=0.2, random_state=seed)
    plain = ShuffleSplit(5, test_size=0.2, random_state=seed)
    assert (
        np.abs(fold_counts(ours, Y) - due).mean() < 0.5 * np.abs(fold_counts(plain, Y) - due).mean()
    )


@given(
    class_sizes=st.lists(st.integers(1, 15), min_size=2, max_size=6),
    n_splits=st.integers(2, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_labels_that_do_not_overlap_are_spread_to_within_one_row(class_sizes, n_splits, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(class_sizes)), class_sizes))
    n_splits = min(n_splits, len(y))
    Y = (y[:, None] == np.arange(len(class_sizes))).astype(int)
    counts = fold_counts(MultilabelStratifiedKFold(n_splits, random_state=seed), Y)
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


# ---- a positive in every fold


@given(Y=indicators(), n_splits=st.integers(2, 6), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_rarest_and_only_labels_reach_every_fold(Y, n_splits, seed):
    """For any overlap: the rarest label is distributed first."""
    n_splits = min(n_splits, len(Y))
    rarest = Y[:, [Y.sum(axis=0).argmin()]]
    counts = fold_counts(MultilabelStratifiedKFold(n_splits, random_state=seed), rarest)
    assert (counts >= rarest.sum() // n_splits).all()


@given(Y=indicators(max_labels=3), n_splits=st.integers(2, 5), seed=st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_label_with_plenty_of_positives_reaches_every_fold(Y, n_splits, seed):
    """A generous count; at exactly n_splits overlaps can make it impossible."""
    n_splits = min(n_splits, len(Y))
    counts = fold_counts(MultilabelStratifiedKFold(n_splits, random_state=seed), Y)
    assert (counts[:, Y.sum(axis=0) >= 3 * n_splits] > 0).all()


def test_labels_with_just_enough_positives_reach_every_fold():
    """The gaps that are left over 300 tables are those that no split could close, or nearly."""
    rng = np.random.default_rng(1)
    gaps = labels = 0
    for _ in range(300):
        n_splits = int(rng.integers(2, 6))
        Y = rng.random((rng.integers(6, 80), rng.integers(1, 8))) < rng.uniform(0.05, 0.6)
        counts = fold_counts(MultilabelStratifiedKFold(n_splits, random_state=0), Y)
        enough = Y.sum(axis=0) >= n_splits
        gaps += (counts[:, enough] == 0).any(axis=0).sum()
        labels += enough.sum()
    assert labels > 800 and gaps <= 2


def test_gap_is_closed_wherever_it_can_be():
    """All tables of four rows and three labels, in two folds, against every possible split."""
    halves = [np.isin(range(4), half) for half in itertools.combinations(range(4), 2)]
    sets = list(itertools.product([0, 1], repeat=3))
    cv = MultilabelStratifiedKFold(2, shuffle=False)
    missed = possible = 0
    for rows in itertools.combinations_with_replacement(sets, 4):
        Y = np.array(rows)
        enough = Y[:, Y.sum(axis=0) >= 2]
        if any(
            enough[half].any(axis=0).all() and enough[~half].any(axis=0).all() for half in halves
        ):
            possible += 1
            missed += (fold_counts(cv, Y)[:, Y.sum(axis=0) >= 2] == 0).any()
    assert possible > 250 and missed == 0


def test_impossible_gap_does_not_fail():
    Y = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]])
    for seed in range(5):
        assert len(splits(MultilabelStratifiedKFold(2, random_state=seed), Y)) == 2


# ---- rare labels


def test_rare_label_is_spread_over_as_many_folds_as_it_can():
    Y = np.zeros((30, 4), dtype=int)
    Y[:3, 0] = Y[5, 1] = Y[10:25, 2] = 1
    counts = fold_counts(MultilabelStratifiedKFold(5, random_state=0), Y)
    assert sorted(counts[:, 0]) == [0, 0, 1, 1, 1]
    assert counts[:, 1].sum() == 1 and (counts[:, 2] == 3).all() and (counts[:, 3] == 0).all()


@pytest.mark.parametrize("test_size", [0.1, 0.5, 0.8])
def test_single_positive_stays_in_training(test_size):
    Y = np.eye(40, 5, dtype=int)
    Y[:, 4] = np.arange(40) % 2
    cv = MultilabelStratifiedShuffleSplit(20, test_size=test_size, random_state=0)
    for train, _ in splits(cv, Y):
        assert (Y[train].sum(axis=0) > 0).all()


def test_more_single_positives_than_training_rows():
    cv = MultilabelStratifiedShuffleSplit(1, test_size=0.1, random_state=0)
    ((train, test),) = splits(cv, np.eye(50, dtype=int))
    assert (len(train), len(test)) == (45, 5)


def test_test_part_sees_each_label_that_it_is_due():
    Y = skewed()
    cv = MultilabelStratifiedShuffleSplit(10, test_size=0.1, random_state=0)
    for _, test in splits(cv, Y):
        assert (Y[test].sum(axis=0)[Y.sum(axis=0) >= 10] > 0).all()


# ---- determinism


@both
def test_int_seed_gives_the_same_splits(cv):
    Y = skewed()
    assert_same_splits(splits(cv, Y), splits(cv, Y))
    assert_same_splits(splits(cv, Y), splits(clone(cv, safe=False), Y))


@both
def test_seeds_differ(cv):
    Y = skewed()
    other = clone(cv, safe=False)
    other.random_state = 1
    assert any(
        not np.array_equal(one[1], two[1])
        for one, two in zip(splits(cv, Y), splits(other, Y), strict=True)
    )


def test_shuffle_splits_differ_among_themselves():
    first, second, _ = splits(SPLITTERS[1], skewed())
    assert not np.array_equal(first[1], second[1])


def test_random_state_instance_moves_on():
    Y = skewed()
    cv = MultilabelStratifiedKFold(random_state=np.random.RandomState(0))
    assert not np.array_equal(splits(cv, Y)[0][1], splits(cv, Y)[0][1])


@both
def test_global_generator_is_left_alone(cv):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    splits(cv, skewed())
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_without_shuffle_rows_keep_their_order():
    Y = np.array([[1, 0]] * 6 + [[0, 1]] * 3)
    tests = [test.tolist() for _, test in splits(MultilabelStratifiedKFold(3, shuffle=False), Y)]
    assert tests == [[0, 1, 6], [2, 3, 7], [4, 5, 8]]


# ---- kinds of y


@both
@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        pd.DataFrame,
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.csr_array,
        sparse.coo_array,
        lambda Y: sparse.lil_array(Y),
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(object),
        lambda Y: Y.astype(np.float32),
        lambda Y: 2 * Y - 1,
        lambda Y: 2 * Y,
        lambda Y: np.where(Y == 1, 0.5, 0.49),
        lambda Y: np.where(Y == 1, 1.0, np.nan),
        lambda Y: pd.DataFrame(np.where(Y == 1, 1.0, np.nan), index=np.arange(len(Y))[::-1]),
        lambda Y: pd.DataFrame(Y).astype("Int64").mask(Y == 0),
        lambda Y: pd.DataFrame(Y).astype(object).mask(Y == 0, pd.NA),
        lambda Y: pd.DataFrame(Y == 1),
        np.asfortranarray,
    ],
)
def test_kinds_of_indicators_split_alike(cv, convert):
    Y = skewed(60)
    X = np.zeros((60, 1))
    assert_same_splits(splits(cv, Y), list(cv.split(X, convert(Y))))


def test_duplicates_are_not_summed_in_place():
    Y = np.tile([[1.0, 0], [0, 1]], (6, 1))
    twice = sparse.csr_array(
        (np.repeat(Y, 2, axis=1).ravel() / 2, np.tile([0, 0, 1, 1], 12), np.arange(0, 49, 4)),
        shape=Y.shape,
    )
    data, cv = twice.data.copy(), MultilabelStratifiedKFold(3, random_state=0)
    assert_same_splits(splits(cv, twice), splits(cv, Y))
    np.testing.assert_array_equal(twice.data, data)


def test_stored_zeros_and_nan_of_a_sparse_matrix_are_negative():
    Y = sparse.csr_array(np.array([[1.0, 0.3], [np.nan, 0.9], [1, 0], [0, 1], [0, 0.1], [1, 0]]))
    Y.data[0] = 0
    cv = SPLITTERS[1]
    dense = np.array([[0, 0], [0, 1], [1, 0], [0, 1], [0, 0], [1, 0]])
    assert_same_splits(splits(cv, dense), splits(cv, Y))


@both
@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        list,
        pd.Series,
        lambda y: y.astype(float),
        lambda y: np.array(["p", "q", "r"])[y],
        lambda y: np.array(["p", "q", "r"], dtype=object)[y],
        lambda y: pd.Series(np.array(["p", "q", "r"])[y]),
        lambda y: pd.Series(y).astype("category"),
        lambda y: np.eye(3, dtype=int)[y],
    ],
)
def test_class_vectors_split_like_their_one_hot_form(cv, convert):
    y = np.random.default_rng(0).choice(3, size=70, p=[0.1, 0.3, 0.6])
    X = np.zeros((70, 1))
    expected = splits(cv, y)
    assert_same_splits(expected, list(cv.split(X, convert(y))))
    for _, test in expected:
        assert (np.abs(np.bincount(y[test], minlength=3) - np.bincount(y) / 4) <= 1).all()


@both
def test_one_column(cv):
    Y = (np.arange(40) % 4 == 0).astype(int)[:, None]
    for _, test in splits(cv, Y):
        assert Y[test].sum() in (2, 3)


@both
def test_y_is_not_changed(cv):
    Y = np.where(skewed(60) == 1, 1.0, np.nan)
    frozen = Y.copy()
    frozen.setflags(write=False)
    splits(cv, frozen)
    np.testing.assert_array_equal(Y, frozen)
    S = sparse.csr_array(np.nan_to_num(Y))
    data, indices = S.data.copy(), S.indices.copy()
    splits(cv, S)
    np.testing.assert_array_equal(S.data, data)
    np.testing.assert_array_equal(S.indices, indices)


# ---- errors


@both
@pytest.mark.parametrize(
    "y, message",
    [
        (None, "y must be given"),
        (np.zeros((8, 2, 2)), r"y must be 1-D or 2-D, got shape \(8, 2, 2\)"),
        (np.linspace(0, 1, 8), "continuous"),
        (np.array([0, 1, np.nan, 1, 0, 1, 0, 1]), "missing values"),
        (pd.Series(["a", "b", None, "a", "b", "a", "b", "a"]), "missing values"),
        (np.array([["a", "b"]] * 8), "indicators, got"),
        (np.zeros((7, 2)), "inconsistent numbers of samples"),
    ],
)
def test_unusable_y(cv, y, message):
    with pytest.raises(ValueError, match=message):
        next(cv.split(np.zeros((8, 1)), y))


@pytest.mark.parametrize(
    "cv, message",
    [
        (MultilabelStratifiedKFold(9), "n_splits must be at most the 8 rows of y, got 9"),
        (MultilabelStratifiedKFold(1), "n_splits must be an integer >= 2, got 1"),
        (MultilabelStratifiedKFold(2.0), "n_splits must be an integer >= 2, got 2.0"),
        (MultilabelStratifiedKFold(True), "n_splits must be an integer"),
        (MultilabelStratifiedKFold(shuffle=False, random_state=3), "random_state .* got 3"),
        (MultilabelStratifiedShuffleSplit(0), "n_splits must be an integer >= 1, got 0"),
        (MultilabelStratifiedShuffleSplit(test_size=0), r"test_size.*\[1, 7\].*got 0"),
        (MultilabelStratifiedShuffleSplit(test_size=8), r"test_size.*\[1, 7\].*got 8"),
        (MultilabelStratifiedShuffleSplit(test_size=1.0), r"test_size.*\(0, 1\).*got 1.0"),
        (MultilabelStratifiedShuffleSplit(test_size=0.0), r"test_size.*\(0, 1\).*got 0.0"),
        (MultilabelStratifiedShuffleSplit(test_size=np.nan), r"test_size.*got nan"),
        (MultilabelStratifiedShuffleSplit(test_size=None), "test_size.*got None"),
        (MultilabelStratifiedShuffleSplit(test_size=True), "test_size.*got True"),
    ],
)
def test_unusable_parameters(cv, message):
    with pytest.raises(ValueError, match=message):
        next(cv.split(np.zeros((8, 1)), np.zeros((8, 2))))


def test_one_row_cannot_be_split():
    with pytest.raises(ValueError, match="at least 2 rows .* got 1"):
        next(MultilabelStratifiedShuffleSplit().split([[0]], [[1]]))


# ---- with scikit-learn


def test_repr_and_number_of_splits():
    kfold, shuffle = MultilabelStratifiedKFold(), MultilabelStratifiedShuffleSplit()
    assert repr(kfold) == "MultilabelStratifiedKFold(n_splits=5, random_state=None, shuffle=True)"
    # scikit-learn wraps a long one
    assert (
        " ".join(repr(shuffle).split())
        == "MultilabelStratifiedShuffleSplit(n_splits=10, random_state=None, test_size=0.1)"
    )
    assert kfold.get_n_splits() == 5 and shuffle.get_n_splits() == 10


@both
def test_in_cross_validation_and_grid_search(cv):
    Y = skewed(120, 4)
    X = Y + np.random.default_rng(0).normal(scale=0.3, size=Y.shape)
    scores = cross_val_score(KNeighborsClassifier(), X, Y, cv=cv, scoring="f1_micro")
    assert scores.shape == (cv.get_n_splits(),) and (scores > 0.5).all()
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 5]}, cv=cv).fit(X, Y)
    assert search.n_splits_ == cv.get_n_splits()


def test_cross_val_predict_with_classes():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c"])[rng.choice(3, 90, p=[0.2, 0.3, 0.5])]
    X = (y[:, None] == np.array(["a", "b", "c"])) + 0.1 * rng.normal(size=(90, 3))
    predicted = cross_val_predict(LogisticRegression(), X, y, cv=SPLITTERS[0])
    assert (predicted == y).mean() > 0.9


# ---- repetitions


def test_repetitions_are_folds_in_other_orders():
    Y = skewed(80)
    cv = RepeatedMultilabelStratifiedKFold(4, n_repeats=3, random_state=0)
    found = splits(cv, Y)
    assert len(found) == cv.get_n_splits() == 12
    rng = np.random.RandomState(0)
    for repeat in range(3):
        part = found[4 * repeat : 4 * repeat + 4]
        assert_same_splits(part, splits(MultilabelStratifiedKFold(4, random_state=rng), Y))
        np.testing.assert_array_equal(np.sort(np.concatenate([t for _, t in part])), np.arange(80))
    assert len({test.tobytes() for _, test in found}) == 12
    assert_same_splits(found, splits(cv, Y))
    assert_same_splits(found, splits(clone(cv, safe=False), sparse.csr_array(Y)))
    assert_same_splits(found, splits(cv, pd.DataFrame(Y)))


def test_repetitions_in_scikit_learn():
    Y = skewed(120, 4)
    X = Y + np.random.default_rng(0).normal(scale=0.3, size=Y.shape)
    cv = RepeatedMultilabelStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)
    assert (
        " ".join(repr(cv).split())
        == "RepeatedMultilabelStratifiedKFold(n_repeats=2, n_splits=2, random_state=0)"
    )
    scores = cross_val_score(KNeighborsClassifier(), X, Y, cv=cv, scoring="f1_micro")
    assert scores.shape == (4,) and (scores > 0.5).all()
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 5]}, cv=cv).fit(X, Y)
    assert search.n_splits_ == 4
    default = RepeatedMultilabelStratifiedKFold()
    assert (default.n_splits, default.n_repeats, default.get_n_splits()) == (5, 10, 50)


@pytest.mark.parametrize(
    "params, message",
    [
        (dict(n_repeats=0), "n_repeats must be an integer >= 1, got 0"),
        (dict(n_repeats=1.5), "n_repeats must be an integer .* got 1.5"),
        (dict(n_splits=1), "n_splits must be an integer >= 2, got 1"),
        (dict(n_splits=9), "n_splits must be at most the 8 rows of y, got 9"),
    ],
)
def test_unusable_parameters_of_repetitions(params, message):
    with pytest.raises(ValueError, match=message):
        next(RepeatedMultilabelStratifiedKFold(**params).split(np.zeros((8, 1)), np.zeros((8, 2))))


# ---- apportioning


@given(
    room=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_apportion_finds_the_least_squares_integers(room, seed, data):
    """Handing out one row after the other to whoever lacks most is optimal, but slow."""
    room = np.array(room)
    total = data.draw(st.integers(0, int(room.sum())))
    due = np.random.default_rng(seed).normal(total / len(room), 3, size=len(room))
    shares = _apportion(total, due, room)
    assert shares.sum() == total and (shares >= 0).all() and (shares <= room).all()
    greedy = np.zeros(len(room), dtype=int)
    for _ in range(total):
        greedy[np.where(greedy < room, due - greedy, -np.inf).argmax()] += 1
    np.testing.assert_allclose(((due - shares) ** 2).sum(), ((due - greedy) ** 2).sum())


def test_apportion_gives_ties_to_the_part_with_most_room():
    assert _apportion(1, np.full(3, 1 / 3), np.array([4, 6, 5])).tolist() == [0, 1, 0]


# ---- groups


@pytest.mark.parametrize(
    "cv",
    [
        MultilabelStratifiedKFold(3, random_state=0),
        MultilabelStratifiedShuffleSplit(2, random_state=0),
        RepeatedMultilabelStratifiedKFold(3, n_repeats=2, random_state=0),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_groups_are_ignored_with_a_warning(cv):
    Y = np.arange(48).reshape(24, 2) % 3 == 0
    without = list(cv.split(Y, Y))
    with pytest.warns(UserWarning) as caught:
        found = list(cv.split(Y, Y, np.arange(24) // 2))
    for left, right in zip(found, without, strict=True):
        np.testing.assert_array_equal(left[1], right[1])
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) == (
        f"The groups parameter is ignored by {type(cv).__name__}: use "
        "MultilabelStratifiedGroupKFold to keep groups together"
    )
