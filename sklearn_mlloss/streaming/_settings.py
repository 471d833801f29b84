"""The settings of training out of core."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from os import PathLike
from typing import Any

from sklearn.base import BaseEstimator

from .._data.fields import checked
from .._data.validation import check_choice, check_integer

__all__ = ["Streaming"]


def _check_folder(value: Any, name: str) -> None:
    if not isinstance(value, str) or not value:
        remedy = f": give str({name})" if isinstance(value, PathLike) else ""
        raise TypeError(f"{name} must be None or the name of a folder, got {value!r}{remedy}")


@dataclass(eq=False, repr=False)
class Streaming(BaseEstimator):
    """Settings of training on rows that do not fit in memory.

    The parameter `streaming` of `MultiLabelNetClassifier`. With it, ``fit`` reads X and y by shards
    instead of as a whole. A `ParquetRows` and Dask collections are always read so, with these
    defaults.

    One pass over the rows counts labels and categories, and draws a uniform sample. Encoding of
    numbers, linear part and the held-out rows come from the sample, which the code for rows in
    memory serves. Then the network is trained on one shuffled buffer of rows after the other, while
    a thread fills the next one. So memory does not grow with the number of rows. It is that of
    three buffers or three copies of the sample, about ``max(3 * buffer_rows, 3 * sample_rows) * (4
    * n_features + n_labels)`` bytes in float32, of what is read at a time, and of fitting encoding
    and linear part to the sample.

    Parameters
    ----------
    buffer_rows : int, default=131072
        Rows that are shuffled together, at the most. They come from `shards_at_once` shards, which
        are drawn again in each epoch. Larger buffers mix rows better where files are sorted.
    sample_rows : int, default=200000
        Size of the sample, or all rows if there are fewer. A share q of a column, such as a
        quantile, is off by about ``sqrt(q * (1 - q) / sample_rows)``, at most 0.0011 for 200,000.
        `validation_fraction` of the sample are held out.
    steps_per_check : int, optional
        Steps after which the loss on the held-out rows is computed, rounded to whole buffers. None
        checks once per epoch. A check counts as an epoch in `n_iter_no_change`, `lr_schedule`,
        `history_`, `n_iter_` and the `start_epoch` of the loss "splc", but `max_epochs` counts
        passes over all rows.
    checkpoint : str, optional
        A folder in which the state of the training is saved. If it holds the state of the same fit
        (same parameters, same first rows, same `RowSource.fingerprint`), `fit` continues from
        there, with the result that it would have had without the interruption. It is removed at the
        end. The files are pickles: whoever can write to the folder can run code here.
    steps_per_checkpoint : int, optional
        Steps after which the state is saved, rounded to whole buffers; None saves once per epoch.
    shards_at_once : int, default=4
        Number of shards that are read in turn: more mix rows better, and take more memory.
    distributed : None, "torch" or "dask", default=None
        Whether several processes ("ranks") train one network together, data-parallel on CPUs:
        "torch" stands for those that ``torchrun`` has started, or the present process group of
        `torch.distributed`, which all call `fit` with the same arguments; "dask" for all workers of
        the present Dask client, on which one `fit` in the client starts a task each. Each rank
        reads its own shards, `buffer_rows` at a time. A step is on `batch_size` rows of all ranks
        together, and gradients are summed over ranks.

    See Also
    --------
    ParquetRows : Rows in Parquet files.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn_mlloss import MultiLabelNetClassifier
    >>> from sklearn_mlloss.streaming import Streaming
    >>> X, Y = make_multilabel_classification(1000, n_classes=3, random_state=0)
    >>> settings = Streaming(buffer_rows=300, sample_rows=400)
    >>> net = MultiLabelNetClassifier(streaming=settings, random_state=0)
    >>> net.set_params(max_epochs=3, early_stopping=False)
    MultiLabelNetClassifier(early_stopping=False, max_epochs=3, random_state=0,
                            streaming=Streaming(buffer_rows=300, sample_rows=400))
    >>> net.fit(X, Y).predict(X[:2]).shape  # X may be a memory map
    (2, 3)
    """

    _: KW_ONLY
    buffer_rows: int = checked(2**17, check_integer, low=2)
    sample_rows: int = checked(200_000, check_integer, low=10)
    steps_per_check: int | None = checked(None, check_integer, low=1, optional=True)
    checkpoint: str | None = checked(None, _check_folder, optional=True)
    steps_per_checkpoint: int | None = checked(None, check_integer, low=1, optional=True)
    shards_at_once: int = checked(4, check_integer, low=1)
    distributed: str | None = checked(
        None, check_choice, optional=True, choices=("torch", "dask"), other="None or "
    )
