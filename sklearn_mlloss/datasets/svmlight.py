"""SVMlight files with several labels per row, and those of extreme classification."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_svmlight_file
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch

from .._data.messages import LONGEST, describe
from .._data.validation import InvalidParameterError, check_flag, check_integer, is_auto
from .bunches import MANY_LABELS
from .files import FileFormatError, LineReader, check_path

__all__ = ["load_svmlight"]

_HEADER = re.compile(rb"\s*(\d{1,9})\s+(\d{1,9})\s+(\d{1,9})\s*$")


def load_svmlight(
    path: str | os.PathLike[str],
    *,
    labels: Sequence[float] | None = None,
    n_features: int | None = None,
    zero_based: bool | str = "auto",
    sparse_output: bool | str = "auto",
    return_X_y: bool = False,
) -> Bunch | tuple[Any, Any]:
    r"""Load a multi-label data set from an SVMlight file.

    Each line holds the numbers of the labels, separated by commas, and the features that are not
    0: ``3,7 12:0.5 30:1``. A line that begins with a feature has no label. Files of the extreme
    classification repository [1]_ begin with a header: the numbers of rows, features and labels,
    which are checked.

    Parameters
    ----------
    path : str or path-like
        The file. If its name ends in .gz, .bz2 or .xz, it is decompressed.
    labels : sequence of numbers, optional
        The labels in the order of the columns of the target, such as the `target_names` of the
        training file when the test file is loaded. None takes all labels that occur in the file,
        sorted, or with a header 0, 1, ... up to its number of labels.
    n_features : int, optional
        Number of features, such as that of the training file when the test file is loaded. None
        takes that of the header, or the last feature that occurs in the file.
    zero_based : bool or "auto", default="auto"
        Whether features are counted from 0 instead of 1. "auto" means True, unless no row has the
        feature 0, and the file has no header or a feature whose number is that of the header. A
        test file may lack the feature 0: give `zero_based` of the training file. With `n_features`,
        "auto" raises an error for a file that may be either.
    sparse_output : bool or "auto", default="auto"
        Whether the target is a CSR matrix instead of an array. "auto" means True if there are more
        than 1000 labels.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : CSR matrix of shape (n_samples, n_features)
            float64.
        target : {ndarray, CSR matrix} of shape (n_samples, n_labels)
            int64, 0 or 1.
        target_names : list of int or float
            The numbers of the labels.
        zero_based : bool
            Whether features are counted from 0.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If the file is cut or not in this format, differs from its header, or has labels or
        features beyond `labels` and `n_features`, or if it is not clear where its features are
        counted from. The message names the file and the line.
    OSError
        If the file cannot be opened.

    See Also
    --------
    load_arff : Files of Mulan, MEKA and Weka.

    Notes
    -----
    scikit-learn's `load_svmlight_file` parses the rows. With a header each line is a row, also an
    empty one, which has neither labels nor features.

    References
    ----------
    .. [1] K. Bhatia et al., "The extreme classification repository: multi-label datasets and
       code", http://manikvarma.org/downloads/XC/XMLRepository.html

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_mlloss.datasets import load_svmlight
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "train.txt"
    ...     _ = path.write_text("3 4 2\n0,1 0:0.5 3:1\n1 2:1\n 0:2\n")
    ...     X, Y = load_svmlight(path, return_X_y=True)
    >>> X.toarray()
    array([[0.5, 0. , 0. , 1. ],
           [0. , 0. , 1. , 0. ],
           [2. , 0. , 0. , 0. ]])
    >>> Y
    array([[1, 1],
           [0, 1],
           [0, 0]])
    """
    file = check_path(path, "path")
    if n_features is not None:
        check_integer(n_features, "n_features", low=1, other="None or ")
    for name, flag in (("zero_based", zero_based), ("sparse_output", sparse_output)):
        if not is_auto(flag):
            check_flag(flag, name, other="'auto', ")
    check_flag(return_X_y, "return_X_y")
    header = _header(file)
    if header and n_features not in (None, header.n_features):
        raise ValueError(
            f"n_features={n_features}, but the header of {file} has {header.n_features} features"
        )
    with _Rows(file, header) as rows:
        X, label_sets = _parse(rows, is_auto(zero_based) or bool(zero_based))
        if header:
            X.eliminate_zeros()  # of rows without features
            rows.check_number()
        if is_auto(zero_based):
            zero_based = _counts_from_zero(X, rows, header, n_features)
            X = X if zero_based else X[:, 1:]
        wanted = header.n_features if header else n_features
        if wanted is not None:
            _check_features(X, rows, wanted)
            X.resize(len(label_sets), wanted)
        names = _names(label_sets, rows, labels, header)
    sparse = len(names) > MANY_LABELS if is_auto(sparse_output) else bool(sparse_output)
    binarizer = MultiLabelBinarizer(classes=names, sparse_output=sparse)
    target = binarizer.fit_transform(label_sets).astype(np.int64)
    if sparse:
        target.sort_indices()
    loaded = Bunch(data=X, target=target, target_names=names, zero_based=bool(zero_based))
    return (loaded.data, loaded.target) if return_X_y else loaded


class _Header(NamedTuple):
    """The first line of files of the extreme classification repository."""

    n_rows: int
    n_features: int
    n_labels: int


class _Rows(LineReader):
    """The rows of a file; empty ones are made rows of one 0 if the header counts them.

    Attributes
    ----------
    lines : list of int
        The number of the line of each row.
    """

    def __init__(self, path: Path, header: _Header | None) -> None:
        super().__init__(path)
        self.lines: list[int] = []
        self.n_rows = header.n_rows if header else 0
        if header:
            super().readline()

    def readline(self, size: int | None = -1) -> bytes:
        """Return the next row."""
        line = super().readline()
        if not line:
            return line
        if not line.partition(b"#")[0].strip():
            if len(self.lines) >= self.n_rows:
                return line
            line = b"1:0\n"
        self.lines.append(self.number)
        return line

    def check_number(self) -> None:
        """Raise unless there are as many rows as the header counts."""
        if len(self.lines) != self.n_rows:
            cut = ": the file may be cut" if len(self.lines) < self.n_rows else ""
            raise self.error(f"the header counts {self.n_rows} rows, got {len(self.lines)}{cut}")


def _header(file: Path) -> _Header | None:
    """Return the numbers of rows, features and labels in the first line, if it has such."""
    with LineReader(file) as lines:
        found = _HEADER.match(lines.readline())
    return _Header(*map(int, found.groups())) if found else None


def _parse(rows: _Rows, zero_based: bool | str) -> tuple[Any, list[tuple[float, ...]]]:
    """Return features and labels as scikit-learn parses them."""
    try:
        X, label_sets = load_svmlight_file(rows, multilabel=True, zero_based=zero_based)
    except FileFormatError:
        raise
    except (ValueError, OverflowError) as error:
        reason = str(error)[:LONGEST]
        raise rows.syntax_error(
            f"expected label,label feature:value feature:value ...: {reason}"
        ) from error
    if not rows.lines:
        raise rows.error("the file has no rows")
    return X, label_sets


def _counts_from_zero(X: Any, rows: _Rows, header: _Header | None, n_features: int | None) -> bool:
    """Return whether features seem to be counted from 0; raise if that of another file decides."""
    if not X.nnz or X.indices.min() == 0:
        return True
    last = X.indices.max()
    if n_features is not None and last < n_features:
        raise ValueError(
            f"{rows.path} may count features from 0 or from 1, as no row has the feature 0 or "
            f"{n_features}: give zero_based=train.zero_based of the training file"
        )
    return header is not None and last != header.n_features


def _check_features(X: Any, rows: _Rows, n_features: int) -> None:
    if X.nnz and X.indices.max() >= n_features:
        beyond = np.argmax(X.indices >= n_features)
        row = int(np.searchsorted(X.indptr, beyond, side="right")) - 1
        raise FileFormatError(
            f"a feature is beyond the last of {n_features}", rows.path, rows.lines[row]
        )


def _names(
    label_sets: list[tuple[float, ...]],
    rows: _Rows,
    labels: Sequence[float] | None,
    header: _Header | None,
) -> list[Any]:
    """Return the labels that the columns of the target stand for."""
    flat = np.fromiter(chain.from_iterable(label_sets), dtype=np.float64)
    row_of = np.repeat(np.arange(len(label_sets)), [len(row) for row in label_sets])
    if labels is not None:
        names = _checked(labels)
        what = "not among labels="
    elif header:
        names = list(range(header.n_labels))
        what = f"not among the labels 0 to {header.n_labels - 1} of the header"
    else:
        values = np.unique(flat[np.isfinite(flat)])
        whole = (values == np.round(values)).all() and np.abs(values).max(initial=0) < 2**53
        names = (values.astype(np.int64) if whole else values).tolist()
        what = "not a finite number"
    unknown = ~np.isin(flat, names)
    if unknown.any():
        first = int(np.argmax(unknown))
        raise FileFormatError(
            f"the label {flat[first]:g} is {what}", rows.path, rows.lines[row_of[first]]
        )
    if not names:
        raise FileFormatError("no row of the file has a label", rows.path, rows.number)
    return names


def _checked(labels: Sequence[float]) -> list[Any]:
    names = list(labels) if isinstance(labels, Sequence | np.ndarray) else []
    if not names or not all(isinstance(name, Real) for name in names):
        raise InvalidParameterError(
            f"labels must be a list of the numbers of labels, got {describe(labels)}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"labels has a number twice, got {describe(labels)}")
    return names
