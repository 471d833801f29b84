"""Columns of tags as indicators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import MultiLabelBinarizer

from .._data.containers import is_missing
from .._data.messages import describe, did_you_mean, warn_user
from .._data.validation import InvalidParameterError, check_flag

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["split_tags"]

# Signs that often separate tags: what a text without `sep` may be separated by instead.
SEPARATORS = ("|", ";", ",", "\t")


def split_tags(
    series: Any,
    sep: str = "|",
    *,
    tags: Sequence[str] | None = None,
    sparse_output: bool = False,
) -> pd.DataFrame:
    """Turn a column of tags into an indicator DataFrame with one column per tag.

    Parameters
    ----------
    series : Series or sequence of length n_samples
        One text such as ``"action|drama"`` per row, or a list, tuple, set or array of tags. White
        space around tags is removed, tags that a row repeats count once, and a missing value or an
        empty text is a row without tags.
    sep : str, default="|"
        What separates the tags of a text.
    tags : sequence of str, optional
        The columns of the result, such as those of the training rows when test rows are converted.
        None takes all tags that occur, sorted.
    sparse_output : bool, default=False
        Whether the columns are sparse, which saves memory if there are thousands of tags.

    Returns
    -------
    DataFrame of shape (n_samples, n_tags)
        Integers 0 and 1, with the index of `series` if it has one.

    Raises
    ------
    TypeError
        If `series` is not a column, or holds other values than text and collections of text.
    ValueError
        If no row has a tag, or a row has a tag that is not among `tags`.
    ImportError
        If pandas is not installed.

    Warns
    -----
    UserWarning
        If `sep` does not occur, and another sign that often separates tags does.

    See Also
    --------
    sklearn.preprocessing.MultiLabelBinarizer : The same for lists of tags, as an array.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mlloss.datasets import split_tags
    >>> films = pd.Series(["drama|action", "drama", None, "comedy | drama"])
    >>> split_tags(films)
       action  comedy  drama
    0       1       0      1
    1       0       0      1
    2       0       0      0
    3       0       1      1
    """
    import pandas as pd

    if not isinstance(sep, str) or not sep:
        raise InvalidParameterError(f"sep must be a text that is not empty, got {describe(sep)}")
    check_flag(sparse_output, "sparse_output")
    shape = getattr(series, "shape", None)
    if isinstance(series, str | bytes | dict) or not isinstance(series, Iterable):
        raise TypeError(f"series must be a column of tags, got {describe(series)}")
    if shape is not None and len(shape) != 1:
        raise TypeError(
            f"series must be one column, got shape {shape}: give one column, such as df['tags']"
        )
    values = list(series)
    rows = [_tags_of(value, sep, number) for number, value in enumerate(values)]
    _warn_of_separator(values, sep)
    names = sorted(set().union(*rows)) if tags is None else _checked(tags)
    unknown = set().union(*rows).difference(names)
    if unknown:
        tag = min(unknown)
        number = next(number for number, row in enumerate(rows) if tag in row)
        raise ValueError(
            f"row {number} of series has the tag {tag!r}, which is not among tags="
            f"{did_you_mean(tag, names)}"
        )
    if not names:
        raise ValueError("series has no tags: all rows are empty or missing")
    binarizer = MultiLabelBinarizer(classes=names, sparse_output=sparse_output)
    indicator = binarizer.fit_transform(rows).astype(np.int64)
    index = series.index if isinstance(series, pd.Series) else None
    if sparse_output:
        return pd.DataFrame.sparse.from_spmatrix(indicator, index=index, columns=names)
    return pd.DataFrame(indicator, index=index, columns=names)


def _tags_of(value: Any, sep: str, number: int) -> set[str]:
    """Return the tags of a row."""
    if isinstance(value, str):
        if value.startswith("[") and value.endswith("]"):
            raise ValueError(
                f"row {number} of series is a list as text, {describe(value)}: give lists, "
                "split_tags(series.map(ast.literal_eval))"
            )
        parts: list[Any] = value.split(sep)
    elif isinstance(value, list | tuple | set | frozenset | np.ndarray):
        parts = [part for part in value if not is_missing(part)]
    elif is_missing(value):
        parts = []
    else:
        parts = [value]
    for part in parts:
        if not isinstance(part, str):
            raise TypeError(
                f"series must hold text, or lists or sets of text, got {describe(part)} of type "
                f"{type(part).__name__} in row {number}: convert tags that are numbers to text"
            )
    return {part.strip() for part in parts} - {""}


def _checked(tags: Any) -> list[str]:
    names = [] if isinstance(tags, str) else list(tags)
    if not names or not all(isinstance(name, str) for name in names):
        raise InvalidParameterError(f"tags must be a list of names, got {describe(tags)}")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"tags has {twice!r} twice")
    return [str(name) for name in names]  # those of numpy are of another type


def _warn_of_separator(values: list[Any], sep: str) -> None:
    texts = [value for value in values if isinstance(value, str)]
    if any(sep in text for text in texts):
        return
    counts = {other: sum(other in text for text in texts) for other in SEPARATORS}
    likely = max(counts, key=lambda other: counts[other])
    if counts[likely]:
        warn_user(
            f"sep={sep!r} occurs in no row, and {counts[likely]} rows contain {likely!r}: if that "
            f"separates the tags, use sep={likely!r}"
        )
