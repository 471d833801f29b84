"""Names of metrics: the spellings in use for the same metric."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .messages import did_you_mean

__all__ = ["advise_metric", "find_metric", "suggest_average", "suggest_metric"]

# Words that change nothing: a sign, and ends of the names of functions.
_SILENT = {"neg", "score", "multilabel"}
# Other names in use. Of each pair, the words may come in any order and with silent ones.
_ALIASES = {
    "jaccard": "jaccard_samples",
    "hamming": "hamming_loss",
    "subset_accuracy": "accuracy",
    "exact_match": "accuracy",
    "zero_one_loss": "accuracy",
    "exact_match_ratio": "accuracy",
    "ap": "average_precision",
    "ap_macro": "average_precision",
    "average_precision_macro": "average_precision",
    "mean_average_precision": "average_precision",
    "map": "average_precision",
    "roc_auc_macro": "roc_auc",
    "auc": "roc_auc",
    "auc_macro": "roc_auc",
    "auroc": "roc_auc",
    "auroc_macro": "roc_auc",
    "lrap": "label_ranking_average_precision",
    "label_ranking_loss": "ranking_loss",
    "coverage": "coverage_error",
    "logloss": "log_loss",
    "brier_loss": "brier_score",
    "brier": "brier_score",
    "ece": "calibration_error",
    "expected_calibration_error": "calibration_error",
    "ndcg_at_k": "ndcg",
}
# Words that say how the labels are averaged.
_AVERAGES = ("micro", "macro", "weighted", "samples")
# Names of metrics that are others, but close to one.
_CLOSE = {frozenset({"auprc"}): "average_precision", frozenset({"pr", "auc"}): "average_precision"}
# Words of metrics that are in no name of a loss or decoder.
_OF_METRICS = frozenset("accuracy auc auroc f1 hamming lrap map ndcg precision recall roc".split())
# It has no scorer by name, neither in scikit-learn nor here.
_NDCG = "sklearn.metrics.make_scorer(ndcg_score, response_method='predict_proba', k=3)"


def find_metric(name: Any, names: Iterable[str]) -> str | None:
    """Return the one of `names` that stands for the same metric.

    The order of the words, "neg_" and "_score" do not matter, and a number stands for the k of a
    name such as "precision_at_k".

    Parameters
    ----------
    name : object
        What is not a string is no name of a metric.
    names : iterable of str
        The names that exist.

    Returns
    -------
    str or None
        `name` itself, if it exists, else the first that fits; None if there is none.

    Examples
    --------
    >>> from sklearn_mlloss._data.metric_names import find_metric
    >>> names = ["f1_macro", "neg_hamming_loss", "neg_calibration_error"]
    >>> [find_metric(name, names) for name in ("macro_f1_score", "hamming", "ECE", "f1")]
    ['f1_macro', 'neg_hamming_loss', 'neg_calibration_error', None]
    """
    if not isinstance(name, str):
        return None
    names = list(names)
    if name in names:
        return name
    by_words: dict[frozenset[str], str] = {}
    for other in names:
        by_words.setdefault(_key(other), other)
    return by_words.get(_key(name)) or by_words.get(_key(re.sub(r"\d+$", "k", name)))


def suggest_metric(name: Any, names: Iterable[str]) -> str:
    """Return the end of an error message: the metrics that were probably meant, or nothing.

    Examples
    --------
    >>> from sklearn_mlloss._data.metric_names import suggest_metric
    >>> suggest_metric("F1", ["f1_micro", "f1_macro", "neg_log_loss"])
    "; it needs an average over labels: use 'f1_micro' or 'f1_macro'"
    """
    if not isinstance(name, str):
        return ""
    names = list(names)
    average = suggest_average(name, names)
    if average:
        return average
    key = _key(re.sub(r"\d+$", "k", name))
    close = find_metric(_CLOSE.get(key), names)
    if close:
        return f"; did you mean {close!r}?"
    if key == {"ndcg"}:
        return f"; use {_NDCG}"
    return did_you_mean(name, names, form=lambda name: "_".join(sorted(_words(name))))


def advise_metric(name: Any) -> str:
    """Return the end of an error message for what seems to be a metric, or nothing.

    Losses, decoders and classifiers are asked for by names of metrics, too.
    """
    words = _words(name) if isinstance(name, str) else frozenset()
    return "; for a metric use for_metric(metric)" if words & _OF_METRICS else ""


def suggest_average(name: Any, names: Iterable[str]) -> str:
    """Return the end of an error message: the averages of a metric of one label, or nothing."""
    averages = _averages_of(name, names) if isinstance(name, str) else []
    if not averages:
        return ""
    return f"; it needs an average over labels: use {' or '.join(map(repr, averages))}"


def _averages_of(name: str, names: Iterable[str]) -> list[str]:
    """Return those of `names` that are the same metric with an average over labels."""
    forms = [_words(name) | {average} for average in _AVERAGES]
    averages = [other for other in dict.fromkeys(names) if _words(other) in forms]
    # "average_precision" and "roc_auc_ovr", with one other average each, are averages themselves.
    return averages if len(averages) > 1 else []


def _words(name: str) -> frozenset[str]:
    words = re.findall("[a-z0-9]+", name.lower().replace("@", "_at_"))
    return frozenset(words) - _SILENT


def _key(name: str) -> frozenset[str]:
    words = _words(name)
    return _WORDS_OF_ALIASES.get(words, words)


_WORDS_OF_ALIASES = {_words(alias): _words(name) for alias, name in _ALIASES.items()}
