"""Report of the metrics of each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from .._data.counts import fbeta, ratio
from .._data.labels import find_names
from .._data.partitions import gathered
from ._checks import check_inputs, per_label
from .probabilities import expected_calibration_error, multilabel_log_loss
from .rankings import macro_average_precision

if TYPE_CHECKING:
    import pandas

__all__ = [
    "multilabel_report",
]


def multilabel_report(
    Y: ArrayLike,
    proba: ArrayLike,
    Y_hat: ArrayLike,
    label_names: Sequence[Any] | None = None,
    *,
    sample_weight: ArrayLike | None = None,
) -> pandas.DataFrame:
    """Table of metrics with one row per label, and two averages over all labels.

    Parameters
    ----------
    Y, proba, Y_hat : array-like of shape (n_samples, n_labels)
        Labels (soft or hard), probabilities and predicted labels.
    label_names : sequence of length n_labels, default=None
        None takes the columns of a DataFrame Y, else numbers.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    pandas.DataFrame
        Columns "support" (positives), "observed" (entries), "prevalence" (their ratio),
        "mean_proba" (over observed entries), "precision", "recall", "f1", "average_precision",
        "roc_auc", "log_loss" and "ece". The row "micro" has all entries pooled, "macro" the mean
        over labels. A value 0 / 0 for a label (precision without predictions, recall without
        positives, F1 without either, AUC of one class) is NaN, and left out of the mean.

    Raises
    ------
    ImportError
        Without pandas.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import multilabel_report
    >>> proba = [[0.9, 0.2], [0.2, 0.4], [0.7, 0.1]]
    >>> report = multilabel_report([[1, 0], [0, 1], [1, 1]], proba, [[1, 0], [0, 0], [1, 0]], "ab")
    >>> report[["support", "precision", "recall", "f1"]]
           support  precision  recall        f1
    a          2.0        1.0     1.0  1.000000
    b          2.0        NaN     0.0  0.000000
    micro      4.0        1.0     0.5  0.666667
    macro      4.0        1.0     0.5  0.500000
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "multilabel_report returns a DataFrame, and pandas is not installed: "
            "pip install 'sklearn_mlloss[examples]'"
        ) from error
    Y, proba, Y_hat, sample_weight = gathered(Y, proba, Y_hat, sample_weight)
    table = Y
    Y_hat = check_inputs(Y, Y_hat, "Y_hat", sample_weight)[1]
    Y, proba, weight = check_inputs(Y, proba, "proba", sample_weight)
    names = find_names(table, label_names, Y.shape[1])

    def columns(
        Y: np.ndarray, proba: np.ndarray, Y_hat: np.ndarray, weight: np.ndarray
    ) -> dict[str, Any]:
        mass = weight[:, None] * ~np.isnan(Y)
        positive, hit = np.nansum(mass * Y, axis=0), np.nansum(mass * Y * Y_hat, axis=0)
        predicted, observed = (mass * Y_hat).sum(axis=0), mass.sum(axis=0)
        return {
            "support": positive,
            "observed": observed,
            "prevalence": ratio(positive, observed, np.nan),
            "mean_proba": ratio((mass * proba).sum(axis=0), observed, np.nan),
            "precision": ratio(hit, predicted, np.nan),
            "recall": ratio(hit, positive, np.nan),
            "f1": fbeta(hit, predicted, positive, undefined=np.nan),
            "average_precision": macro_average_precision(
                Y, proba, average=None, sample_weight=weight
            ),
            "roc_auc": per_label(sk.roc_auc_score, Y, proba, weight, both=True),
            "log_loss": multilabel_log_loss(Y, proba, average=None, sample_weight=weight),
            "ece": expected_calibration_error(Y, proba, average=None, sample_weight=weight),
        }

    report = pd.DataFrame(columns(Y, proba, Y_hat, weight), index=pd.Index(names, dtype=object))
    Y, proba, Y_hat = (values.reshape(-1, 1) for values in (Y, proba, Y_hat))
    weight = np.repeat(weight, len(names))
    overall = pd.DataFrame(columns(Y, proba, Y_hat, weight), index=["micro"])
    overall.loc["macro"] = report.mean()
    overall.loc["macro", ["support", "observed"]] = report[["support", "observed"]].sum()
    return pd.concat([report, overall])
