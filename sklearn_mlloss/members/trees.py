"""Extra trees of all labels at once, for tables with categories and missing values."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.utils.validation import check_is_fitted

from .._data.features import InputCodec, check_rows
from .._data.fitting import draw_entropy, unchanged_on_error
from .._data.messages import warn_user
from .._data.responses import inside
from .._data.rows import Inputs, Rows
from .._data.tables import match_index
from .._data.targets import TargetCodec
from .._data.validation import check_integer, check_n_jobs, is_auto
from .._decision.base import ProbabilityClassifier

__all__ = ["MultiLabelExtraTreesClassifier"]

# About as many rows decide between the values of `max_features`.
ROWS_TO_CHOOSE = 1000
# With fewer columns, "sqrt" is more than a tenth of them.
FEWEST_COLUMNS = 100
# Of X, times labels, for half of the columns per split.
MOST_NUMBERS = 1e8


@dataclass(eq=False, repr=False)
class MultiLabelExtraTreesClassifier(ProbabilityClassifier):
    """Extra trees of all labels at once, for tables with categories and missing values.

    scikit-learn's extra trees [1]_ with what else tables for `MultiLabelNetClassifier` may have:
    columns of categories, and labels that are missing, uncertain or weighted one by one.

    Parameters
    ----------
    n_estimators : int, default=50
        Number of trees. A classifier per fold is averaged with those of the other folds as a rule:
        with ten folds this is 500 trees.
    max_leaf_nodes : int or None, default=512
        Largest number of leaves per tree; None does not limit it. A tree takes up to 8 kB per label
        with 512 leaves.
    max_features : {"auto", "sqrt", "log2"}, int, float or None, default="auto"
        How many columns each split chooses from, as in scikit-learn. "auto" is "sqrt", and half of
        the columns if rows are like short texts: if there are at least 100 columns, and less than
        the square root of this number differ from the median of their column in the average row,
        so that most draws of "sqrt" would have none of these. Where rows times columns times labels
        exceed 100 million, this would take minutes, and "auto" is "sqrt".
    min_samples_leaf : int or float, default=1
        Smallest number (or share) of rows in a leaf.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Which columns of X are categorical, as for `MultiLabelNetClassifier`.
    n_jobs : int, optional
        Number of trees that are grown at a time, as in joblib.
    random_state : int, RandomState or None, default=None
        Controls the columns and thresholds that are drawn.

    Attributes
    ----------
    classes_ : ndarray
        Classes of a 1-D y. For an indicator the array with one row [0, 1] per label.
    n_labels_ : int
        Number of labels (classes of a multi-class y; 1 for a binary y).
    label_names_ : ndarray of shape (n_labels,)
        Columns of a DataFrame y, else numbers; classes of a 1-D y.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Columns of X, if they are all strings.
    is_categorical_ : ndarray of bool, shape (n_features,), or None
        Which columns are categorical; None if none is.
    categories_ : list of ndarray
        The categories of each of these columns, sorted.
    forests_ : list of ExtraTreesRegressor
        One for all labels, unless labels are observed in, or weighted by, different rows.
    labels_of_forests_ : list of ndarray of int
        The labels of each forest.
    feature_importances_ : ndarray of shape (n_features,)
        Importance of each column: its share of the reduction of the squared error of all labels.

    See Also
    --------
    DecodedClassifierCV : A decoder for this classifier as for any other.
    sklearn.ensemble.ExtraTreesClassifier : For numbers, and for targets without NaN.

    Notes
    -----
    Trees minimise the sum over labels of the squared error, which for labels of 0 and 1 is half the
    Gini impurity, so that a forest is like one of `sklearn.ensemble.ExtraTreesClassifier`. A leaf
    predicts the mean of its rows.

    A category is its place among the sorted categories of its column; one that was not in training
    comes before all of them. Missing values are passed to the side of a split with the smaller
    error. A sparse X stays sparse, and may hold neither.

    y may be whatever `MultiLabelNetClassifier` takes: an indicator with NaN for what was not
    observed, or with probabilities; sparse; a DataFrame; classes. Labels that were observed in the
    same rows share a forest; with NaN in other rows for each label, there is one forest per label.
    A label that was not observed in any row has probability 1/2.

    References
    ----------
    .. [1] P. Geurts, D. Ernst, L. Wehenkel. "Extremely randomized trees". Machine Learning 63,
       2006.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn_mlloss import MultiLabelExtraTreesClassifier
    >>> X = pd.DataFrame({"size": [1.0, 2.0, np.nan, 4.0] * 9, "kind": ["a", "b", "b", "c"] * 9})
    >>> X["kind"] = X["kind"].astype("category")
    >>> Y = pd.DataFrame({"sweet": [1, 0, 0, 1] * 9, "sour": [0, 1, 1, np.nan] * 9})
    >>> trees = MultiLabelExtraTreesClassifier(random_state=0).fit(X, Y)
    >>> trees.predict_labels(X[:2])
    [('sweet',), ('sour',)]
    """

    _: KW_ONLY
    n_estimators: int = 50
    max_leaf_nodes: int | None = 512
    max_features: Any = "auto"
    min_samples_leaf: Any = 1
    categorical_features: Any = "from_dtype"
    n_jobs: int | None = None
    random_state: int | np.random.RandomState | None = None

    # Of X, as trees have it.
    _dtype = np.float32

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Grow the trees.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Numbers, NaN for missing ones, and categories; a sparse X may hold neither.
        y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Targets; see the notes of the class.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), optional
            Weights >= 0.

        Returns
        -------
        MultiLabelExtraTreesClassifier
            The fitted estimator. If anything fails, it is left as it was.
        """
        with unchanged_on_error(self):
            check_integer(self.n_estimators, "n_estimators", low=1)
            check_n_jobs(self.n_jobs)
            match_index(X, y=y, sample_weight=sample_weight)
            self._set_targets(TargetCodec().fit(y))
            self._inputs = InputCodec("auto", self.categorical_features)
            X = self._inputs.fit_transform(self, X)
            self.is_categorical_ = self._inputs.is_categorical_
            self.categories_ = self._inputs.categories_
            rows, _ = check_rows(X, self._targets, y, sample_weight)
            seed = int(np.random.SeedSequence(draw_entropy(self.random_state)).generate_state(1)[0])
            self.labels_of_forests_ = _labels_with_same_rows(rows)
            with_forest = np.concatenate(self.labels_of_forests_)
            without = np.setdiff1d(np.arange(self.n_labels_), with_forest)
            if len(without):
                names = ", ".join(map(repr, self.label_names_[without].tolist()[:10]))
                warn_user(f"{len(without)} label(s) were not observed in any row: {names}")
            max_features = self.max_features
            if is_auto(max_features):
                affordable = X.shape[0] * X.shape[1] * self.n_labels_ <= MOST_NUMBERS
                max_features = 0.5 if affordable and _like_short_texts(X) else "sqrt"
            forest = ExtraTreesRegressor(
                self.n_estimators, max_leaf_nodes=self.max_leaf_nodes, max_features=max_features,
                min_samples_leaf=self.min_samples_leaf, n_jobs=self.n_jobs, random_state=seed,
            )  # fmt: skip
            self.forests_ = [
                _grow(clone(forest), rows, labels) for labels in self.labels_of_forests_
            ]
        return self

    @property
    def feature_importances_(self) -> np.ndarray:
        """Importance of each column: its share of the reduction of the squared error."""
        check_is_fitted(self)
        importances = [forest.feature_importances_ for forest in self.forests_]
        n_labels = [len(labels) for labels in self.labels_of_forests_]
        return np.average(importances, axis=0, weights=n_labels)

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: which targets, sparse input and missing values are taken."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = isinstance(self.categorical_features, str | None)
        tags.input_tags.allow_nan = True
        return tags

    def _label_scores(self, X: Any) -> np.ndarray:
        inputs = self._inputs.transform(self, X)
        # Labels that were not observed in any row have no forest.
        scores = np.full((inputs.shape[0], self.n_labels_), 0.5)
        for forest, labels in zip(self.forests_, self.labels_of_forests_, strict=True):
            scores[:, labels] = forest.predict(inputs).reshape(len(scores), -1)
        return inside(scores)


def _grow(forest: ExtraTreesRegressor, rows: Rows, labels: np.ndarray) -> ExtraTreesRegressor:
    """Fit a forest on labels that are observed in the same rows, with equal weights."""
    weight, counts = rows.weight, ~np.isnan(rows.Y[:, labels[0]])
    if weight is not None:
        weight = weight if weight.ndim == 1 else weight[:, labels[0]]
        counts &= weight > 0
        weight = weight[counts]
    targets = rows.Y[np.ix_(counts, labels)].astype(np.float64)
    targets = targets.ravel() if len(labels) == 1 else targets
    return forest.fit(rows.X[counts], targets, weight)


def _labels_with_same_rows(rows: Rows) -> list[np.ndarray]:
    """Return the numbers of labels that are observed in the same rows, with equal weights.

    Labels that are not observed in any row are left out.
    """
    weight = np.ones(()) if rows.weight is None or rows.weight.ndim == 1 else rows.weight
    if not weight.ndim and not np.isnan(rows.Y).any():
        return [np.arange(rows.Y.shape[1])]
    entries = np.where(np.isnan(rows.Y), 0.0, weight)
    _, place = np.unique(entries, axis=1, return_inverse=True)
    place = place.ravel()  # numpy 2.0 has another shape
    parts = [np.flatnonzero(place == number) for number in range(place.max() + 1)]
    return [labels for labels in parts if entries[:, labels[0]].any()]


def _like_short_texts(X: Inputs) -> bool:
    """Return whether few columns differ from their median in the average row."""
    n_rows, n_columns = X.shape
    if n_columns < FEWEST_COLUMNS:
        return False
    if isinstance(X, np.ndarray):
        some = X[:: max(1, n_rows // ROWS_TO_CHOOSE)]
        differing = np.mean(np.nan_to_num(some) != np.median(np.nan_to_num(some), axis=0), axis=0)
    else:
        present = np.bincount(X.indices[X.data != 0], minlength=n_columns) / n_rows
        differing = np.minimum(present, 1 - present)
    return bool(differing.sum() < n_columns**0.5)
