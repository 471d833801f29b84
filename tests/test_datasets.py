import gzip
import hashlib
import json
import sys
from urllib.error import HTTPError, URLError

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from sklearn_mlloss import datasets
from sklearn_mlloss.datasets import fetch, load_yeast

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


def test_unknown_tables():
    with pytest.raises(ValueError, match="'birds', 'emotions'.* got 'emotion'; did you mean 'emo"):
        fetch("emotion")
    with pytest.raises(ValueError, match="got None"):
        fetch(None)
    with pytest.raises(ValueError, match="subset must be .* got None"):
        fetch("scene", subset=None)


# ---------------------------------------------------------------- fetch: OpenML

MUSIC = ["amazed.suprised", "happy.pleased", "relaxing.calm", "quiet.still", "sad.lonely", "angry"]


def keep_download(home, data_id=40589, name="emotions", n_samples=593, order=("FALSE", "TRUE")):
    """Write an answer of OpenML into scikit-learn's cache, and return the columns.

    Two numbers, a nominal column of each of the kinds there are, and the labels.
    """
    rng = np.random.default_rng(0)
    columns = {
        "size": rng.normal(size=n_samples).round(3),
        "weight": rng.normal(size=n_samples).round(3),
        "loud": rng.choice(["TRUE", "FALSE"], n_samples),
        "place": rng.choice(["2", "5", "1"], n_samples),
    }
    nominal = {"loud": ["TRUE", "FALSE"], "place": ["2", "5", "1"]}
    for label in MUSIC:
        columns[label] = rng.choice(["TRUE", "FALSE"], n_samples)
        nominal[label] = list(order)
    kinds = {column: f"{{{','.join(values)}}}" for column, values in nominal.items()}
    head = [f"@attribute '{column}' {kinds.get(column, 'numeric')}" for column in columns]
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    arff = "\n".join(["@relation 'x'", *head, "@data", *rows, ""])
    info = {
        "id": str(data_id),
        "name": name,
        "version": "3",
        "description": "Music.",
        "format": "ARFF",
        "status": "active",
        "url": "https://www.openml.org/data/v1/download/1/emotions.arff",
        "file_id": "1",
        "md5_checksum": hashlib.md5(arff.encode()).hexdigest(),
    }
    features = [
        {
            "index": str(number),
            "name": column,
            "data_type": "nominal" if column in nominal else "numeric",
            "is_target": "true" if column in MUSIC else "false",
            "is_ignore": "false",
            "is_row_identifier": "false",
            "number_of_missing_values": "0",
        }
        for number, column in enumerate(columns)
    ]
    quality = [{"name": "NumberOfInstances", "value": str(float(n_samples))}]
    answers = {
        f"api/v1/json/data/{data_id}": json.dumps({"data_set_description": info}),
        f"api/v1/json/data/features/{data_id}": json.dumps(
            {"data_features": {"feature": features}}
        ),
        f"api/v1/json/data/qualities/{data_id}": json.dumps(
            {"data_qualities": {"quality": quality}}
        ),
        "data/v1/download/1/emotions.arff": arff,
    }
    for path, text in answers.items():
        file = home / "openml" / "openml.org" / f"{path}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(text.encode()))
    return columns


@pytest.mark.parametrize("order", [("FALSE", "TRUE"), ("TRUE", "FALSE")])
def test_a_table_that_scikit_learn_has_kept(tmp_path, order):
    """All of scikit-learn's own reading, of a file in the form of emotions version 3."""
    columns = keep_download(tmp_path, order=order)
    found = fetch("emotions", data_home=tmp_path)
    assert found.data.shape == (593, 4) and found.data.dtype == np.float64
    assert found.feature_names == ["size", "weight", "loud", "place"]
    np.testing.assert_array_equal(found.data[:, 0], columns["size"])
    np.testing.assert_array_equal(found.data[:, 2], columns["loud"] == "TRUE")
    np.testing.assert_array_equal(found.data[:, 3], columns["place"].astype(float))
    assert found.target_names == MUSIC and found.target.dtype == np.int64
    wanted = np.column_stack([columns[label] == "TRUE" for label in MUSIC])
    np.testing.assert_array_equal(found.target, wanted)
    assert found.train is None and "Music." in found.DESCR
    frames = fetch("emotions", data_home=tmp_path, as_frame=True)
    np.testing.assert_array_equal(frames.frame[MUSIC].to_numpy(), wanted)
    X, Y = fetch("emotions", data_home=tmp_path, return_X_y=True)
    np.testing.assert_array_equal(X, found.data)
    np.testing.assert_array_equal(Y, wanted)


@pytest.mark.parametrize(
    "other", [{"name": "feelings"}, {"n_samples": 592}], ids=["name", "number of rows"]
)
def test_another_table_than_the_one_that_was_asked_for(tmp_path, other):
    keep_download(tmp_path, **other)
    with pytest.raises(
        ValueError, match="OpenML returned another data set than 'emotions' for data_id=40"
    ):
        fetch("emotions", data_home=tmp_path)


def answer(name="scene", categories=None, **changes):
    """Return a data set as fetch_openml does."""
    _, n_samples, n_labels = datasets._OPENML[name]
    target = np.full((n_samples, n_labels), "FALSE", dtype=object)
    target[::3] = "TRUE"
    found = Bunch(
        data=np.zeros((n_samples, 2)),
        target=target,
        feature_names=["a", "b"],
        target_names=[f"label{i}" for i in range(n_labels)],
        categories=categories or {},
        details={"name": name},
        DESCR="About it.",
    )
    return Bunch(**{**found, **changes})


@pytest.mark.parametrize("name", datasets._OPENML)
def test_each_table_is_asked_for_by_its_id(monkeypatch, name):
    asked = []
    monkeypatch.setattr(
        datasets, "fetch_openml", lambda **kwargs: asked.append(kwargs) or answer(name)
    )
    found = fetch(name, data_home="there", n_retries=2, delay=0.5)
    assert found.target.shape == datasets._OPENML[name][1:]
    assert found.target[:, 0].tolist() == (np.arange(len(found.target)) % 3 == 0).tolist()
    assert asked[0]["data_id"] == datasets._OPENML[name].data_id
    assert [asked[0][key] for key in ("data_home", "n_retries", "delay")] == ["there", 2, 0.5]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"target": np.full((2407, 6), "maybe", dtype=object)}, "should be TRUE or FALSE.*maybe"),
        ({"target": np.full((2407, 5), "TRUE", dtype=object)}, r"\(2407, 5\) instead of"),
        ({"categories": {"b": ["red", "blue"]}}, "feature 'b' of 'scene' is nominal"),
    ],
)
def test_downloads_are_checked(monkeypatch, changes, message):
    monkeypatch.setattr(datasets, "fetch_openml", lambda **_: answer(**changes))
    with pytest.raises(ValueError, match=message):
        fetch("scene")


@pytest.mark.parametrize(
    "error",
    [
        URLError("[Errno -3] Temporary failure in name resolution"),
        HTTPError("https://www.openml.org", 503, "Service Unavailable", None, None),
        TimeoutError("The read operation timed out"),
        ConnectionResetError("Connection reset by peer"),
    ],
)
def test_without_network(monkeypatch, error):
    def fail(**_):
        raise error

    monkeypatch.setattr(datasets, "fetch_openml", fail)
    message = r"'scene' could not be fetched from OpenML \(data_id=40595\).*data_home="
    with pytest.raises(OSError, match=message) as caught:
        fetch("scene")
    assert caught.value.__cause__ is error
    assert str(error) in str(caught.value)


def test_tries_without_network_do_not_warn(monkeypatch, tmp_path):
    """scikit-learn warns before each of its tries."""
    calls = []

    def refuse(*_):
        calls.append(1)
        raise URLError("no network")

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", refuse)
    assert datasets.fetch_openml is fetch_openml
    with pytest.raises(OSError, match="no network"):
        fetch("scene", data_home=tmp_path, n_retries=1, delay=0.01)
    assert len(calls) > 1


def test_openml_has_no_splits():
    with pytest.raises(ValueError, match="subset='train': OpenML has no official split of 'scene'"):
        fetch("scene", subset="train")
    with pytest.raises(ValueError, match="load_yeast, which has it"):
        fetch("yeast", subset="train")
