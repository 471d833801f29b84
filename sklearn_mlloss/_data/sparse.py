"""Sparse matrices: one form, checked before compiled code walks along their indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["as_csr"]


def as_csr(matrix: Any, name: str) -> sp.csr_matrix | sp.csr_array:
    """Return a sparse matrix as CSR with sorted indices and each entry once.

    Entries that are given several times count as their sum. What was given is not changed.

    Parameters
    ----------
    matrix : sparse matrix or array
    name : str
        Name of the argument, for messages.

    Raises
    ------
    ValueError
        If it is not 2-D, or has indices beyond its shape.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sklearn_mlloss._data.sparse import as_csr
    >>> as_csr(sp.csr_array(([1.0], [7], [0, 1]), shape=(1, 3)), "X")
    Traceback (most recent call last):
        ...
    ValueError: X is a malformed csr_array: it has the index 7 for 3 columns
    """
    if matrix.ndim != 2:
        raise ValueError(
            f"{name} must be 2-D, got a sparse array of shape {matrix.shape}: give "
            f"{name}.reshape((-1, 1)), or {name}.toarray()"
        )
    given = type(matrix).__name__
    if matrix.format in ("lil", "dok"):
        try:
            matrix = matrix.tocoo()
        except ValueError as error:
            raise ValueError(f"{name} is a malformed {given}: {error}") from error
    if matrix.format == "coo":
        _check_places(matrix.row, matrix.shape[0], "rows", name, given)
        _check_places(matrix.col, matrix.shape[1], "columns", name, given)
    elif matrix.format in ("csr", "csc", "bsr"):
        _check_compressed(matrix, name, given)
    csr = matrix.tocsr()
    if not csr.has_canonical_format:
        csr = csr.copy() if csr is matrix else csr
        csr.sum_duplicates()
    return csr


def _check_compressed(matrix: Any, name: str, given: str) -> None:
    """Raise for what walks out of the arrays of a matrix in rows, columns or blocks."""
    rows, columns = matrix.shape
    lines, size, what = rows, columns, "columns"
    if matrix.format == "csc":
        lines, size, what = columns, rows, "rows"
    elif matrix.format == "bsr":
        height, width = matrix.blocksize
        lines, size, what = rows // height, columns // width, "columns of blocks"
    ends, places = matrix.indptr, matrix.indices
    if (
        len(ends) != lines + 1
        or ends[0] != 0
        or (np.diff(ends) < 0).any()
        or ends[-1] > min(len(places), len(matrix.data))
    ):
        raise ValueError(
            f"{name} is a malformed {given}: indptr must rise from 0 to at most the number of "
            f"entries, {min(len(places), len(matrix.data))}, in {lines} steps"
        )
    _check_places(places[: ends[-1]], size, what, name, given)


def _check_places(places: np.ndarray, size: int, what: str, name: str, given: str) -> None:
    if not len(places):
        return
    low, high = places.min(), places.max()
    if low < 0 or high >= size:
        raise ValueError(
            f"{name} is a malformed {given}: it has the index {low if low < 0 else high} for "
            f"{size} {what}"
        )
