"""Plain arrays of the values in containers; an error names those that cannot be read."""

from __future__ import annotations

from numbers import Number
from os import PathLike
from typing import Any

import numpy as np
import scipy.sparse as sp

from .messages import describe
from .sources import IN_MEMORY, RowSource

__all__ = [
    "NO_ARRAYS",
    "advise",
    "has_rows",
    "holds_masked",
    "is_data_loader",
    "is_missing",
    "stack_rows",
    "to_array",
    "to_float",
    "type_of",
]

# Types without order, length or rows.
NO_ARRAYS = (str, bytes, bytearray, dict, set, frozenset)


def to_array(values: Any, name: str, wanted: str = "an array") -> np.ndarray:
    """Return the values of a dense container as a plain array, which may be a view.

    Masked values and nulls become NaN, or None in columns without numbers.

    Parameters
    ----------
    values : array-like
        Lists, arrays, masked arrays, columns and tables of pandas, polars and pyarrow, tensors.
    name : str
        Name of the argument, for messages.
    wanted : str, default="an array"
        What it must be, for messages.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If it is not a dense container, or numpy cannot read it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss._data.containers import to_array
    >>> to_array(np.ma.masked_equal([3, 0, 1], 0), "y")
    array([ 3., nan,  1.])
    """
    start = f"{name} must be {wanted}, got {type_of(values)}"
    if sp.issparse(values) or not has_rows(values):
        raise ValueError(f"{start}{advise(values, name)}")
    try:
        if holds_masked(values):
            values = np.ma.array(values)
        if isinstance(values, np.ma.MaskedArray):
            values = _fill(values)
        array = _values_of_frame(values) if hasattr(type(values), "iloc") else np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # the last of torch
        raise ValueError(
            f"{start} that numpy cannot read ({error}){advise(values, name)}"
        ) from error
    if array.dtype.kind == "V":
        raise ValueError(
            f"{start} of records: give pandas.DataFrame({name}), or "
            f"numpy.lib.recfunctions.structured_to_unstructured({name})"
        )
    return array


def to_float(values: Any, name: str, wanted: str = "an array of numbers") -> np.ndarray:
    """Return the values of a dense container as float64, with NaN for masked values and nulls.

    Parameters
    ----------
    values : array-like
        See `to_array`. Text is not converted.
    name, wanted : str
        See `to_array`.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    ValueError
        If it is not a dense container of real numbers.
    """
    array = stack_rows(to_array(values, name, wanted), name)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64, copy=False)
    problem: Any = f"could not convert {array.dtype} to float64"
    if array.dtype.kind == "O":
        try:
            numbers = np.fromiter(map(_number, array.ravel()), np.float64, array.size)
            return numbers.reshape(array.shape)
        except (TypeError, ValueError) as error:
            problem = f"could not convert all its values to float64, {error}"
    raise ValueError(f"{name} must be {wanted}, got {type_of(values)}: {problem}")


def stack_rows(array: np.ndarray, name: str) -> np.ndarray:
    """Return rows that are objects of a 1-D array as an array of rows and columns.

    Parameters
    ----------
    array : ndarray
        Returned as it is unless it is of lists, tuples or arrays.
    name : str
        Name of the argument, for messages.

    Raises
    ------
    ValueError
        If the rows have several lengths, or are mappings from names to values.
    """
    if array.dtype.kind != "O" or array.ndim != 1 or not len(array):
        return array
    if all(isinstance(row, dict) for row in array):
        raise ValueError(f"{name} has a dict for each row: give pandas.DataFrame({name})")
    if not any(isinstance(row, list | tuple | np.ndarray) for row in array):
        return array
    shapes = {np.shape(row) if isinstance(row, np.ndarray) else _length(row) for row in array}
    if len(shapes) > 1:
        raise ValueError(
            f"{name} has rows of different lengths: it must have one value per row and column"
        )
    return to_array(array.tolist(), name)


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT or NA of pandas, which has no truth value."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True
    except (ValueError, RuntimeError):  # several values, the latter of torch
        return False


def type_of(values: Any) -> str:
    """Return the type of a value, or the value itself if it is short."""
    if isinstance(values, dict) and not all(isinstance(v, Number) for v in values.values()):
        return "dict"
    if values is None or isinstance(values, str | bytes | dict | int | float):
        return describe(values)
    return type(values).__name__


def has_rows(values: Any) -> bool:
    """Return whether numpy reads the values of an object; it wraps iterators, for example."""
    kind = type(values)
    if isinstance(values, (*NO_ARRAYS, RowSource)) or _is_lazy(kind):
        return False
    if isinstance(values, Number | np.generic):
        return True
    return hasattr(kind, "__array__") or hasattr(kind, "__len__") and hasattr(kind, "__getitem__")


def is_data_loader(values: Any) -> bool:
    """Return whether an object is a DataLoader of torch, which is not imported here."""
    return any(kind.__name__ == "DataLoader" for kind in type(values).__mro__)


def holds_masked(values: Any) -> bool:
    """Return whether a list has masked arrays, or masked values, of which numpy loses the masks."""
    rows = values if isinstance(values, list | tuple) else ()
    return any(isinstance(row, np.ma.MaskedArray) for row in rows)


def advise(values: Any, name: str) -> str:
    """Return the end of an error message: how to convert the values, or nothing."""
    # Not attributes of the object: columns of a DataFrame are attributes, too.
    kind = type(values)
    if isinstance(values, RowSource):
        return f": {IN_MEMORY}"
    if isinstance(values, str | PathLike) and name == "X":
        return (
            ": the name of a file or folder is no X; give pandas.read_parquet(file), or "
            "sklearn_mlloss.streaming.ParquetRows(folder, labels=[...])"
        )
    if hasattr(kind, "to_table"):  # a dataset of pyarrow
        return (
            f": give {name}.to_table().to_pandas(), or sklearn_mlloss.streaming.ParquetRows("
            "files, labels=[...])"
        )
    if is_data_loader(values):
        return (
            ": give the arrays of its dataset, or with streaming=... an object whose "
            "__iter__ yields (X.numpy(), y.numpy()) in the same order each time"
        )
    if hasattr(kind, "detach"):
        dense = "" if str(values.layout) == "torch.strided" else ".to_dense()"
        return f": give {name}{dense}.detach().cpu().float().numpy()"
    if hasattr(kind, "compute") and kind.__module__.startswith("dask"):
        return (
            f": give {name}.compute() if it fits in memory; MultiLabelNetClassifier.fit alone "
            "trains on collections of dask"
        )
    for method in ("toarray", "collect", "compute"):
        if hasattr(kind, method):
            return f": give {name}.{method}()"
    if isinstance(values, dict) and name in ("X", "y"):
        return f": give pandas.DataFrame({name})"
    if hasattr(kind, "__iter__") and not isinstance(values, NO_ARRAYS):
        return f": give list({name})"
    return ""


def _length(row: Any) -> tuple[int, ...]:
    return (len(row),) if hasattr(row, "__len__") else ()


def _is_lazy(kind: type) -> bool:
    """Return whether a table is lazy, such as those of dask and LazyFrame of polars."""
    of_dask = kind.__module__.startswith("dask")
    lazy = hasattr(kind, "compute") and (hasattr(kind, "iloc") or of_dask)
    return lazy or hasattr(kind, "collect")


def _fill(values: np.ma.MaskedArray) -> np.ndarray:
    """Return the values of a masked array, with a missing value where the mask is set."""
    if values.dtype.names is not None or not np.ma.is_masked(values):
        return values.data
    missing: Any = {"m": "NaT", "M": "NaT"}.get(values.dtype.kind, np.nan)
    if values.dtype.kind in "biu":
        dtype: np.dtype = np.dtype(np.float64)
    elif values.dtype.kind in "fcmM":
        dtype = values.dtype
    else:
        dtype, missing = np.dtype(object), None
    filled = values.data.astype(dtype)
    filled[np.ma.getmaskarray(values)] = missing
    return filled


def _values_of_frame(frame: Any) -> np.ndarray:
    """Return the values of a pandas object; numpy would make objects of nullable numbers."""
    dtypes = list(getattr(frame, "dtypes", [])) if frame.ndim == 2 else [frame.dtype]
    if not dtypes or any(dtype.kind not in "biuf" for dtype in dtypes):
        return np.asarray(frame)
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return frame.to_numpy(dtype=np.result_type(*dtypes))
    missing = frame.isna().to_numpy()
    if frame.ndim == 1 and not missing.any():
        return np.asarray(frame)
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _number(value: Any) -> float:
    if hasattr(value, "__len__"):  # text, and rows within rows
        raise TypeError(f"such as one of type {type(value).__name__}")
    if is_missing(value):
        return np.nan
    try:
        return float(value)
    except OverflowError:  # an int beyond the range of float
        return np.inf if value > 0 else -np.inf
