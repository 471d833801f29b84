"""Penalised logistic regressions of all labels at once, with a cross-validated penalty."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted

from .._data.features import InputCodec, check_rows
from .._data.fitting import draw_entropy, unchanged_on_error
from .._data.folds import check_groups
from .._data.partitions import by_partition
from .._data.responses import inside
from .._data.tables import match_index
from .._data.targets import TargetCodec
from .._data.validation import check_flag
from .._decision.base import ProbabilityClassifier
from .._decision.cross_fit import make_folds_of_kept
from .._training.device import resolve_device, torch_defaults
from .._training.linear import deviations_of, fit_model
from ..networks.linear import LinearPart, UnitEncoding

__all__ = ["MultiLabelLogisticRegressionCV"]

# Tested rows that are enough to choose the penalty.
ROWS_TO_CHOOSE = 1000


@dataclass(eq=False, repr=False)
class MultiLabelLogisticRegressionCV(ProbabilityClassifier):
    r"""Penalised logistic regressions of all labels at once, with a cross-validated penalty.

    For each label l it minimises

    .. math:: \sum_i w_{il} \log\big(1 + e^{-y_{il} (v_l \cdot z_i + c_l)}\big)
              + \frac{\text{penalty}}{2} \lVert v_l \rVert^2, \quad y_{il} = \pm 1

    over the observed targets of the rows, with encoded inputs z and weights w of mean 1: the
    objective of scikit-learn's ``LogisticRegression(C=1 / penalty)``. Labels and folds share the
    products with the matrix of inputs, so that this is many times as fast as a
    `LogisticRegressionCV` per label.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test), default=5
        Folds on which the penalty is chosen. An int (None is 5) is their number, stratified by
        label, or those of `MultilabelStratifiedGroupKFold` where `fit` gets `groups`.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Which columns of X are categorical, as for `MultiLabelNetClassifier`.
    store_cv_results : bool, default=False
        Whether to keep the out-of-fold scores in `oof_scores_`.
    random_state : int, RandomState or None, default=None
        Controls the randomness of the folds that an int `cv` asks for.

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
    penalty_ : float
        The chosen penalty, the same for all labels.
    coef_ : ndarray of shape (n_labels, n_inputs)
        Coefficients of the encoded inputs: first the columns of numbers, then indicators of missing
        values for those that had some, then the categories, one column after the other.
    intercept_ : ndarray of shape (n_labels,)
        Log-odds where all inputs are 0.
    encoding_ : torch.nn.Module
        From a tensor of rows of X, with the index of a category in `categories_`, to inputs.
    oof_scores_ : ndarray of shape (n_samples, n_labels)
        With `store_cv_results`, the probabilities of each row by the fits that are tested on it, at
        their mean log-odds if there are several; NaN for rows that were never tested.

    See Also
    --------
    MultiLabelNetClassifier : A network, which has such a model as a part (`linear_part`).
    DecodedClassifierCV : A decoder for this classifier as for any other.
    sklearn.linear_model.LogisticRegressionCV : For one label.

    Notes
    -----
    Columns of numbers are standardised, and cut at four standard deviations; those with two values,
    such as 0 and 1, are centred only, so that rare ones do not escape the penalty. Missing values
    of a dense X are replaced by the mean and have an indicator. A sparse X stays sparse.
    Categories are one-hot encoded, with one input for all that are rare if there are more than 256.

    y may be whatever `MultiLabelNetClassifier` takes: an indicator with NaN for what was not
    observed, or with probabilities; sparse; a DataFrame; classes. Of several classes each is a
    label, and probabilities are scaled to sum 1. `sample_weight` is one weight per row, or one per
    row and label, and is scaled to mean 1.

    The penalty is one of 1000, 300, 100, ..., .3, .1, with the least sum of the log losses of all
    labels on test rows. Of many rows, the first folds that test 1000 of them choose it. The largest
    come first, each fit starts from the last one, and the search ends when the loss has increased
    twice. CUDA is used for dense X if it is available.

    References
    ----------
    D. C. Liu, J. Nocedal. "On the limited memory BFGS method for large scale optimization".
    Mathematical Programming 45, 1989.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn_mlloss import MultiLabelLogisticRegressionCV
    >>> X, Y = make_multilabel_classification(n_samples=300, n_classes=4, random_state=0)
    >>> clf = MultiLabelLogisticRegressionCV(random_state=0).fit(X, Y)
    >>> clf.predict(X[:2]).shape, clf.coef_.shape, clf.penalty_
    ((2, 4), (4, 20), 3.0)
    """

    _: KW_ONLY
    cv: Any = 5
    categorical_features: Any = "from_dtype"
    store_cv_results: bool = False
    random_state: int | np.random.RandomState | None = None

    # With metadata routing, groups are for splitters.
    __metadata_request__fit = {"groups": False}
    # Of X.
    _dtype = np.float64

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Choose the penalty and fit the models of all rows.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Numbers, NaN for missing ones, and categories; a sparse X may hold neither.
        y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Targets; see the notes of the class.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), optional
            Weights >= 0, which are scaled to mean 1.
        groups : array-like of shape (n_samples,), optional
            Rows of one group are kept together in folds.

        Returns
        -------
        MultiLabelLogisticRegressionCV
            The fitted estimator. If anything fails, it is left as it was.
        """
        with unchanged_on_error(self), torch_defaults():
            self.__dict__.pop("oof_scores_", None)
            check_flag(self.store_cv_results, "store_cv_results")
            if isinstance(self.cv, Integral) and self.cv < 2:
                raise ValueError(f"cv must be at least 2, a splitter or splits, got {self.cv!r}")
            match_index(X, y=y, sample_weight=sample_weight, groups=groups)
            self._set_targets(TargetCodec().fit(y))
            self._inputs = InputCodec("auto", self.categorical_features)
            X = self._inputs.fit_transform(self, X)
            self.is_categorical_ = self._inputs.is_categorical_
            self.categories_ = self._inputs.categories_
            rows, kept = check_rows(X, self._targets, y, sample_weight)
            rows, seed = rows.scaled(), draw_entropy(self.random_state)
            groups = None if groups is None else check_groups(groups, len(kept))
            folds = make_folds_of_kept(self.cv, rows, kept, self._targets, seed, groups=groups)
            observed = np.count_nonzero(~np.isnan(rows.Y), axis=0)
            self._targets.warn_of_constant_labels(np.nansum(rows.Y, axis=0), observed)
            n_tested = np.cumsum([len(test) for _, test in folds])
            n_trials = 1 + int(np.count_nonzero(n_tested[:-1] < ROWS_TO_CHOOSE))
            device = resolve_device("auto")
            unit = UnitEncoding(n_bins=0)
            # Columns far from 0 need float64; once encoded, float32 will do, in half the time.
            args = rows, self.is_categorical_, unit, folds, n_trials, device, torch.float32
            self.encoding_, fit = fit_model(*args)
            self._model = LinearPart(self.encoding_, fit.weight, fit.bias + fit.prior)
            self.penalty_ = fit.penalty
            self.coef_ = fit.weight.numpy().T
            self.intercept_ = self._model.bias.numpy()
            if self.store_cv_results:
                log_odds = (fit.out_of_fold + fit.out_of_fold_prior).numpy()
                self.oof_scores_ = np.full((len(kept), self.n_labels_), np.nan)
                self.oof_scores_[kept] = inside(expit(log_odds))
        return self

    @by_partition(lambda model, scores: model._targets.log_odds(scores))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log-odds of `predict_proba`.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels), (n_samples, n_classes), or (n_samples,) if binary
        """
        check_is_fitted(self)
        return self._targets.log_odds(self._label_scores(X))

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: which targets, sparse input and missing values are taken."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = isinstance(self.categorical_features, str | None)
        tags.input_tags.allow_nan = True
        return tags

    def _label_scores(self, X: Any) -> np.ndarray:
        with torch_defaults():
            log_odds = deviations_of(self._model, self._inputs.transform(self, X))
        return inside(expit(log_odds.numpy()))
