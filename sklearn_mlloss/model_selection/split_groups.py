"""A multi-label stratified splitter that keeps groups of rows together."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length, check_random_state

from .._data.folds import Fold, check_groups
from .._data.messages import describe
from .._data.validation import check_integer
from .split import MultilabelStratifiedKFold, _positives

__all__ = ["MultilabelStratifiedGroupKFold"]


class MultilabelStratifiedGroupKFold(BaseCrossValidator):
    r"""K-fold cross-validation that keeps groups together and labels as balanced as possible.

    Rows of one group (a patient, a document, a day) resemble each other: if some of them are in the
    training set and others in the test set, the score is too optimistic. ``GroupKFold`` keeps
    groups together but balances sizes only, ``StratifiedGroupKFold`` refuses an indicator matrix.
    Here each group goes to the fold where it increases this sum the least:

    .. math:: \sum_{k=1}^{K} \bigg[ \sum_{l=1}^{L} \Big(\frac{c_{kl}}{n_l} - \frac1K\Big)^2
              + L \Big(\frac{r_k}{n} - \frac1K\Big)^2 \bigg]

    with :math:`c_{kl}` of the :math:`n_l` positives of label l, and :math:`r_k` of the n rows, in
    fold k. Groups that are the hardest to place come first: those with the largest sum of squared
    shares, :math:`\sum_l (v_l / n_l)^2 + L (v / n)^2` for their own counts, which are large groups
    and those with many positives of a rare label.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of groups.
    random_state : int, RandomState instance or None, default=None
        Controls the order of groups that are equally hard to place. None takes the order of their
        values, so that folds depend on ``y`` and ``groups`` only; otherwise it is random, and an
        int gives the same folds at each call.

    See Also
    --------
    MultilabelStratifiedKFold : For rows that are independent of one another; has exact sizes.

    Notes
    -----
    Shares are relative to the total of each label, so that rare labels weigh as much as frequent
    ones.
    The rows weigh as much as all labels together, which costs the labels next to nothing: groups
    with common labels or none, which come last, even out the sizes. No fold is empty.

    If after that a fold lacks a label which at least `n_splits` groups have, a group that has it is
    moved there wherever the fold that it leaves can spare it; where labels overlap this can be
    impossible. The time is linear in the number of groups and of the labels in each.

    ``groups`` is requested by default in scikit-learn's metadata routing, as with ``GroupKFold``.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the stratification of multi-label data",
       ECML PKDD 2011 (rarest labels first, for single rows).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.model_selection import MultilabelStratifiedGroupKFold
    >>> Y = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [1, 0], [0, 0], [0, 1], [0, 0]])
    >>> groups = np.array(["a", "a", "b", "c", "c", "d", "d", "e"])
    >>> cv = MultilabelStratifiedGroupKFold(n_splits=2)
    >>> for train, test in cv.split(np.zeros((8, 1)), Y, groups):
    ...     print(np.unique(groups[test]), Y[test].sum(axis=0))
    ['a' 'd'] [2 1]
    ['b' 'c' 'e'] [2 1]
    """

    # scikit-learn's group splitters inherit this from a private mixin.
    __metadata_request__split = {"groups": True}

    def __init__(
        self, n_splits: int = 5, *, random_state: int | np.random.RandomState | None = None
    ):
        self.n_splits = n_splits
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
        groups : array-like of shape (n_samples,)
            The group of each row: numbers or strings.

        Yields
        ------
        train, test : ndarray of int
            Row numbers in ascending order.

        Raises
        ------
        ValueError
            If ``y`` or ``groups`` is missing or unusable, or a parameter is out of its range.
        """
        check_integer(self.n_splits, "n_splits", low=2)
        if groups is None:
            raise ValueError(
                "groups must be given, one value per row, got None; rows without groups can be "
                "split by MultilabelStratifiedKFold"
            )
        positive = _positives(y)
        check_consistent_length(X, positive)
        groups = check_groups(groups, positive.shape[0])
        names, group = np.unique(groups, return_inverse=True)
        n_groups = len(names)
        if self.n_splits > n_groups:
            raise ValueError(
                f"n_splits must be at most the number of groups ({n_groups}), which are never "
                f"split, got {describe(self.n_splits)}"
            )
        order = np.arange(n_groups)
        if self.random_state is not None:
            order = check_random_state(self.random_state).permutation(n_groups)
        fold = _deal_groups(_shares(positive, group, n_groups), order, self.n_splits)[group]
        for k in range(self.n_splits):
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


def stratified_folds(n_splits: int, Y: np.ndarray, seed: int, groups: Any = None) -> list[Fold]:
    """Return folds that are stratified by label; with `groups`, those are kept together."""
    splitter = MultilabelStratifiedKFold if groups is None else MultilabelStratifiedGroupKFold
    return list(splitter(n_splits, random_state=seed).split(Y, Y, groups))


def _shares(positive: sparse.csr_array, group: np.ndarray, n_groups: int) -> sparse.csr_array:
    """Return each group's shares of each label's positives and, last, of the rows (CSR).

    The share of the rows is multiplied so that its square weighs as much as those of all labels.
    """
    n_rows, n_labels = positive.shape
    member = sparse.csr_array((np.ones(n_rows), (group, np.arange(n_rows))), (n_groups, n_rows))
    columns = sparse.hstack([positive.astype(float), np.ones((n_rows, 1))], format="csr")
    counts = sparse.csr_array(member @ columns)
    counts.sort_indices()
    counts.data /= counts.sum(axis=0)[counts.indices]
    counts.data[counts.indices == n_labels] *= max(1, n_labels) ** 0.5
    return counts


def _deal_groups(shares: sparse.csr_array, order: np.ndarray, n_splits: int) -> np.ndarray:
    """Return the fold of each group."""
    difficulty = (shares * shares).sum(axis=1)
    order = order[np.argsort(-difficulty[order], kind="stable")]
    n_groups, n_columns = shares.shape
    indptr, indices, data = shares.indptr.tolist(), shares.indices, shares.data
    fold = np.empty(n_groups, dtype=int)
    filled = np.zeros((n_columns, n_splits))
    for g in order.tolist():
        part = slice(indptr[g], indptr[g + 1])
        columns, share = indices[part], data[part]
        present = filled[columns]
        # The sum of squares grows by share² + 2 share·present, of which the first is the same
        # for all folds. The rows are in all groups, so that an empty fold comes first.
        k = (share @ present).argmin()
        fold[g] = k
        present[:, k] += share
        filled[columns] = present
    _fill_group_gaps(shares, fold, filled)
    return fold


def _fill_group_gaps(shares: sparse.csr_array, fold: np.ndarray, filled: np.ndarray) -> None:
    """Move groups, in place, to folds that lack a label which enough groups have.

    A group is moved only if the fold that it leaves keeps some of each of its labels, unless too
    few groups have the label; of those the one that costs the balance least is taken.
    """
    n_splits = filled.shape[1]
    columns = shares.tocsc()
    enough = np.diff(columns.indptr) >= n_splits
    # How many groups have a label, for each fold: counts, since sums of shares are rounded.
    having = np.zeros(filled.shape, dtype=int)
    for k in range(n_splits):
        labels = shares[np.flatnonzero(fold == k)].indices
        having[:, k] = np.bincount(labels, minlength=len(filled))
    for label, k in np.argwhere(enough[:, None] & (having == 0)):
        if having[label, k]:
            continue  # a group moved for another label has brought it
        best, lowest = None, np.inf
        for g in columns.indices[columns.indptr[label] : columns.indptr[label + 1]]:
            part = slice(shares.indptr[g], shares.indptr[g + 1])
            of_group, share, donor = shares.indices[part], shares.data[part], fold[g]
            if (enough[of_group] & (having[of_group, donor] == 1)).any():
                continue
            cost = share @ (filled[of_group, k] - filled[of_group, donor] + share)
            if cost < lowest:
                best, lowest = (g, of_group, share, donor), cost
        if best is not None:
            g, of_group, share, donor = best
            fold[g] = k
            filled[of_group, donor] -= share
            filled[of_group, k] += share
            having[of_group, donor] -= 1
            having[of_group, k] += 1
