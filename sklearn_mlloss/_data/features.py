"""Conversion of X to numbers and codes of categories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from .._sklearn import _safe_indexing
from .containers import is_missing
from .messages import LONGEST, describe, warn_user, without_rows
from .rows import Inputs, Rows
from .tables import as_table, is_frame
from .targets import TargetCodec
from .weights import check_weight

__all__ = ["InputCodec", "category_key", "check_rows", "takes_missing"]

# Types of columns of categories, in pandas and polars.
CATEGORICAL = ("CategoricalDtype", "Categorical", "Enum")
# Types of columns of times in polars; those of pandas and numpy have a kind.
TIMES = ("Date", "Datetime", "Duration", "Time")
UNKNOWN = -1
BY_NAME = "encoding='auto' or another name"
# How numpy and pandas report columns that are no numbers.
OF_LISTS = "setting an array element with a sequence"
NOT_NUMBERS = ("could not convert", "could not be promoted", "Cannot cast", OF_LISTS)


def takes_missing(encoding: Any) -> bool:
    """Return whether the encoding that the parameter stands for takes NaN in X.

    A transformer raises when it does not.
    """
    return encoding is not None and not hasattr(encoding, "transform")


class InputCodec:
    """Turns X into numbers.

    A missing value becomes NaN. A category becomes its place among the sorted categories of the
    column in the first X; an unknown one becomes -1. Fractions that are equal in float32 are one
    category, so that their precision does not matter.

    Parameters
    ----------
    encoding, categorical_features : see `MultiLabelNetClassifier`

    Attributes
    ----------
    is_categorical_ : ndarray of bool, shape (n_features,), or None
        Which columns hold categories; None if none does.
    categories_ : list of ndarray
        The categories of each of these columns.
    """

    def __init__(self, encoding: Any, categorical_features: Any):
        self.encoding = encoding
        self.categorical_features = categorical_features

    def fit_transform(self, estimator: Any, X: Any) -> Inputs:
        """Return X as `transform` does, after learning which columns hold which categories."""
        X = as_table(X)
        is_categorical = _find_categorical(X, self.categorical_features)
        self.is_categorical_ = is_categorical if is_categorical.any() else None
        self._of_categories = np.flatnonzero(is_categorical)
        self._of_numbers = np.flatnonzero(~is_categorical)
        self.categories_: list[np.ndarray] = []
        if self.is_categorical_ is not None and hasattr(self.encoding, "transform"):
            raise ValueError(
                "X has columns of categories, which do not go with encoding="
                f"{describe(self.encoding)}: take {BY_NAME}, or set categorical_features=None and "
                "put the transformer into a Pipeline, before this classifier"
            )
        inputs = self.transform(estimator, X, reset=True)
        # On sparse rows the network has no inputs for missing values.
        self._refuses_missing = self.encoding is None or sp.issparse(inputs)
        self._check_missing(estimator, inputs)
        if len(self._of_numbers):
            names = _feature_names(estimator, inputs)[self._of_numbers]
            numbers = X if self.is_categorical_ is None else _columns(X, self._of_numbers)
            _warn_of_lost_digits(numbers, inputs.dtype, names)
        return inputs

    def check_columns(self, estimator: Any, X: Any) -> None:
        """Raise if the estimator now asks for other columns of categories than the first X had."""
        X = as_table(X)
        validate_data(estimator, X, skip_check_array=True, reset=False)
        now = np.flatnonzero(_find_categorical(X, estimator.categorical_features))
        if not np.array_equal(now, self._of_categories):
            names = _feature_names(estimator, X)
            raise ValueError(
                f"categorical_features={describe(estimator.categorical_features)} stands for "
                f"{names[now].tolist() or 'no column'} of X, but for "
                f"{names[self._of_categories].tolist() or 'no column'} in the first fit, which "
                "warm_start=True goes on from: set warm_start=False, or ask for the same columns"
            )

    def transform(self, estimator: Any, X: Any, reset: bool = False) -> Inputs:
        """Return X as rows of finite numbers and NaN, in the precision of the estimator.

        Parameters
        ----------
        estimator : MultiLabelNetClassifier
            Gets, or has, the names and the number of columns.
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
        reset : bool, default=False
            Whether this is the X to learn from.

        Returns
        -------
        ndarray or CSR matrix of shape (n_samples, n_features)
        """
        X = as_table(X)
        if self.is_categorical_ is None:
            inputs = _numbers(
                X, lambda: validate_data(
                    estimator, X, accept_sparse="csr", dtype=estimator._dtype, order="C",
                    ensure_all_finite="allow-nan", reset=reset,
                ), range(X.shape[1]),
            )  # fmt: skip
        else:
            inputs = self._mixed(estimator, X, reset)
        if not reset:
            self._check_missing(estimator, inputs)
        return inputs

    def levels(self, X: Any, number: int) -> tuple[list, np.ndarray]:
        """Return the values of a column of categories, and the place of each row's among them.

        Parameters
        ----------
        X : see `transform`, which took it
        number : int
            Number of the column among those of categories.

        Returns
        -------
        list, ndarray of int
            Some of the values may be in no row; the place is -1 where a value is missing.
        """
        return _factorize(_column(as_table(X), int(self._of_categories[number])))

    def extend_categories(self, levels: list[list | None]) -> bool:
        """Take the categories of more rows than the first X had; return whether any is new.

        Parameters
        ----------
        levels : list of list or None
            All categories of each column; None leaves those of the first X.
        """
        extended = False
        for number, (known, more) in enumerate(zip(self.categories_, levels, strict=True)):
            if more is not None and len(categories := _categories(more)) > len(known):
                self.categories_[number], extended = categories, True
        return extended

    def _mixed(self, estimator: Any, X: Any, reset: bool) -> np.ndarray:
        if sp.issparse(X):
            raise ValueError(
                "X is sparse, but training was on columns of categories: give a dense X"
            )
        validate_data(estimator, X, skip_check_array=True, reset=reset)
        inputs = np.empty(X.shape, dtype=estimator._dtype)
        # Raises without rows.
        check_array(inputs, ensure_all_finite=False, input_name="X", estimator=estimator)
        if len(self._of_numbers):
            part = _columns(X, self._of_numbers)
            inputs[:, self._of_numbers] = _numbers(
                X, lambda: check_array(
                    part, dtype=estimator._dtype, ensure_all_finite="allow-nan", input_name="X",
                    estimator=estimator,
                ), self._of_numbers.tolist(),
            )  # fmt: skip
        for number, j in enumerate(self._of_categories.tolist()):
            inputs[:, j] = self._codes(X, j, number, reset)
        return inputs

    def _codes(self, X: Any, j: int, number: int, reset: bool) -> np.ndarray:
        """Return the codes of column j, whose categories have this number."""
        try:
            levels, places = _factorize(_column(X, j))
        except TypeError as error:
            raise TypeError(
                f"{_name(X, j)} has values that cannot be categories: {error}. To be a category, "
                "an argument must be hashable, such as a string or a number"
            ) from error
        used = np.unique(places[places >= 0])
        levels = [levels[place] for place in used]
        if any(isinstance(level, float | np.floating) and np.isinf(level) for level in levels):
            raise ValueError(f"{_name(X, j)} contains infinity")
        if reset:
            self.categories_.append(_categories(levels))
        known = self.categories_[number]
        code_of = {category_key(level): code for code, level in enumerate(known)}
        codes = [code_of.get(category_key(level), UNKNOWN) for level in levels]
        if codes and max(codes) == UNKNOWN:
            warn_user(
                f"{_name(X, j)} has none of the categories that it had in training, so that all "
                f"its values count as unknown: such as {levels[:3]} now, {known[:3].tolist()} then"
            )
        # The last one is for places of -1.
        table = np.full(max(places.max(), 0) + 2, np.nan)
        table[used] = codes
        return table[places]

    def _check_missing(self, estimator: Any, X: Inputs) -> None:
        """Raise if the network has no inputs for values that are missing."""
        if not isinstance(X, np.ndarray):
            if len(X.data) and np.isnan(X.data.min()):
                raise ValueError(
                    "Input X contains NaN and is sparse: missing values are taken in dense X only"
                )
            return
        # The minimum is NaN if anything is, and needs no memory.
        if not self._refuses_missing or not np.isnan(X.min()):
            return
        missing = self._of_numbers[np.isnan(X[:, self._of_numbers]).any(axis=0)]
        if len(missing):
            names = _feature_names(estimator, X)[missing]
            if self.encoding is not None:
                why = "training on a sparse X left no place for missing values: train"
            elif estimator.encoding is None:
                why = f"encoding=None has no place for missing values: use {BY_NAME}"
            else:
                why = (
                    "The first fit was with encoding=None, which has no place for missing values, "
                    f"and encoding={describe(estimator.encoding)} was set later: refit with "
                    f"warm_start=False and {BY_NAME}"
                )
            raise ValueError(
                f"Input X contains NaN in {len(names)} column(s): {', '.join(map(str, names[:10]))}"
                f". {why} on dense X, or fill them in before, with a SimpleImputer for instance"
            )


def check_rows(
    X: Inputs,
    targets: TargetCodec,
    y: Any,
    sample_weight: Any,
    largest_sum: float = np.inf,
) -> tuple[Rows, np.ndarray]:
    """Return the informative rows, and which of X they are."""
    Y = targets.transform(y)
    check_consistent_length(X, Y)
    per_label = targets.kind == "multilabel"
    weight = check_weight(sample_weight, Y, per_label, largest_sum)
    return Rows(X, Y, weight).informative()


def _find_categorical(X: Any, spec: Any) -> np.ndarray:
    """Return which columns hold categories, as HistGradientBoostingClassifier has it."""
    if isinstance(spec, str):  # "from_dtype"
        spec = [_is_category(dtype) for dtype in X.dtypes] if is_frame(X) else []
    n_features = X.shape[1]
    is_categorical = np.zeros(n_features, dtype=bool)
    if spec is None or np.size(spec) == 0:
        return is_categorical
    if isinstance(X, np.ndarray):  # any rows and columns
        check_array(X, dtype=None, ensure_all_finite=False, input_name="X")
    spec = np.asarray(spec)
    if spec.dtype.kind == "b":
        if spec.shape != (n_features,):
            raise ValueError(
                "categorical_features set as a boolean mask must have shape (n_features,) = "
                f"({n_features},), got {spec.shape}"
            )
        is_categorical |= spec
    elif spec.dtype.kind in "iu":
        if spec.min() < 0 or spec.max() >= n_features:
            raise ValueError(
                "categorical_features set as integer indices must be in [0, n_features - 1] = "
                f"[0, {n_features - 1}], got {spec.tolist()}"
            )
        is_categorical[spec] = True
    elif not is_frame(X):
        raise ValueError(
            "categorical_features holds names, but X has none: give the numbers of the columns, "
            "or a boolean mask"
        )
    else:
        names = list(X.columns)
        unknown = [name for name in spec.tolist() if name not in names]
        if unknown:
            raise ValueError(
                f"categorical_features has names that X has not: {unknown}; the columns are {names}"
            )
        is_categorical[[names.index(name) for name in spec.tolist()]] = True
    if sp.issparse(X) and is_categorical.any():
        raise ValueError(
            f"categorical_features={spec.tolist()} needs a dense X or a DataFrame, got a sparse one"
        )
    return is_categorical


def _is_category(dtype: Any) -> bool:
    return _type_name(dtype) in CATEGORICAL


def _is_time(dtype: Any) -> bool:
    return getattr(dtype, "kind", None) in ("m", "M") or _type_name(dtype) in TIMES


def _type_name(dtype: Any) -> str:
    # Some types of polars are classes.
    return getattr(dtype, "__name__", type(dtype).__name__)


def _column(X: Any, j: int) -> Any:
    return X.iloc[:, j] if hasattr(X, "iloc") else X[:, j]


def _columns(X: Any, numbers: Sequence[int] | np.ndarray) -> Any:
    return _safe_indexing(X, numbers, axis=1)


def _feature_names(estimator: Any, X: Any) -> np.ndarray:
    """Return the names of the columns that the estimator has seen, else their numbers."""
    return getattr(estimator, "feature_names_in_", np.arange(X.shape[1]))


def _name(X: Any, j: int) -> str:
    return f"column {X.columns[j]!r} of X" if is_frame(X) else f"column {j} of X"


def _numbers(X: Any, convert: Callable[[], Any], columns: Sequence[int]) -> Any:
    """Return the result of `convert`; if columns hold no numbers, raise with the name of one."""
    _refuse_times(X, columns)
    try:
        with without_rows("X"):
            return convert()
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, ValueError) and not any(known in str(error) for known in NOT_NUMBERS):
            raise
        is_na = "NAType" in str(error)
        if not is_frame(X) and isinstance(error, TypeError) and not is_na:
            raise
        for j in columns:
            try:
                part = np.asarray(_columns(X, [j]))
                check_array(part, dtype=np.float64, ensure_all_finite=False)
            except (ValueError, TypeError, OverflowError) as reason:
                raise _not_numeric(X, j, reason) from error
        raise


def _refuse_times(X: Any, columns: Sequence[int]) -> None:
    """Raise if columns hold times, which numpy converts to numbers if all columns are times."""
    if not is_frame(X) and not _is_time(getattr(X, "dtype", None)):
        return
    dtypes = list(X.dtypes) if is_frame(X) else [X.dtype] * X.shape[1]
    for j in columns:
        if _is_time(dtypes[j]):
            raise _not_numeric(X, j, f"its values are {dtypes[j]}")


def _not_numeric(X: Any, j: int, reason: Any) -> ValueError:
    shown = str(reason)[:LONGEST]
    return ValueError(f"{_name(X, j)} is not numeric ({shown}): {_remedy(X, j, reason)}")


def _remedy(X: Any, j: int, reason: Any = "") -> str:
    if "NAType" in str(reason):  # among objects; columns of a nullable type may hold it
        return "give X.convert_dtypes()" if is_frame(X) else "put numpy.nan in place of pandas.NA"
    if OF_LISTS in str(reason):
        return "leave it out, or give each of its values a column"
    by_name = "name it in categorical_features"
    if not is_frame(X):
        return f"leave it out, or {by_name}"
    name, dtype = X.columns[j], list(X.dtypes)[j]
    if _is_category(dtype):
        return f"leave it out, or set categorical_features='from_dtype' or to [..., {name!r}]"
    numbers = ""
    if _is_time(dtype):
        of_duration = getattr(dtype, "kind", "") == "m" or _type_name(dtype) == "Duration"
        column, call = (f"X[{name!r}]", "") if hasattr(X, "iloc") else (f"pl.col({name!r})", "()")
        part = "total_seconds()" if of_duration else f"month{call}"
        numbers = f"put numbers in its place, such as {column}.dt.{part}, "
    if hasattr(X, "iloc"):
        cast = f"X[{name!r}].astype('category')"
    elif numbers:  # polars has no cast from times
        return f"leave it out, {numbers}or {by_name}"
    else:
        cast = f"X.with_columns(pl.col({name!r}).cast(pl.Categorical))"
    return f"leave it out, {numbers}make it a category by {cast}, or {by_name}"


def _factorize(column: Any) -> tuple[list, np.ndarray]:
    """Return the values of a column, and the place of each row's among them; -1 if missing."""
    if hasattr(column, "cat") and hasattr(column.cat, "codes"):
        return column.cat.categories.tolist(), np.asarray(column.cat.codes, dtype=np.int64)
    values = np.asarray(column)
    if values.dtype.kind in "mM":  # the same moment whatever the unit
        values = values.astype(f"{values.dtype.kind}8[us]")
    if values.dtype.kind == "O":
        place_of: dict[Any, int] = {}
        places = np.array([place_of.setdefault(v, len(place_of)) for v in values.tolist()])
        levels = list(place_of)
    else:
        distinct, places = np.unique(values, return_inverse=True)
        levels = distinct.tolist()
    kept = np.array([-1 if is_missing(level) else i for i, level in enumerate(levels)])
    return levels, kept[places]


def _categories(levels: list) -> np.ndarray:
    """Return levels in order, one per category."""
    first: dict[Any, Any] = {}
    for level in _sorted(levels):
        first.setdefault(category_key(level), level)
    return np.fromiter(first.values(), dtype=object, count=len(first))


def category_key(level: Any) -> Any:
    """Return a key that is equal for levels of the same category."""
    if isinstance(level, float | np.floating) and not level.is_integer():
        return float(np.float32(level))
    return level


def _sorted(levels: list) -> list:
    try:
        return sorted(levels)
    except TypeError:  # of several kinds; numbers of any type may be equal, and go by value
        return sorted(
            levels, key=lambda v: (0, v) if isinstance(v, Real) else (1, str(type(v)), str(v))
        )


def _warn_of_lost_digits(X: Any, dtype: Any, names: np.ndarray) -> None:
    """Warn of columns whose differences nearly vanish in float32.

    Such as seconds since 1970: float32 has 24 bits, and the last of a billion is worth 64.
    """
    if dtype != np.float32 or sp.issparse(X):
        return
    X = np.asarray(X)
    if X.dtype.kind not in "fiu" or X.dtype.itemsize <= 4:
        return
    # NaN is left out.
    low, high = (f.reduce(X, axis=0).astype(float) for f in (np.fmin, np.fmax))
    largest = np.maximum(np.abs(low), np.abs(high))
    lost = (high > low) & (high - low < 1000 * np.finfo(np.float32).eps * largest)
    if lost.any():
        warn_user(
            f"{lost.sum()} column(s) of X lie so far from 0 that float32 keeps fewer than a "
            f"thousand of their values apart: {', '.join(map(str, names[lost][:10]))}. Subtract "
            "their minimum, put a StandardScaler before, or set precision='float64'"
        )
