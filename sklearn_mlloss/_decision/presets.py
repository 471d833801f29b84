"""Presets per metric: loss, decoder, calibration, network, folds, and the weights of members."""

from __future__ import annotations

import re
from typing import Any

from .._data.messages import describe, did_you_mean

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
# Other names in use for the same.
_ALIASES = {
    "jaccard": "jaccard_samples",
    "hamming": "hamming_loss",
    "subset_accuracy": "accuracy",
    "macro_ap": "average_precision",
    "macro_average_precision": "average_precision",
    "lrap": "label_ranking_average_precision",
    "ece": "calibration_error",
    "expected_calibration_error": "calibration_error",
}
# Those who ask for probabilities get calibrated ones: a lower log loss where there are many labels.
_OF_PROBABILITIES = ("log_loss", "brier_score", "calibration_error")
# Fewer errors than one layer on most real tables, but less well calibrated where rows are few.
_NETWORK = {"hidden_layer_sizes": (256, 256)}
PRESETS: dict[str, dict[str, Any]] = {
    name: {"loss": "bce", "decoder": decoder, "cv": 10}
    | ({"calibration": "beta"} if name in _OF_PROBABILITIES else {})
    | ({} if name == "calibration_error" else _NETWORK)
    for name, decoder in _DECODERS.items()
}
PRESETS.update({alias: PRESETS[name] for alias, name in _ALIASES.items()})
# They go by the ranks of the rows within each label: forests have good ones, which log loss, and
# with it weights that are learned, gives no credit for. An equal share for a linear model, which
# the networks have as a part, lowers them.
_OF_RANKS_OF_ROWS = ("average_precision", "roc_auc")


def preset_for(metric: Any, folds: bool = True) -> dict[str, Any]:
    """Return the parameters of a classifier that suit a metric.

    Parameters
    ----------
    metric : str
        A name of `PRESETS`; "neg_" before it means the same, and so does a number for k.
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
    preset = dict(PRESETS[_checked(metric)])
    if not folds:
        preset.pop("calibration", None)
    return preset


def vote_for(metric: Any) -> str | None:
    """Return the `weights` of a `SoftVotingClassifier` of the members that suit a metric.

    For the same metrics as `preset_for`, and with its errors.
    """
    name = _checked(metric)
    return None if _ALIASES.get(name, name) in _OF_RANKS_OF_ROWS else "learned"


def _checked(metric: Any) -> str:
    """Return the name of a metric in `PRESETS`, or raise a ValueError."""
    name = metric
    if isinstance(metric, str):
        name = re.sub(r"_at_\d+$", "_at_k", metric.removeprefix("neg_"))
    if isinstance(name, str) and name in PRESETS:
        return name
    raise ValueError(
        f"metric must be one of {', '.join(PRESETS)}, got {describe(metric)}"
        f"{did_you_mean(metric, PRESETS)}"
    )
