"""The yeast data set, with its official split."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._data.validation import check_choice
from .bunches import SUBSETS, as_requested

__all__ = ["load_yeast"]

_N_FEATURES = 103
_N_OFFICIAL_TEST_ROWS = 917

_YEAST_DESCR = """\
Yeast: functions of genes

2417 genes of baker's yeast, described by 103 numbers each (expression on micro-arrays and
phylogenetic profiles), with the functional classes that a gene belongs to: 14 labels, 4.24 per
gene on average, the rarest carried by 34 genes and the most frequent by 1816. Every gene has at
least one label.

The official split has 1500 training and 917 test rows.

A. Elisseeff and J. Weston, "A kernel method for multi-labelled classification", NIPS 2001.
Distributed with Mulan: G. Tsoumakas et al., "MULAN: a Java library for multi-label learning",
JMLR 12, 2011.
"""


def load_yeast(
    *, subset: str = "all", as_frame: bool = False, return_X_y: bool = False
) -> Bunch | tuple[Any, Any]:
    """Load the yeast data set (multi-label classification).

    2417 genes, 103 real features, 14 labels [1]_. The data set is small enough to train on in
    seconds, and its labels overlap and differ in frequency. It is read from the files of the
    package `river`, so that nothing is downloaded.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        The 1500 official training rows, the 917 official test rows, or all of them. Published
        results are nearly always on the official split.
    as_frame : bool, default=False
        Whether data and target are pandas DataFrames instead of arrays.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : {ndarray, DataFrame} of shape (n_samples, 103)
            float64.
        target : {ndarray, DataFrame} of shape (n_samples, 14)
            int64, 0 or 1.
        feature_names, target_names : list of str
            Names of the columns.
        train : ndarray of bool, shape (n_samples,)
            Which of the returned rows are official training rows.
        frame : DataFrame of shape (n_samples, 117) or None
            Data and target side by side; None unless ``as_frame=True``.
        DESCR : str
            Description of the data set.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If `subset` is unknown.
    ImportError
        If `river` is not installed.

    References
    ----------
    .. [1] A. Elisseeff and J. Weston, "A kernel method for multi-labelled classification",
       NIPS 2001.

    Examples
    --------
    >>> from sklearn_mlloss.datasets import load_yeast
    >>> X, Y = load_yeast(subset="train", return_X_y=True)
    >>> X.shape, Y.shape
    ((1500, 103), (1500, 14))
    """
    check_choice(subset, "subset", SUBSETS)
    try:
        from river.datasets import Yeast
    except ImportError as error:
        raise ImportError(
            "load_yeast reads the data from the package river, which cannot be imported:"
            ' pip install "sklearn_mlloss[examples]"'
        ) from error

    with gzip.open(Yeast().path, "rt") as file:
        names = next(file).strip().split(",")
        table = np.loadtxt(file, delimiter=",")
    # The file holds the official test rows first, then the training rows.
    train = np.arange(len(table)) >= _N_OFFICIAL_TEST_ROWS
    if subset != "all":
        rows = train == (subset == "train")
        table, train = table[rows], train[rows]
    yeast = Bunch(
        data=np.ascontiguousarray(table[:, :_N_FEATURES]),
        target=table[:, _N_FEATURES:].astype(np.int64),
        feature_names=names[:_N_FEATURES],
        target_names=names[_N_FEATURES:],
        train=train,
        DESCR=_YEAST_DESCR,
    )
    return as_requested(yeast, as_frame, return_X_y)
