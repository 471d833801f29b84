"""Where rows come from: Parquet files, arrays, collections of dask, batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from os import PathLike
from typing import Any, NoReturn

import joblib
import numpy as np
import scipy.sparse as sp

from .._data.containers import NO_ARRAYS, advise, has_rows, is_data_loader, type_of
from .._data.messages import describe, did_you_mean
from .._data.partitions import frame_parts, is_partitioned
from .._data.sampling import join, take
from .._data.sources import Block, RowSource, check_alone
from .._data.tables import as_frame, as_table

__all__ = ["ParquetRows", "make_source"]

# Rows that are read and checked at a time.
BLOCK_ROWS = 2**14
# Bytes of a column that are read at a time.
BUFFER = 2**16
# Bytes that a column takes that is read page by page, about: a smaller row group is read at once.
PAGE = 2**20
# Columns of such a row group that are decoded together.
TOGETHER = 8
# Rows of an array by which a checkpoint knows it again.
COMPARED = 1024
# Rows of an array that count as one shard: contiguous on disk.
SHARD_ROWS = 2**16


class ParquetRows(RowSource):
    """Rows in Parquet files, read with pyarrow.

    The shards are the row groups of the files. A small one is read at once; one of more than 1 MB
    per column, or with strings, is read page by page, and then takes up to about 2 MB per column,
    however large it is. Write files with row groups of 100,000 to 1,000,000 rows.

    Parameters
    ----------
    path : str, path, or list of these
        A file, a folder (whose files are read with those of its subfolders), or several of them.
        Values in the names of folders, such as ``year=2020``, are not read.
    labels : sequence of str
        Names of the columns with the labels: 0 and 1, null where a label was not observed. ``[]``
        for files without labels, of which rows are predicted.
    features : sequence of str, optional
        Names of the columns of X. None takes all columns of the first file other than labels,
        weight and the index of a DataFrame. Columns of Arrow's dictionary type are categories.
    weight : str, optional
        Name of the column with the weight of each row.

    Raises
    ------
    ValueError
        If a file lacks a column, or has it in a type that the first file has not.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa, pyarrow.parquet as pq
    >>> from sklearn_mlloss.streaming import ParquetRows
    >>> table = pa.table({"x": [0.5, 1.5], "red": [0, 1], "green": [1, 1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pq.write_table(table, f"{folder}/part.parquet")
    ...     rows = ParquetRows(folder, labels=["red", "green"])
    ...     X, y, weight = next(rows.read(0))
    >>> y["green"].tolist()
    [1, 1]
    """

    def __init__(
        self,
        path: str | PathLike | Sequence[str | PathLike],
        labels: Sequence[str],
        features: Sequence[str] | None = None,
        weight: str | None = None,
    ):
        try:
            from pyarrow import dataset
        except ImportError as error:
            raise ImportError(
                "ParquetRows needs pyarrow: pip install 'sklearn_mlloss[parquet]'"
            ) from error
        for name, value in (("labels", labels), ("features", features)):
            if isinstance(value, str):
                raise ValueError(
                    f"{name} must be a list of the names of columns, got {value!r}: give "
                    f"[{value!r}]"
                )
        if labels is None:
            raise ValueError(
                "labels must be a list of the names of columns, got None: give [] for files "
                "without labels, to predict their rows"
            )
        if weight is not None and not isinstance(weight, str):
            raise ValueError(f"weight must be None or the name of a column, got {weight!r}")
        paths = [path] if isinstance(path, str | PathLike) else path
        files = [
            file
            for one in paths
            for file in dataset.dataset(str(one), format="parquet").get_fragments()
        ]
        if not files:
            raise ValueError(f"path={describe(path)} holds no Parquet file")
        self.path, self.labels, self.weight = path, list(labels), weight
        first = files[0].physical_schema
        # That of a DataFrame is a list of columns, or a range.
        index = (first.pandas_metadata or {}).get("index_columns", [])
        others = {*self.labels, weight, *(name for name in index if isinstance(name, str))}
        self.features = [n for n in first.names if n not in others]
        if features is not None:
            self.features = list(features)
        if not self.features:
            raise ValueError(
                f"features must name at least one column, got {features!r} and the columns "
                f"{first.names}"
            )
        self.columns = [*self.features, *self.labels, *([weight] if weight is not None else [])]
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if twice:
            raise ValueError(f"features, labels and weight must be different columns, got {twice}")
        self._types: dict[str, Any] = {}
        self._check(files)
        self._row_bytes = sum(_n_bytes(self._types[name]) for name in self.columns)
        self._groups = [group for file in files for group in file.split_by_row_group()]

    def _check(self, files: Sequence[Any]) -> None:
        """Raise unless all files have all columns, in the same types, which are set.

        A column that is missing in all rows of a file may have no type there.
        """
        first: dict[str, str] = {}
        for file in files:
            schema = file.physical_schema
            for name in self.columns:
                if name not in schema.names:
                    raise ValueError(
                        f"{file.path} has no column {name!r}{did_you_mean(name, schema.names)}"
                    )
                of = schema.field(name).type
                if name not in first or _is_null(self._types[name]):
                    self._types[name], first[name] = of, file.path
                here, there = _kind(of), _kind(self._types[name])
                if here != there and not _is_null(of):
                    raise ValueError(
                        f"column {name!r} holds {here} in {file.path} and {there} in "
                        f"{first[name]}: write all files with the same types"
                    )

    def shards(self) -> list[str]:
        """Return the file and the number of each row group."""
        return [f"{group.path}, row group {group.row_groups[0].id}" for group in self._groups]

    def read(self, shard: int) -> Iterator[Block]:
        """Yield the rows of a row group as DataFrames, see `RowSource.read`.

        Yields
        ------
        X, y : DataFrame
        sample_weight : ndarray or None
        """
        from pyarrow import parquet

        group = self._groups[shard]
        # The scanner of a dataset decodes a row group at once.
        reading = {"pre_buffer": False, "buffer_size": BUFFER, "filesystem": group.filesystem}
        with parquet.ParquetFile(group.path, **reading) as file:
            n_rows, number = group.row_groups[0].num_rows, group.row_groups[0].id
            if n_rows * self._row_bytes <= PAGE * len(self.columns):
                batches = self._at_once(file, number)
            else:
                batches = file.iter_batches(BLOCK_ROWS, [number], self.columns, use_threads=False)
            yield from self._blocks(batches)

    def fingerprint(self) -> str:
        """Return a hash of the columns and of the footer of each file.

        A footer has the types, and for each row group and column the size, the place in the file
        and, unless they were written without, the smallest and the largest value and the number of
        nulls. A changed value that changes none of these is not noticed. Copies of files have the
        same footers.
        """
        found = hashlib.sha256(repr([self.features, self.labels, self.weight]).encode())
        for path, system in {group.path: group.filesystem for group in self._groups}.items():
            with system.open_input_file(path) as file:
                # The file ends with the footer, its length in 4 bytes, and 4 more.
                file.seek(file.size() - 8)
                length = int.from_bytes(file.read(4), "little")
                file.seek(file.size() - 8 - length)
                found.update(file.read(length))
        return found.hexdigest()

    def _at_once(self, file: Any, group: int) -> list[Any]:
        """Return a row group in batches."""
        from pyarrow import Table

        # Few columns at a time: each takes a page while it is decoded.
        columns = [
            column
            for start in range(0, len(self.columns), TOGETHER)
            for column in file.read_row_group(
                group, self.columns[start : start + TOGETHER], use_threads=False
            ).columns
        ]
        return Table.from_arrays(columns, self.columns).to_batches(BLOCK_ROWS)

    def _typed(self, batch: Any) -> Any:
        """Return a batch whose columns without a type have that of other files."""
        from pyarrow import nulls

        for place, (name, of) in enumerate(
            zip(batch.schema.names, batch.schema.types, strict=True)
        ):
            if _is_null(of) and not _is_null(self._types[name]):
                batch = batch.set_column(place, name, nulls(len(batch), self._types[name]))
        return batch

    def _blocks(self, batches: Iterable[Any]) -> Iterator[Block]:
        for batch in batches:
            batch = self._typed(batch)
            weight = None if self.weight is None else batch[self.weight].to_pandas().to_numpy()
            # Columns of an index stay columns.
            X, y = (
                batch.select(names).to_pandas(ignore_metadata=True)
                for names in (self.features, self.labels)
            )
            yield X, y, weight


def _kind(of: Any) -> str:
    """Return in words which values of a type of Arrow are read alike."""
    from pyarrow import types

    of = of.value_type if types.is_dictionary(of) else of
    numbers = types.is_integer, types.is_floating, types.is_boolean
    strings = types.is_string, types.is_large_string
    for kind, kinds in (("numbers", numbers), ("strings", strings)):
        if any(is_kind(of) for is_kind in kinds):
            return kind
    return str(of)


def _is_null(of: Any) -> bool:
    from pyarrow import types

    return types.is_null(of)


def _n_bytes(of: Any) -> float:
    """Return the bytes of a value of a type of Arrow: infinity if they differ, as of strings."""
    try:
        return of.bit_width / 8
    except ValueError:
        return np.inf


class ArrayRows(RowSource):
    """Rows of arrays, memory maps or tables, in at least n shards if there are as many."""

    def __init__(self, X: Any, y: Any, weight: Any, n_shards: int):
        X, y = _sliced(X), _sliced(y)
        sizes = {name: _n_rows(each) for name, each in _named(X, y, weight)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"X, y and sample_weight must have as many rows, got {sizes}")
        self.parts, self.n_rows = (X, y, weight), sizes["X"]
        self.shard_rows = max(1, min(SHARD_ROWS, -(-self.n_rows // n_shards)))

    def shards(self) -> list[str]:
        """Return the numbers of the rows of each shard."""
        starts = range(0, self.n_rows, self.shard_rows)
        return [f"rows {s} to {min(s + self.shard_rows, self.n_rows) - 1} of X" for s in starts]

    def read(self, shard: int) -> Iterator[Block]:
        """Yield slices."""
        start = shard * self.shard_rows
        yield from _blocks(*self.parts, start, min(start + self.shard_rows, self.n_rows))

    def fingerprint(self) -> str:
        """Return a hash of some rows, evenly spaced; a change of other ones is not noticed."""
        places = np.unique(np.linspace(0, self.n_rows - 1, COMPARED).astype(int)).tolist()
        rows = [block for k in places for block in _blocks(*self.parts, k, k + 1)]
        return (
            f"{self.n_rows} {joblib.hash([join(list(part)) for part in zip(*rows, strict=True)])}"
        )


class DaskRows(RowSource):
    """Rows of dask arrays or DataFrames; their partitions are the shards."""

    def __init__(self, X: Any, y: Any, weight: Any):
        named = _named(X, y, weight)
        for name, part in named:
            if not is_partitioned(part):
                raise ValueError(
                    f"X, y and sample_weight must all be collections of dask, got {name} of type "
                    f"{type(part).__name__}: give dask.array.from_array({name}, chunks=X.chunks[0])"
                )
        known = all(hasattr(type(part), "chunks") for _, part in named) and not any(
            np.isnan(part.shape[0]) for _, part in named
        )
        rows = {name: part.shape[0] for name, part in named}
        if known and len(set(rows.values())) > 1:
            raise ValueError(f"X, y and sample_weight must have as many rows, got {rows}")
        self.sizes = str([getattr(part, "chunks", None) or part.divisions for _, part in named])
        self.parts = [None if part is None else _split(part, X, known) for part in (X, y, weight)]
        numbers = {len(part) for part in self.parts if part is not None}
        if len(numbers) > 1:
            raise ValueError(
                f"X, y and sample_weight must have as many partitions, got {sorted(numbers)}: "
                "select them from one DataFrame, or give arrays after compute_chunk_sizes()"
            )

    def shards(self) -> list[str]:
        """Return the numbers of the partitions."""
        return [f"partition {k} of X" for k in range(len(self.parts[0] or ()))]

    def fingerprint(self) -> str:
        """Return the known sizes of the partitions; no value is read."""
        return self.sizes

    def read(self, shard: int) -> Iterator[Block]:
        """Compute a partition, and yield slices of it."""
        import dask

        X, y, weight = dask.compute(*(None if p is None else p[shard] for p in self.parts))
        X, y = _sliced(X), _sliced(y)
        sizes = {name: part.shape[0] for name, part in _named(X, y, weight)}
        if len(set(sizes.values())) > 1:
            raise ValueError(
                f"partition {shard} of X, y and sample_weight must have as many rows, got {sizes}"
            )
        yield from _blocks(X, y, weight, 0, sizes["X"])


class BatchRows(RowSource):
    """Batches of any iterable that can be read again; of n shards, each has every n-th batch."""

    def __init__(self, batches: Iterable[Any], n_shards: int):
        # Such as a generator, or an object that holds one.
        if iter(batches) is iter(batches):
            self._refuse(batches)
        self.batches, self.n_shards, self.starts_again = batches, n_shards, False

    def shards(self) -> list[str]:
        """Return names; one shard has the order of the iterable."""
        if self.n_shards == 1:
            return ["the batches of X"]
        return [f"batches {k}, {k + self.n_shards}, ... of X" for k in range(self.n_shards)]

    def read(self, shard: int) -> Iterator[Block]:
        """Yield the batches."""
        for batch in islice(self.batches, shard, None, self.n_shards):
            if not isinstance(batch, tuple) or len(batch) not in (2, 3):
                raise ValueError(
                    f"X must yield tuples (X, y) or (X, y, sample_weight), got {describe(batch)}"
                )
            X, y, weight = (*batch, None)[:3]
            X, y = (as_table(part, name) if isinstance(part, list) else part
                    for name, part in (("X", X), ("y", y)))  # fmt: skip
            X, y = _sliced(X), _sliced(y)
            sizes = {name: _n_rows(each) for name, each in _named(X, y, weight)}
            if len(set(sizes.values())) > 1:
                raise ValueError(
                    f"the parts of each batch of X must have as many rows, got {sizes}"
                )
            yield from _blocks(X, y, weight, 0, sizes["X"])
        # Such as the rest of a file, before anything is trained.
        if not self.starts_again and next(iter(self.batches), None) is None:
            self._refuse(self.batches)
        self.starts_again = True

    def _refuse(self, batches: Iterable[Any]) -> NoReturn:
        raise ValueError(
            f"X is read several times, and a {type(batches).__name__} only once: give a list of "
            "batches, or an object whose __iter__ starts again"
        )


def make_source(X: Any, y: Any, sample_weight: Any, n_ranks: int = 1) -> RowSource:
    """Return the rows that `fit` got as a source; arrays and batches have a shard for each rank.

    Raises
    ------
    ValueError
        If they cannot be read by shards, or more than once.
    """
    if isinstance(X, RowSource):
        check_alone(X, y, sample_weight)
        return X
    of_dask = any(is_partitioned(part) for part in (X, y, sample_weight))
    of_arrays = sp.issparse(X) or has_rows(X) and hasattr(type(X), "shape")
    if of_dask or of_arrays:
        if y is None:
            raise ValueError("this estimator requires y to be passed, but the target y is None")
        if of_dask:
            return DaskRows(X, y, sample_weight)
        return ArrayRows(X, y, sample_weight, n_ranks)
    # A loader may shuffle, and held-out rows are known by their places.
    is_batches = isinstance(X, Iterable) and not isinstance(X, NO_ARRAYS) and not is_data_loader(X)
    if y is None and is_batches:
        return BatchRows(X, n_ranks)
    given = describe(X) if has_rows(X) else f"{type_of(X)}{advise(X, 'X')}"
    raise ValueError(
        "to be read by shards, X must be a ParquetRows, an array or a memory map, a collection of "
        f"dask, or an iterable of batches (X, y) with y left out, got {given}"
    )


def _named(X: Any, y: Any, weight: Any) -> list[tuple[str, Any]]:
    parts = (("X", X), ("y", y), ("sample_weight", weight))
    return [(name, part) for name, part in parts if part is not None]


def _n_rows(part: Any) -> int:
    """Return the number of rows, also of a list of label sets."""
    return len(part) if isinstance(part, list) else int(np.shape(part)[0])


def _sliced(part: Any) -> Any:
    """Return a sparse matrix of another format as CSR, of which rows are read fast, or at all."""
    return part.tocsr() if sp.issparse(part) and part.format != "csr" else part


def _split(part: Any, X: Any, known: bool) -> list[Any]:
    """Return the partitions of a collection; arrays of known sizes get the chunks of X."""
    if not hasattr(type(part), "chunks"):
        return frame_parts(part)
    rows = X.chunks[0] if known else part.chunks[0]
    part = part.rechunk((rows, -1) if part.ndim == 2 else (rows,))
    return list(np.ravel(part.to_delayed()))


def _blocks(X: Any, y: Any, weight: Any, start: int, stop: int) -> Iterator[Block]:
    """Yield slices of some rows; those of a table of pyarrow as DataFrames."""
    for first in range(start, stop, BLOCK_ROWS):
        rows = slice(first, min(first + BLOCK_ROWS, stop))
        yield tuple(  # type: ignore[misc]
            None if part is None else as_frame(take(part, rows), name)
            for name, part in (("X", X), ("y", y), ("sample_weight", weight))
        )
