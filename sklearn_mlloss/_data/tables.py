"""Tables as users pass them: rows that can be indexed, columns with names."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np
import scipy.sparse as sp

from .containers import advise, has_rows, holds_masked, stack_rows, to_array, type_of
from .messages import warn_user
from .partitions import is_partitioned
from .sources import RowSource
from .sparse import as_csr

__all__ = [
    "as_frame",
    "as_rows",
    "as_table",
    "check_labels_of",
    "check_same_columns",
    "columns_of",
    "frame_like",
    "is_frame",
    "match_index",
]

# How many names of columns a message shows.
N_SHOWN = 20


def as_rows(X: Any, name: str = "X") -> Any:
    """Return a container whose rows can be indexed by number.

    Lists, columns and tables of pandas and tables of polars stay as they are. Tables of pyarrow
    become DataFrames of pandas, sparse matrices CSR, and everything else an array.

    Parameters
    ----------
    X : object
        As the user passed it.
    name : str, default="X"
        Name of the argument, for messages.

    Returns
    -------
    list, DataFrame, Series, CSR matrix or ndarray

    Raises
    ------
    ValueError
        If it has no rows, or none that can be read.
    """
    if sp.issparse(X):
        return as_csr(X, name)
    if isinstance(X, Number | np.generic) or not has_rows(X):
        raise ValueError(f"{name} must be array-like, got {type_of(X)}{advise(X, name)}")
    X = as_frame(X, name)
    if is_frame(X):
        return X
    kind = type(X)
    plain = not hasattr(kind, "__array__") and not isinstance(X, memoryview)
    if hasattr(kind, "iloc") or plain and not holds_masked(X):
        return X
    array = to_array(X, name, "array-like")
    if array.ndim == 0:
        raise ValueError(f"{name} must be array-like, got an array of shape ()")
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must hold real numbers")
    return array


def as_table(X: Any, name: str = "X") -> Any:
    """Return X as a DataFrame, a CSR matrix, or an array of rows and columns.

    Parameters
    ----------
    X, name : see `as_rows`

    Raises
    ------
    ValueError
        If it has not two dimensions.
    """
    X = as_rows(X, name)
    if sp.issparse(X) or is_frame(X):
        return X
    try:
        array = to_array(X, name)
        if array.dtype.kind not in "biuf" and isinstance(X, list | tuple):
            raise ValueError
    except ValueError:
        # A list of lists with text would become text as a whole; rows may have several lengths.
        array = np.asarray(X, dtype=object)
    array = stack_rows(array, name)
    if array.ndim == 1 and len(array) and isinstance(array[0], str):
        raise ValueError(
            f"{name}: Expected 2D array, got text: give a Pipeline with a vectorizer, such as "
            "make_pipeline(TfidfVectorizer(), classifier)"
        )
    if array.ndim == 1 and hasattr(type(X), "iloc"):
        raise ValueError(
            f"{name}: Expected 2D array, got shape {array.shape} of a {type_of(X)} instead. "
            "Reshape your data: a row of a DataFrame is frame.iloc[[i]], and a column "
            "frame[['name']], with two brackets"
        )
    if array.ndim < 2:
        raise ValueError(
            f"{name}: Expected 2D array, got shape {array.shape} instead. Reshape your data either "
            f"using {name}.reshape(-1, 1) if it has a single feature or {name}.reshape(1, -1) if "
            "it is a single sample"
        )
    if array.ndim > 2:
        raise ValueError(f"{name}: Found array with dim {array.ndim}, while dim <= 2 is required")
    return array


def as_frame(values: Any, name: str) -> Any:
    """Return a table of pyarrow as one of pandas, and any other object as it is.

    Raises
    ------
    ValueError
        If columns have the same name, or the table is lazy.
    """
    if is_frame(values) and not has_rows(values):
        raise ValueError(f"{name} must be array-like, got {type_of(values)}{advise(values, name)}")
    if _is_of_arrow(values):
        values = values.to_pandas()
    if is_frame(values):
        _check_frame(values, name)
    return values


def is_frame(values: Any) -> bool:
    """Return whether an object is a table with named columns of one type each."""
    kind = type(values)
    return hasattr(kind, "columns") and hasattr(kind, "dtypes")


def columns_of(values: Any) -> np.ndarray | None:
    """Return the names of the columns of a table, or None."""
    if is_frame(values):
        return np.asarray(values.columns)
    return np.asarray(values.column_names) if _is_of_arrow(values) else None


def frame_like(X: Any, names: list, parts: dict[str, np.ndarray]) -> Any:
    """Return values of labels as a DataFrame, of polars if X is, else of pandas.

    Parameters
    ----------
    X : object
        As the user passed it, whose index is taken if it has one.
    names : list
        Names of the labels.
    parts : dict of str to ndarray of shape (n_samples, n_labels)
        The values that become the columns of a first level, or structs of polars.
    """
    kind = type(X)
    if is_frame(X) and not hasattr(kind, "iloc"):
        fields = [str(name) for name in names]
        frames = {part: kind(values, schema=fields, orient="row") for part, values in parts.items()}
        return kind([frame.to_struct(part) for part, frame in frames.items()])
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            f"a DataFrame for X of type {kind.__name__} is one of pandas, which is not installed: "
            "pip install 'sklearn_mlloss[examples]', give X as a DataFrame of polars, or call "
            "predict_labels"
        ) from error
    index = X.index if hasattr(kind, "iloc") else None
    frames = {part: pd.DataFrame(values, index, names) for part, values in parts.items()}
    return pd.concat(frames, axis=1)


def check_labels_of(estimator: Any, y: Any, name: str = "y") -> None:
    """Raise if the columns of y are not the labels of a fitted estimator, if both have names."""
    wanted, names = getattr(estimator, "label_names_", None), columns_of(y)
    classes = getattr(estimator, "classes_", None)
    of_labels = isinstance(classes, np.ndarray) and classes.ndim == 2  # not of a 1-D y
    if wanted is not None and names is not None and of_labels and len(names) == len(wanted):
        check_same_columns(y, wanted, name, f"the y that {type(estimator).__name__} was fitted on")


def check_same_columns(values: Any, wanted: Any, name: str, of: str) -> None:
    """Raise if the columns of a table have other names than those wanted, or another order.

    Parameters
    ----------
    values : object
        Accepted if it has no names.
    wanted : array-like of names, or None
        Everything is accepted if it is None.
    name, of : str
        Name of the argument, and the owner of the names wanted, for messages.
    """
    names = columns_of(values)
    if names is None or wanted is None or np.array_equal(names, wanted):
        return
    numbers = list(range(len(names)))
    if numbers in (names.tolist(), list(wanted)) and set(names.tolist()) != set(wanted):
        return  # the numbers that a DataFrame of an array has are no names
    raise ValueError(
        f"{name} must have the columns {_some(wanted)} of {of} in that order, got {_some(names)}"
    )


def match_index(X: Any, **values: Any) -> dict[str, Any]:
    """Warn of values whose index is that of X in another order.

    Rows go by position, as in scikit-learn.

    Parameters
    ----------
    X : object
        As the user passed it.
    **values : object
        What has one value per row of X, by the name of its argument.

    Returns
    -------
    dict
        The values, with the index of X where a warning was given, so that there is no other one
        where they are passed on.

    Raises
    ------
    ValueError
        If X is a `RowSource`, whose rows are not in memory.
    """
    if isinstance(X, RowSource):
        raise ValueError(f"X must be array-like, got {type_of(X)}{advise(X, 'X')}")
    indexed = [name for name in values if _has_index(X) and _has_index(values[name])]
    moved = [name for name in indexed if _is_reordered(values[name].index, X.index)]
    if not moved:
        return values
    one = len(moved) == 1
    warn_user(
        f"{' and '.join(moved)} {'has' if one else 'have'} the index of X in another order, and "
        "rows are matched by position, not by index: use "
        f"{', '.join(f'{name} = {name}.loc[X.index]' for name in moved)}, or "
        f"{moved[0]}.to_numpy() if the positions are right"
    )
    return values | {name: values[name].set_axis(X.index) for name in moved}


def _has_index(values: Any) -> bool:
    return hasattr(type(values), "iloc") and not is_partitioned(values)


def _is_reordered(index: Any, other: Any) -> bool:
    """Return whether an index has the entries of another one in another order."""
    if len(index) != len(other) or index.equals(other):
        return False
    return index.is_unique and other.is_unique and bool(index.isin(other).all())


def _is_of_arrow(values: Any) -> bool:
    kind = type(values)
    return hasattr(kind, "to_pandas") and hasattr(kind, "column_names")


def _some(names: Any) -> str:
    names = np.asarray(names).tolist()
    more = f" and {len(names) - N_SHOWN} more" if len(names) > N_SHOWN else ""
    return f"{names[:N_SHOWN]}{more}"


def _check_frame(frame: Any, name: str) -> None:
    """Raise for a table that libraries would read by position, or not at all."""
    names = list(frame.columns)
    if len(set(names)) < len(names):
        twice = [key for key in dict.fromkeys(names) if names.count(key) > 1]
        raise ValueError(f"{name} has several columns of the name {twice[0]!r}: rename them")
    fills = [getattr(dtype, "fill_value", None) for dtype in frame.dtypes]
    if fills and None not in fills and any(fill != 0 for fill in fills):
        raise ValueError(
            f"{name} has sparse columns that are filled with {fills[0]!r} instead of 0: give "
            f"{name}.sparse.to_dense()"
        )
