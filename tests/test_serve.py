"""The examples that serve a saved model, as a user runs them: as scripts, and over HTTP."""

import importlib
import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier, SoftVotingClassifier
from sklearn_mlloss.persistence import save, to_onnx

for package in ("fastapi", "uvicorn", "safetensors", "onnx", "onnxruntime"):
    pytest.importorskip(package)

EXAMPLES = Path(__file__).parents[1] / "examples"
ROW = {"age": 41.5, "income of last year": None, "city": "Bern", "plan": 2, "vip": True}


@pytest.fixture(scope="module")
def X():
    random = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": random.normal(40, 12, 200),
            "income of last year": random.lognormal(10, 1, 200),
            "city": pd.Categorical(random.choice(["Basel", "Bern", "Zug"], 200)),
            "plan": pd.Categorical(random.integers(3, size=200)),
            "vip": random.random(200) < 0.3,
        }
    )
    X.loc[::5, ["age", "income of last year"]] = np.nan
    X.loc[::7, ["city", "plan"]] = None
    return X


@pytest.fixture(scope="module")
def model(X):
    Y = pd.DataFrame({"phone": X["age"] > 40, "tablet": X["city"] == "Bern", "laptop": X["vip"]})
    return MultiLabelNetClassifier(random_state=0).fit(X, Y * 1)


@pytest.fixture(scope="module")
def url(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("serve") / "model.safetensors"
    save(model, path)
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "serve.py", path, "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = []
    try:
        # Uvicorn logs the port once the server accepts connections.
        for line in process.stderr:
            log.append(line)
            if running := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                break
        else:
            pytest.fail("".join(log))
        yield running[1]
    finally:
        process.terminate()
        process.communicate()


def post(url, body):
    """Return the status and the JSON of the response to a request with this body."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def records(X):
    return json.loads(X.to_json(orient="records", double_precision=15))


def check_predictions(predictions, model, X):
    assert [tuple(p["labels"]) for p in predictions] == model.predict_labels(X)
    probabilities = pd.DataFrame([p["probabilities"] for p in predictions])
    assert list(probabilities) == ["phone", "tablet", "laptop"]
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


def test_rows(url, model, X):
    labels = model.predict_labels(X)
    assert len(set(labels)) > 3  # so that equal labels mean something
    status, predictions = post(url, records(X))
    assert status == 200
    check_predictions(predictions, model, X)


@pytest.mark.parametrize("row", [0, 1, 5, 7])
def test_one_row(url, model, X, row):
    X = X.iloc[[row]]
    status, predictions = post(url, records(X))
    assert status == 200
    check_predictions(predictions, model, X)


def test_requests_at_the_same_time(url, model, X):
    rows = records(X)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: post(url, [row]), rows[:40]))
    assert [answer[0] for answer in answers] == [200] * 40
    check_predictions([answer[1][0] for answer in answers], model, X[:40])


def test_unknown_categories(url, model):
    rows = [ROW, ROW | {"city": "Paris"}, ROW | {"city": None}]
    status, predictions = post(url, rows)
    assert status == 200
    assert len({prediction["probabilities"]["tablet"] for prediction in predictions}) == 3
    check_predictions(predictions, model, pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("change", "column", "message"),
    [
        ({"age": "forty"}, "age", "Input should be a valid number"),
        ({"age": [40]}, "age", "Input should be a valid number"),
        ({"age": float("inf")}, "age", "Input should be a finite number"),
        ({"age": float("nan")}, "age", "Input should be a finite number"),
        ({"age": 1e300}, "age", "Input should be less than or equal to 3"),
        ({"city": 3000}, "city", "Input should be a valid string"),
        ({"plan": "big"}, "plan", "Input should be a valid number"),
        ({"town": "Bern"}, "town", "Extra inputs are not permitted"),
    ],
)
def test_errors_name_the_column(url, change, column, message):
    status, answer = post(url, [ROW, ROW | change])
    assert status == 422
    (problem,) = answer["detail"]
    assert problem["loc"] == ["body", 1, column]
    assert problem["msg"].startswith(message)


@pytest.mark.parametrize("column", ["age", "income of last year", "city"])
def test_missing_columns(url, column):
    status, answer = post(url, [{name: ROW[name] for name in ROW if name != column}])
    assert status == 422
    assert answer == {"detail": [{"loc": ["body", 0, column], "msg": "Field required"}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Field required"),
        (b"[{", "JSON decode error"),
        ([], "List should have at least 1 item"),
        (ROW, "Input should be a valid list"),
        ([1], "Input should be a valid dictionary"),
    ],
)
def test_other_malformed_bodies(url, body, message):
    status, answer = post(url, body)
    assert status == 422
    assert answer["detail"][0]["msg"].startswith(message)


def test_model_card(url):
    with urlopen(f"{url}/model", timeout=60) as response:
        assert json.load(response)["labels"]["names"] == ["phone", "tablet", "laptop"]


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("serve")


def test_null_for_a_model_without_missing_values(serve, X, tmp_path):
    import uvicorn

    X = X[["age", "income of last year"]].fillna(0)
    net = MultiLabelNetClassifier(encoding=None, random_state=0).fit(
        X, np.eye(2)[(X["age"] > 40) * 1]
    )
    save(net, tmp_path / "model")
    app = serve.make_app(tmp_path / "model")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        url = "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
        assert post(url, [{"age": 41, "income of last year": 9e4}])[0] == 200
        status, answer = post(url, [{"age": 41, "income of last year": None}])
    finally:
        server.should_exit = True
        thread.join()
    assert status == 422
    assert "NaN in 1 column(s): income of last year" in answer["detail"]


@pytest.mark.parametrize(
    ("estimator", "columns"),
    [
        (DecodedClassifierCV(RandomForestClassifier(2)), ["age", "vip"]),
        (DecodedClassifierCV(MultiLabelNetClassifier(max_epochs=1), cv=2), ["age", "city"]),
        (SoftVotingClassifier([("net", MultiLabelNetClassifier(max_epochs=1))]), ["city", "plan"]),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_columns_of_ensembles(serve, X, estimator, columns, tmp_path):
    save(estimator.fit(X[columns], np.eye(2)[(X["age"] > 40) * 1]), tmp_path / "model")
    app = serve.make_app(tmp_path / "model")
    row = app.openapi()["components"]["schemas"]["Row"]
    kinds = {name: field["anyOf"][0]["type"] for name, field in row["properties"].items()}
    assert kinds == {name: "string" if name == "city" else "number" for name in columns}
    assert row["required"] == columns


def test_a_model_without_names_of_columns(serve, X, tmp_path):
    net = MultiLabelNetClassifier(max_epochs=1)
    with pytest.warns(ConvergenceWarning):
        net.fit(X[["age"]].to_numpy(), np.eye(2)[(X["age"] > 40) * 1])
    save(net, tmp_path / "model")
    with pytest.raises(ValueError, match="train the model on a DataFrame"):
        serve.make_app(tmp_path / "model")


def test_onnx_without_torch(model, X, tmp_path):
    to_onnx(model, tmp_path / "model.onnx")
    code = (
        "import runpy, sys\n"
        "for name in ('torch', 'skorch', 'sklearn', 'pandas', 'sklearn_mlloss'):\n"
        "    sys.modules[name] = None\n"
        "runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, EXAMPLES / "predict_onnx.py", tmp_path / "model.onnx"],
        input=json.dumps(records(X)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    check_predictions(json.loads(done.stdout), model, X)
