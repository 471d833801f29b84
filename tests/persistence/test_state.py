"""Values of all kinds survive, and others are refused."""

import json
import math
from collections import Counter
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.utils import Bunch

from sklearn_mlloss.persistence.state import Reader, Writer

rng = np.random.default_rng(0)


def again(value):
    writer = Writer()
    node = json.loads(json.dumps(writer.write(value, "value"), allow_nan=False))
    assert all(array.flags.c_contiguous for array in writer.arrays.values())
    return Reader(writer.arrays, writer.custom).read(node)


def alike(a, b):
    if isinstance(a, np.ndarray):
        same = np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        return a.dtype == b.dtype and same and a.flags.f_contiguous == b.flags.f_contiguous
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b) and a.requires_grad == b.requires_grad
    return type(a) is type(b) and (a == b or (a != a and b != b))


VALUES = [
    None, True, -3, 2**70, 0.1, math.nan, math.inf, "", "Zürich \ud800 \n", [], [1, [2.5, "a"]],
    (), (1, (2,)), {1, 2}, frozenset("a"), {}, {1: "a", (2, "b"): [None]}, Bunch(a=1),
    np.float64(0.1), np.float32(0.1), np.int8(3), np.bool_(True), np.str_("text"), np.float32,
    np.dtype("<M8[ns]"), np.dtype("int16"), sp.csr_matrix, torch.optim.SGD, torch.float64,
    torch.device("cpu"), partial(torch.optim.lr_scheduler.StepLR, step_size=3).func,
    [np.arange(3.0), np.empty(0), np.arange(2.0)], [np.arange(3), np.arange(2.0)],
    [np.array(["a", "bcd"]), np.array(["ef", "g"])],
]  # fmt: skip
ARRAYS = [
    np.arange(6).reshape(2, 3), np.arange(6.0).reshape(2, 3).T, np.arange(10)[::3],
    np.empty((0, 3)), np.array(5.0), np.arange(3, dtype=">i4"), np.arange(3, dtype=np.float16),
    np.array(["a", "bcd"], dtype="<U9"), np.array(["2020-01-01"], dtype="M8[D]"),
    np.array([b"a", b"bc"]), np.arange(2, dtype=np.longdouble), np.array([1 + 2j]),
    np.array([True, False]), np.array(["a", 1, None, math.nan], dtype=object),
    np.array([[1, "b"], [(2,), 0.5]], dtype=object),
]  # fmt: skip
TENSORS = [
    torch.arange(3), torch.ones(2, 3).T, torch.nn.Parameter(torch.ones(2)),
    torch.ones(3, dtype=torch.bfloat16), torch.ones(2, requires_grad=True), torch.tensor(2.5),
]  # fmt: skip


@pytest.mark.parametrize("value", [*VALUES, *TENSORS], ids=lambda value: repr(value)[:40])
def test_values_are_equal(value):
    assert alike(again(value), value)


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{value.dtype.str} {value.shape}")
def test_arrays_are_equal(value):
    loaded = again(value)
    assert loaded.shape == value.shape and loaded.dtype == value.dtype.newbyteorder("=")
    assert loaded.tolist() == value.tolist() or value.dtype.kind == "O"
    assert all(a is b or a == b or a != a for a, b in zip(loaded.flat, value.flat, strict=True))


def test_partial_functions_and_generators_continue():
    made = again(partial(torch.optim.lr_scheduler.StepLR, step_size=3))
    assert (made.func, made.keywords) == (torch.optim.lr_scheduler.StepLR, {"step_size": 3})
    generator = np.random.RandomState(3)
    generator.normal(size=3)
    assert again(generator).normal() == generator.normal()


def test_what_is_shared_stays_shared():
    array, generator = np.arange(6.0).reshape(2, 3), np.random.RandomState(0)
    writer = Writer()
    node = writer.write([array, array.T, array, generator, generator], "value")
    assert len(writer.arrays) == 2  # with that of the generator
    first, turned, second, *generators = Reader(writer.arrays, {}).read(node)
    assert np.shares_memory(first, turned) and np.shares_memory(first, second)
    assert generators[0] is generators[1]
    # Not what only begins at the same place.
    assert len(again([array, array[:1], array.ravel()[:2]])[2]) == 2


class Pickled:
    def __reduce__(self):
        return Pickled, ()


class Slots:
    __slots__ = ("a",)


REFUSED = [
    lambda: None, Counter("a"), Pickled(), Slots(), object(), [].append, (i for i in "ab"),
    np.longdouble(1), np.datetime64("2020-01-01"), np.zeros(2, dtype="i4,f4"), np.array([object()]),
    np.add,
]  # fmt: skip


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_other_values_are_refused(value):
    with pytest.raises(TypeError, match=r"part.* cannot be saved: .*; "):
        again({"part": value})
