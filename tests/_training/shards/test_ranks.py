"""Training on two ranks against one process with the same batches."""

import importlib.util
import os
import pickle
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_mlloss._training.batches import Batches, to_tensors
from sklearn_mlloss._training.shards import ranks as ranks_module
from sklearn_mlloss._training.shards import tables
from sklearn_mlloss.streaming import Streaming

if not torch.distributed.is_available():
    pytest.skip("torch is built without torch.distributed", allow_module_level=True)
SCRIPT = Path(__file__).parent / "ranks_script.py"
SPEC = importlib.util.spec_from_file_location("ranks_script", SCRIPT)
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Return what the script has found on each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, folder],
            env=os.environ | {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                              "MASTER_PORT": port, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, -9]
    finally:
        for process in processes:
            process.kill()
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(2)]


@pytest.mark.parametrize("name", [*script.LOSSES, *script.UNFUSED, "few rows", "fewest rows"])
def test_two_ranks_equal_one_process_with_the_same_batches(ranks, name, monkeypatch):
    (proba, first), (other, second) = (found[name] for found in ranks)
    np.testing.assert_array_equal(proba, other)
    steps = []  # of each table: the rows of both ranks, and how many each step has
    for (rows, sizes), (rows_2, sizes_2) in zip(first, second, strict=True):
        ends, ends_2 = np.cumsum(sizes)[:-1], np.cumsum(sizes_2)[:-1]
        parts = zip(np.split(rows, ends), np.split(rows_2, ends_2), strict=True)
        joined = [np.concatenate(pair).astype(int) for pair in parts]
        steps.append((np.concatenate(joined), [len(part) for part in joined]))
    sizes = [len(rows) for rows, _ in steps]
    assert sum(sizes) == 3 * 575 and len(steps) == (18 if "rows" in name else 12)
    left = iter(steps)

    class Replayed(Batches):
        def __init__(self, table, *args, **kwargs):
            super().__init__(table, *args, **kwargs)
            self._sizes = table.sizes

        def __len__(self):
            return len(self._sizes)

        def sizes(self):
            return self._sizes

        def order(self):
            return torch.arange(len(self.table))

    def epoch(self, number, start):
        for _ in range(self.n_tables):
            rows, sizes = next(left)
            inputs = tables.Rows(
                script.X[rows].astype(np.float64), script.Y[rows].astype("u1"), None
            )
            table = to_tensors(inputs, self.device)
            table.sizes = sizes
            yield table, 0

    monkeypatch.setattr(tables, "Batches", Replayed)
    monkeypatch.setattr(tables.Tables, "epoch", epoch)
    settings = Streaming(buffer_rows=100 if "rows" in name else 150, sample_rows=250)
    loss, params = script.UNFUSED.get(name, (name if name in script.LOSSES else "bce", {}))
    alone = script.net(loss, settings, **params)
    parts = {"few rows": (590,), "fewest rows": (596,)}.get(name, (300, 550))
    expected = alone.fit(script.Parts(*parts)).predict_proba(script.X)
    assert next(left, None) is None
    np.testing.assert_allclose(proba, expected, atol=1e-9)


@pytest.mark.parametrize("name", ["arrays", "batches"])
def test_arrays_and_batches_are_dealt_out_to_ranks(ranks, name):
    (proba, first), (other, second) = (found[name] for found in ranks)
    np.testing.assert_array_equal(proba, other)
    parts = [np.concatenate([rows for rows, _ in steps]) for steps in (first, second)]
    assert all(len(part) == 3 * len(np.unique(part)) for part in parts)  # in 3 epochs
    assert not np.intersect1d(*parts).size and sum(map(len, parts)) == 3 * 575


@pytest.mark.parametrize("name", ["auto", "coupled and mixed"])
def test_both_ranks_have_the_same_model_with_noise_and_a_linear_part(ranks, name):
    (proba, _), (other, _) = (found[name] for found in ranks)
    np.testing.assert_array_equal(proba, other)
    assert ((proba > 0.5) == script.Y).mean() > 0.7


def test_a_failure_of_one_rank_ends_all_and_training_goes_on_to_the_same_result(ranks):
    assert str(ranks[0]["killed"]) == "rank 1 failed with OSError: the disk is gone"
    assert str(ranks[1]["killed"]) == "the disk is gone"
    assert ranks[0]["files"] == ["start.pt", "state.pt"]
    for found in ranks:
        assert "holds the state of another fit" in str(found["other"])
        np.testing.assert_array_equal(found["resumed"][0], found["saved"][0])


def test_an_interrupt_of_one_rank_ends_all(ranks):
    for found in ranks:
        kept, attributes = found["interrupted in the first pass"]
        assert not kept and set(attributes) == set(vars(script.net()))
        kept, proba = found["interrupted in the second epoch"]
        assert kept
        np.testing.assert_array_equal(proba, found["first epoch"][0])


def test_callbacks_of_the_first_rank_end_training_on_all(ranks):
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")
    for found in ranks:
        np.testing.assert_array_equal(found["stopped"][0], found["first epoch"][0])


def test_the_death_of_a_rank_is_reported_with_a_remedy(ranks):
    error = ranks[0]["lost"]
    assert type(error) is RuntimeError
    start = (
        "rank 0 of 2 lost the connection to another rank, which was killed, has ended or does not"
    )
    assert str(error).startswith(start)
    assert "with Streaming(checkpoint=...), it continues" in str(error)
    assert "GLHF" not in str(error) and "pair.cc" not in str(error)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_waits_for_the_others_for_a_bounded_time(rank, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    names = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranks_module, "JOINING", timedelta(seconds=0.5))
    with pytest.raises(RuntimeError, match=r"waited \d+ s for other ranks, which have ended or"):
        script.net("bce", Streaming(distributed="torch")).fit(script.Parts(300))
    assert not torch.distributed.is_initialized()


def test_each_group_of_torchrun_has_its_own_addresses(monkeypatch):
    server = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    names = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    names |= {"MASTER_PORT": str(server.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    stores, process = [], ranks_module.count()

    def join(*args, store, **kwargs):
        stores.append(store)
        raise RuntimeError("not joined")

    monkeypatch.setattr(torch.distributed, "init_process_group", join)
    for restarts in 0, 0, 1:  # the last one in another process
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))
        if restarts:
            process = ranks_module.count()
        monkeypatch.setattr(ranks_module, "GROUPS", process)
        with pytest.raises(RuntimeError, match="not joined"):
            ranks_module.join()
        assert not stores[-1].check(["address"])
        stores[-1].set("address", "of a process that has ended")


def test_what_does_not_work_on_several_ranks_is_refused(ranks):
    for found in ranks:
        assert "X has 1 shard(s) for 2 ranks" in str(found["one shard"])
        for name in "unequal", "own rows":
            assert "the ranks have different parameters, versions or rows" in str(found[name])
        assert "normalization='batch' does not work with several" in str(found["batch norm"])
        assert "Normalised'> has batch normalisation, whose" in str(found["own batch norm"])
        assert "loss='soft_fbeta' couples the rows of a batch" in str(found["own and coupled"])
        assert "write shards of more equal sizes" in str(found["own and few rows"])


def test_a_process_alone_is_told_how_to_start_others():
    with pytest.raises(ValueError, match="torchrun --nproc-per-node=2"):
        script.net("bce", Streaming(distributed="torch")).fit(script.Parts(300))


def test_a_process_group_for_gpus_only_is_refused(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    # Of gloo, since nccl needs a GPU.
    torch.distributed.init_process_group("cuda:gloo", store=store, rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="'cuda:gloo'.*init_process_group.'gloo'"):
            script.net("bce", Streaming(distributed="torch")).fit(script.Parts(300))
    finally:
        torch.distributed.destroy_process_group()
