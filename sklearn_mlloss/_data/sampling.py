"""A uniform sample of rows that come in blocks, and blocks of rows as one."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["RowSample", "join", "take"]

# Rows that are collected at least before some are dropped again.
SLACK = 2**12
# Parts that are kept at the most: one of few rows and many columns takes more than its rows.
MOST_PARTS = 2**8


class RowSample:
    """A uniform sample of rows that come in blocks: those with the smallest random numbers.

    Parameters
    ----------
    size : int
        Number of rows; all rows if there are fewer.
    """

    def __init__(self, size: int):
        self.size, self.limit, self.n = size, 1.0, 0
        self.parts: list[tuple[Any, ...]] = []  # numbers, places, X, y, weights

    def add(self, numbers: np.ndarray, places: np.ndarray, *parts: Any) -> None:
        """Add those of some rows that may be in the sample.

        Parameters
        ----------
        numbers : ndarray of shape (n,)
            Uniform random numbers in [0, 1), one per row.
        places : ndarray of int, shape (n, 2)
            Shard, and row within it, of each row.
        *parts : X, y, and weights or None
        """
        chosen = np.flatnonzero(numbers < self.limit)
        if not len(chosen):
            return
        rows = [None if part is None else take(part, chosen) for part in parts]
        self.parts.append((numbers[chosen], places[chosen], *rows))
        self.n += len(chosen)
        if self.n > self.size + max(self.size // 4, SLACK) or len(self.parts) > MOST_PARTS:
            self.prune()

    def prune(self) -> None:
        """Drop all rows but those in the sample so far, and join them."""
        numbers = np.concatenate([part[0] for part in self.parts])
        if len(numbers) > self.size:
            self.limit = np.partition(numbers, self.size)[self.size]
        parts = []
        for part in self.parts:
            chosen = np.flatnonzero(part[0] < self.limit)
            if len(chosen):
                parts.append([None if p is None else take(p, chosen) for p in part])
        self.parts = [tuple(join(list(column)) for column in zip(*parts, strict=True))]
        self.n = len(self.parts[0][0])

    def joined(self) -> tuple[Any, ...]:
        """Return places, X, y and weights of the sample in the order of the places."""
        self.prune()
        _, places, *columns = self.parts[0]
        order = np.lexsort(places.T[::-1])
        return places[order], *(None if c is None else take(c, order) for c in columns)


def take(part: Any, rows: Any) -> Any:
    """Return some rows of an array, a CSR matrix or a DataFrame."""
    return part.iloc[rows] if hasattr(part, "iloc") else part[rows]


def join(parts: list[Any]) -> Any:
    """Return blocks of rows of one kind as one; None, if they are None."""
    if parts[0] is None and not any(part is not None for part in parts):
        return None
    if any(part is None for part in parts):
        raise ValueError(
            "sample_weight must be given for all rows or for none: give 1 where there is none"
        )
    if isinstance(parts[0], list):
        return list(chain.from_iterable(parts))
    if len({(sp.issparse(part), hasattr(part, "iloc")) for part in parts}) > 1:
        kinds = sorted({type(part).__name__ for part in parts})
        raise ValueError(f"all blocks of rows must be of one type, got {' and '.join(kinds)}")
    if sp.issparse(parts[0]):
        return sp.vstack(parts, format="csr")
    if type(parts[0]).__module__.startswith("polars"):
        import polars as pl

        return pl.concat(parts)
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        return np.ma.concatenate(parts)  # that of numpy drops the masks
    if not hasattr(parts[0], "iloc"):
        return np.concatenate(parts)
    import pandas as pd

    frame = pd.concat(parts, ignore_index=True)
    if frame.ndim == 1:
        return frame
    for name, dtype in parts[0].dtypes.items():
        # Of several categories, pandas makes objects.
        if isinstance(dtype, pd.CategoricalDtype) and frame[name].dtype != dtype:
            frame[name] = frame[name].astype("category")
    return frame
