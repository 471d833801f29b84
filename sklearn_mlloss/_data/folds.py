"""Folds of a cross-validation as row numbers, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any

import numpy as np

from .._sklearn import _num_samples
from .containers import is_missing, to_array
from .messages import warn_user

__all__ = ["Fold", "check_groups", "find_gaps", "list_folds", "warn_of_gaps"]

# How many folds, and labels of each, a message names.
N_SHOWN = 5

# Numbers of the rows to train on, and of those to test.
Fold = tuple[np.ndarray, np.ndarray]


def list_folds(
    cv: Any, X: Any, y: Any, kept: np.ndarray | None = None, **split_params: Any
) -> list[Fold]:
    """Return the splits of a splitter or of an iterable as row numbers.

    Parameters
    ----------
    cv : splitter or iterable of (train, test)
        Row numbers, which may be negative as in numpy, or masks.
    X, y : array-like
        For the splitter.
    kept : ndarray of bool, shape (n_samples,), optional
        Which rows are used; the others are left out of all parts.
    **split_params : dict
        For the splitter, such as `groups`.

    Returns
    -------
    list of (train, test)

    Raises
    ------
    ValueError
        If `cv` is something else, has row numbers beyond X, no fold, or one with an empty part; if
        it needs groups and there are none, or does not keep the groups together.
    """
    n_rows = _num_samples(X)
    wanted = "cv must be an int, a splitter or an iterable of (train, test) row numbers or masks"
    if isinstance(cv, str | bytes | type) or not (hasattr(cv, "split") or np.iterable(cv)):
        raise ValueError(f"{wanted}, got {cv!r}")
    groups = split_params.get("groups")
    if groups is None and _needs_groups(cv):
        raise ValueError(
            f"cv={cv!r} needs groups: give groups to fit, or where fit takes none the splits, "
            f"cv=list({type(cv).__name__}().split(X, y, groups))"
        )
    if groups is not None:
        groups = np.unique(groups, return_inverse=True)[1]
    splits = cv.split(X, y, **split_params) if hasattr(cv, "split") else cv
    if not np.iterable(splits):
        raise ValueError(f"{wanted}, got {cv!r}, whose split returns {splits!r}")
    folds = []
    for k, fold in enumerate(_stratified_by_class(splits, cv)):
        try:
            train, test = fold
        except (TypeError, ValueError):
            raise ValueError(f"{wanted}, got one whose fold {k} is no pair") from None
        parts = (_rows(f"fold {k} of cv", part, n_rows) for part in (train, test))
        train, test = (part if kept is None else part[kept[part]] for part in parts)
        for name, part in (("train on", train), ("test", test)):
            if not len(part):
                raise ValueError(f"fold {k} of cv is without rows to {name}")
        if groups is not None and np.isin(groups[train], groups[test]).any():
            raise ValueError(
                f"fold {k} of cv has rows of one group in both parts, so that groups are not kept "
                "together: use an int, a splitter that goes by groups, such as "
                "MultilabelStratifiedGroupKFold, or fit without groups"
            )
        folds.append((train, test))
    if not folds:
        raise ValueError(f"cv must have a fold at least, got {cv!r}")
    return folds


def check_groups(groups: Any, n_rows: int, estimator: Any = None) -> np.ndarray:
    """Return the group of each row, of which none may be missing.

    Parameters
    ----------
    groups : array-like of shape (n_rows,)
        Values that can be sorted, such as numbers or strings.
    n_rows : int
    estimator : object, optional
        Fitted in folds that keep groups together; an estimator with inner folds is refused.
    """
    _refuse_folds_within(estimator)
    groups = to_array(groups, "groups", "an array with one value per row")
    if groups.shape != (n_rows,):
        raise ValueError(
            f"groups must be 1-D, one value per row, shape ({n_rows},), got shape {groups.shape}"
        )
    is_object = groups.dtype == object
    if any(map(is_missing, groups)) if is_object else (groups != groups).any():
        raise ValueError("groups contains NaN or another missing value: give each row a group")
    try:
        np.unique(groups)
    except TypeError as error:
        raise ValueError(
            f"groups must be values of one kind, which can be sorted: {error}"
        ) from None
    return groups


def find_gaps(folds: list[Fold], Y: np.ndarray, targets: Any) -> np.ndarray:
    """Return which labels, or classes, the training rows of each fold lack.

    Parameters
    ----------
    folds : list of (train, test)
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix, NaN where nothing was observed.
    targets : TargetCodec
        Fitted on all rows.

    Returns
    -------
    ndarray of bool, shape (n_folds, n_labels) or (n_folds, n_classes)
        True for a label without positives or without negatives among the training rows, and with
        both among all; or for a class that is not among the training rows.
    """
    sides = [Y > 0, Y < 1]  # NaN is neither
    if targets.kind == "binary":
        sides = [np.hstack(sides[::-1])]
    elif targets.kind == "multiclass":
        del sides[1]
    varied = np.all([side.any(axis=0) for side in sides], axis=0)
    lacks = [[~side[train].any(axis=0) for side in sides] for train, _ in folds]
    return np.any(lacks, axis=1) & varied


def warn_of_gaps(folds: list[Fold], Y: np.ndarray, targets: Any) -> None:
    """Warn, with names, of labels or classes that training rows of folds lack; see `find_gaps`."""
    gaps = find_gaps(folds, Y, targets)
    if not gaps.any():
        return
    one, many, names = "class", "classes", targets.classes_
    effect = "which have probability 0 there"
    if targets.kind == "multilabel":
        one, many, names = "label", "labels", targets.label_names_
        effect = "of which they have only positives, or none"
    warn_user(
        f"the training rows of some folds lack {many}, in {gaps.any(axis=1).sum()} of {len(folds)} "
        f"({describe_gaps(gaps, names, one, many)}), {effect}: use a stratified cv, such as cv=5 "
        "or MultilabelStratifiedKFold (with groups MultilabelStratifiedGroupKFold), or one that "
        "shuffles a sorted table; leave out what is too rare for any split"
    )


def _refuse_folds_within(estimator: Any) -> None:
    """Raise if an estimator of this package, or one within it, makes folds by a number."""
    within = {} if estimator is None else estimator.get_params()
    for name, part in [("estimator", estimator), *within.items()]:
        if not hasattr(part, "store_cv_results"):
            continue
        cv = part.cv  # None is no fold for a network, and five for a classifier around another
        if isinstance(cv, Integral) or cv is None and hasattr(part, "estimator"):
            of = "" if part is estimator else " within estimator"
            raise ValueError(
                f"{name}{of} has cv={cv!r}, and groups would not reach its folds: give one "
                "without folds, such as a network with cv=None, or fit without groups"
            )


def describe_gaps(gaps: np.ndarray, names: np.ndarray, one: str, many: str) -> str:
    """Return in words what some folds lack, such as "fold 0: classes 'a', 'b'; fold 3: class 'c'".

    Parameters
    ----------
    gaps : ndarray of bool, shape (n_folds, n_labels)
    names : ndarray of shape (n_labels,)
    one, many : str
        What `names` are, in the singular and the plural.
    """
    shown = []
    for k in np.flatnonzero(gaps.any(axis=1)):
        lacking = [repr(name) for name in names[gaps[k]].tolist()]
        shown.append(f"fold {k}: {one if len(lacking) == 1 else many} {_some(lacking, ', ')}")
    return _some(shown, "; ")


def _some(words: list[str], separator: str) -> str:
    more = [f"{len(words) - N_SHOWN} more"] if len(words) > N_SHOWN else []
    return separator.join([*words[:N_SHOWN], *more])


def _stratified_by_class(splits: Iterable[Any], cv: Any) -> Iterator[Any]:
    """Yield the splits; say what to use instead of a splitter that takes a 1-D y only."""
    try:
        yield from splits
    except ValueError as error:
        if not str(error).startswith("Supported target types are"):
            raise
        raise ValueError(
            f"cv={cv!r} stratifies a 1-D y: give the number of folds, which are stratified by "
            "label, or MultilabelStratifiedKFold of sklearn_mlloss.model_selection"
        ) from error


def _needs_groups(cv: Any) -> bool:
    """Return whether a splitter asks for groups, as those of scikit-learn that go by them do."""
    routing = getattr(cv, "get_metadata_routing", None)
    split = None if routing is None else getattr(routing(), "split", None)
    return split is not None and split.requests.get("groups") is True


def _rows(name: str, part: Any, n_rows: int) -> np.ndarray:
    """Return the row numbers of one part of a fold."""
    part = np.asarray(part)
    if not part.size:
        return np.empty(0, dtype=np.intp)
    if part.ndim != 1 or part.dtype.kind not in "biu":
        raise ValueError(
            f"{name} must hold row numbers or masks, 1-D arrays of int or bool, got an array of "
            f"shape {part.shape} and dtype {part.dtype}"
        )
    if part.dtype.kind == "b" and len(part) != n_rows:
        raise ValueError(f"{name} has a mask of {len(part)} rows, but X has {n_rows} rows")
    if part.dtype.kind != "b" and (part.max() >= n_rows or part.min() < -n_rows):
        beyond = part.max() if part.max() >= n_rows else part.min()
        raise ValueError(f"{name} has row number {beyond}, but X has {n_rows} rows")
    return np.arange(n_rows)[part]
