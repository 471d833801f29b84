import gzip
import hashlib
import json
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from sklearn_mlloss.datasets import fetch, openml


def test_unknown_tables():
    with pytest.raises(ValueError, match="'birds', 'emotions'.* got 'emotion'; did you mean 'emo"):
        fetch("emotion")
    with pytest.raises(ValueError, match="got None"):
        fetch(None)
    with pytest.raises(ValueError, match="subset must be .* got None"):
        fetch("scene", subset=None)


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
    _, n_samples, n_labels = openml._OPENML[name]
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


@pytest.mark.parametrize("name", openml._OPENML)
def test_each_table_is_asked_for_by_its_id(monkeypatch, name):
    asked = []
    monkeypatch.setattr(
        openml, "fetch_openml", lambda **kwargs: asked.append(kwargs) or answer(name)
    )
    found = fetch(name, data_home="there", n_retries=2, delay=0.5)
    assert found.target.shape == openml._OPENML[name][1:]
    assert found.target[:, 0].tolist() == (np.arange(len(found.target)) % 3 == 0).tolist()
    assert asked[0]["data_id"] == openml._OPENML[name].data_id
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
    monkeypatch.setattr(openml, "fetch_openml", lambda **_: answer(**changes))
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

    monkeypatch.setattr(openml, "fetch_openml", fail)
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
    assert openml.fetch_openml is fetch_openml
    with pytest.raises(OSError, match="no network"):
        fetch("scene", data_home=tmp_path, n_retries=1, delay=0.01)
    assert len(calls) > 1


def test_openml_has_no_splits():
    with pytest.raises(ValueError, match="subset='train': OpenML has no official split of 'scene'"):
        fetch("scene", subset="train")
    with pytest.raises(ValueError, match="load_yeast, which has it"):
        fetch("yeast", subset="train")
