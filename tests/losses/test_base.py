"""What the base class counts, block by block."""

import tracemalloc

import numpy as np
import pytest

from sklearn_mlloss.losses import BinaryCrossEntropy, base

rng = np.random.default_rng(0)
Y = (rng.random((41, 3)) < 0.4).astype(np.uint8)
SOFT = np.where(rng.random(Y.shape) < 0.2, np.nan, rng.random(Y.shape))


@pytest.mark.parametrize("y", [Y, Y.astype(bool), Y.astype(np.int64), Y.astype(float), SOFT])
@pytest.mark.parametrize("weight", [None, rng.random(41), rng.random((41, 3))])
def test_label_totals(y, weight, monkeypatch):
    monkeypatch.setattr(base, "BLOCK_ENTRIES", 20)
    loss = BinaryCrossEntropy().fit(y, weight)
    weights = np.ones(41) if weight is None else weight
    weights = np.broadcast_to(weights.reshape(41, -1), (41, 3))
    seen = ~np.isnan(np.asarray(y, float))
    np.testing.assert_allclose(loss.label_count_, (weights * seen).sum(0))
    np.testing.assert_allclose(loss.positive_count_, np.nansum(weights * y, axis=0))


@pytest.mark.parametrize("value", [2, -1])
@pytest.mark.parametrize("dtype", [np.int64, float])
def test_targets_out_of_range_in_the_last_block(value, dtype, monkeypatch):
    monkeypatch.setattr(base, "BLOCK_ENTRIES", 20)
    wrong = Y.astype(dtype)
    wrong[-1, -1] = value
    with pytest.raises(ValueError, match=r"Y must hold targets in \[0, 1\]"):
        BinaryCrossEntropy().fit(wrong)


@pytest.mark.parametrize("weight", [None, np.ones(100_000)])
def test_counting_needs_little_memory(weight):
    large = (rng.random((100_000, 20)) < 0.2).astype(np.uint8)
    tracemalloc.start()
    try:
        BinaryCrossEntropy().fit(large, weight)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * large.nbytes
    finally:
        tracemalloc.stop()


def test_no_rows():
    loss = BinaryCrossEntropy().fit(np.empty((0, 3)))
    np.testing.assert_array_equal(loss.label_count_, np.zeros(3))
    assert loss.partial_fit(Y).label_count_.tolist() == [41, 41, 41]
