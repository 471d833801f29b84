"""The workers of a dask cluster as ranks: one task on each makes the process group and trains."""

from __future__ import annotations

import io
import socket
import time
import warnings
from contextlib import nullcontext, redirect_stdout
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from sklearn.base import clone
from torch import distributed

from ..._data.interrupts import Interrupt
from ..._data.messages import warn_user
from ..._data.parallel import ByValue
from ..._data.partitions import is_partitioned
from ..device import torch_defaults
from .ranks import OtherFailed, join

__all__ = ["fit_on_workers"]

# How often a fit with checkpoints begins again after a worker has died.
ATTEMPTS = 3
# Seconds in which a worker that died must be back.
PATIENCE = 120
# Seconds after which the client looks whether all workers are still there.
PAUSE = 2


def fit_on_workers(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return the fitted attributes of an estimator that all workers of the cluster train.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
    X, y, sample_weight : as `fit` got them
        Each worker reads its shards itself.
    """
    try:
        from distributed import futures_of, get_client

        client = get_client()
    except (ImportError, ValueError) as error:
        raise ValueError(
            "Streaming(distributed='dask') needs a cluster: make a dask.distributed.Client first"
        ) from error
    for name, part in (("X", X), ("y", y), ("sample_weight", sample_weight)):
        if is_partitioned(part) and futures_of(part):
            raise ValueError(
                "Streaming(distributed='dask') computes each partition on the worker that trains "
                f"on it, and {name} is persisted: give the collection from before "
                f"{name}.persist(), or set distributed=None"
            )
    # Workers that died may not be back yet.
    n_workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    model = clone(estimator).set_params(streaming__distributed="torch")
    for attempt in range(ATTEMPTS):
        client.wait_for_workers(n_workers, timeout=PATIENCE)
        workers = sorted(client.scheduler_info(n_workers=-1)["workers"])[:n_workers]
        if n_workers > 1 and workers[0].startswith("inproc:"):
            raise ValueError(
                "Streaming(distributed='dask') needs one process per worker, and these are "
                "threads of one process: use LocalCluster(processes=True) or distributed=None"
            )
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
        if not _has_all(client, workers):
            return True
        time.sleep(0.1)
    return False


def _has_all(client: Any, workers: list[str]) -> bool:
    return set(workers) <= set(client.scheduler_info(n_workers=-1)["workers"])


def _run(client: Any, workers: list[str], model: Any, *data: Any) -> dict[str, Any]:
    host = urlsplit(workers[0]).hostname
    port = client.submit(_free_port, host, workers=workers[:1], pure=False).result()
    topic = f"sklearn_mlloss-{uuid4()}"
    client.subscribe_topic(topic, lambda event: print(event[1], end="", flush=True))
    futures = [
        client.submit(
            _fit_rank, model, data, rank, len(workers), f"tcp://{host}:{port}", topic,
            workers=[worker], allow_other_workers=False, pure=False,
        )
        for rank, worker in enumerate(workers)
    ]  # fmt: skip
    try:
        _wait(client, workers, futures)
        results = [future.result().value for future in futures]
    finally:
        client.cancel(futures)
        client.unsubscribe_topic(topic)
    for category, message in dict.fromkeys(one for _, given in results for one in given):
        warn_user(message, category)
    return results[0][0]


def _wait(client: Any, workers: list[str], futures: list[Any]) -> None:
    """Return when all ranks have ended; raise the first error that is not of another rank."""
    from distributed import wait

    of_other, left = None, futures
    while left:
        try:
            done, left = wait(left, timeout=PAUSE, return_when="FIRST_COMPLETED")
        except TimeoutError:
            # The task of a worker that is gone waits for it for ever.
            if _has_all(client, workers):
                continue
            raise RuntimeError(
                "a worker was lost: see its output for the cause, such as too little memory. Call "
                "fit again; with Streaming(checkpoint=...), it continues from the last checkpoint"
            ) from of_other
        for future in done:
            try:
                future.result()
            except OtherFailed as error:
                of_other = error
    if of_other is not None:
        raise of_other


def _free_port(host: str) -> int:
    with socket.socket() as free:
        free.bind((host, 0))
        return free.getsockname()[1]


class _Lines(io.TextIOBase):
    """What a worker prints, for the client to print it instead."""

    def __init__(self, topic: str):
        from distributed import get_worker

        self.worker, self.topic = get_worker(), topic

    def write(self, text: str) -> int:
        """Send the text."""
        self.worker.log_event(self.topic, text)
        return len(text)


def _fit_rank(model: Any, data: tuple, rank: int, size: int, address: str, topic: str) -> ByValue:
    """Train as one of the ranks; return the fitted attributes on the first one, and warnings.

    These are categories and messages.
    """
    import dask

    from .fit import fit_by_shards, fitted_attributes

    join(address, rank, size)
    try:
        with (
            # The cluster waits for this task: partitions are computed here.
            dask.config.set(scheduler="synchronous"),
            torch_defaults(),
            warnings.catch_warnings(record=True) as given,
            redirect_stdout(_Lines(topic)) if model.verbose else nullcontext(),
        ):
            fit_by_shards(model, data[0], data[1], data[2], None, _Cancellation())
    except KeyboardInterrupt:  # which would end the worker
        raise RuntimeError("the client has cancelled the fit") from None
    finally:
        distributed.destroy_process_group()
    warned = [(one.category, str(one.message)) for one in given or ()]
    return ByValue((fitted_attributes(model) if rank == 0 else {}, warned))


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
