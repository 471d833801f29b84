"""Real multi-label tables to try things on."""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from ._data.registry import did_you_mean
from ._data.sparse import as_csr
from ._data.validation import check_integer, check_number

__all__ = ["fetch", "load_yeast"]

_N_FEATURES = 103
_N_OFFICIAL_TEST_ROWS = 917

_YEAST_DESCR = """\
Yeast: functions of genes

2417 genes of baker's yeast, described by 103 numbers each (expression on micro-arrays and
phylogenetic profiles), with the functional classes that a gene belongs to: 14 labels, 4.24 a gene
on average, the rarest carried by 34 genes and the most frequent by 1816. Every gene has at least
one label.

The official split has 1500 training and 917 test rows.

A. Elisseeff and J. Weston, "A kernel method for multi-labelled classification", NIPS 2001.
Distributed with Mulan: G. Tsoumakas et al., "MULAN: a Java library for multi-label learning",
JMLR 12, 2011.
"""


# What numpy and zipfile raise for files that are none of theirs, or broken.
UNREADABLE = (OSError, ValueError, TypeError, EOFError, RuntimeError, zlib.error, BadZipFile)


class _Table(NamedTuple):
    """A table of OpenML, and what it must look like."""

    data_id: int
    n_samples: int
    n_labels: int


# Of P. Probst et al., "Multilabel classification with R package mlr", 2017: what has the tag
# 2016_multilabel_r_benchmark_paper, with ids in the order of the alphabet. All labels are targets
# there, with the values TRUE and FALSE.
_OPENML = {
    "birds": _Table(40588, 645, 19),
    "emotions": _Table(40589, 593, 6),
    "enron": _Table(40590, 1702, 53),
    "genbase": _Table(40591, 662, 27),
    "image": _Table(40592, 2000, 5),
    "langlog": _Table(40593, 1460, 75),
    "reuters": _Table(40594, 2000, 7),
    "scene": _Table(40595, 2407, 6),
    "slashdot": _Table(40596, 3782, 22),
    "yeast": _Table(40597, 2417, 14),
}


def load_yeast(
    *, subset: str = "all", as_frame: bool = False, return_X_y: bool = False
) -> Bunch | tuple[Any, Any]:
    """Load the yeast table (multi-label classification).

    2417 genes, 103 real features, 14 labels [1]_. The table is small enough to train on in
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
            About the table.
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
    _check_subset(subset)
    try:
        from river.datasets import Yeast
    except ImportError as error:
        raise ImportError(
            "load_yeast reads the table from the package river, which cannot be imported:"
            ' pip install "sklearn_mlloss[examples]"'
        ) from error

    with gzip.open(Yeast().path, "rt") as file:
        names = next(file).strip().split(",")
        table = np.loadtxt(file, delimiter=",")
    # the file holds the official test rows first, then the training rows
    yeast = Bunch(
        data=table[:, :_N_FEATURES],
        target=table[:, _N_FEATURES:].astype(np.int64),
        feature_names=names[:_N_FEATURES],
        target_names=names[_N_FEATURES:],
        train=np.arange(len(table)) >= _N_OFFICIAL_TEST_ROWS,
        DESCR=_YEAST_DESCR,
    )
    return _answer(yeast, subset, as_frame, return_X_y)


def fetch(
    name: str,
    *,
    subset: str = "all",
    data_home: str | os.PathLike | None = None,
    folder: str | os.PathLike | None = None,
    return_X_y: bool = False,
    as_frame: bool = False,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch | tuple[Any, Any]:
    """Fetch a real multi-label table from OpenML, or read it from a folder.

    ============  =====  ==========  =======================================
    name           rows      labels  about
    ============  =====  ==========  =======================================
    "birds"         645          19  species in sound recordings, Briggs 2012
    "emotions"      593           6  of music, Trohidis 2008
    "enron"        1702          53  topics of e-mails, Klimt & Yang 2004
    "genbase"       662          27  protein families, Diplaris 2005
    "image"        2000           5  natural scenes, Zhou & Zhang 2007
    "langlog"      1460          75  tags of blog posts, Read 2010
    "reuters"      2000           7  topics of news, Zhou & Zhang 2007
    "scene"        2407           6  natural scenes, Boutell 2004
    "slashdot"     3782          22  tags of news, Read 2011
    "yeast"        2417          14  functions of genes, see `load_yeast`
    ============  =====  ==========  =======================================

    scikit-learn keeps what it has downloaded, so that a table is fetched once. What arrives is
    checked: its name, its size, and that each label is either there or not.

    Parameters
    ----------
    name : str
        A name of the table above, or of a file in `folder`.
    subset : {"all", "train", "test"}, default="all"
        The official training rows, the official test rows, or all of them. Tables of OpenML have
        no split (those of Mulan went other ways), so that only "all" is to be had there.
    data_home : str or path-like, optional
        Where downloads are kept. None is scikit-learn's folder, ``~/scikit_learn_data`` as a rule.
    folder : str or path-like, optional
        A folder with files ``NAME.npz``, from which the table is read instead; nothing is
        downloaded then. A file holds `Y` of shape (n_samples, n_labels) with 0 and 1; `X` of shape
        (n_samples, n_features), or the parts `X_data`, `X_indices`, `X_indptr` and `X_shape` of a
        CSR matrix; `feature_names`, `label_names`; and `train`, a bool for each row, where there
        is an official split.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether data and target are pandas DataFrames instead of arrays.
    n_retries : int, default=3
        How often to try again after an error of the network.
    delay : float, default=1.0
        Seconds between two tries.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : {ndarray, sparse matrix, DataFrame} of shape (n_samples, n_features)
            float64; nominal columns of OpenML with two values are 0 and 1.
        target : {ndarray, DataFrame} of shape (n_samples, n_labels)
            int64, 0 or 1.
        feature_names, target_names : list of str
            Names of the columns.
        train : ndarray of bool, shape (n_samples,), or None
            Which of the returned rows are official training rows; None where there is no split.
        frame : DataFrame or None
            Data and target side by side; None unless ``as_frame=True``.
        DESCR : str
            About the table.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If there is no such table or no such subset, or the table is not what it should be.
    OSError
        If OpenML cannot be reached.

    See Also
    --------
    load_yeast : A table with its official split that needs no network.

    Examples
    --------
    >>> from sklearn_mlloss.datasets import fetch
    >>> scene = fetch("scene")  # doctest: +SKIP
    >>> scene.data.shape, scene.target.shape  # doctest: +SKIP
    ((2407, 294), (2407, 6))
    """
    _check_subset(subset)
    check_integer(n_retries, "n_retries", low=0)
    check_number(delay, "delay", low=0)
    if folder is not None:
        return _answer(_read(Path(folder), name), subset, as_frame, return_X_y)
    if not isinstance(name, str) or name not in _OPENML:
        raise ValueError(
            f"name must be one of {', '.join(map(repr, _OPENML))}, or folder= be given, got "
            f"{name!r}{did_you_mean(name, _OPENML)}"
        )
    if subset != "all":
        raise ValueError(
            f"subset={subset!r}: OpenML has no official split of {name!r}; use subset='all', or "
            "folder= with a file that has one"
            + (", or load_yeast, which has it" if name == "yeast" else "")
        )
    return _answer(_download(name, data_home, n_retries, delay), subset, as_frame, return_X_y)


def _check_subset(subset: Any) -> None:
    if not isinstance(subset, str) or subset not in ("all", "train", "test"):
        raise ValueError(f'subset must be "all", "train" or "test", got {subset!r}')


def _download(name: str, data_home: Any, n_retries: int, delay: float) -> Bunch:
    """Return a table of OpenML."""
    wanted = _OPENML[name]
    try:
        with warnings.catch_warnings():
            # The error says it all where no try succeeds.
            warnings.filterwarnings("ignore", message="A network error occurred")
            # This parser needs no pandas, and gives the same types for any table.
            found = fetch_openml(
                data_id=wanted.data_id,
                data_home=data_home,
                as_frame=False,
                parser="liac-arff",
                n_retries=n_retries,
                delay=delay,
            )
    except OSError as error:
        raise OSError(
            f"{name!r} could not be fetched from OpenML (data_id={wanted.data_id}): {error}. "
            "Without network give folder= with files NAME.npz, or data_home= with what another "
            "machine has fetched; load_yeast() downloads nothing"
        ) from error
    data, target = found.data, np.asarray(found.target)
    given = str(found.details["name"])
    if given.lower() != name or target.shape != wanted[1:] or data.shape[0] != wanted.n_samples:
        raise ValueError(
            f"OpenML gave another table than {name!r} for data_id={wanted.data_id}: {given!r} with "
            f"targets of shape {target.shape} instead of {wanted[1:]}"
        )
    data = np.array(data, dtype=np.float64)
    names = list(found.feature_names)
    for feature, categories in (found.categories or {}).items():
        if feature in names:
            column = names.index(feature)
            values = _numbers_of(categories, f"feature {feature!r} of {name!r}")
            seen = ~np.isnan(data[:, column])
            data[seen, column] = values[data[seen, column].astype(np.intp)]
    labels = np.unique(target.astype(str))
    if not set(labels) <= {"TRUE", "FALSE", "1", "0"}:
        raise ValueError(f"the labels of {name!r} on OpenML should be TRUE or FALSE, got {labels}")
    return Bunch(
        data=data,
        target=np.isin(target.astype(str), ("TRUE", "1")).astype(np.int64),
        feature_names=names,
        target_names=list(found.target_names),
        train=None,
        DESCR=found.DESCR,
    )


def _numbers_of(categories: list[str], column: str) -> np.ndarray:
    """Return the numbers that the categories of a nominal column are."""
    known = {"TRUE": 1, "FALSE": 0}
    try:
        return np.array([known.get(value, value) for value in categories], dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{column} is nominal, and not all its values are numbers") from error


def _read(folder: Path, name: str) -> Bunch:
    """Return the table of a file."""
    names = sorted(path.stem for path in folder.glob("*.npz"))
    if name not in names:
        there = f"it has {', '.join(names)}" if names else "it has no files NAME.npz"
        raise ValueError(
            f"name must be a table in folder={str(folder)!r}, got {name!r}: {there}"
            f"{did_you_mean(name, names)}"
        )
    path = folder / f"{name}.npz"
    parts = _parts(path)
    sparse = "X" not in parts
    wanted = ["Y", "feature_names", "label_names"]
    wanted += ["X_data", "X_indices", "X_indptr", "X_shape"] if sparse else []
    missing = [part for part in wanted if part not in parts]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it has {', '.join(parts)}")
    X = _sparse_rows(parts, path) if sparse else _numbers_in(parts, "X", path, 2)
    feature_names, label_names = (
        _names_in(parts, part, path) for part in ("feature_names", "label_names")
    )
    if len(feature_names) != X.shape[1]:
        raise ValueError(
            f"{path} has {len(feature_names)} feature_names for {X.shape[1]} columns of X"
        )
    sizes = {"Y": (X.shape[0], len(label_names)), "train": X.shape[:1]}
    for part, size in sizes.items():
        if part in parts and parts[part].shape != size:
            raise ValueError(
                f"{part} of {path} must have shape {size} to go with X and the names, got "
                f"{parts[part].shape}"
            )
    Y = _zeros_and_ones(parts, "Y", path).astype(np.int64)
    train = _zeros_and_ones(parts, "train", path).astype(bool) if "train" in parts else None
    return Bunch(
        data=X,
        target=Y,
        feature_names=feature_names,
        target_names=label_names,
        train=train,
        DESCR=f"{name}: {X.shape[0]} rows, {X.shape[1]} features, {Y.shape[1]} labels, read from "
        f"{path}",
    )


def _parts(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, all of which are read."""
    try:
        # numpy leaves a file that it cannot read open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except UNREADABLE as error:
        raise ValueError(
            f"{path} is no file that numpy.savez or numpy.savez_compressed has written, or only a "
            f"part of one, or it has an array of objects: {error}"
        ) from error


def _numbers_in(
    parts: dict[str, np.ndarray], part: str, path: Path, ndim: int, kinds: str = "biuf"
) -> np.ndarray:
    """Return a part of a file as float64, or as it is where only integers are allowed."""
    values = parts[part]
    if values.dtype.kind not in kinds or values.ndim != ndim:
        what = "numbers" if "f" in kinds else "integers"
        raise ValueError(
            f"{part} of {path} must be a {ndim}-D array of {what}, got one of shape "
            f"{values.shape} and dtype {values.dtype}"
        )
    return values.astype(np.float64) if "f" in kinds else values


def _sparse_rows(parts: dict[str, np.ndarray], path: Path) -> sp.csr_matrix:
    """Return the CSR matrix that four parts of a file make."""
    data = _numbers_in(parts, "X_data", path, 1)
    indices, ends, shape = (
        _numbers_in(parts, f"X_{part}", path, 1, "iu") for part in ("indices", "indptr", "shape")
    )
    try:
        rows = sp.csr_matrix((data, indices, ends), shape=tuple(shape.tolist()))
        return as_csr(rows, "it")
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"X_data, X_indices, X_indptr and X_shape of {path} make no CSR matrix: {error}"
        ) from error


def _names_in(parts: dict[str, np.ndarray], part: str, path: Path) -> list:
    names = parts[part]
    if names.ndim != 1:
        raise ValueError(f"{part} of {path} must be 1-D, one name each, got shape {names.shape}")
    return names.tolist()


def _zeros_and_ones(parts: dict[str, np.ndarray], part: str, path: Path) -> np.ndarray:
    values = parts[part]
    # Text is neither, whatever it says.
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"{part} of {path} must hold 0 and 1, got {np.unique(values)[:5].tolist()}"
        )
    return values


def _answer(table: Bunch, subset: str, as_frame: bool, return_X_y: bool) -> Any:
    """Return the rows of a table that are wanted, in the form that is wanted."""
    data, target, train = table.data, table.target, table.train
    if subset != "all":
        if train is None:
            raise ValueError(f"subset={subset!r}: the table has no official split; use 'all'")
        rows = train if subset == "train" else ~train
        data, target, train = data[rows], target[rows], train[rows]
    if not sp.issparse(data):
        data = np.ascontiguousarray(data)
    frame = None
    if as_frame:
        import pandas as pd

        make = pd.DataFrame.sparse.from_spmatrix if sp.issparse(data) else pd.DataFrame
        data = make(data, columns=table.feature_names)
        target = pd.DataFrame(target, columns=table.target_names)
        frame = pd.concat([data, target], axis=1)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=table.feature_names,
        target_names=table.target_names,
        train=train,
        DESCR=table.DESCR,
    )
