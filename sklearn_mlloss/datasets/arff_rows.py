"""The rows of an ARFF file, and its attributes as numbers, categories, text and labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._data.messages import LONGEST, describe, did_you_mean
from .arff_header import Attribute, Head, decode, read_head
from .files import FileFormatError, LineReader

__all__ = ["ArffTable", "Values"]

# Pairs of values that stand for the absence and the presence of a label.
PAIRS = (("0", "1"), ("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("-1", "1"))


class Values(NamedTuple):
    """The values of an attribute, and the rows that they belong to.

    The rows that a sparse file leaves out have the value `default`.
    """

    rows: np.ndarray
    values: np.ndarray
    default: Any

    def dense(self, n_rows: int) -> np.ndarray:
        """Return the values of all rows."""
        column = np.full(n_rows, self.default, dtype=self.values.dtype)
        column[self.rows] = self.values
        return column


class ArffTable:
    """An ARFF file as liac-arff splits it: text, and None where a value is missing.

    Attributes
    ----------
    head : Head
        Relation, comments and attributes.
    is_sparse : bool
        Whether the rows hold pairs of a position and a value.
    row_lines : list of int
        The number of the line of each row.
    """

    def __init__(self, path: Path, encoding: str) -> None:
        self.path = path
        self.encoding = encoding
        self.row_lines: list[int] = []
        with LineReader(path) as lines:
            self.head: Head = read_head(lines, encoding)
            first = self._first_row(lines)
            self.is_sparse = first.startswith("{")
            self._read_rows(lines, first)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.row_lines)

    def error(self, message: str, attribute: Attribute, row: int | None = None) -> FileFormatError:
        """Return an error that names the file, the line and the attribute."""
        line = attribute.line if row is None else self.row_lines[row]
        return FileFormatError(message, self.path, line, attribute.name)

    def raw(self, index: int) -> Values:
        """Return the text of an attribute; nominal values are checked."""
        attribute = self.head.attributes[index]
        if not self.is_sparse:
            found = Values(np.arange(self.n_rows), self._columns[index], None)
        else:
            if attribute.kind == "text":
                raise self.error(
                    "text in a sparse file is not supported: remove the attribute, or convert the "
                    "file with Weka's filter SparseToNonSparse",
                    attribute,
                )
            part = slice(self._starts[index], self._starts[index + 1])
            # Weka leaves out the first value that is declared, whatever it is.
            default = attribute.values[0] if attribute.values else "0"
            found = Values(self._rows[part], self._cells[part], default)
        if attribute.values is not None:
            unknown = set(found.values) - {*attribute.values, None}
            if unknown:
                first = next(i for i, value in enumerate(found.values) if value in unknown)
                value = found.values[first]
                raise self.error(
                    f"{describe(value)} is not one of the declared values "
                    f"{_some(attribute.values)}{did_you_mean(value, attribute.values)}",
                    attribute,
                    int(found.rows[first]),
                )
        return found

    def numbers(self, index: int) -> Values:
        """Return an attribute as float64, with NaN where it is missing.

        Nominal values must all look like numbers, or be a pair such as no and yes.
        """
        attribute, found = self.head.attributes[index], self.raw(index)
        if attribute.kind == "text":
            raise self.error("text has no place in an array: use as_frame=True", attribute)
        if attribute.values is None:
            values = self._floats(found, attribute)
            return Values(found.rows, values, 0.0)
        number_of = _numbers_of(attribute.values)
        if number_of is None:
            raise self.error(
                f"the values {_some(attribute.values)} are no numbers: use as_frame=True, which "
                "returns a column of categories",
                attribute,
            )
        values = np.array([number_of[value] for value in found.values], dtype=np.float64)
        return Values(found.rows, values, number_of[found.default])

    def column(self, index: int) -> Any:
        """Return an attribute of all rows as it is in a DataFrame: numbers, categories or text.

        A nominal attribute of 0 and 1 is numbers.
        """
        import pandas as pd

        attribute = self.head.attributes[index]
        if attribute.values is not None and not {*attribute.values} <= {"0", "1"}:
            text = self.raw(index).dense(self.n_rows)
            return pd.Categorical(text, categories=attribute.values)
        if attribute.kind == "text":
            return pd.Series(self.raw(index).values.tolist())
        return self.numbers(index).dense(self.n_rows)

    def label(self, index: int) -> Values:
        """Return a label as 0.0, 1.0 and NaN where it is missing."""
        attribute, found = self.head.attributes[index], self.raw(index)
        plain = {value: _plain(value) for value in {*found.values, found.default} - {None}}
        fits = [pair for pair in PAIRS if set(plain.values()) <= set(pair)]
        if not fits:
            wrong = [i for i, v in enumerate(found.values) if plain.get(v, "0") not in PAIRS[0]]
            raise self.error(
                f"the values {_some(sorted(plain))} of the label are not 0 and 1. Several classes "
                "per label (multi-target) are another task: make one column per class, or leave "
                "the label out of labels=",
                attribute,
                int(found.rows[wrong[0]]) if wrong else None,
            )
        number_of = {value: float(fits[0].index(text)) for value, text in plain.items()}
        number_of[None] = np.nan
        values = np.array([number_of[value] for value in found.values], dtype=np.float64)
        return Values(found.rows, values, number_of[found.default])

    def _first_row(self, lines: LineReader) -> str:
        for raw in lines:
            text = decode(raw, lines, self.encoding)
            if text and not text.startswith("%"):
                return text
        raise lines.error("there are no rows after @data: the file may be cut")

    def _texts(self, lines: LineReader, first: str) -> Iterator[str]:
        """Yield a file of text attributes and the rows, and keep the numbers of their lines.

        As all attributes are text, values that are wrong are found later, with their attribute.
        """
        yield "@RELATION r"
        yield from (f"@ATTRIBUTE a{i} STRING" for i in range(len(self.head.attributes)))
        yield "@DATA"
        self.row_lines.append(lines.number)
        yield first
        for raw in lines:
            text = decode(raw, lines, self.encoding)
            if text and not text.startswith("%"):
                if text.startswith("{") != self.is_sparse:
                    kinds = ("dense", "sparse") if self.is_sparse else ("sparse", "dense")
                    raise lines.error(f"a {kinds[0]} row in a file of {kinds[1]} rows")
                self.row_lines.append(lines.number)
                yield text

    def _read_rows(self, lines: LineReader, first: str) -> None:
        try:
            import arff
        except ImportError as error:
            raise ImportError(
                "load_arff needs the package liac-arff, which cannot be imported: "
                'pip install "sklearn_mlloss[arff]"'
            ) from error

        n_attributes = len(self.head.attributes)
        texts = self._texts(lines, first)
        try:
            if self.is_sparse:
                cells, rows, columns = arff.load(texts, return_type=arff.COO)["data"]
                order = np.argsort(np.asarray(columns, dtype=np.intp), kind="stable")
                self._cells = _objects(cells)[order]
                self._rows = np.asarray(rows, dtype=np.intp)[order]
                self._starts = np.searchsorted(
                    np.asarray(columns, dtype=np.intp)[order], np.arange(n_attributes + 1)
                )
            else:
                found = arff.load(texts, return_type=arff.DENSE)["data"]
                self._columns = [_objects(column) for column in zip(*found, strict=True)]
        except FileFormatError:
            raise
        except arff.BadDataFormat:
            wanted = (
                f"an attribute beyond the last, {n_attributes - 1}"
                if self.is_sparse
                else f"not {n_attributes} values, one per attribute"
            )
            raise lines.syntax_error(f"the row has {wanted}") from None
        except (arff.ArffException, csv.Error, ValueError) as error:
            raise lines.syntax_error(
                "the row cannot be split into values: those with spaces, commas, quotes or braces "
                "must be in quotes"
            ) from error

    def _floats(self, found: Values, attribute: Attribute) -> np.ndarray:
        try:
            return found.values.astype(np.float64)
        except ValueError:
            row = next(i for i, value in enumerate(found.values) if not _is_number(value))
            raise self.error(
                f"{describe(found.values[row])} is not a number", attribute, int(found.rows[row])
            ) from None


def _objects(values: Any) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _is_number(value: Any) -> bool:
    try:
        float("nan" if value is None else value)
    except ValueError:
        return False
    return True


def _numbers_of(values: list[str]) -> dict[str | None, float] | None:
    """Return the numbers that nominal values stand for, or None."""
    numbers: dict[str | None, float] = {None: np.nan}
    if all(map(_is_number, values)):
        return numbers | {value: float(value) for value in values}
    plain = [_plain(value) for value in values]
    pair = next((pair for pair in PAIRS if set(plain) <= set(pair)), None)
    if pair is None:
        return None
    return numbers | {v: float(pair.index(text)) for v, text in zip(values, plain, strict=True)}


def _plain(value: str) -> str:
    """Return "0" for 0.0, and "true" for TRUE."""
    whole = _is_number(value) and float(value).is_integer()
    return str(int(float(value))) if whole else value.lower()


def _some(values: list[str]) -> str:
    shown = ", ".join(values[:10])
    if len(values) <= 10 and len(shown) <= LONGEST:
        return shown
    return f"{shown[:LONGEST]} ... ({len(values)} values)"
