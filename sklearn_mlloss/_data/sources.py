"""Rows in shards that are read one after the other: what training out of core reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from .partitions import is_partitioned

__all__ = ["Block", "RowSource", "blocks_of", "is_streamed"]

# X, y, and weights or None, as `fit` takes them.
Block = tuple[Any, Any, Any]


class RowSource(ABC):
    """Rows in shards, such as files, for training on more rows than memory holds.

    A subclass reads one format. `MultiLabelNetClassifier.fit` takes it as X, with y left out, and
    reads it several times: once for statistics and a sample, and once per epoch, with the shards in
    another order each time.

    Examples
    --------
    One shard per file of numpy, with the labels in the last three columns:

    >>> import numpy as np
    >>> from sklearn_mlloss.streaming import RowSource
    >>> class NumpyFiles(RowSource):
    ...     def __init__(self, paths):
    ...         self.paths = paths
    ...     def shards(self):
    ...         return self.paths
    ...     def read(self, shard):
    ...         rows = np.load(self.paths[shard], mmap_mode="r")
    ...         for start in range(0, len(rows), 10_000):
    ...             block = rows[start : start + 10_000]
    ...             yield block[:, :-3], block[:, -3:], None
    """

    @abstractmethod
    def shards(self) -> list[str]:
        """Return one name per shard, for messages, in an order that does not change."""

    @abstractmethod
    def read(self, shard: int) -> Iterator[Block]:
        """Yield the rows of a shard in blocks, the same ones in each call.

        Parameters
        ----------
        shard : int
            A position in `shards`.

        Yields
        ------
        X : {array, DataFrame, CSR matrix} of shape (n, n_features)
            A few thousand rows, or none; each block is in memory as a whole.
        y : {array, DataFrame, CSR matrix} of shape (n, n_labels)
        sample_weight : array of shape (n,) or (n, n_labels), or None
        """


def is_streamed(X: Any) -> bool:
    """Return whether `fit` reads X by shards, without being told to."""
    return isinstance(X, RowSource) or is_partitioned(X)


def blocks_of(source: RowSource, shard: int) -> Iterator[Block]:
    """Yield the blocks of a shard; if reading fails, the error has a note that names the shard."""
    try:
        yield from source.read(shard)
    except Exception as error:  # each source fails in its own way
        error.add_note(f"This happened while reading {source.shards()[shard]}.")
        raise
