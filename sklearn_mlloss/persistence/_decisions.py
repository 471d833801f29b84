"""Calibrators and decoders as functions of tensors, and so of symbols of a graph.

Each does what `transform` or `decode` of its object does, and is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import calibration as _calibration
from .. import decoders as _decoders
from .._data.messages import describe
from .._data.scores import SQUASH
from ..calibration import _TIE_SHARE, Calibrator
from ..decoders import Decoder, counts, hierarchy, rows, sets
from ..networks.layers import inverse
from ._expected import (
    best_length,
    fbeta_values,
    gfm_chosen,
    gfm_gains,
    gfm_values,
    jaccard_values,
)

__all__ = ["calibrated", "decided"]


def calibrated(calibrator: Calibrator, scores: Tensor) -> Tensor:
    """Return the scores as the calibrator transforms them."""
    function = CALIBRATORS.get(type(calibrator))
    if function is None:
        raise NotImplementedError(
            f"calibration={describe(calibrator)} cannot be exported to ONNX: use one of "
            "sklearn_mlloss.calibration.CALIBRATORS, or None"
        )
    identity = np.isin(np.arange(calibrator.n_labels_), calibrator.identity_labels_)
    proba = torch.where(torch.tensor(identity), scores, function(calibrator, scores))
    return proba.clamp(np.finfo(np.float64).tiny, np.nextafter(1.0, 0.0))


def decided(decoder: Decoder, scores: Tensor, count: Tensor | None) -> Tensor:
    """Return the labels that the decoder predicts from calibrated scores, of type bool."""
    function = DECODERS.get(type(decoder))
    if function is None:
        raise NotImplementedError(
            f"decoder={describe(decoder)} cannot be exported to ONNX: set labels=False to export "
            "probabilities, and decode them elsewhere"
        )
    return function(decoder, scores, count)


# ---------------------------------------------------------------------- calibrators


def _inside(p: Tensor, offset: float) -> Tensor:
    return ((p + offset) / (1 + 2 * offset)).clamp(1e-15, 1 - 1e-15)


def _log_odds(p: Tensor) -> Tensor:
    return p.log() - (-p).log1p()


def _probability(z: Tensor) -> Tensor:
    """Return what `to_probability` returns."""
    size = z.abs()
    away = (1 - 2 * SQUASH) * (-size).sigmoid() + SQUASH / (1 + size)
    return torch.where(z < 0, away, 1 - away)


def _temperature(calibrator: Any, scores: Tensor) -> Tensor:
    s = _log_odds(_inside(scores, calibrator.offset_))
    return _probability(s / calibrator.temperature_)


def _sigmoid(calibrator: Any, scores: Tensor) -> Tensor:
    s = _log_odds(_inside(scores, calibrator.offset_))
    return _probability(torch.tensor(calibrator.slopes_) * s + torch.tensor(calibrator.intercepts_))


def _beta(calibrator: Any, scores: Tensor) -> Tensor:
    p = _inside(scores, calibrator.offset_)
    a, b = torch.tensor(calibrator.slopes_.T)
    return _probability(a * p.log() - b * (-p).log1p() + torch.tensor(calibrator.intercepts_))


def _isotonic(calibrator: Any, scores: Tensor) -> Tensor:
    columns = []
    for label, regression in enumerate(calibrator.regressions_):
        column = scores[..., label : label + 1]
        if regression is not None:
            column = _steps(column, regression.X_thresholds_, regression.y_thresholds_)
        columns.append(column)
    clips = torch.tensor(calibrator.clips_)
    mapped = torch.minimum(torch.maximum(torch.cat(columns, -1), clips), 1 - clips)
    s = _log_odds(_inside(scores, 0.0))
    rank = 0.5 + 0.5 * s / (1 + s.abs())
    proba = (1 - _TIE_SHARE) * mapped + _TIE_SHARE * rank
    if calibrator.sigmoid_ is None:
        return proba
    fallback = np.isin(np.arange(calibrator.n_labels_), calibrator.fallback_labels_)
    return torch.where(torch.tensor(fallback), calibrated(calibrator.sigmoid_, scores), proba)


def _steps(column: Tensor, knots: np.ndarray, heights: np.ndarray) -> Tensor:
    """Return a piecewise-linear function of a column, constant beyond its knots."""
    if len(knots) == 1:
        return column * 0 + float(heights[0])
    slope = torch.tensor(inverse(np.diff(knots)))
    filled = ((column - torch.tensor(knots[:-1])) * slope).clamp(0, 1)
    rise = torch.tensor(np.diff(heights))[:, None]
    return filled @ rise + float(heights[0])


CALIBRATORS: dict[type, Callable[[Any, Tensor], Tensor]] = {
    _calibration.BetaCalibrator: _beta,
    _calibration.IsotonicCalibrator: _isotonic,
    _calibration.SigmoidCalibrator: _sigmoid,
    _calibration.TemperatureCalibrator: _temperature,
}

# ---------------------------------------------------------------------- decoders


def _first(ranking: Tensor, k: Any) -> Tensor:
    """Return the first k labels of each ranking; k is a number, or one per row as a column."""
    places = torch.arange(ranking.shape[-1], dtype=torch.float64)
    # Each place is overwritten.
    chosen = torch.where(ranking >= 0, places, 0.0) < k
    return chosen.scatter(-1, ranking, chosen)


def _ranking(scores: Tensor) -> Tensor:
    return scores.sort(descending=True, stable=True)[1]


def _round_half_up(values: Tensor) -> Tensor:
    return (values + 0.5 + counts._TOLERANCE).floor()


def _shares(scores: Tensor) -> Tensor:
    total = scores.sum(-1, keepdim=True)
    return torch.where(total > 0, scores / total, 1 / scores.shape[-1])


def _given(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    return scores >= torch.tensor(decoder._thresholds(scores.shape[-1]))


def _tuned(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    return scores >= decoder.threshold_


def _tuned_per_label(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    return scores >= torch.tensor(decoder.thresholds_)


def _top_k(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    return _first(_ranking(scores), float(decoder.k_ if decoder.k is None else decoder.k))


def _cardinality(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    if decoder.uses_count_ and count is not None:
        z = count.unsqueeze(-1)
    else:
        z = scores.sum(-1, keepdim=True)
    k = _round_half_up(z * decoder.slope_ + decoder.intercept_)
    return _first(_ranking(scores), k)


def _cumulative(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    ranked, ranking = _shares(scores).sort(descending=True, stable=True)
    before = ranked.cumsum(-1) - ranked
    needed = (before < decoder.mass - counts._TOLERANCE).double().sum(-1, keepdim=True)
    return _first(ranking, needed)


def _one_over_n(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    return _shares(scores) * scores.shape[-1] >= 1 - counts._TOLERANCE


def _max_gap(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    if scores.shape[-1] == 1:
        return scores >= -torch.inf
    ranked, ranking = scores.sort(descending=True, stable=True)
    ranked = ranked / 2
    gaps = ranked[..., :-1] - ranked[..., 1:]
    largest = gaps.amax(-1, keepdim=True)
    tie = torch.minimum(rows._TIE * ranked.abs().amax(-1, keepdim=True), largest / 2)
    first = (gaps >= largest - tie).double().argmax(-1, keepdim=True)
    return _first(ranking, first.double() + 1) | (largest == 0)


def _at_least_one(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    chosen = decided(_inner(decoder), scores, count)
    return chosen | (~chosen.any(-1, keepdim=True) & _first(_ranking(scores), 1.0))


def _inner(decoder: Any) -> Any:
    return decoder.decoder_ if hasattr(decoder, "decoder_") else decoder._unfitted()


def _expected_fbeta(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    ranked, ranking = scores.sort(descending=True, stable=True)
    values = fbeta_values(ranked, decoder.beta, decoder.empty)
    return _first(ranking, best_length(values))


def _expected_jaccard(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    ranked, ranking = scores.sort(descending=True, stable=True)
    return _first(ranking, best_length(jaccard_values(ranked, decoder.empty)))


def _gfm(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    if not len(decoder.label_sets_):
        return _expected_fbeta(decoder, scores, count)
    posterior = _log_posterior(decoder, scores).softmax(-1)
    gains = gfm_gains(decoder, posterior)
    best = best_length(gfm_values(decoder, posterior, gains))
    return _first(_ranking(gfm_chosen(gains, best)), best)


def _threshold_function(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    threshold = (scores * torch.tensor(decoder.coef_)).sum(-1, keepdim=True)
    return scores >= threshold + decoder.intercept_


def _label_set(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    if not len(decoder.label_sets_):
        return scores >= 0.5
    posterior = _log_posterior(decoder, scores)
    best = (posterior >= posterior.amax(-1, keepdim=True) - sets._TIE).double().argmax(-1)
    return torch.tensor(decoder.label_sets_)[best]


def _log_posterior(decoder: Any, scores: Tensor) -> Tensor:
    p = scores.clamp(sets._SMALLEST_PROBABILITY, 1 - sets._SMALLEST_PROBABILITY)
    lift = torch.tensor(decoder.dependence * decoder.log_lift_)
    return _log_odds(p) @ torch.tensor(decoder.label_sets_.T.astype(float)) + lift


def _hierarchy(decoder: Any, scores: Tensor, count: Tensor | None) -> Tensor:
    n_labels = scores.shape[-1]
    parents, levels = decoder._levels(n_labels)
    inner = _inner(decoder)
    gain = scores if inner is None else decided(inner, scores, count).double()
    gain = gain - 0.5
    for level in levels[:0:-1]:
        to_parent = np.zeros((n_labels, n_labels))
        to_parent[level, parents[level]] = 1
        gain = gain + gain.clamp(min=0) @ torch.tensor(to_parent)
    kept = gain > hierarchy._TOLERANCE
    for level in levels[1:]:
        above = np.arange(n_labels)
        above[level] = parents[level]
        kept = kept & kept.index_select(-1, torch.tensor(above))
    return kept


DECODERS: dict[type, Callable[[Any, Tensor, Tensor | None], Tensor]] = {
    _decoders.Argmax: _top_k,
    _decoders.AtLeastOne: _at_least_one,
    _decoders.CardinalityCut: _cardinality,
    _decoders.CostSensitiveThreshold: _given,
    _decoders.CumulativeCut: _cumulative,
    _decoders.ExpectedFBeta: _expected_fbeta,
    _decoders.ExpectedJaccard: _expected_jaccard,
    _decoders.FixedThreshold: _given,
    _decoders.GFMDecoder: _gfm,
    _decoders.GlobalThreshold: _tuned,
    _decoders.HierarchyClosure: _hierarchy,
    _decoders.LabelSetDecoder: _label_set,
    _decoders.MaxGapCut: _max_gap,
    _decoders.OneOverN: _one_over_n,
    _decoders.PerLabelThreshold: _tuned_per_label,
    _decoders.ProportionCut: _tuned_per_label,
    _decoders.RiskControl: _tuned,
    _decoders.ThresholdFunction: _threshold_function,
    _decoders.TopK: _top_k,
}
