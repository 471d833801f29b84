"""Training on more rows than memory holds: Parquet files, memory maps, Dask collections.

`MultiLabelNetClassifier.fit` reads such rows by shards, see `Streaming`.
"""

from .._data.sources import RowSource
from ._settings import Streaming
from ._sources import ParquetRows

__all__ = ["ParquetRows", "RowSource", "Streaming"]
