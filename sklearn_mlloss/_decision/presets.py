"""Presets per metric: loss, decoder, calibration, network, folds, and the weights of members."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from .._data.messages import describe
from .._data.metric_names import find_metric, suggest_metric
from .._data.validation import check_call
from .._sklearn import _BaseScorer
from ..decoders import Decoder, GlobalThreshold

__all__ = ["PRESETS", "preset_for", "vote_for"]

# For a metric of decisions: the decoder that is best for it if the scores are probabilities. The
# others look at scores only.
_DECODERS = {
    "f1_micro": "global_threshold",
    "f1_macro": "per_label_threshold",
    "f1_weighted": "per_label_threshold",
    "f1_samples": "expected_fbeta",
    # Larger where F1 is larger, for all entries together as for those of a label.
    "jaccard_micro": "global_threshold",
    "jaccard_macro": "per_label_threshold",
    "jaccard_weighted": "per_label_threshold",
    "jaccard_samples": "expected_jaccard",
    "hamming_loss": "threshold",
    "accuracy": "label_set",
} | dict.fromkeys(
    (
        "average_precision", "roc_auc", "label_ranking_average_precision", "ranking_loss",
        "coverage_error", "one_error", "ndcg", "precision_at_k",
        "propensity_scored_precision_at_k", "log_loss", "brier_score", "calibration_error",
    ),
    "auto",
)  # fmt: skip
# Those who ask for probabilities get calibrated ones: a lower log loss where there are many labels.
_OF_PROBABILITIES = ("log_loss", "brier_score", "calibration_error")
# Fewer errors than one layer on most real tables, but less well calibrated where rows are few.
_NETWORK = {"hidden_layer_sizes": (256, 256)}
_COMMON: dict[str, Any] = {"loss": "bce", "cv": 10}
PRESETS: dict[str, dict[str, Any]] = {
    name: _COMMON
    | {"decoder": decoder}
    | ({"calibration": "beta"} if name in _OF_PROBABILITIES else {})
    | ({} if name == "calibration_error" else _NETWORK)
    for name, decoder in _DECODERS.items()
}
# They go by the ranks of the rows within each label: forests have good ones, which log loss, and
# with it weights that are learned, gives no credit for. An equal share for a linear model, which
# the networks have as a part, lowers them.
_OF_RANKS_OF_ROWS = ("average_precision", "roc_auc")


# Largest where hardly any label is predicted, or all are.
_ONE_SIDED = [
    metric + average
    for metric in ("precision", "recall")
    for average in ("", "_micro", "_macro", "_weighted", "_samples")
]
ONE_SIDED = (
    "; predicting hardly any label maximises precision alone, and predicting all of them recall: "
    "use functools.partial(sklearn.metrics.fbeta_score, beta=2, average='macro'), with a beta "
    "below 1 for precision, or 'precision_at_k'"
)
# Arguments of functions for which a preset is as good.
_MINOR = {"average", "pos_label", "zero_division", "empty", "k", "n_bins", "propensities"}
# Names of the second argument of metrics that do not take decisions.
_SCORES = {"y_score", "y_proba", "y_prob", "proba", "scores", "pred_decision"}


def preset_for(metric: Any, folds: bool = True) -> dict[str, Any]:
    """Return the parameters of a classifier that suit a metric.

    Parameters
    ----------
    metric : str or callable
        A name of `PRESETS` in any spelling, see `find_metric`; a scorer of scikit-learn; or a
        function ``(Y, Y_hat)``, greater is better. Scorers and functions of scikit-learn and of
        this package have the preset of their name. Of others, those of decisions are maximised by
        a `GlobalThreshold`.
    folds : bool, default=True
        Whether there are folds. A tenth of the rows, on which training stops, is too little to gain
        by a calibration.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If the metric is not known.
    """
    name = _name_of(metric)
    preset = dict(PRESETS[name]) if name else _COMMON | _NETWORK | {"decoder": _decoder_for(metric)}
    if not folds:
        preset.pop("calibration", None)
    return preset


def vote_for(metric: Any) -> str | None:
    """Return the `weights` of a `SoftVotingClassifier` of the members that suit a metric.

    For the same metrics as `preset_for`, and with its errors.
    """
    return None if _name_of(metric) in _OF_RANKS_OF_ROWS else "learned"


def _name_of(metric: Any) -> str | None:
    """Return the name of a metric in `PRESETS`; None for a callable that is none of them."""
    if not callable(metric):
        name = find_metric(metric, PRESETS)
        if name is None:
            hint = ONE_SIDED if find_metric(metric, _ONE_SIDED) else suggest_metric(metric, PRESETS)
            raise ValueError(
                f"metric must be one of {', '.join(PRESETS)}, a scorer of scikit-learn or a "
                f"function (Y, Y_hat), got {describe(metric)}{hint}"
            )
        return name
    function, options = _function_of(metric)
    if not str(getattr(function, "__module__", "")).startswith(("sklearn.", "sklearn_mlloss.")):
        return None
    # With another beta, the options have no preset.
    name = function.__name__.replace("f_measure", "f1").replace("fbeta", "f1")
    average = inspect.signature(function).parameters.get("average")
    default = None if average is None else average.default
    chosen = options.get("average", default)
    if default == "binary" and "average" not in options:
        raise ValueError(
            f"metric={function.__name__} needs an average over labels: give "
            f"functools.partial({function.__name__}, average='macro')"
        )
    if not {key for key in options if (key, options[key]) != ("beta", 1)} <= _MINOR:
        return None
    found = find_metric(f"{name}_{chosen}", PRESETS)
    return found or (find_metric(name, PRESETS) if chosen == default else None)


def _function_of(metric: Any) -> tuple[Any, dict[str, Any]]:
    """Return the function of a scorer or of a partial, and its arguments."""
    if isinstance(metric, _BaseScorer):
        function, options = _function_of(metric._score_func)
        return function, options | metric._kwargs
    if isinstance(metric, partial) and not metric.args:
        return metric.func, metric.keywords
    return metric, {}


def _decoder_for(metric: Any) -> str | Decoder:
    """Return a decoder that maximises a metric of decisions; "auto" for one of scores."""
    function, options = _function_of(metric)
    if isinstance(metric, _BaseScorer):
        if metric._response_method != "predict":
            return "auto"
        of_labels = partial(function, **options) if options else function
        return GlobalThreshold(of_labels if metric._sign > 0 else partial(_negative, of_labels))
    check_call(metric, "metric", "Y", "Y_hat")
    if _second_argument(function) in _SCORES:
        return "auto"
    return GlobalThreshold(metric)


def _second_argument(function: Any) -> str:
    try:
        return [*inspect.signature(function).parameters][1]
    except (TypeError, ValueError, IndexError):  # as of functions written in C
        return ""


def _negative(loss: Callable[..., float], *args: Any, **kwargs: Any) -> float:
    return -loss(*args, **kwargs)
