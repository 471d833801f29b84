"""What weights mean: which rows and entries count, and how much."""

import numpy as np
import pytest

from sklearn_mlloss._data.weights import check_weight, row_weight, scale_weight, weigh

NAN = np.nan
Y = np.array([[1, 0], [0, 1], [1, NAN], [NAN, NAN]], dtype=np.float32)


def test_weights_have_mean_one_over_rows_that_count():
    assert scale_weight(None, Y) is None
    # The third row has no weight, and the last nothing observed.
    np.testing.assert_allclose(scale_weight(np.array([1, 3, 0, 9.0]), Y), [0.5, 1.5, 0, 4.5])
    given = np.array([[2, 0], [4, 6], [0, 5], [7, 7.0]])
    np.testing.assert_allclose(scale_weight(given, Y), given / 4)
    whole = np.array([[1, 0], [0, 1]], dtype=np.uint8)
    np.testing.assert_allclose(scale_weight(np.array([1, 3.0]), whole), [0.5, 1.5])


def test_the_weight_of_a_row_is_the_mean_over_its_observed_entries():
    weight = np.array([[2, 4], [1, 0], [6, 100], [5, 5.0]])
    assert row_weight(weight, Y).tolist() == [3, 0.5, 6, 0]
    assert row_weight(weight[:, 0], Y) is not None and row_weight(None, Y) is None


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_targets_and_weights_to_decide_by(unit):
    weight = unit * np.array([[2, 0], [1, 1], [0, 100], [5, 5.0]])
    targets, rows = weigh(Y, weight)
    np.testing.assert_array_equal(targets, [[1, NAN], [0, 1], [NAN, NAN], [NAN, NAN]])
    np.testing.assert_allclose(rows, [1.5, 0.75, 0, 0])
    # Weights that are all the same are none.
    np.testing.assert_allclose(weigh(Y, np.full(4, unit))[1], 1)
    np.testing.assert_allclose(weigh(Y[:2], np.full((2, 2), unit))[1], 1)
    assert weigh(Y, None)[0] is Y and weigh(Y, None)[1] is None


@pytest.mark.parametrize("weight", [np.zeros(4), np.zeros((4, 2)), [0, 0, 0, 1]], ids=str)
def test_something_must_count(weight):
    with pytest.raises(ValueError, match="no row is left to learn from"):
        weigh(Y, check_weight(weight, Y))


def test_weights_of_labels_are_for_indicators():
    with pytest.raises(ValueError, match=r"shape \(4,\), got \(4, 2\)"):
        check_weight(np.ones((4, 2)), Y, per_label=False)
    assert check_weight(np.ones((4, 1)), Y, per_label=False).shape == (4,)


@pytest.mark.parametrize("size", [1e308, 1e-308, 5e-324])
def test_scaling_neither_overflows_nor_vanishes(size):
    whole = np.array([[1, 0], [0, 1]], dtype=np.uint8)
    np.testing.assert_array_equal(scale_weight(np.full(2, size), whole), 1)
    # What is not observed does not count, however large it is.
    found = scale_weight(np.array([[1, 1], [1, 1], [1, 1e308], [1, 1]]), Y)
    assert np.isfinite(found.astype(np.float32)).all()
