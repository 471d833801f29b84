"""The checks of single parameters."""

from fractions import Fraction

import numpy as np
import pytest

from sklearn_mlloss._data.validation import (
    check_beta,
    check_call,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_numbers,
)

NAN, INF = float("nan"), float("inf")
# No numbers, or such as overflow in formulas.
OTHERS = (True, np.True_, None, "1", 1j, [1], np.ones(2), Fraction(1, 2), 10**400)
NARROW = (np.uint8(2), np.uint64(2), np.int8(2), np.int16(2))


@pytest.mark.parametrize("value", [0, 1.5, np.float16(1), np.float32(1), np.int32(1), np.int64(1)])
def test_numbers(value):
    check_number(value, "gamma", low=0)
    np.testing.assert_array_equal(check_numbers(value, "gamma", low=0), value)


@pytest.mark.parametrize(
    "value", [NAN, INF, -INF, -1, 1e300, *OTHERS, *NARROW], ids=lambda v: repr(v)[:20]
)
def test_values_that_are_no_numbers(value):
    is_other = any(value is other for other in OTHERS + NARROW)
    # Both errors, since either may be expected.
    for error in (ValueError, TypeError) if is_other else (ValueError,):
        with pytest.raises(error, match="^gamma must be a finite number >= 0, got ") as found:
            check_number(value, "gamma", low=0)
    assert len(str(found.value)) < 150


def test_messages_on_numbers_that_formulas_cannot_take():
    with pytest.raises(ValueError, match=r"^gamma must be a finite number, got 1e\+300, .*float32"):
        check_number(1e300, "gamma")
    with pytest.raises(TypeError, match=r"got np.uint8\(2\), which formulas cannot take: give a"):
        check_number(np.uint8(2), "gamma")


@pytest.mark.parametrize(
    "bounds, wanted, inside, outside",
    [
        ({}, "a finite number", (-5, 0.0), ()),
        ({"low": 0, "closed": "neither"}, "a finite number > 0", (1e-9,), (0, -1)),
        ({"high": 2}, "a finite number <= 2", (2, -3), (3,)),
        ({"low": 0, "high": 1, "closed": "left"}, r"a number in \[0, 1\)", (0, 0.5), (1, -0.1)),
        ({"low": 0, "high": 1, "closed": "right"}, r"a number in \(0, 1\]", (1, 0.5), (0, 2)),
        ({"low": 0, "infinite": True}, "a number >= 0", (0, INF, 1e300), (-1, -INF)),
        ({"other": "None or "}, "None or a finite number", (1,), ()),
    ],
)
def test_bounds(bounds, wanted, inside, outside):
    for value in inside:
        check_number(value, "gamma", **bounds)
    for value in (*outside, NAN, "1"):
        with pytest.raises(ValueError, match=f"^gamma must be {wanted}, got"):
            check_number(value, "gamma", **bounds)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, NAN, INF, np.ones(1, int), -1])
def test_integers(value):
    for right in (0, 3, np.int64(3), np.uint8(3), 10**400):
        check_integer(right, "n_bins", low=0)
    with pytest.raises(ValueError, match="^n_bins must be an integer >= 0, got"):
        check_integer(value, "n_bins", low=0)


@pytest.mark.parametrize(
    "value",
    [NAN, -1, INF, 1e300, "1", None, True, 1j, ["1"], [1, None], [True], [1, NAN], [[1.0]]]
    + [[1, [2]], {"a": 1}, {1.0}, 10**400],
    ids=lambda v: repr(v)[:20],
)
def test_numbers_of_labels(value):
    for right in (2, [1, 2], np.array([0.5, 3]), np.array([1, 2], object)):
        found = check_numbers(right, "costs", low=0)
        assert found.dtype == np.float64 and found.tolist() == np.asarray(right).tolist()
    with pytest.raises(ValueError, match="^costs must be a finite number >= 0 or one per label, g"):
        check_numbers(value, "costs", low=0)


def test_infinite_numbers_of_labels():
    assert check_numbers([0, INF], "threshold", infinite=True).tolist() == [0, INF]
    with pytest.raises(ValueError, match="threshold must be a number or one per label"):
        check_numbers([0, NAN], "threshold", infinite=True)


@pytest.mark.parametrize("value", [0, -1, NAN, INF, 1e300, 1e-300, 1e7, "1", None, True])
def test_beta(value):
    for right in (1e-6, 0.5, 1, 2, 1e6):
        check_beta(right)
    with pytest.raises(ValueError, match="^beta must be "):
        check_beta(value)


@pytest.mark.parametrize("value", [0, 1, "yes", None, np.ones(2)])
def test_flags(value):
    check_flag(True, "kl")
    check_flag(np.False_, "kl")
    with pytest.raises(TypeError, match="^kl must be True or False, got"):
        check_flag(value, "kl")


@pytest.mark.parametrize("value", ["poison", None, 1, ["poisson"], np.array(["poisson", "a"])])
def test_choices(value):
    check_choice("poisson", "head", ("poisson", "categorical"))
    with pytest.raises(ValueError, match="^head must be None or one of 'poisson', 'categ") as found:
        check_choice(value, "head", ("poisson", "categorical"), "None or ")
    assert ("; did you mean 'poisson'?" in str(found.value)) == isinstance(value, str)


@pytest.mark.parametrize("function", [lambda Y: 1, lambda Y, scores, k: 1, 3, object])
def test_calls(function):
    for right in (lambda Y, scores: 1, lambda *args: 1, lambda Y, scores, k=1: 1, max):
        check_call(right, "monitor", "Y", "scores")
    with pytest.raises(TypeError, match=r"^monitor must be callable with \(Y, scores\), got "):
        check_call(function, "monitor", "Y", "scores")
