"""Multi-label data sets of OpenML."""

from __future__ import annotations

import os
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from .._data.validation import check_choice, check_integer, check_number
from .bunches import SUBSETS, as_requested

__all__ = ["fetch"]


class _Table(NamedTuple):
    """The id of a data set of OpenML, and its size."""

    data_id: int
    n_samples: int
    n_labels: int


# The data sets with the tag 2016_multilabel_r_benchmark_paper, of P. Probst et al., "Multilabel
# classification with R package mlr", 2017. All labels are targets with the values TRUE and FALSE.
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


def fetch(
    name: str,
    *,
    subset: str = "all",
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
    as_frame: bool = False,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch | tuple[Any, Any]:
    """Fetch a real multi-label data set from OpenML.

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

    scikit-learn caches downloads, so that each data set is fetched once. The download is checked:
    its name, its size, and that each label is either present or absent.

    Parameters
    ----------
    name : str
        A name of the table above.
    subset : {"all", "train", "test"}, default="all"
        OpenML has no official split of these data sets: only "all" is available. `load_yeast` has
        the official split of yeast.
    data_home : str or path-like, optional
        Where downloads are cached. None is scikit-learn's folder, by default
        ``~/scikit_learn_data``.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether data and target are pandas DataFrames instead of arrays.
    n_retries : int, default=3
        How often to retry after a network error.
    delay : float, default=1.0
        Seconds between two tries.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : {ndarray, DataFrame} of shape (n_samples, n_features)
            float64; nominal columns of OpenML with two values are 0 and 1.
        target : {ndarray, DataFrame} of shape (n_samples, n_labels)
            int64, 0 or 1.
        feature_names, target_names : list of str
            Names of the columns.
        train : None
            There is no official split.
        frame : DataFrame or None
            Data and target side by side; None unless ``as_frame=True``.
        DESCR : str
            Description of the data set.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If `name` or `subset` is unknown, or the download is another data set.
    OSError
        If OpenML cannot be reached.

    See Also
    --------
    load_yeast : Yeast with its official split; needs no network.

    Examples
    --------
    >>> from sklearn_mlloss.datasets import fetch
    >>> scene = fetch("scene")  # doctest: +SKIP
    >>> scene.data.shape, scene.target.shape  # doctest: +SKIP
    ((2407, 294), (2407, 6))
    """
    check_choice(subset, "subset", SUBSETS)
    check_integer(n_retries, "n_retries", low=0)
    check_number(delay, "delay", low=0)
    check_choice(name, "name", _OPENML)
    if subset != "all":
        raise ValueError(
            f"subset={subset!r}: OpenML has no official split of {name!r}; use subset='all'"
            + (", or load_yeast, which has it" if name == "yeast" else "")
        )
    return as_requested(_download(name, data_home, n_retries, delay), as_frame, return_X_y)


def _download(name: str, data_home: Any, n_retries: int, delay: float) -> Bunch:
    """Return a data set of OpenML."""
    wanted = _OPENML[name]
    try:
        with warnings.catch_warnings():
            # If no try succeeds, the error is enough.
            warnings.filterwarnings("ignore", message="A network error occurred")
            # This parser needs no pandas, and returns the same types for all data sets.
            openml = fetch_openml(
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
            "Without a network, set data_home= to a copy of the cache of another machine; "
            "load_yeast() downloads nothing"
        ) from error
    data, target = openml.data, np.asarray(openml.target)
    title, size = str(openml.details["name"]), (wanted.n_samples, wanted.n_labels)
    if title.lower() != name or target.shape != size or data.shape[0] != wanted.n_samples:
        raise ValueError(
            f"OpenML returned another data set than {name!r} for data_id={wanted.data_id}: "
            f"{title!r} with targets of shape {target.shape} instead of {size}"
        )
    data = np.array(data, dtype=np.float64)
    names = list(openml.feature_names)
    for feature, categories in (openml.categories or {}).items():
        if feature in names:
            column = names.index(feature)
            values = _numbers_of(categories, f"feature {feature!r} of {name!r}")
            known = ~np.isnan(data[:, column])
            data[known, column] = values[data[known, column].astype(np.intp)]
    labels = np.unique(target.astype(str))
    if not set(labels) <= {"TRUE", "FALSE", "1", "0"}:
        raise ValueError(f"the labels of {name!r} on OpenML should be TRUE or FALSE, got {labels}")
    return Bunch(
        data=data,
        target=np.isin(target.astype(str), ("TRUE", "1")).astype(np.int64),
        feature_names=names,
        target_names=list(openml.target_names),
        train=None,
        DESCR=openml.DESCR,
    )


def _numbers_of(categories: list[str], column: str) -> np.ndarray:
    """Return the numeric values of the categories of a nominal column."""
    known = {"TRUE": 1, "FALSE": 0}
    try:
        return np.array([known.get(value, value) for value in categories], dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{column} is nominal, and not all its values are numbers") from error
