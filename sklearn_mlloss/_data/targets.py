"""Kinds of y, their conversion to a target matrix, and of decisions back to y."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array

from .containers import is_missing, stack_rows, to_array, to_float, type_of
from .labels import find_label
from .messages import describe, warn_user
from .sparse import as_csr
from .tables import as_frame, check_same_columns, columns_of, is_frame
from .weights import LARGEST_SUM, check_weight

__all__ = ["TargetCodec", "plain_targets"]

LABEL_SETS = (
    "y looks like a list of label sets: turn it into an indicator matrix, tags that are text with "
    "sklearn_mlloss.datasets.split_tags(y), which keeps their names, numbers with "
    "sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)"
)
NOT_INDICATOR = (
    "y must hold 0 and 1 with one column per label (probabilities in [0, 1] where the loss takes "
    "soft targets, NaN for not observed), got {}. Several classes per column "
    "(multiclass-multioutput) are another task: use sklearn.multioutput.MultiOutputClassifier or "
    "one-hot columns. If rows are lists of labels, use sklearn.preprocessing.MultiLabelBinarizer"
)


# Words for 0 and 1.
ANSWERS = (("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("0", "1"))

# Entries that are checked at a time, so that temporary arrays stay small.
BLOCK_ENTRIES = 2**17


class TargetCodec:
    """Turns y into a matrix of targets and decisions back into the form of y.

    Attributes
    ----------
    kind : {"multilabel", "binary", "multiclass"}
        An indicator matrix, or a 1-D y with two or with more classes.
    classes_ : ndarray
        The sorted classes of a 1-D y; for an indicator the 2-D array with one row [0, 1] per label,
        the form that scikit-learn's probability scorers take for any number of labels.
    n_labels_ : int
        Columns of the target matrix: labels, classes, or 1 for a binary y.
    label_names_ : ndarray of shape (n_labels,)
        Column names of a DataFrame, else column numbers; the classes of a 1-D y (the positive one
        of a binary y).
    """

    def fit(self, y: Any, classes: Any = None) -> TargetCodec:
        """Learn the kind of y.

        Parameters
        ----------
        y : array-like or sparse matrix
            The targets.
        classes : array-like, optional
            All classes of a 1-D y, of which `y` may lack some. For an indicator only the names or
            the numbers of its columns are allowed.

        Returns
        -------
        TargetCodec
        """
        y = _read(y)
        names = columns_of(y)
        if y.shape[0] == 0:
            raise ValueError("y has no rows: Found array with 0 sample(s), nothing can be learned")
        self.sparse_type = None
        if len(y.shape) == 2:
            if classes is not None and not _name_columns(classes, names, y.shape[1]):
                raise ValueError(
                    "classes is for a 1-D y, and an indicator matrix has one column per label: "
                    f"leave it out, or give range({y.shape[1]})"
                )
            self.kind = "multilabel"
            self.n_labels_ = y.shape[1]
            self.named = names is not None
            self.classes_ = np.tile([0, 1], (self.n_labels_, 1))
            self.label_names_ = np.asarray(names if self.named else np.arange(self.n_labels_))
            if sp.issparse(y):
                self.sparse_type = sp.csr_array if isinstance(y, sp.sparray) else sp.csr_matrix
            self.dtype = _decision_dtype(y)
            return self
        _warn_of_tags(y)
        y = _column(y)
        check_classification_targets(y)
        self.classes_ = np.unique(
            y if classes is None else _column(to_array(classes, "classes"), "classes")
        )
        if len(self.classes_) < 2:
            name, only = "y" if classes is None else "classes", self.classes_.tolist()
            raise ValueError(
                f"{name} has only {len(only)} class{'' if only else 'es'}"
                f"{''.join(f', {value!r}' for value in only)}: a classifier needs at least 2 "
                "classes"
            )
        self.kind = "binary" if len(self.classes_) == 2 else "multiclass"
        self.n_labels_ = 1 if self.kind == "binary" else len(self.classes_)
        self.label_names_ = self.classes_[-self.n_labels_ :]
        return self

    def check_names(self, y: Any) -> None:
        """Raise if y has other names of columns than the first fit, or in another order."""
        if self.kind == "multilabel" and self.named:
            check_same_columns(y, self.label_names_, "y", "the first fit")

    def is_like(self, other: TargetCodec) -> bool:
        """Return whether a network for one kind of y can be trained on the other."""
        if self.kind != other.kind or self.n_labels_ != other.n_labels_:
            return False
        if self.kind == "multilabel":
            both = self.named and other.named
            return not both or np.array_equal(self.label_names_, other.label_names_)
        return np.array_equal(self.classes_, other.classes_)

    def warn_of_constant_labels(self, positives: np.ndarray, observed: np.ndarray) -> None:
        """Warn of labels of an indicator that are the same in all rows."""
        constant = (positives == 0) | (positives == observed)
        if self.kind != "multilabel" or not constant.any():
            return
        names = ", ".join(map(str, self.label_names_[constant][:10]))
        warn_user(
            f"{constant.sum()} label(s) have only positives or no positive among the training "
            f"rows, so that nothing but their frequency can be learned: {names}"
        )

    def describe(self) -> str:
        """Return a few words for messages."""
        if self.kind == "multilabel":
            names = f" {self.label_names_.tolist()}" if self.named else ""
            return f"{self.n_labels_} labels{names}"
        return f"classes {describe(self.classes_.tolist())}"

    def transform(self, y: Any) -> np.ndarray:
        """Return the target matrix of shape (n_samples, n_labels).

        uint8 if all targets are 0 or 1, else float32 with NaN where nothing was observed. An
        indicator of such a dtype is not copied: do not write into the result.
        """
        y = _read(y)
        if self.kind == "multilabel":
            if len(y.shape) != 2 or y.shape[1] != self.n_labels_:
                raise ValueError(
                    f"y must be an indicator matrix with {self.n_labels_} columns as in the first "
                    f"fit, got shape {y.shape}"
                )
            self.check_names(y)
            return _indicator(y)
        y = _column(y)
        try:
            position = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        except TypeError as error:
            raise ValueError(
                f"y and classes must hold values of one kind ({error}), got y of dtype {y.dtype} "
                f"and classes {describe(self.classes_.tolist())}"
            ) from None
        unknown = self.classes_[position] != y
        if unknown.any():
            raise ValueError(
                f"y contains classes {describe(np.unique(y[unknown]).tolist())} that are not among "
                f"{describe(self.classes_.tolist())}"
            )
        if self.kind == "binary":
            return position.astype(np.uint8).reshape(-1, 1)
        return (position[:, None] == np.arange(self.n_labels_)).view(np.uint8)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return scores of shape (n_samples, n_labels) in the form of `predict_proba`."""
        if self.kind == "binary":
            return np.hstack([1 - scores, scores])
        if self.kind == "multiclass":
            return scores / scores.sum(axis=1, keepdims=True)
        return scores

    def log_odds(self, scores: np.ndarray) -> np.ndarray:
        """Return scores inside (0, 1) as log-odds, in the form of `decision_function`."""
        if self.kind == "multiclass":
            # Not their sum less the score itself, which is 0 where one class has nearly all.
            others = scores @ (1 - np.eye(self.n_labels_))
            return np.log(scores) - np.log(others)
        odds = np.log(scores) - np.log1p(-scores)
        return odds[:, 0] if self.kind == "binary" else odds

    def score(self, y: Any, predicted: Any, sample_weight: Any = None) -> float:
        """Return the share of rows whose labels, or whose class, are all as predicted.

        Parameters
        ----------
        y : array-like, DataFrame or sparse matrix
            The true targets, with the same columns as in `fit`, if both have names. Labels that
            are NaN do not count, nor do rows without any other.
        predicted : array or sparse matrix
            As `inverse_transform` returns it.
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        float
        """
        y, predicted, weight = self._compared(y, predicted, sample_weight)
        if not len(y):
            raise ValueError("y is NaN in all rows, so that there is nothing to score")
        return accuracy_score(y, predicted, sample_weight=weight)

    def sum_right(self, predicted: Any, y: Any, sample_weight: Any) -> tuple[float, float]:
        """Return the weight of rows that are right, and of those that count, for `score_sums`."""
        y, predicted, weight = self._compared(y, predicted, sample_weight)
        if not len(y):
            return 0.0, 0.0
        right = accuracy_score(y, predicted, normalize=False, sample_weight=weight)
        return float(right), float(len(y) if weight is None else weight.sum())

    def score_sums(self, right: float, total: float) -> float:
        """Return what `score` returns for all rows, from the sums of `sum_right`."""
        if not total:
            raise ValueError(
                "y is NaN, or sample_weight 0, in all rows, so that there is nothing to score"
            )
        return right / total

    def _compared(
        self, y: Any, predicted: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return rows of labels, or classes, with any that count, the predictions and weights."""
        if self.kind == "multilabel":
            y = self.transform(y)
            predicted = predicted.toarray() if sp.issparse(predicted) else predicted
        else:
            y = _column(_read(y))  # of classes that may be new
        weight = check_weight(sample_weight, y, per_label=False, largest_sum=LARGEST_SUM)
        if self.kind == "multilabel" and y.dtype.kind == "f":
            missing = np.isnan(y)
            if not (missing | (y == 0) | (y == 1)).all():
                raise ValueError(
                    "y has soft labels, which accuracy has no place for: use a metric of "
                    "sklearn_mlloss.metrics, such as multilabel_brier_score"
                )
            rows = ~missing.all(axis=1)
            y, predicted = np.where(missing, predicted, y)[rows].astype(int), predicted[rows]
            weight = None if weight is None else weight[rows]
        return y, predicted, weight

    def inverse_transform(self, decisions: np.ndarray) -> Any:
        """Return boolean decisions of shape (n_samples, n_labels) in the form of y."""
        if self.kind == "multilabel":
            labels = decisions.astype(self.dtype)
            return labels if self.sparse_type is None else self.sparse_type(labels)
        position = decisions[:, 0] if self.kind == "binary" else decisions.argmax(1)
        return self.classes_[position.astype(np.intp)]

    def names(self, names: Any) -> list[Any]:
        """Return the classes of a 1-D y, else `names`, which the user may have set."""
        if self.kind != "multilabel":
            return self.classes_.tolist()
        names = np.asarray(names).tolist()
        if not isinstance(names, list) or len(names) != self.n_labels_:
            raise ValueError(
                f"label_names_ must hold {self.n_labels_} names, one per label, got "
                f"{describe(names)}"
            )
        return names

    def find(self, label: Any, names: Any) -> tuple[int, Any]:
        """Return number and name of a label, or of a class of a 1-D y, see `find_label`."""
        names = self.names(names)
        kind = "label" if self.kind == "multilabel" else "class"
        index = find_label(label, names, f"label={describe(label)} is", kind)
        return index, names[index]

    def decisions_by_name(self, decisions: np.ndarray, names: Any) -> tuple[list[Any], np.ndarray]:
        """Return `names`, or classes, and which of them each row has, for `decisions`."""
        if self.kind != "multilabel":
            chosen = self.inverse_transform(decisions)[:, None] == self.classes_
            return self.names(names), chosen
        return self.names(names), decisions.astype(bool, copy=False)


def plain_targets(y: Any) -> Any:
    """Return y as other estimators and scorers take it: numbers of one type that numpy has.

    Parameters
    ----------
    y : array-like, DataFrame or sparse matrix
        The targets, as the user passed them.

    Returns
    -------
    ndarray, CSR matrix, or DataFrame with the names and the index of `y`
        Nullable types become int64, or float32 with NaN where something is missing.
    """
    y = _read(y)
    if sp.issparse(y) and y.shape[1] == 1:
        y = y.toarray()  # scikit-learn would take it for one class per row
    types = set(y.dtypes) if is_frame(y) else {y.dtype}
    if len(y.shape) == 1 or sp.issparse(y) or len(types) == 1 and _is_plain(*types):
        return y
    labels = _indicator(y)
    labels = labels.astype(np.int64) if labels.dtype.kind == "u" else labels
    if not is_frame(y):
        return labels
    if hasattr(type(y), "iloc"):
        return type(y)(labels, index=y.index, columns=y.columns)
    return type(y)(labels, schema=list(y.columns), orient="row")  # of polars


def _name_columns(classes: Any, names: np.ndarray | None, n_labels: int) -> bool:
    """Return whether classes are the numbers, or the names, of the columns of an indicator."""
    values = to_array(classes, "classes").tolist()
    return values == list(range(n_labels)) or names is not None and values == names.tolist()


def _is_plain(dtype: Any) -> bool:
    """Return whether numpy and scipy have a type of numbers; scipy has no float16."""
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf" and dtype != np.float16


def _read(y: Any) -> Any:
    """Return y as a CSR matrix, a DataFrame or an array of one or two dimensions."""
    if y is None:
        raise ValueError("this estimator requires y to be passed, but the target y is None")
    if sp.issparse(y):
        if y.ndim != 2:
            raise ValueError(f"a sparse y must be an indicator matrix, got shape {y.shape}")
        y = as_csr(y, "y")
        if not y.data.all():
            y = y.copy()
            y.eliminate_zeros()  # scikit-learn's metrics would count them as labels
    else:
        y = as_frame(y, "y")
        y = y if is_frame(y) else _array_of(y)
    if len(y.shape) == 2 and y.shape[1] == 0:
        raise ValueError("y has no columns: there is no label to learn")
    if len(y.shape) == 2 and y.shape[1] == 1 and not _looks_like_indicator(y):
        # A column of classes is a 1-D y with one dimension too many.
        warn_user(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of "
            "y to (n_samples,), for example using ravel().",
            DataConversionWarning,
        )
        return column_or_1d(y.toarray() if sp.issparse(y) else to_array(y, "y"))
    return y


def _array_of(y: Any) -> np.ndarray:
    if isinstance(y, list | tuple):
        _refuse_label_sets(y)
    array = to_array(y, "y", "array-like")
    if array.dtype.kind == "O" and array.ndim == 1:
        _refuse_label_sets(array)
        array = stack_rows(array, "y")
    if array.ndim == 0:
        raise ValueError(f"y must be array-like, got {type_of(array[()])}")
    if array.ndim > 2:
        raise ValueError(f"y must have 1 or 2 dimensions, got shape {array.shape}")
    return array


def _refuse_label_sets(y: Any) -> None:
    rows = [row for row in y if isinstance(row, list | tuple | set | frozenset | np.ndarray)]
    lengths = {np.shape(row)[:1] if isinstance(row, np.ndarray) else len(row) for row in rows}
    has_sets = any(isinstance(row, set | frozenset) for row in rows)
    if has_sets or len(lengths) > 1 or any(isinstance(v, str) for row in rows for v in row):
        raise ValueError(LABEL_SETS)


def _warn_of_tags(y: Any) -> None:
    """Warn of text such as "a|b" of which several values share a part.

    No error: classes of one taxonomy are written so as well.
    """
    if y.dtype.kind not in "OUT":
        return
    texts = {value for value in y.tolist() if isinstance(value, str)}
    for sep in "|;":
        parts = [part.strip() for text in texts for part in text.split(sep)]
        if len(parts) > len(texts) and len(set(parts)) < len(parts):
            warn_user(
                f"y is text with {sep!r} in it, and each of the {len(texts)} different texts is "
                "one class. If a row has several tags instead, pass the indicator matrix "
                f"sklearn_mlloss.datasets.split_tags(y, sep={sep!r})"
            )


def _looks_like_indicator(y: Any) -> bool:
    try:
        _indicator(y)
    except ValueError:
        return False
    return True


def _column(y: Any, name: str = "y") -> np.ndarray:
    if len(y.shape) != 1:
        as_before = " as in the first fit" if name == "y" else ""
        raise ValueError(f"{name} must be 1-D{as_before}, got shape {y.shape}")
    if y.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must hold classes")
    of_floats = y.dtype.kind == "f"
    if np.isnan(y).any() if of_floats else y.dtype.kind in "mMO" and any(map(is_missing, y)):
        raise ValueError(
            f"Input {name} contains NaN: a missing class of a 1-D y cannot be learned from"
        )
    if of_floats:
        check_array(y, ensure_2d=False, ensure_min_samples=0, input_name=name)
    return y


def _indicator(y: Any) -> np.ndarray:
    """Return an indicator as uint8, or as float32 where it has soft or missing targets.

    Arrays of that dtype and booleans are not copied; for others little more than the result is
    allocated.
    """
    if sp.issparse(y):
        return _dense_indicator(y)
    values = to_array(y, "y")
    try:
        return _plain_indicator(values)
    except ValueError:
        names = columns_of(y)
        errors = {} if names is None else _errors_of_columns(values, names)
        if not errors or len(errors) == values.shape[1]:
            raise
    name, error = next(iter(errors.items()))
    raise ValueError(error.replace(". Several", f" in column {name!r}. Several", 1))


def _errors_of_columns(values: np.ndarray, names: Any) -> dict[Any, str]:
    """Return the errors of the columns that are no indicators."""
    errors = {}
    for name, column in zip(names.tolist(), values.T, strict=True):
        try:
            _plain_indicator(column[:, None])
        except ValueError as error:
            errors[name] = str(error)
    return errors


def _plain_indicator(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind == "O":
        try:
            y = to_float(y, "y")
        except ValueError:
            raise ValueError(NOT_INDICATOR.format(_describe_text(y))) from None
    if y.dtype.kind not in "biuf":
        raise ValueError(NOT_INDICATOR.format(_describe_text(y)))
    if y.dtype.kind == "f":
        return _float_indicator(y)
    if y.dtype.kind == "b":
        y = y.view(np.uint8)
    if y.min(initial=0) < 0 or y.max(initial=0) > 1:
        raise _not_indicator(y, y[(y != 0) & (y != 1)][0])
    return y.astype(np.uint8, order="C", copy=False)


def _describe_text(y: np.ndarray) -> str:
    """Return in a few words what an array without numbers holds, without a value of its own."""
    values = {value for value in y.ravel().tolist() if not is_missing(value)}
    for pair in ANSWERS:
        if {str(value).lower() for value in values} == {*pair}:
            positive = next(value for value in values if str(value).lower() == pair[1])
            return f"{' and '.join(map(repr, pair))}: use (y == {positive!r})"
    return "values that are no numbers" if y.dtype.kind == "O" else f"values of dtype {y.dtype}"


def _not_indicator(y: np.ndarray, value: Any) -> ValueError:
    signs = ((y == -1) | (y == 1)).all()
    shown = "-1 and 1: use (y > 0)" if signs else f"values such as {value}"
    return ValueError(NOT_INDICATOR.format(shown))


def _dense_indicator(y: Any) -> np.ndarray:
    """Return a sparse indicator as a dense one, without a dense matrix of its own dtype."""
    values = _indicator(y.data.reshape(-1, 1)).ravel()
    return type(y)((values, y.indices, y.indptr), shape=y.shape).toarray()


def _float_indicator(y: np.ndarray) -> np.ndarray:
    step = max(1, BLOCK_ENTRIES // max(1, y.shape[1]))
    blocks = [slice(start, start + step) for start in range(0, len(y), step)]
    labels = np.empty(y.shape, dtype=np.uint8)
    for rows in blocks:
        part = y[rows]
        if not ((part == 0) | (part == 1)).all():
            break
        labels[rows] = part
    else:
        return labels
    for rows in blocks:
        part = y[rows]
        outside = ~((part >= 0) & (part <= 1) | np.isnan(part))
        if outside.any():
            raise _not_indicator(y, part[outside][0])
    return y.astype(np.float32, order="C", copy=False)


def _decision_dtype(y: Any) -> np.dtype:
    """Return the dtype of predictions: that of y where it is one numpy dtype of numbers."""
    first, *others = set(y.dtypes) if is_frame(y) else {y.dtype}
    return first if not others and _is_plain(first) else np.dtype(np.int64)
