"""Permutation importance of the columns of X for each label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_consistent_length, check_random_state

from .._data.messages import describe
from .._data.metric_names import find_metric, suggest_metric
from .._data.parallel import call_in_parallel
from .._data.responses import choose_method, label_scores
from .._data.tables import as_table, is_frame
from .._data.targets import TargetCodec
from .._data.validation import check_integer, check_n_jobs
from ..metrics import macro_average_precision, multilabel_brier_score, multilabel_log_loss
from ..metrics._checks import check_inputs, per_label
from ._inputs import feature_names, import_pandas, read_targets

if TYPE_CHECKING:
    import pandas

__all__ = ["LabelImportances", "permutation_importance"]

# Values per label of labels, scores and weights.
Metric = Callable[..., Any]


def _roc_auc(Y: Any, scores: Any, sample_weight: Any) -> np.ndarray:
    return per_label(roc_auc_score, *check_inputs(Y, scores, "scores", sample_weight), both=True)


GAINS: dict[str, Metric] = {
    "average_precision": partial(macro_average_precision, average=None),
    "roc_auc": _roc_auc,
}
# These need probabilities.
LOSSES: dict[str, Metric] = {
    "log_loss": partial(multilabel_log_loss, average=None),
    "brier_score": partial(multilabel_brier_score, average=None),
}
METRICS = GAINS | LOSSES


@dataclass(frozen=True, eq=False)
class LabelImportances:
    """Importance of each column of X for each label, as `permutation_importance` returns it.

    Attributes
    ----------
    importances : ndarray of shape (n_features, n_labels, n_repeats)
        How much worse the metric is with the column permuted; NaN for labels for which the metric
        is not defined, such as the average precision without positives.
    scores : ndarray of shape (n_labels,)
        The metric before any permutation.
    metric : str
        Its name.
    feature_names, label_names : list
        Names of the columns of X and of the labels, or their numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.inspection import LabelImportances
    >>> importances = np.array([[[0.25, 0.75]], [[0.0, 0.0]]])
    >>> result = LabelImportances(importances, np.array([0.8]), "roc_auc", ["age", "id"], ["news"])
    >>> result.to_frame()
         news
    age   0.5
    id    0.0
    """

    importances: np.ndarray
    scores: np.ndarray
    metric: str
    feature_names: list[Any]
    label_names: list[Any]

    @property
    def importances_mean(self) -> np.ndarray:
        """Mean over the repetitions, of shape (n_features, n_labels)."""
        return self.importances.mean(axis=-1)

    @property
    def importances_std(self) -> np.ndarray:
        """Standard deviation over the repetitions, of shape (n_features, n_labels)."""
        return self.importances.std(axis=-1)

    def to_frame(self) -> pandas.DataFrame:
        """Return the means as a DataFrame with one row per column of X and one column per label.

        Returns
        -------
        pandas.DataFrame
        """
        pd = import_pandas("LabelImportances.to_frame")
        return pd.DataFrame(self.importances_mean, self.feature_names, self.label_names)


@overload
def permutation_importance(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    metric: str = ...,
    n_repeats: int = ...,
    n_jobs: int | None = ...,
    random_state: int | np.random.RandomState | None = ...,
    sample_weight: ArrayLike | None = ...,
) -> LabelImportances: ...


@overload
def permutation_importance(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    metric: Sequence[str],
    n_repeats: int = ...,
    n_jobs: int | None = ...,
    random_state: int | np.random.RandomState | None = ...,
    sample_weight: ArrayLike | None = ...,
) -> dict[str, LabelImportances]: ...


def permutation_importance(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    metric: str | Sequence[str] = "average_precision",
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    sample_weight: ArrayLike | None = None,
) -> LabelImportances | dict[str, LabelImportances]:
    r"""Measure how much each column of X matters for the predictions of each label [1]_.

    .. math:: I_{jl} = m_l(X) - m_l(X_{\pi(j)})

    where :math:`m_l` is the metric of label l, and :math:`X_{\pi(j)}` has the values of column j
    in a random order; for losses with the other sign. It is always how much worse the predictions
    get. `sklearn.inspection.permutation_importance` has one such number per column, of
    all labels together. Here the predictions for a permuted column serve all labels and metrics, so
    that many labels take no longer than one.

    Parameters
    ----------
    estimator : classifier
        Fitted, with `predict_proba` or `decision_function` in any form that `DecodedClassifierCV`
        takes.
    X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
        Held-out rows. On training rows, columns that the model has overfitted to look important.
    y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
        Their labels, NaN where not observed, or classes: for a 1-D y there is one label per class,
        and for two classes one for the second.
    metric : str or sequence of str, default="average_precision"
        "average_precision" and "roc_auc" depend on the ranking of the rows only, neither on
        calibration nor on the decoder. The former is the default, since it is about the positives,
        of which there are few for most labels. "log_loss" and "brier_score" are about the
        probabilities, and need `predict_proba`. Other spellings such as "AUROC" and "mAP" are those
        of `for_metric`. For metrics of predicted labels, such as F1, use scikit-learn's function
        with ``model.label(name)``.
    n_repeats : int, default=5
        Number of permutations, the same ones for all columns.
    n_jobs : int, optional
        Number of columns at a time, as in joblib.
    random_state : int, RandomState or None, default=None
        Controls the randomness of the permutations.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the rows in the metric.

    Returns
    -------
    LabelImportances, or dict of str to LabelImportances
        A dict by metric if `metric` is a sequence.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or X and y do not go together.
    TypeError
        If `estimator` has neither method.

    References
    ----------
    .. [1] L. Breiman. "Random forests". Machine Learning 45, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_mlloss.inspection import permutation_importance
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0]).astype(int)
    >>> model = KNeighborsClassifier(9).fit(X[:100], Y[:100])
    >>> result = permutation_importance(model, X[100:], Y[100:], random_state=0)
    >>> result.importances.shape
    (3, 2, 5)
    >>> result.importances_mean.argmax(axis=0)
    array([0, 1])
    """
    given = [metric] if isinstance(metric, str) else _sequence(metric)
    names = [_plain_name(name) for name in given]
    check_integer(n_repeats, "n_repeats", low=1)
    check_n_jobs(n_jobs)
    rng = check_random_state(random_state)
    method = choose_method(estimator, "auto")
    if method != "predict_proba" and set(names) & set(LOSSES):
        raise ValueError(
            f"metric={describe(metric)} needs probabilities, and {type(estimator).__name__} has no "
            f"predict_proba: use one of {', '.join(map(repr, GAINS))}"
        )
    X = as_table(X)
    targets, labels = read_targets(estimator, y)
    Y = targets.transform(y)
    check_consistent_length(X, Y)
    common: dict[str, Any] = dict(
        estimator=estimator, method=method, targets=targets, Y=Y, weight=sample_weight, names=names
    )
    scores = _score(X, **common)
    orders = [rng.permutation(X.shape[0]) for _ in range(n_repeats)]
    table = X.tocsc() if sp.issparse(X) else X
    columns = [(table, j) for j in range(X.shape[1])]
    permuted = call_in_parallel(
        _score_permuted, columns, n_jobs, common={"orders": orders, **common}
    )
    # Metrics, columns, labels, repetitions.
    worse = scores[:, None, :, None] - np.stack(permuted, axis=1)
    columns_of_X = feature_names(estimator, X)
    results = {
        key: LabelImportances(
            -values if name in LOSSES else values, score, name, columns_of_X, labels
        )
        for key, name, values, score in zip(given, names, worse, scores, strict=True)
    }
    return results[metric] if isinstance(metric, str) else results


def _sequence(metric: Any) -> list[Any]:
    names = list(metric) if np.iterable(metric) else []
    if not names:
        raise ValueError(
            f"metric must be a name or a sequence of names of {', '.join(METRICS)}, got "
            f"{describe(metric)}"
        )
    return names


def _plain_name(metric: Any) -> str:
    """Return the one of `METRICS` that a name in any usual spelling stands for."""
    name = find_metric(metric, METRICS)
    if name is None:
        raise ValueError(
            f"metric must be one of {', '.join(map(repr, METRICS))} (for others use scikit-learn's "
            f"permutation_importance, for one label with model.label(name)), got {describe(metric)}"
            f"{suggest_metric(metric, METRICS)}"
        )
    return name


def _score(
    X: Any,
    estimator: Any,
    method: str,
    targets: TargetCodec,
    Y: np.ndarray,
    weight: Any,
    names: Sequence[str],
) -> np.ndarray:
    """Return the metrics of all labels, of shape (n_metrics, n_labels)."""
    scores = label_scores(estimator, X, method, targets)
    return np.stack([METRICS[name](Y, scores, sample_weight=weight) for name in names])


def _score_permuted(X: Any, column: int, orders: Sequence[np.ndarray], **common: Any) -> np.ndarray:
    """Return the metrics with a column in other orders, shape (n_metrics, n_labels, n_orders)."""
    return np.stack([_score(_permute(X, column, order), **common) for order in orders], axis=-1)


def _permute(X: Any, column: int, order: np.ndarray) -> Any:
    """Return a copy of a table with the values of a column in another order; of CSC as CSR."""
    if sp.issparse(X):
        indices, part = X.indices.copy(), slice(*X.indptr[column : column + 2])
        indices[part] = np.argsort(order)[indices[part]]
        return type(X)((X.data, indices, X.indptr), shape=X.shape).tocsr()
    if hasattr(type(X), "iloc"):
        X = X.copy(deep=False)
        X.isetitem(column, X.iloc[order, column].array)
        return X
    if is_frame(X):  # of polars
        return X.with_columns(X.to_series(column).gather(order))
    X = X.copy()
    X[:, column] = X[order, column]
    return X
