"""Splitters that keep the proportion of every label in every part."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit
from sklearn.utils import check_random_state, indexable

__all__ = [
    "MultilabelStratifiedKFold",
    "MultilabelStratifiedShuffleSplit",
    "RepeatedMultilabelStratifiedKFold",
]


class MultilabelStratifiedKFold(BaseCrossValidator):
    """K-fold cross-validation that keeps the proportion of every label in every fold.

    ``StratifiedKFold`` refuses an indicator matrix, and treating each set of labels as one class
    fails on the many sets that occur once. Here the labels are dealt out one after the other,
    from the rarest, whose positives are the hardest to spread, to the most frequent: each time
    the positives that have no fold yet go, in random order, to the folds that still lack the most
    of them. This is a one-pass variant of iterative stratification [1]_, linear in the number of
    positives. Rows without any label fill the folds up.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of rows.
    shuffle : bool, default=True
        Whether rows are dealt out in random order. True, because real tables are often sorted;
        with False the rows keep their order and the folds depend on ``y`` alone.
    random_state : int, RandomState instance or None, default=None
        Steers the random order. An int gives the same folds at each call of ``split``; None
        (scikit-learn's convention) new ones each time. Must be None when ``shuffle=False``.

    See Also
    --------
    MultilabelStratifiedShuffleSplit : Repeated random splits into two parts.
    RepeatedMultilabelStratifiedKFold : The same several times, each time in another order.
    MultilabelStratifiedGroupKFold : For rows in groups that must stay together.

    Notes
    -----
    The folds differ in size by at most one row. A label with at least ``n_splits`` positives has
    one in every fold, wherever this can be reached by swapping two rows at the end: where labels
    overlap it can be impossible (three rows with the labels ``{a, b}``, ``{b, c}`` and ``{a, c}``
    cannot be split in two). A rarer label never fails: some folds do without it.

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

    def __init__(self, n_splits=5, *, shuffle=True, random_state=None):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(self, X, y=None, groups=None):
        """Generate the rows of each training and test part.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only its number of rows is looked at.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicators. A soft label counts as positive from 0.5 on, NaN (not observed) as
            negative. A 1-D ``y`` holds classes.
        groups : object, default=None
            Ignored; present for compatibility with scikit-learn.

        Yields
        ------
        train, test : ndarray of int
            Row numbers in ascending order.

        Raises
        ------
        ValueError
            If ``y`` is missing or no indicator, or a parameter is out of its range.
        """
        _check_count("n_splits", self.n_splits, low=2)
        if not self.shuffle and self.random_state is not None:
            raise ValueError(
                f"random_state has no effect with shuffle=False, got {self.random_state!r}"
            )
        X, y, _ = indexable(X, y, groups)
        positive = _positives(y)
        n_rows, n_splits = positive.shape[0], self.n_splits
        if n_splits > n_rows:
            raise ValueError(f"n_splits must be at most the {n_rows} rows of y, got {n_splits!r}")

        order = np.arange(n_rows)
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(n_rows)
        sizes = np.full(n_splits, n_rows // n_splits)
        sizes[: n_rows % n_splits] += 1
        dealt = positive[order]
        fold = _deal(dealt, np.full(n_splits, 1 / n_splits), sizes)
        _fill_gaps(dealt, fold, np.tile(_column_sums(positive) >= n_splits, (n_splits, 1)))
        fold = _restore(fold, order)
        for k in range(n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)

    def get_n_splits(self, X=None, y=None, groups=None):
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
    """:class:`MultilabelStratifiedKFold` several times, each time in another random order.

    A single K-fold estimate depends on the luck of the folds; the mean over repetitions does so
    less, at the cost of as many times the fits. The counterpart of ``RepeatedStratifiedKFold``.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of rows.
    n_repeats : int, default=10
        Number of times that the rows are dealt out, at least 1. The default is scikit-learn's.
    random_state : int, RandomState instance or None, default=None
        Steers the random orders, which differ between the repetitions. An int gives the same
        splits at each call of ``split``.

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

    def __init__(self, n_splits=5, *, n_repeats=10, random_state=None):
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.random_state = random_state

    def split(self, X, y=None, groups=None):
        """Generate the rows of each training and test part, one repetition after the other.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only its number of rows is looked at.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicators. A soft label counts as positive from 0.5 on, NaN (not observed) as
            negative. A 1-D ``y`` holds classes.
        groups : object, default=None
            Ignored; present for compatibility with scikit-learn.

        Yields
        ------
        train, test : ndarray of int
            Row numbers in ascending order.

        Raises
        ------
        ValueError
            If ``y`` is missing or no indicator, or a parameter is out of its range.
        """
        _check_count("n_repeats", self.n_repeats, low=1)
        rng = check_random_state(self.random_state)
        for _ in range(self.n_repeats):
            yield from MultilabelStratifiedKFold(self.n_splits, random_state=rng).split(X, y)

    def get_n_splits(self, X=None, y=None, groups=None):
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

    Each split is drawn anew, as :class:`MultilabelStratifiedKFold` draws its folds, with two parts
    of unequal size. ``StratifiedShuffleSplit`` treats each set of labels as one class and raises
    on a set that occurs once; this splitter never fails on rare labels.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits, at least 1.
    test_size : float or int, default=0.1
        A float in (0, 1) is the share of rows in the test part, rounded to the nearest row but
        leaving at least one row on either side; an int is their number.
    random_state : int, RandomState instance or None, default=None
        Steers the draw. An int gives the same splits at each call of ``split``.

    See Also
    --------
    MultilabelStratifiedKFold : Folds in which each row is tested once.

    Notes
    -----
    The sizes are exact. A label with too few positives for both parts keeps them in the training
    part, as far as the sizes allow: with more labels that occur once than training rows, some of
    them must go to the test part.

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

    def __init__(self, n_splits=10, *, test_size=0.1, random_state=None):
        self.n_splits = n_splits
        self.test_size = test_size
        self.random_state = random_state

    def split(self, X, y=None, groups=None):
        """Generate the rows of each training and test part.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only its number of rows is looked at.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicators. A soft label counts as positive from 0.5 on, NaN (not observed) as
            negative. A 1-D ``y`` holds classes.
        groups : object, default=None
            Ignored; present for compatibility with scikit-learn.

        Yields
        ------
        train, test : ndarray of int
            Row numbers in ascending order.

        Raises
        ------
        ValueError
            If ``y`` is missing or no indicator, or a parameter is out of its range.
        """
        _check_count("n_splits", self.n_splits, low=1)
        X, y, _ = indexable(X, y, groups)
        positive = _positives(y)
        n_rows = positive.shape[0]
        n_test = _number_of_test_rows(self.test_size, n_rows)
        sizes = np.array([n_rows - n_test, n_test])
        n_positives = _column_sums(positive)
        wanted = np.stack([n_positives >= 1, n_positives * n_test >= n_rows])

        rng = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            order = rng.permutation(n_rows)
            dealt = positive[order]
            part = _deal(dealt, sizes / n_rows, sizes)
            _fill_gaps(dealt, part, wanted)
            part = _restore(part, order)
            yield np.flatnonzero(part == 0), np.flatnonzero(part == 1)


def _check_count(name, value, low):
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be an integer of at least {low}, got {value!r}")


def _number_of_test_rows(test_size, n_rows):
    if n_rows < 2:
        raise ValueError(f"y must have at least 2 rows to be split, got {n_rows}")
    if isinstance(test_size, Integral) and not isinstance(test_size, bool):
        if not 1 <= test_size < n_rows:
            raise ValueError(
                f"test_size, as an int, must be in [1, {n_rows - 1}] for the {n_rows} rows of y,"
                f" got {test_size!r}"
            )
        return int(test_size)
    if not isinstance(test_size, Real) or isinstance(test_size, bool) or not 0 < test_size < 1:
        raise ValueError(f"test_size must be a float in (0, 1) or an int, got {test_size!r}")
    return min(max(round(test_size * n_rows), 1), n_rows - 1)


def _positives(y):
    """Return the positives of any accepted y as a boolean CSR array (n_samples, n_labels)."""
    if y is None:
        raise ValueError("y must be given: rows are stratified by their labels, got None")
    if sparse.issparse(y):
        return sparse.csr_array(y >= 0.5)
    if hasattr(y, "iloc"):
        missing = np.asarray(y.isna())
    else:
        y = np.asarray(y)
        # NaN is the one value that differs from itself, whatever the dtype
        missing = y != y
    if y.ndim == 1:
        return _one_hot(np.asarray(y), missing)
    if y.ndim != 2:
        raise ValueError(f"y must be 1-D or 2-D, got shape {y.shape}")
    values = np.asarray(y)
    if values.dtype.kind not in "biuf":
        try:
            values = np.where(missing, 0, values).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"a 2-D y must hold indicators, got {error}") from error
    return sparse.csr_array(values >= 0.5)


def _one_hot(y, missing):
    if missing.any():
        raise ValueError("a 1-D y must not hold missing values: NaN is for indicators only")
    if y.dtype.kind == "f" and (y != np.round(y)).any():
        raise ValueError("a 1-D y must hold classes, got continuous values")
    classes, codes = np.unique(y, return_inverse=True)
    return sparse.csr_array(
        (np.ones(len(y), dtype=bool), codes, np.arange(len(y) + 1)), shape=(len(y), len(classes))
    )


def _column_sums(positive):
    return np.bincount(positive.indices, minlength=positive.shape[1])


def _restore(part, order):
    restored = np.empty_like(part)
    restored[order] = part
    return restored


def _deal(positive, fractions, sizes):
    """Give each row a part: sizes exactly as asked for, labels as evenly as they allow.

    `positive` (CSR) has its rows in the order in which they are dealt out; part k is due
    ``fractions[k]`` of each label's positives and exactly ``sizes[k]`` rows.
    """
    n_rows, n_parts = positive.shape[0], len(sizes)
    columns = positive.tocsc()
    part = np.full(n_rows, -1)
    room = sizes.copy()
    for label in np.argsort(np.diff(columns.indptr), kind="stable"):
        rows = columns.indices[columns.indptr[label] : columns.indptr[label + 1]]
        taken = part[rows]
        free = rows[taken < 0]
        # what rarer labels of the same rows have already brought to each part
        present = np.bincount(taken[taken >= 0], minlength=n_parts)
        shares = _apportion(len(free), fractions * len(rows) - present, room)
        part[free] = np.repeat(np.arange(n_parts), shares)
        room -= shares
    part[part < 0] = np.repeat(np.arange(n_parts), room)
    return part


def _apportion(total, due, room):
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


def _fill_gaps(positive, part, wanted):
    """Swap rows, in place, so that part k gets a positive of each label in ``wanted[k]``.

    A swap keeps the sizes. It is made only where no part loses its last wanted positive; a gap
    for which there is no such pair of rows stays.
    """
    n_parts, n_labels = wanted.shape
    counts = np.stack([_column_sums(positive[part == k]) for k in range(n_parts)])
    columns = positive.tocsc()
    for k, label in np.argwhere(wanted & (counts == 0)):
        if counts[k, label]:
            continue
        rows = columns.indices[columns.indptr[label] : columns.indptr[label + 1]]
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
