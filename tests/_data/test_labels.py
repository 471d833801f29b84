"""Checks of labels, and of the predictions that are compared with them."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from sklearn_mlloss._data.labels import check_labels, check_predictions, find_names

NAN = float("nan")


@pytest.mark.parametrize("make", [list, np.array, pd.DataFrame, sp.csr_array], ids=str)
def test_labels_in_all_containers(make):
    rows = [[0, 1, 0], [1, 0, 0]]
    labels = check_labels(make(np.array(rows)) if make is sp.csr_array else make(rows), "Y")
    assert labels.dtype == np.float64
    np.testing.assert_array_equal(labels, rows)


def test_soft_and_missing_labels():
    Y = [[0.5, NAN], [1, 0]]
    np.testing.assert_array_equal(check_labels(Y, "Y"), Y)
    with pytest.raises(ValueError, match="Y must hold 0, 1, or NaN .* got 0.5; cut soft labels"):
        check_labels(Y, "Y", soft=False)
    np.testing.assert_array_equal(check_labels([[1, NAN]], "Y", soft=False), [[1, NAN]])


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize(
    "Y, message",
    [
        ([0, 1], r"2-D, .* got shape \(2,\); use Y.reshape\(-1, 1\)"),
        (np.empty((0, 2)), "at least one row"),
        (np.empty((2, 0)), r"one label, got shape \(2, 0\)"),
        ([[0, 2]], "or NaN where not observed, got 2; encode the labels"),
        ([[-0.5, 1]], "got -0.5; encode the labels"),
        ([["a", "b"]], "array of numbers"),
    ],
)
def test_invalid_labels(Y, message, soft):
    with pytest.raises(ValueError, match=f"Y must .*{message}"):
        check_labels(Y, "Y", soft)


@pytest.mark.parametrize(
    "kind, value, message",
    [
        ("scores", np.inf, "be finite, got inf; check the model"),
        ("probabilities", 1.5, r"hold probabilities in \[0, 1\], got 1.5; give predict_proba"),
        ("probabilities", NAN, "got nan"),
        ("labels", 0.5, "hold 0 or 1, got 0.5; give predicted labels"),
        ("labels", NAN, "got nan"),
    ],
)
def test_invalid_predictions(kind, value, message):
    Y, shape = np.array([[0, 1]]), (1, 2)
    np.testing.assert_array_equal(check_predictions(Y, "P", Y, shape, "Y", kind), Y)
    with pytest.raises(ValueError, match=f"P must {message}|{message}"):
        check_predictions([[0, value]], "P", Y, shape, "Y", kind)
    with pytest.raises(ValueError, match=r"P must have the shape \(1, 2\) of Y, got \(1, 1\)"):
        check_predictions([[0]], "P", Y, shape, "Y", kind)


def test_predictions_have_the_columns_of_the_labels():
    Y = pd.DataFrame([[0, 1]], columns=["a", "b"])
    check_predictions(Y, "P", Y, (1, 2), "Y")
    with pytest.raises(ValueError, match=r"P must have the columns \['a', 'b'\] of Y"):
        check_predictions(Y[["b", "a"]], "P", Y, (1, 2), "Y")


def test_names_of_labels():
    Y = pd.DataFrame([[0, 1]], columns=["a", "b"])
    assert find_names(Y, None, 2) == ["a", "b"]
    assert find_names(Y, "xy", 2) == ["x", "y"]
    assert find_names(Y.to_numpy(), None, 2) == [0, 1]
    with pytest.raises(ValueError, match="one name for each of the 2 labels, got 3"):
        find_names(Y, "xyz", 2)
