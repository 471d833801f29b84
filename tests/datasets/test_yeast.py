import sys

import numpy as np
import pandas as pd
import pytest

from sklearn_mlloss.datasets import load_yeast

TRAIN_COUNTS = [476, 645, 598, 532, 441, 378, 261, 289, 98, 161, 198, 1128, 1116, 21]
TEST_COUNTS = [286, 393, 385, 330, 281, 219, 167, 191, 80, 92, 91, 688, 683, 13]


@pytest.fixture(scope="module")
def yeast():
    return load_yeast()


def test_all_rows(yeast):
    assert yeast.data.shape == (2417, 103) and yeast.data.dtype == np.float64
    assert yeast.target.shape == (2417, 14) and yeast.target.dtype == np.int64
    assert set(np.unique(yeast.target)) == {0, 1}
    assert np.isfinite(yeast.data).all()
    assert yeast.feature_names == [f"Att{i}" for i in range(1, 104)]
    assert yeast.target_names == [f"Class{i}" for i in range(1, 15)]
    assert yeast.frame is None
    assert "Elisseeff" in yeast.DESCR
    assert (yeast.target.sum(axis=1) > 0).all()


def test_official_split(yeast):
    assert yeast.train.dtype == bool and yeast.train.sum() == 1500
    assert yeast.target[yeast.train].sum(axis=0).tolist() == TRAIN_COUNTS
    assert yeast.target[~yeast.train].sum(axis=0).tolist() == TEST_COUNTS


@pytest.mark.parametrize("subset, n_rows", [("train", 1500), ("test", 917)])
def test_subset_holds_the_rows_of_the_mask(yeast, subset, n_rows):
    part = load_yeast(subset=subset)
    wanted = yeast.train == (subset == "train")
    assert len(part.data) == n_rows
    np.testing.assert_array_equal(part.data, yeast.data[wanted])
    np.testing.assert_array_equal(part.target, yeast.target[wanted])
    np.testing.assert_array_equal(part.train, np.full(n_rows, subset == "train"))


def test_values(yeast):
    """Frozen numbers: a change of river's file must not pass unnoticed."""
    train = yeast.data[yeast.train]
    assert train[0, :3].tolist() == [0.0937, 0.139771, 0.062774]
    np.testing.assert_allclose(np.abs(train).sum(), 11736.090274, rtol=1e-9)


def test_as_frame(yeast):
    frames = load_yeast(subset="test", as_frame=True)
    assert list(frames.data.columns) == yeast.feature_names
    assert list(frames.target.columns) == yeast.target_names
    assert frames.frame.shape == (917, 117)
    assert (frames.target.dtypes == np.int64).all()
    np.testing.assert_array_equal(frames.data.to_numpy(), yeast.data[~yeast.train])
    pd.testing.assert_frame_equal(frames.frame[yeast.target_names], frames.target)


def test_return_X_y(yeast):
    X, Y = load_yeast(return_X_y=True)
    np.testing.assert_array_equal(X, yeast.data)
    np.testing.assert_array_equal(Y, yeast.target)
    X, Y = load_yeast(return_X_y=True, as_frame=True, subset="train")
    assert isinstance(X, pd.DataFrame) and isinstance(Y, pd.DataFrame) and len(X) == 1500


def test_unknown_subset():
    with pytest.raises(ValueError, match="subset must be .* got 'validation'"):
        load_yeast(subset="validation")


def test_without_river(monkeypatch):
    monkeypatch.setitem(sys.modules, "river.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn_mlloss\[examples\]"'):
        load_yeast()
