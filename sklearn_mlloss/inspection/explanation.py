"""Contributions of the columns of X to single predictions of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._data.messages import describe, warn_user
from .._data.tables import as_table
from .._data.validation import check_integer
from ._inputs import feature_names, import_pandas

if TYPE_CHECKING:
    import pandas

__all__ = ["Explanation", "explain"]

# Rows of a baseline that are taken: their number multiplies the work.
MOST_BASELINES = 1000
# Share of the absolute contributions by which their sum may be wrong without a warning.
TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Explanation:
    """Contributions of the columns of X to the log-odds of labels, as `explain` returns them.

    Attributes
    ----------
    contributions : ndarray of shape (n_samples, n_features, n_labels)
        They sum over the columns to ``logits - baseline_logits``.
    logits : ndarray of shape (n_samples, n_labels)
        Log-odds of the rows, before calibration.
    baseline_logits : ndarray of shape (n_labels,)
        Log-odds of the baseline, or their mean over its rows.
    feature_names, label_names : list
        Names of the columns of X and of the labels, or their numbers.
    row_names : list
        Index of a DataFrame, or row numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.inspection import Explanation
    >>> contributions = np.array([[[1.5], [-0.5]]])
    >>> explanation = Explanation(contributions, np.array([[0.0]]), np.array([-1.0]),
    ...                           ["age", "income"], ["news"], ["Ann"])
    >>> explanation.to_frame()
         age  income
    Ann  1.5    -0.5
    """

    contributions: np.ndarray
    logits: np.ndarray
    baseline_logits: np.ndarray
    feature_names: list[Any]
    label_names: list[Any]
    row_names: list[Any]

    def to_frame(self) -> pandas.DataFrame:
        """Return the contributions as a DataFrame with one column per column of X.

        Returns
        -------
        pandas.DataFrame
            One row per row of X, or with several labels one per row and label, of which the index
            has the two levels "row" and "label".
        """
        pd = import_pandas("Explanation.to_frame")
        if len(self.label_names) == 1:
            return pd.DataFrame(self.contributions[:, :, 0], self.row_names, self.feature_names)
        index = pd.MultiIndex.from_product(
            [self.row_names, self.label_names], names=["row", "label"]
        )
        values = self.contributions.transpose(0, 2, 1).reshape(len(index), -1)
        return pd.DataFrame(values, index, self.feature_names)


def explain(
    model: Any, X: Any, label: Any = None, *, baseline: Any = None, n_steps: int = 64
) -> Explanation:
    r"""Explain predictions of a network by integrated gradients: contributions of columns [1]_.

    With :math:`z` the encoded row, :math:`z'` the baseline and :math:`G_l` the log-odds of label l,
    column j contributes

    .. math:: \sum_{i \in j} (z_i - z'_i) \int_0^1
              \frac{\partial G_l}{\partial z_i}\big(z' + t (z - z')\big)\, dt,

    a sum over the numbers that the column is encoded as: bins, categories, and an indicator of
    missing values. The contributions sum to :math:`G_l(z) - G_l(z')`. :math:`G` is the logit of
    `predict_proba` without calibration, of several networks that of their mean probability, with
    the linear part of a network and the link of its loss.

    Parameters
    ----------
    model : MultiLabelNetClassifier
        Fitted, of a search its `best_estimator_`. A custom `module` must be differentiable, and
        `encoding` must not be a transformer.
    X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
        Rows to explain.
    label : str or int, optional
        A name or the number of a label, or a class of a 1-D y; see `MultiLabelNetClassifier.label`.
        None explains all labels; the time is proportional to their number.
    baseline : {array-like, DataFrame, sparse matrix} of shape (n_baselines, n_features), optional
        Rows to compare with, at most 1000, such as 50 training rows. Contributions are averaged
        over them, and the time is proportional to their number. None is the centre of the encoding,
        where all encoded numbers are 0: the mean of a column in the training rows for the encodings
        "piecewise_linear" and "standard", the median for "robust" and "quantile", 0 for a sparse X
        or ``encoding=None``, nothing missing, and none of the categories.
    n_steps : int, default=64
        Number of points of the path from the baseline to a row. A warning is raised if the
        contributions do not add up with so many.

    Returns
    -------
    Explanation

    Raises
    ------
    TypeError
        If the model is not such a network.
    ValueError
        If X, the baseline or the label do not suit the model, or its encoding mixes columns.

    See Also
    --------
    permutation_importance : The importance of columns for any classifier, over many rows.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly, Q. Yan. "Axiomatic attribution for deep networks". ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss import MultiLabelNetClassifier
    >>> from sklearn_mlloss.inspection import explain
    >>> X = np.random.default_rng(0).normal(size=(300, 3))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0]).astype(int)
    >>> model = MultiLabelNetClassifier(random_state=0).fit(X, Y)
    >>> explanation = explain(model, [[2.0, 0.1, 0.5]], label=0)
    >>> explanation.contributions[0, :, 0].argmax()
    np.int64(0)
    """
    check_integer(n_steps, "n_steps", low=1)
    _check_model(model)
    targets, names = model._targets, model._targets.names(model.label_names_)
    first = 1 if targets.kind == "binary" else 0  # of two classes the second is explained
    picked = list(range(first, len(names)))
    if label is not None:
        picked = [targets.find(label, model.label_names_)[0]]
    X, before = as_table(X), None
    rows = model._check_X(X)
    if baseline is not None:
        before = _check_baseline(model, baseline)

    from .._training.attribution import attribute

    columns = [0] * len(picked) if targets.kind == "binary" else picked
    sign = -1 if targets.kind == "binary" and picked == [0] else 1
    found = attribute(model.nets_, rows, before, columns, targets.kind == "multiclass", n_steps)
    _warn_of_remainder(*found, n_steps)
    contributions, logits, baseline_logits = (sign * values for values in found)
    index = X.index if hasattr(type(X), "iloc") else range(X.shape[0])
    return Explanation(
        contributions, logits, baseline_logits, feature_names(model, X),
        [names[j] for j in picked], list(index),
    )  # fmt: skip


def _check_model(model: Any) -> None:
    """Raise unless a model is a fitted network."""
    from ..classifier import MultiLabelNetClassifier  # torch takes a second

    if not isinstance(model, MultiLabelNetClassifier):
        if hasattr(model, "best_estimator_"):
            advice = "give its best_estimator_"
        elif hasattr(model, "steps"):
            advice = "give its last step, and X as the steps before transform it"
        else:
            advice = "use permutation_importance, or SHAP"
        raise TypeError(
            f"explain needs a fitted MultiLabelNetClassifier, got {describe(model)}: {advice}"
        )
    check_is_fitted(model)


def _check_baseline(model: Any, baseline: Any) -> Any:
    """Return the rows of a baseline as the network takes them."""
    table = as_table(baseline, "baseline")
    if table.shape[0] > MOST_BASELINES:
        raise ValueError(
            f"baseline has {table.shape[0]} rows, and each takes as much time as the explanation "
            f"itself: give a sample of at most {MOST_BASELINES}, better 50"
        )
    try:
        return model._check_X(table)
    except Exception as error:  # raised again as it is
        error.add_note("This was raised by the rows of baseline.")
        raise


def _warn_of_remainder(
    contributions: np.ndarray, logits: np.ndarray, baseline_logits: np.ndarray, n_steps: int
) -> None:
    """Warn if the contributions do not sum to the differences of the log-odds."""
    missing = np.abs(contributions.sum(axis=1) - (logits - baseline_logits))
    wrong = missing > TOLERANCE * np.abs(contributions).sum(axis=1) + 1e-6
    if wrong.any():
        warn_user(
            f"the contributions for {wrong.any(axis=1).sum()} row(s) do not sum to the difference "
            f"of the log-odds, by up to {missing[wrong].max():.3g}: give more than "
            f"n_steps={n_steps}. A loss whose link has a step, such as hinge, has no such sum"
        )
