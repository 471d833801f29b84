"""The search in other processes: with loky, and on a cluster of dask, with a worker that dies."""

import os
import pickle
import signal
import sys
import threading
import time

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._training.shards import workers
from sklearn_mlloss._training.shards.ranks import OtherFailed
from sklearn_mlloss.streaming import RowSource, Streaming

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 20)).astype(np.float32)
Y = (X @ rng.normal(size=(20, 3)) + rng.normal(size=(300, 3)) > 1).astype(int)
WEIGHT = rng.uniform(0.5, 1.5, 300)


def search(n_jobs=None, **params):
    net = MultiLabelNetClassifier(
        hidden_layer_sizes=(8,), max_epochs=5, learning_rate=0.01, random_state=0, device="cpu"
    )
    return LossDecoderSearchCV(
        net, ["bce", "zlpr"], ["threshold", "global_threshold"], cv=3, random_state=0,
        n_jobs=n_jobs, error_score="raise", **params,
    )  # fmt: skip


@pytest.fixture(scope="module")
def alone():
    return search().fit(X, Y, sample_weight=WEIGHT)


def assert_equal(fitted, expected):
    for name, column in expected.cv_results_.items():
        if "time" not in name and name != "params":
            np.testing.assert_array_equal(fitted.cv_results_[name], column, err_msg=name)
    assert fitted.best_score_corrected_ == expected.best_score_corrected_
    assert fitted.histories_ == expected.histories_
    np.testing.assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))


# ------------------------------------------------------------------ processes of this machine


def test_loky_gives_the_results_of_one_process(alone):
    assert_equal(search(n_jobs=2).fit(X, Y, sample_weight=WEIGHT), alone)


# ------------------------------------------------------------------ a cluster


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
            memory_limit=0, silence_logs=60,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        yield client


@pytest.fixture
def shipped(client, monkeypatch):
    """Return the tables sent to the workers, and those that travel with a task."""
    distributed = pytest.importorskip("distributed")
    tables = {"scattered": [], "in tasks": []}
    scatter, submit = distributed.Client.scatter, distributed.Client.submit

    def note_scatter(self, data, *args, **kwargs):
        tables["scattered"] += data if isinstance(data, list) else [data]
        return scatter(self, data, *args, **kwargs)

    def note_submit(self, function, *args, tasks=(), **kwargs):
        for _, values, named in tasks:
            tables["in tasks"] += [v for v in (*values, *named.values()) if hasattr(v, "shape")]
        return submit(self, function, *args, tasks=tasks, **kwargs)

    monkeypatch.setattr(distributed.Client, "scatter", note_scatter)
    monkeypatch.setattr(distributed.Client, "submit", note_submit)
    return tables


def count(tables, table):
    return sum(one is table for one in tables)


def test_a_cluster_gives_the_results_of_one_process(client, shipped, alone):
    with joblib.parallel_config(backend="dask"):
        fitted = search().fit(X, Y, sample_weight=WEIGHT)
    assert_equal(fitted, alone)
    # To all workers at once; the trainings are over when the decisions begin.
    assert count(shipped["scattered"], X) == count(shipped["scattered"], Y) == 2
    weights = [one for one in shipped["scattered"] if np.shape(one) == WEIGHT.shape]
    # Those of the decisions are scaled.
    scaled = sum(np.allclose(one, WEIGHT / WEIGHT.mean()) for one in weights)
    assert count(weights, WEIGHT) == scaled == 1
    assert not shipped["in tasks"]


def test_a_cluster_that_has_the_tables_is_not_sent_them(client, shipped, alone):
    with joblib.parallel_config(backend="dask", scatter=[X, Y]):
        for _ in range(2):
            fitted = search().fit(X, Y, sample_weight=WEIGHT)
    assert_equal(fitted, alone)
    assert count(shipped["scattered"], X) == count(shipped["scattered"], Y) == 1
    assert not shipped["in tasks"]


def test_a_cluster_takes_sparse_matrices_and_frames(client, shipped):
    pd = pytest.importorskip("pandas")
    for table in (sp.csr_matrix(X), pd.DataFrame(X)):
        expected = search(refit=False).fit(table, Y)
        with joblib.parallel_config(backend="dask"):
            fitted = search(refit=False).fit(table, Y)
        np.testing.assert_array_equal(
            fitted.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
        )
    assert not shipped["in tasks"]


def test_a_cluster_predicts_by_partition(client, alone):
    da, dd = pytest.importorskip("dask.array"), pytest.importorskip("dask.dataframe")
    rows = da.from_array(X, chunks=(len(X) // 3, X.shape[1]))
    expected = alone.predict_proba(X)
    np.testing.assert_array_equal(alone.predict_proba(rows).compute(), expected)
    frame = alone.predict_frame(dd.from_dask_array(rows)).compute()
    np.testing.assert_array_equal(frame["probability"].to_numpy(), expected)


def network(settings, **params):
    fixed = {"hidden_layer_sizes": (8,), "max_epochs": 3, "early_stopping": False, "mixup": 0}
    fixed |= {"dropout": 0, "input_dropout": 0, "precision": "float64", "random_state": 0}
    fixed |= {"device": "cpu"}
    return MultiLabelNetClassifier(streaming=settings, **(fixed | params))


def test_workers_train_one_network_together(client):
    da = pytest.importorskip("dask.array")
    rows = [da.from_array(part, chunks=(len(X) // 5, -1)) for part in (X, Y)]
    settings = Streaming(distributed="dask")
    fitted = network(settings, batch_size=2 * len(X)).fit(*rows)
    expected = network(None, batch_size=len(X)).fit(X, Y)
    np.testing.assert_allclose(fitted.predict_proba(X), expected.predict_proba(X), atol=1e-9)
    bad = X.copy()
    bad[len(X) - 1, 2] = np.inf
    with pytest.raises(ValueError, match="^partition 4 of X, row 59, X column 2"):
        network(settings).fit(da.from_array(bad, chunks=rows[0].chunks), rows[1])


def test_the_client_does_not_wait_for_a_worker_that_is_gone(client, monkeypatch):
    gone = ["tcp://127.0.0.1:1"]
    monkeypatch.setattr(workers, "PAUSE", 0.1)
    futures = [client.submit(int, workers=gone, allow_other_workers=False, pure=False)]
    with pytest.raises(RuntimeError, match="a worker was lost: see its output for the cause"):
        workers._wait(client, gone, futures)


def test_the_error_of_a_rank_is_raised_and_not_that_of_others(client):
    def fail(error, seconds):
        time.sleep(seconds)
        raise error

    errors = OtherFailed("rank 1 failed with TypeError: bad"), TypeError("bad")
    futures = [client.submit(fail, error, k / 10, pure=False) for k, error in enumerate(errors)]
    with pytest.raises(TypeError, match="^bad$"):
        workers._wait(client, list(client.scheduler_info()["workers"]), futures)


def test_persisted_collections_are_refused(client):
    da = pytest.importorskip("dask.array")
    rows = [da.from_array(part, chunks=(len(X) // 3, -1)) for part in (X, Y)]
    model = network(Streaming(distributed="dask"))
    with pytest.raises(ValueError, match="X is persisted: give the collection from before"):
        model.fit(rows[0].persist() + 1, rows[1])
    with pytest.raises(ValueError, match="y is persisted"):
        model.fit(rows[0], rows[1].persist())


def test_workers_that_are_threads_of_one_process_are_refused():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(n_workers=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        pytest.raises(ValueError, match="needs one process per worker"),
    ):
        network(Streaming(distributed="dask")).fit([(X, Y)])


@pytest.mark.parametrize("epochs_begun", [0, 2])
def test_workers_stop_when_the_client_is_interrupted(client, tmp_path, epochs_begun):
    class Slow(RowSource):
        """Makes a file in each pass over a shard, of which there are many."""

        def shards(self):
            return [str(shard) for shard in range(40)]

        def read(self, shard):
            (tmp_path / f"{shard} {len(list(tmp_path.glob(f'{shard} *')))}").touch()
            time.sleep(0.02)
            yield X[shard::40], Y[shard::40], None

    def press():
        while len(list(tmp_path.iterdir())) < 10 + 40 * epochs_begun:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    presser = threading.Thread(target=press)
    presser.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            settings = Streaming(buffer_rows=20, distributed="dask")
            network(settings, max_epochs=10**6).fit(Slow())
    finally:
        presser.join()
        signal.signal(signal.SIGINT, before)

    def executing(dask_worker):
        return dask_worker.state.executing_count

    for _ in range(100):
        if not any(client.run(executing).values()):
            break
        time.sleep(0.1)
    assert list(client.run(executing).values()) == [0, 0]
    if not epochs_begun:  # they do not end the pass over all rows
        assert len(list(tmp_path.iterdir())) < 40
    assert len(client.scheduler_info()["workers"]) == 2


def test_workers_return_functions_of_the_script(client, monkeypatch):
    def linear(n_features, n_outputs):
        return torch.nn.Linear(n_features, n_outputs)

    linear.__module__, linear.__qualname__ = "__main__", "linear"
    monkeypatch.setattr(sys.modules["__main__"], "linear", linear, raising=False)
    da = pytest.importorskip("dask.array")
    rows = [da.from_array(part, chunks=(len(X) // 3, -1)) for part in (X, Y)]
    model = MultiLabelNetClassifier(module=linear, max_epochs=1, device="cpu", random_state=0)
    model.set_params(streaming=Streaming(distributed="dask")).fit(*rows)
    assert pickle.loads(pickle.dumps(model)).predict_proba(X).shape == Y.shape


def test_warnings_and_progress_of_workers_reach_the_client(client, capsys):
    da = pytest.importorskip("dask.array")
    rows = [da.from_array(part, chunks=(len(X) // 3, -1)) for part in (X, Y)]
    model = network(Streaming(distributed="dask"), early_stopping=True, verbose=1)
    with pytest.warns(ConvergenceWarning, match="the validation score still improved") as given:
        model.fit(*rows)
    assert [warning.filename for warning in given] == [__file__]
    assert "pass 3 of at most 3: 100% of 270 rows" in capsys.readouterr().out


def test_a_network_survives_the_death_of_a_worker(client, tmp_path):
    class Deadly(RowSource):
        """Kills the process that reads shard 1 for the third time."""

        def __init__(self, name):
            self.parts, self.folder = (X, Y), tmp_path / name
            self.folder.mkdir()

        def shards(self):
            return ["first", "second", "third", "fourth"]

        def read(self, shard):
            if shard == 1 and self.folder.name == "deadly":
                (self.folder / str(n := len(list(self.folder.iterdir())))).touch()
                if n == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
            yield X[shard::4], Y[shard::4], None

    def fit(name):
        folder = str(tmp_path / f"state of {name}")
        settings = Streaming(buffer_rows=20, checkpoint=folder, distributed="dask")
        return network(settings, dropout=0.5, batch_size=16).fit(Deadly(name)).predict_proba(X)

    expected = fit("harmless")
    workers = set(client.scheduler_info()["workers"])
    np.testing.assert_array_equal(fit("deadly"), expected)
    assert set(client.scheduler_info()["workers"]) != workers


def test_a_search_survives_the_death_of_a_worker(client, alone):
    """Last in this file: the cluster may still start another worker afterwards."""
    distributed = pytest.importorskip("distributed")
    workers = client.run(os.getpid)

    class Killer(distributed.SchedulerPlugin):
        killed = None

        def transition(self, key, start, finish, *args, **kwargs):
            if self.killed is None and finish == "memory" and str(key).startswith("batch_of"):
                self.killed = kwargs["worker"]
                os.kill(workers[self.killed], signal.SIGKILL)

    killer = Killer()
    client.cluster.scheduler.add_plugin(killer)
    with joblib.parallel_config(backend="dask"):
        fitted = search().fit(X, Y, sample_weight=WEIGHT)
    assert killer.killed in workers
    assert_equal(fitted, alone)
