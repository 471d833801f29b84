"""Rows in shards that are read one after the other: what training out of core reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from .fitting import draw_entropy
from .messages import describe
from .sampling import RowSample
from .validation import check_integer

__all__ = ["IN_MEMORY", "Block", "RowSource", "blocks_of", "check_alone"]

# What to do where a source has no place.
IN_MEMORY = (
    "only MultiLabelNetClassifier.fit, and score, fit_decoder and the predictions of fitted "
    "classifiers read rows by shards; give rows in memory here, such as X, y, sample_weight = "
    "rows.sample(100_000)"
)

# X, y, and weights or None, as `fit` takes them.
Block = tuple[Any, Any, Any]


class RowSource(ABC):
    """Rows in shards, such as files, for training on more rows than memory holds.

    A subclass reads one format. `MultiLabelNetClassifier.fit` takes it as X, with y left out, and
    reads it several times: once for statistics and a sample, and once per epoch, with the shards in
    another order each time. `fit_decoder` and `score` of fitted classifiers take it, too, with y
    left out, and so do the methods that predict, whose results for all rows are in memory.
    Everything else needs rows in memory, see `sample`.

    Examples
    --------
    One shard per file of numpy, with the labels in the last three columns:

    >>> import numpy as np
    >>> from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
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

    Select loss and decoder on a sample, then train on all rows:

    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import make_multilabel_classification
    >>> net = MultiLabelNetClassifier(max_epochs=2, early_stopping=False, random_state=0)
    >>> search = LossDecoderSearchCV(net, ["bce", "zlpr"], ["threshold"], cv=2, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     paths = [f"{folder}/{part}.npy" for part in range(3)]
    ...     for seed, path in enumerate(paths):
    ...         parts = make_multilabel_classification(n_classes=3, random_state=seed)
    ...         np.save(path, np.hstack(parts))
    ...     rows = NumpyFiles(paths)
    ...     X, y, _ = rows.sample(100, random_state=0)
    ...     best = search.fit(X, y).best_estimator_.fit(rows)
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

    def fingerprint(self) -> str:
        """Return a text that changes with the rows, by which a checkpoint knows them again.

        Beside it, only the first block of rows is compared. This default returns the names of the
        shards; a cheap hash of all rows notices more.
        """
        return "\n".join(self.shards())

    def sample(self, n_rows: int, random_state: Any = None) -> Block:
        """Return a uniform sample of the rows, drawn without replacement in one pass over all.

        For what needs rows in memory, such as a search for loss and decoder: see the example of
        the class.

        Parameters
        ----------
        n_rows : int
            Size of the sample. If there are fewer rows, all of them are returned.
        random_state : int, RandomState or None, default=None
            Controls the randomness of the sample.

        Returns
        -------
        X : {array, DataFrame, CSR matrix} of shape (n_rows, n_features)
            As `read` yields it, in the order of the shards.
        y : {array, DataFrame, CSR matrix} of shape (n_rows, n_labels)
        sample_weight : array of shape (n_rows,) or (n_rows, n_labels), or None

        Raises
        ------
        ValueError
            If `n_rows` is not at least 1, or there is no row.
        """
        check_integer(n_rows, "n_rows", low=1)
        sample, entropy = RowSample(n_rows), draw_entropy(random_state)
        for shard in range(len(self.shards())):
            draw, start = np.random.default_rng([entropy, shard]), 0
            for block in blocks_of(self, shard):
                n = int(np.shape(block[0])[0])
                places = np.column_stack([np.full(n, shard), np.arange(start, start + n)])
                sample.add(draw.random(n), places, *block)
                start += n
        if not sample.n:
            raise ValueError(f"{type(self).__name__} has no row in its {len(self.shards())} shards")
        return sample.joined()[1:]

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise an error: the rows are not in memory."""
        raise TypeError(f"{type(self).__name__} has no rows in memory: {IN_MEMORY}")


def check_alone(source: RowSource, y: Any, sample_weight: Any) -> None:
    """Raise if labels or weights are given beside a source, which has them."""
    for argument, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"{argument} comes from X, a {type(source).__name__}: leave it out, and give other "
                "arguments by name"
            )


def blocks_of(source: RowSource, shard: int) -> Iterator[Block]:
    """Yield the blocks of a shard; if reading fails, the error has a note that names the shard."""
    try:
        for block in source.read(shard):
            if not isinstance(block, tuple | list) or len(block) != 3:
                raise ValueError(
                    f"read of {type(source).__name__} must yield tuples (X, y, sample_weight), "
                    f"with None where there are no weights, got {describe(block)}"
                )
            yield block
    except Exception as error:  # each source fails in its own way
        error.add_note(f"This happened while reading {source.shards()[shard]}.")
        raise
