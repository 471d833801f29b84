"""Shuffled buffers of rows, which a thread fills while training works on the last one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from queue import Queue
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..._data.rows import Rows
from ..._data.sources import RowSource, blocks_of

__all__ = ["Buffers"]

# Seconds after which the thread looks whether it is to end.
PAUSE = 0.5
# X, Y, weights, and positions in the sample or -1.
Part = tuple[Any, np.ndarray, np.ndarray | None, np.ndarray]


@dataclass
class Buffers:
    """All rows that are not held out, in buffers, in another order for each epoch.

    Parameters
    ----------
    source : RowSource
    convert : callable (X, y, weight, shard, start) -> (X, Y, weight, rows)
        Returns the rows of a block that count, and which these are.
    shards : list of int
        Which shards are read.
    sizes : list of int
        Numbers of rows of the buffers of an epoch: of all rows of the shards together.
    at_once : int
        Number of shards that are read in turn.
    places, held_out : ndarray of shape (n_sample, 2), ndarray of bool
        Shard and row of the rows of the sample, and which of these are held out.
    seed : int
    """

    source: RowSource
    convert: Callable[..., Part]
    shards: list[int]
    sizes: list[int]
    at_once: int
    places: np.ndarray
    held_out: np.ndarray
    seed: int

    def epoch(self, epoch: int, first: int = 0) -> Generator[tuple[Rows, np.ndarray]]:
        """Yield the buffers of an epoch from the given one on, and their places in the sample.

        The rows of a buffer are not shuffled yet. The next buffer is filled meanwhile.
        """
        ready: Queue = Queue()
        free, stopped = threading.Semaphore(1), [False]

        def fill() -> None:
            try:
                buffers = self._filled(epoch, stopped)
                for _ in range(first):
                    next(buffers)
                while True:
                    # There is one buffer beside that which training works on.
                    while not free.acquire(timeout=PAUSE) and not stopped[0]:
                        pass
                    if stopped[0]:
                        return
                    # Nothing here refers to a buffer, which would keep one more in memory.
                    ready.put(next(buffers, None))
            except BaseException as error:  # raised again where the rows are used
                ready.put(error)

        thread = threading.Thread(target=fill, name="sklearn_mlloss-reader", daemon=True)
        try:
            thread.start()
            while (buffer := ready.get()) is not None:
                if isinstance(buffer, BaseException):
                    raise buffer
                free.release()
                waiting = [buffer]
                del buffer
                yield waiting.pop()
        finally:
            # A second Ctrl-C may hit what follows this, and the thread ends all the same.
            stopped[0] = True
            free.release()
            if thread.is_alive():
                thread.join()

    def _filled(self, epoch: int, stopped: list[bool]) -> Iterator[tuple[Rows, np.ndarray]]:
        parts: list[Part] = []
        n, total, sizes = 0, 0, list(self.sizes)
        for part in self._parts(epoch):
            if stopped[0]:
                return
            parts.append(part)
            n, total = n + len(part[1]), total + len(part[1])
            while sizes and n >= sizes[0]:
                n -= sizes[0]
                yield _first(parts, sizes.pop(0))
        if sizes or total != sum(self.sizes):
            raise ValueError(
                f"X has {total} rows to train on in a later pass and {sum(self.sizes)} in the "
                "first one: let it yield the same rows each time"
            )

    def _parts(self, epoch: int) -> Iterator[Part]:
        """Yield blocks of rows of several shards in turn."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.shards).tolist()
        waiting = (self._shard(shard) for shard in order)
        readers = deque(islice(waiting, self.at_once))
        while readers:
            reader = readers.popleft()
            part = next(reader, None)
            if part is None:  # the shard is over, and the next one takes its turn
                readers.extendleft(islice(waiting, 1))
                continue
            readers.append(reader)
            yield part

    def _shard(self, shard: int) -> Iterator[Part]:
        start = 0
        mine = np.flatnonzero(self.places[:, 0] == shard)
        sampled = self.places[mine, 1]
        for X, y, weight in blocks_of(self.source, shard):
            n = np.shape(X)[0]
            if not n:
                continue
            X, Y, weight, rows = self.convert(X, y, weight, shard, start)
            position = np.full(len(rows), -1)
            if len(sampled):
                at = np.searchsorted(sampled, start + rows).clip(max=len(sampled) - 1)
                inside = sampled[at] == start + rows
                position[inside] = mine[at[inside]]
                kept = np.flatnonzero(~((position >= 0) & self.held_out[position]))
                if len(kept) < len(Y):
                    X, Y, weight, position = _rows((X, Y, weight, position), kept)
            start += n
            if len(Y):
                yield X, Y, weight, position


def _first(parts: list[Part], n_rows: int) -> tuple[Rows, np.ndarray]:
    """Remove the first rows from parts, of which the last one has some more, and return them."""
    X, Y, weight, position = _rows(_join(parts), slice(n_rows))
    last, n_left = parts[-1], sum(len(part[1]) for part in parts) - n_rows
    # A copy: a view would keep the whole buffer.
    parts[:] = [_rows(last, np.arange(len(last[1]) - n_left, len(last[1])))]
    return Rows(X, Y, weight), position


def _join(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    X, Y, weights, positions = zip(*parts, strict=True)
    together: Any = sp.vstack(X, format="csr") if sp.issparse(X[0]) else np.concatenate(X)
    weight = None if weights[0] is None else np.concatenate(weights)
    return together, np.concatenate(Y), weight, np.concatenate(positions)


def _rows(part: Part, rows: slice | np.ndarray) -> Part:
    X, Y, weight, position = part
    return X[rows], Y[rows], None if weight is None else weight[rows], position[rows]
