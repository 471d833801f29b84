"""Sparse matrices: one form, checked before compiled code walks along their indices."""

from __future__ import annotations

from typing import Any

import scipy.sparse as sp

__all__ = ["as_csr"]


def as_csr(matrix: Any, name: str) -> sp.csr_matrix | sp.csr_array:
    """Return a sparse matrix as CSR with sorted indices and each entry once.

    Duplicate entries are summed. The matrix itself is not changed.

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
    ValueError: X is a malformed csr_array: ...
    """
    kind = type(matrix).__name__
    if matrix.ndim != 2:
        raise ValueError(
            f"{name} must be 2-D, got a sparse array of shape {matrix.shape}: give "
            f"{name}.reshape((-1, 1)), or {name}.toarray()"
        )
    try:
        if matrix.format in ("lil", "dok"):
            matrix = matrix.tocoo()
        # A second matrix of the same arrays: the checks of scipy may replace or cut arrays.
        if matrix.format == "coo":
            type(matrix)((matrix.data, (matrix.row, matrix.col)), shape=matrix.shape)
        elif matrix.format in ("csr", "csc", "bsr"):
            parts = matrix.data, matrix.indices, matrix.indptr
            type(matrix)(parts, shape=matrix.shape).check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"{name} is a malformed {kind}: {error}") from error
    csr = matrix.tocsr()
    if not csr.has_canonical_format:
        csr = csr.copy() if csr is matrix else csr
        csr.sum_duplicates()
    return csr
