"""The workers of a dask cluster as ranks: one task on each makes the process group and trains."""

from __future__ import annotations

import socket
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sklearn.base import clone
from torch import distributed

from ..._data.interrupts import Interrupt
from ..device import torch_defaults

__all__ = ["fit_on_workers"]

# How often a fit with checkpoints begins again after a worker has died.
ATTEMPTS = 3
# Seconds in which a worker that died must be back, and ranks must meet.
PATIENCE = 120


def fit_on_workers(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return the fitted attributes of an estimator that all workers of the cluster train.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
    X, y, sample_weight : as `fit` got them
        Each worker reads its shards itself.
    """
    try:
        from distributed import get_client

        client = get_client()
    except (ImportError, ValueError) as error:
        raise ValueError(
            "Streaming(distributed='dask') needs a cluster: make a dask.distributed.Client first"
        ) from error
    n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
    model = clone(estimator).set_params(streaming__distributed="torch")
    for attempt in range(ATTEMPTS):
        client.wait_for_workers(n_workers, timeout=PATIENCE)
        workers = sorted(client.scheduler_info(n_workers=-1)["workers"])[:n_workers]
        try:
            return _run(client, workers, model, X, y, sample_weight)
        except Exception:
            again = estimator.streaming.checkpoint is not None and attempt + 1 < ATTEMPTS
            if not again or not _lost_one(client, workers):
                raise
    raise AssertionError


def _lost_one(client: Any, workers: list[str]) -> bool:
    """Return whether a worker has died; the scheduler may notice that after the other ranks."""
    for _ in range(50):
        if not set(workers) <= set(client.scheduler_info(n_workers=-1)["workers"]):
            return True
        time.sleep(0.1)
    return False


def _run(client: Any, workers: list[str], model: Any, *data: Any) -> dict[str, Any]:
    from distributed import as_completed

    host = urlsplit(workers[0]).hostname
    port = client.submit(_free_port, host, workers=workers[:1], pure=False).result()
    futures = [
        client.submit(
            _fit_rank, model, data, rank, len(workers), f"tcp://{host}:{port}",
            workers=[worker], allow_other_workers=False, pure=False,
        )
        for rank, worker in enumerate(workers)
    ]  # fmt: skip
    try:
        # The first error, not that of the first rank: others may wait for a rank that is gone.
        for future in as_completed(futures):
            future.result()
        return futures[0].result()
    finally:
        client.cancel(futures)


def _free_port(host: str) -> int:
    with socket.socket() as free:
        free.bind((host, 0))
        return free.getsockname()[1]


def _fit_rank(model: Any, data: tuple, rank: int, size: int, address: str) -> dict[str, Any] | None:
    """Train as one of the ranks; return the fitted attributes on the first one."""
    import dask

    from .fit import fit_by_shards, fitted_attributes

    distributed.init_process_group(
        "gloo", address, timedelta(seconds=PATIENCE), rank=rank, world_size=size
    )
    try:
        # The cluster waits for this task: partitions are computed here.
        with dask.config.set(scheduler="synchronous"), torch_defaults():
            fit_by_shards(model, data[0], data[1], data[2], None, _Cancellation())
    except KeyboardInterrupt:  # which would end the worker
        raise RuntimeError("the client has cancelled the fit") from None
    finally:
        distributed.destroy_process_group()
    return fitted_attributes(model) if rank == 0 else None


class _Cancellation(Interrupt):
    """Comes when the client has cancelled the task of this thread, or is gone; keeps nothing."""

    def __init__(self) -> None:
        from distributed import get_worker

        super().__init__()
        worker = get_worker()
        self._tasks, self._key = worker.state.tasks, worker.get_current_task()

    @property
    def came(self) -> bool:
        """Whether nobody waits for the task."""
        task = self._tasks.get(self._key)
        return task is None or task.state == "cancelled"

    def take(self, error: KeyboardInterrupt, usable: bool, what: str) -> None:
        """Raise the error."""
        raise error
