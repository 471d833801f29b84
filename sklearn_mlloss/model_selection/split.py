"""Multi-label stratified splitters for independent rows."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit
from sklearn.utils import check_consistent_length, check_random_state

from .._data.containers import is_missing, stack_rows, to_array, to_float
from .._data.messages import describe, warn_user
from .._data.sparse import as_csr
from .._data.validation import check_integer, check_number

__all__ = [
    "MultilabelStratifiedKFold",
    "MultilabelStratifiedShuffleSplit",
    "RepeatedMultilabelStratifiedKFold",
]

# Labels whose positives are collected at a time: one row of them is a word of the processor.
BLOCK_COLUMNS = 8


class MultilabelStratifiedKFold(BaseCrossValidator):
    """K-fold cross-validation that keeps the proportion of every label in every fold.

    ``StratifiedKFold`` refuses an indicator matrix, and treating each label set as one class fails
    on the many sets that occur once. Here the labels are distributed one after the other, from the
    rarest, whose positives are the hardest to spread, to the most frequent: the positives that have
    no fold yet go, in random order, to the folds that lack the most of them. This is a one-pass
    variant of iterative stratification [1]_, linear in the number of positives. Rows without any
    label fill up the folds.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of rows.
    shuffle : bool, default=True
        Whether rows are distributed in random order. True, because real tables are often sorted;
        with False the rows keep their order and the folds depend on ``y`` only.
    random_state : int, RandomState instance or None, default=None
        Controls the randomness of the order. An int gives the same folds at each call of
        ``split``; None gives different ones each time. Must be None when ``shuffle=False``.

    See Also
    --------
    MultilabelStratifiedShuffleSplit : Repeated random splits into two parts.
    RepeatedMultilabelStratifiedKFold : The same, repeated in different random orders.
    MultilabelStratifiedGroupKFold : For rows in groups that must stay together.

    Notes
    -----
    The folds differ in size by at most one row. A label with at least ``n_splits`` positives has
    one in every fold, if swapping pairs of rows at the end can achieve this: with overlapping
    labels it can be impossible (three rows with the labels ``{a, b}``, ``{b, c}`` and ``{a, c}``
    cannot be split in two). A rarer label never fails: some folds lack it.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the stratification of multi-label data",
       ECML PKDD 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.model_selection import MultilabelStratifiedKFold
    >>> Y = np.array([[1, 0], [1, 0], [1, 1], [1, 1], [0, 0], [0, 0]])
    >>> X = np.zeros((6, 1))
    >>> cv = MultilabelStratifiedKFold(n_splits=2, random_state=0)
    >>> cv
    MultilabelStratifiedKFold(n_splits=2, random_state=0, shuffle=True)
    >>> for train, test in cv.split(X, Y):
    ...     print(Y[test].sum(axis=0), len(test))
    [2 1] 3
    [2 1] 3
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the rows of each training and test part.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only its number of rows is used.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicators. A soft label counts as positive from 0.5 on, NaN (not observed) as
            negative. A 1-D ``y`` holds classes.
        groups : object, default=None
            Ignored, with a warning; present for compatibility with scikit-learn.

        Yields
        ------
        train, test : ndarray of int
            Row numbers in ascending order.

        Raises
        ------
        ValueError
            If ``y`` is missing or no indicator, or a parameter is out of its range.
        """
        _warn_of_groups(self, groups)
        check_integer(self.n_splits, "n_splits", low=2)
        if not self.shuffle and self.random_state is not None:
            raise ValueError(
                f"random_state has no effect with shuffle=False, got {describe(self.random_state)}"
            )
        indicator = _indicator(y)
        check_consistent_length(X, indicator, groups)
        n_rows, n_splits = indicator.shape[0], self.n_splits
        if n_splits > n_rows:
            raise ValueError(f"n_splits must be at most the {n_rows} rows of y, got {n_splits!r}")

        order = np.arange(n_rows)
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(n_rows)
        sizes = np.full(n_splits, n_rows // n_splits)
        sizes[: n_rows % n_splits] += 1
        needed = np.full(n_splits, n_splits)
        fold = _assign(indicator, order, np.full(n_splits, 1 / n_splits), sizes, needed)
        for k in range(n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored; present for compatibility with scikit-learn.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits


class RepeatedMultilabelStratifiedKFold(BaseCrossValidator):
    """:class:`MultilabelStratifiedKFold`, repeated in different random orders.

    A single K-fold estimate has variance due to the random folds; the mean over repetitions has
    less, at the cost of more fits. The counterpart of ``RepeatedStratifiedKFold``.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of rows.
    n_repeats : int, default=10
        Number of repetitions, at least 1. The default is scikit-learn's.
    random_state : int, RandomState instance or None, default=None
        Controls the randomness of the orders, which differ between the repetitions. An int gives
        the same splits at each call of ``split``.

    See Also
    --------
    MultilabelStratifiedKFold : Once.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.model_selection import RepeatedMultilabelStratifiedKFold
    >>> Y = np.array([[1, 0], [1, 0], [1, 1], [1, 1], [0, 0], [0, 0]])
    >>> cv = RepeatedMultilabelStratifiedKFold(n_splits=2, n_repeats=3, random_state=0)
    >>> cv.get_n_splits()
    6
    >>> for train, test in cv.split(np.zeros((6, 1)), Y):
    ...     print(test, Y[test].sum(axis=0))
    [1 2 5] [2 1]
    [0 3 4] [2 1]
    [1 3 4] [2 1]
    [0 2 5] [2 1]
    [1 3 5] [2 1]
    [0 2 4] [2 1]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        n_repeats: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the rows of each training and test part, one repetition after the other.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only its number of rows is used.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicators. A soft label counts as positive from 0.5 on, NaN (not observed) as
            negative. A 1-D ``y`` holds classes.
        groups : object, default=None
            Ignored, with a warning; present for compatibility with scikit-learn.

        Yields
        ------
        train, test : ndarray of int
            Row numbers in ascending order.

        Raises
        ------
        ValueError
            If ``y`` is missing or no indicator, or a parameter is out of its range.
        """
        _warn_of_groups(self, groups)
        check_integer(self.n_repeats, "n_repeats", low=1)
        rng = check_random_state(self.random_state)
        for _ in range(self.n_repeats):
            yield from MultilabelStratifiedKFold(self.n_splits, random_state=rng).split(X, y)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits, that of all repetitions together.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored; present for compatibility with scikit-learn.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits * self.n_repeats


class MultilabelStratifiedShuffleSplit(BaseShuffleSplit):
    """Random splits into training and test rows that keep the proportion of every label.

    Each split is drawn independently, like the folds of :class:`MultilabelStratifiedKFold`, with
    two parts of unequal size. ``StratifiedShuffleSplit`` treats each label set as one class and
    raises on a set that occurs once; this splitter never fails on rare labels.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits, at least 1.
    test_size : float or int, default=0.1
        A float in (0, 1) is the share of rows in the test set, rounded to the nearest row with at
        least one row on either side; an int is their number.
    random_state : int, RandomState instance or None, default=None
        Controls the randomness of the splits. An int gives the same ones at each call of ``split``.

    See Also
    --------
    MultilabelStratifiedKFold : Folds in which each row is tested once.

    Notes
    -----
    The sizes are exact. A label with too few positives for both parts keeps them in the training
    set, if the sizes allow it: with more labels that occur once than training rows, some of them
    must go to the test set.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the stratification of multi-label data",
       ECML PKDD 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit
    >>> Y = np.zeros((100, 3), dtype=int)
    >>> Y[:50, 0] = Y[40:60, 1] = Y[99, 2] = 1
    >>> cv = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    >>> train, test = next(cv.split(np.zeros((100, 1)), Y))
    >>> Y[train].sum(axis=0), Y[test].sum(axis=0)
    (array([40, 16,  1]), array([10,  4,  0]))
    """

    def __init__(
        self,
        n_splits: int = 10,
        *,
        test_size: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_splits = n_splits
        self.test_size = test_size
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the rows of each training and test part.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only its number of rows is used.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicators. A soft label counts as positive from 0.5 on, NaN (not observed) as
            negative. A 1-D ``y`` holds classes.
        groups : object, default=None
            Ignored, with a warning; present for compatibility with scikit-learn.

        Yields
        ------
        train, test : ndarray of int
            Row numbers in ascending order.

        Raises
        ------
        ValueError
            If ``y`` is missing or no indicator, or a parameter is out of its range.
        """
        _warn_of_groups(self, groups)
        check_integer(self.n_splits, "n_splits", low=1)
        indicator = _indicator(y)
        check_consistent_length(X, indicator, groups)
        n_rows = indicator.shape[0]
        n_test = _number_of_test_rows(self.test_size, n_rows)
        sizes = np.array([n_rows - n_test, n_test])

        rng = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            needed = np.array([1, -(-n_rows // n_test)])
            part = _assign(indicator, rng.permutation(n_rows), sizes / n_rows, sizes, needed)
            yield np.flatnonzero(part == 0), np.flatnonzero(part == 1)


def _warn_of_groups(splitter: Any, groups: Any) -> None:
    if groups is not None:
        warn_user(
            f"The groups parameter is ignored by {type(splitter).__name__}: use "
            "MultilabelStratifiedGroupKFold to keep groups together"
        )


def _number_of_test_rows(test_size: Any, n_rows: int) -> int:
    if n_rows < 2:
        raise ValueError(f"y must have at least 2 rows to be split, got {n_rows}")
    if isinstance(test_size, Integral) and not isinstance(test_size, bool):
        if not 1 <= int(test_size) < n_rows:
            raise ValueError(
                f"test_size, as an int, must be in [1, {n_rows - 1}] for the {n_rows} rows of y,"
                f" got {describe(test_size)}"
            )
        return int(test_size)
    check_number(test_size, "test_size", low=0, high=1, closed="neither", other="an int or ")
    return min(max(round(test_size * n_rows), 1), n_rows - 1)


def _indicator(y: Any) -> np.ndarray | sparse.csr_array:
    """Return any accepted y as numbers of shape (n_samples, n_labels), an array or CSR.

    An entry is positive from 0.5 on; NaN is not.
    """
    if y is None:
        raise ValueError("y must be given: rows are stratified by their labels, got None")
    if sparse.issparse(y):
        return sparse.csr_array(as_csr(y, "y") >= 0.5)
    y = stack_rows(to_array(y, "y"), "y")
    if y.ndim == 1:
        is_object = y.dtype.kind == "O"
        return _one_hot(y, np.array([is_missing(v) for v in y], bool) if is_object else y != y)
    if y.ndim != 2:
        raise ValueError(f"y must be 1-D or 2-D, got shape {y.shape}")
    return to_float(y, "y", "indicators") if y.dtype.kind not in "biuf" else y


def _positives(y: Any) -> sparse.csr_array:
    """Return the positives of any accepted y as a boolean CSR array (n_samples, n_labels)."""
    return sparse.csr_array(_indicator(y) >= 0.5)


def _positives_in_order(
    indicator: np.ndarray | sparse.csr_array, order: np.ndarray
) -> list[np.ndarray]:
    """Return, for each label, the places of its positives among the rows in this order.

    It processes a few columns at a time, to limit memory.
    """
    n_rows, n_labels = indicator.shape
    if sparse.issparse(indicator):
        columns = sparse.csr_array(indicator[order] >= 0.5).tocsc()
        return np.split(columns.indices, columns.indptr[1:-1])
    small = np.int32 if n_rows < 2**31 else np.int64
    positives = []
    for start in range(0, n_labels, BLOCK_COLUMNS):
        block = (indicator[:, start : start + BLOCK_COLUMNS] >= 0.5).take(order, axis=0)
        positives += [np.flatnonzero(column).astype(small) for column in block.T]
    return positives


def _one_hot(y: np.ndarray, missing: np.ndarray) -> sparse.csr_array:
    if missing.any():
        raise ValueError("a 1-D y must not hold missing values: NaN is for indicators only")
    if y.dtype.kind == "f" and (y != np.round(y)).any():
        raise ValueError("a 1-D y must hold classes, got continuous values")
    classes, codes = np.unique(y, return_inverse=True)
    return sparse.csr_array(
        (np.ones(len(y), dtype=bool), codes, np.arange(len(y) + 1)), shape=(len(y), len(classes))
    )


def _assign(
    indicator: np.ndarray | sparse.csr_array,
    order: np.ndarray,
    fractions: np.ndarray,
    sizes: np.ndarray,
    needed: np.ndarray,
) -> np.ndarray:
    """Return the part of each row, given the order in which rows are distributed.

    Part k gets ``sizes[k]`` rows, about ``fractions[k]`` of the positives of each label, and if
    possible one of each label with at least ``needed[k]`` positives.
    """
    positives = _positives_in_order(indicator, order)
    part = _deal(positives, fractions, sizes)
    _fill_gaps(positives, part, np.array([len(rows) for rows in positives]) >= needed[:, None])
    restored = np.empty_like(part)
    restored[order] = part
    return restored


def _deal(positives: list[np.ndarray], fractions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Give each row a part: sizes are exact, labels as even as they allow.

    `positives` are the rows of each label, numbered in the order in which they are distributed;
    part k should get ``fractions[k]`` of each label's positives, and has ``sizes[k]`` rows.
    """
    n_parts = len(sizes)
    part = np.full(sizes.sum(), -1)
    room = sizes.copy()
    for rows in sorted(positives, key=len):
        taken = part[rows]
        free = rows[taken < 0]
        # What rarer labels of the same rows have already brought to each part.
        present = np.bincount(taken[taken >= 0], minlength=n_parts)
        shares = _apportion(len(free), fractions * len(rows) - present, room)
        part[free] = np.repeat(np.arange(n_parts), shares)
        room -= shares
    part[part < 0] = np.repeat(np.arange(n_parts), room)
    return part


def _apportion(total: int, due: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Split `total` rows into integers of at most `room`, as close to `due` as can be.

    The real-valued optimum is ``clip(due - t, 0, room)`` for the level t at which it adds up to
    `total`; as t falls from knot to knot the sum grows linearly, which gives t without a search.
    The largest remainders are rounded up, ties to the part with the most room.
    """
    knots = np.concatenate([due, due - room])
    order = np.argsort(-knots, kind="stable")
    knots = knots[order]
    slopes = np.cumsum(np.where(order < len(due), 1, -1))
    sums = np.concatenate([[0], np.cumsum(slopes[:-1] * -np.diff(knots))])
    exact = np.clip(due - np.interp(total, sums, knots), 0, room)
    # remainders that are equal on paper must tie: rounding keeps float noise out of the choice
    exact = np.round(exact, 9)
    shares = np.floor(exact).astype(int)
    remainders = np.where(shares < room, exact - shares, -1).round(9)
    shares[np.lexsort((-room, -remainders))[: total - shares.sum()]] += 1
    return shares


def _fill_gaps(positives: list[np.ndarray], part: np.ndarray, wanted: np.ndarray) -> None:
    """Swap rows, in place, so that part k gets a positive of each label in ``wanted[k]``.

    A swap keeps the sizes. It is made only where no part loses its last wanted positive; a gap
    for which there is no such pair of rows stays.
    """
    n_parts, n_labels = wanted.shape
    counts = np.zeros((n_parts, n_labels), dtype=int)
    for label, rows in enumerate(positives):
        counts[:, label] = np.bincount(part[rows], minlength=n_parts)
    gaps = np.argwhere(wanted & (counts == 0))
    if not len(gaps):
        return
    positive = _as_csr(positives, len(part))
    for k, label in gaps:
        if counts[k, label]:
            continue
        rows = positives[label]
        spare = counts[:, label] > wanted[:, label]
        partners = np.flatnonzero(part == k)
        partner_labels = positive[partners].astype(int)
        for row in rows[spare[part[rows]]]:
            donor = part[row]
            labels = positive[[row]].toarray()[0]
            needed_there = labels & wanted[donor] & (counts[donor] == 1)
            needed_here = ~labels & wanted[k] & (counts[k] == 1)
            # a partner must replace what the donor would lose and bring away nothing needed here
            fits = partner_labels @ (needed_there - n_labels * needed_here.astype(int))
            fits = np.flatnonzero(fits == needed_there.sum())
            if len(fits):
                partner = partners[fits[0]]
                change = labels.astype(int) - positive[[partner]].toarray()[0]
                part[row], part[partner] = k, donor
                counts[k] += change
                counts[donor] -= change
                break


def _as_csr(positives: list[np.ndarray], n_rows: int) -> sparse.csr_array:
    ends = np.cumsum([len(rows) for rows in positives])
    indices, starts = np.concatenate(positives), np.concatenate([[0], ends])
    ones = np.ones(len(indices), dtype=bool)
    return sparse.csc_array((ones, indices, starts), shape=(n_rows, len(positives))).tocsr()
