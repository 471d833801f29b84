"""Report of the metrics of each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from .._data.counts import fbeta, ratio
from .._data.labels import find_names
from .._data.reductions import sum_partitions
from ._checks import label_blocks, per_label, sums_defined
from .probabilities import error_of_bins, log_losses, sums_of_bins
from .rankings import average_precision

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
        positives, F1 without either, AUC of one class) is NaN, and left out of the mean. If Y and
        predictions are dask collections that do not fit in one process, "average_precision" and
        "roc_auc" of "micro" are NaN, too: they rank all entries.

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
    parts = []
    for block in label_blocks(Y, sample_weight, Y_hat=Y_hat, proba=proba):
        parts.append(pd.DataFrame(_columns(_sums(*block), *_rank_metrics(*block))))
    report = pd.concat(parts, ignore_index=True)
    if len(parts) == 1:
        pooled = _pool(*block)
        overall = _columns(_sums(*pooled), *_rank_metrics(*pooled))
    else:
        # All entries do not fit in memory, and their rankings need them.
        total = sum_partitions(_pooled_sums, Y, Y_hat, proba, sample_weight)
        overall = _columns(total, np.nan, np.nan)
    report.index = pd.Index(find_names(Y, label_names, len(report)), dtype=object)
    averages = pd.DataFrame(overall, index=["micro"])
    averages.loc["macro"] = report.mean()
    averages.loc["macro", ["support", "observed"]] = report[["support", "observed"]].sum()
    return pd.concat([report, averages])


def _sums(Y: np.ndarray, Y_hat: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> tuple:
    """Return what the columns are computed from, but for metrics of rankings: sums over rows."""
    mass = weight[:, None] * ~np.isnan(Y)
    return (
        np.nansum(mass * Y, axis=0),
        np.nansum(mass * Y * Y_hat, axis=0),
        (mass * Y_hat).sum(axis=0),
        mass.sum(axis=0),
        (mass * proba).sum(axis=0),
        *sums_defined(log_losses(Y, proba), weight),
        *sums_of_bins(Y, proba, weight),
    )


def _rank_metrics(
    Y: np.ndarray, Y_hat: np.ndarray, proba: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return average precision and ROC AUC of each label."""
    auc = per_label(sk.roc_auc_score, Y, proba, weight, both=True)
    return average_precision(Y, proba, weight), auc


def _columns(sums: tuple, average_precision: Any, roc_auc: Any) -> dict[str, Any]:
    positive, hit, predicted, observed, proba, loss, n_losses, gap, mass = sums
    return {
        "support": positive,
        "observed": observed,
        "prevalence": ratio(positive, observed, np.nan),
        "mean_proba": ratio(proba, observed, np.nan),
        "precision": ratio(hit, predicted, np.nan),
        "recall": ratio(hit, positive, np.nan),
        "f1": fbeta(hit, predicted, positive, undefined=np.nan),
        "average_precision": average_precision,
        "roc_auc": roc_auc,
        "log_loss": ratio(loss, n_losses, np.nan),
        "ece": error_of_bins((gap, mass)),
    }


def _pool(*block: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return labels, predictions and weights of all entries, as if of a single label."""
    *matrices, weight = block
    n_labels = matrices[0].shape[1]
    return *(values.reshape(-1, 1) for values in matrices), np.repeat(weight, n_labels)


def _pooled_sums(Y: Any, Y_hat: Any, proba: Any, sample_weight: Any) -> tuple:
    (block,) = label_blocks(Y, sample_weight, Y_hat=Y_hat, proba=proba)
    return _sums(*_pool(*block))
