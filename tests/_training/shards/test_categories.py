"""Categories of all rows, although the encoding is fitted on a sample."""

import numpy as np
import pytest

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._data.rows import Rows
from sklearn_mlloss._training.shards import categories
from sklearn_mlloss._training.shards.categories import CategoryCounts, fit_one_hot
from sklearn_mlloss._training.shards.survey import count, finish
from sklearn_mlloss.streaming import RowSource, Streaming

RNG = np.random.default_rng(0)
N = 600
KIND = RNG.integers(0, 3, N).astype(float)
# In every shard, and in no row of the sample of ten.
KIND[np.arange(N) % 30 == 7] = 9
KIND[300] = np.nan
X = np.column_stack([RNG.normal(size=N), KIND])
Y = (np.column_stack([X[:, 0], RNG.normal(size=N)]) > [0, 1]).astype(int)
Y[KIND == 9] = 1
SMALL = Streaming(sample_rows=10, buffer_rows=200)


class Shards(RowSource):
    def shards(self):
        return ["a", "b", "c"]

    def read(self, shard):
        for start in range(200 * shard, 200 * shard + 200, 50):
            yield X[start : start + 50], Y[start : start + 50], None


def net(streaming=SMALL, **params):
    settings = {"hidden_layer_sizes": (8,), "batch_size": 32, "max_epochs": 1, "random_state": 0}
    settings |= {"early_stopping": False, "decoder": "threshold", "categorical_features": [1]}
    return MultiLabelNetClassifier(streaming=streaming, **(settings | params))


def test_a_category_outside_the_sample_is_learned():
    fitted = net(max_epochs=20, learning_rate=0.02).fit(Shards())
    assert fitted.categories_[0].tolist() == [0, 1, 2, 9]
    # One output for each category, and one for the missing value.
    assert fitted.net_.encoder_.categories.slots_[0].tolist() == [0, 1, 2, 3, -1, 4]
    rows = np.column_stack([np.tile(X[:50, 0], 2), np.repeat([9, 77], 50)])
    rare, unknown = fitted.predict_proba(rows)[:, 1].reshape(2, 50).mean(axis=1)
    assert rare > 0.6 > 0.4 > unknown


def test_a_sample_of_all_rows_gives_what_rows_in_memory_give():
    expected = net(None).fit(X, Y)
    fitted = net(Streaming()).fit(Shards())
    for a, b in zip(fitted.categories_, expected.categories_, strict=True):
        np.testing.assert_array_equal(a, b)
    slots = [model.net_.encoder_.categories.slots_[0] for model in (fitted, expected)]
    np.testing.assert_array_equal(*slots)


def test_beyond_a_number_of_categories_those_of_the_sample_are_used(monkeypatch):
    monkeypatch.setattr(categories, "MOST_CATEGORIES", 3)
    assert net().fit(Shards()).categories_[0].tolist() == [0, 1, 2]
    monkeypatch.setattr(categories, "MOST_CATEGORIES", 4)
    assert net().fit(Shards()).categories_[0].tolist() == [0, 1, 2, 9]


def test_parts_of_rows_are_merged(monkeypatch):
    levels = ["a", "b", 0.1], ["b", "c", float(np.float32(0.1))]
    parts = [CategoryCounts(1), CategoryCounts(1)]
    parts[0].add(0, levels[0], np.array([0, 1, 1, -1, 2]), np.array([1.0, 2, 3, 4, 5]))
    parts[1].add(0, levels[1], np.array([1, 0, 2]), None)
    parts[0].merge(parts[1])
    # The same category in other digits; levels without rows are none.
    assert parts[0].columns[0] == {
        "a": ("a", 1, 1),
        "b": ("b", 3, 6),
        "c": ("c", 1, 1),
        float(np.float32(0.1)): (0.1, 2, 6),
    }
    assert parts[0].missing == [1]
    monkeypatch.setattr(categories, "MOST_CATEGORIES", 3)
    small = CategoryCounts(1)
    small.merge(parts[0])
    assert small.levels() == [None]  # there are four
    parts[1].merge(small)
    assert parts[1].levels() == [None]


def encode(held_out, weight=None, limit=False):
    """Return the outputs of 0, 1, 2, others and NaN, if some rows are held out from training."""
    codes = np.array([[0.0], [1], [1], [2], [np.nan]])
    sample = Rows(codes, np.ones((5, 1)), weight)
    counts = CategoryCounts(1)
    counts.add(0, ["x", "y", "z"], np.array([0, 1, 1, 2, -1]), weight)
    if limit:
        counts.columns[0] = None
    known = np.array(["x", "y", "z"], dtype=object)
    train = np.setdiff1d(np.arange(5), held_out)
    args = counts, [known], np.array([True]), sample, train, np.array(held_out, dtype=int), 1.0
    return fit_one_hot(*args).slots_[0].tolist()


@pytest.mark.parametrize("limit", [False, True])
def test_categories_of_held_out_rows_alone_have_no_output(limit):
    assert encode([], limit=limit) == [0, 1, 2, -1, 3]
    assert encode([1], limit=limit) == [0, 1, 2, -1, 3]
    weight = np.array([0.1, 0.2, 0.3, 0.7, 1])
    for weights in (None, weight):
        assert encode([0, 4], weights, limit) == [-1, 0, 1, -1, -1]
        assert encode([3], weights, limit) == [0, 1, -1, 2]


def test_ranks_count_as_one_process():
    def survey(*shards):
        estimators = [net() for _ in shards]
        for estimator in estimators:
            estimator._dtype, estimator._entropy = np.float32, 0
        parts = [
            count(one, Shards(), 10, some) for one, some in zip(estimators, shards, strict=True)
        ]
        return finish(estimators[0], parts), estimators[0].categories_[0]

    (one, known), (two, of_ranks) = survey([0, 1, 2]), survey([0, 2], [1])
    assert one.categories.columns == two.categories.columns
    assert one.categories.missing == two.categories.missing == [1]
    np.testing.assert_array_equal(known, of_ranks)
    np.testing.assert_array_equal(one.sample.X, two.sample.X)
