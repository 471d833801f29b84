"""The decision of a classifier: which decoder and calibration, and what to warn of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from .._data.targets import TargetCodec
from .._data.validation import is_auto, warn_user
from ..calibration import Calibrator, get_calibrator
from ..decoders import Argmax, Decoder, FixedThreshold, get_decoder

if TYPE_CHECKING:  # the decisions of other classifiers need no torch
    from ..losses import Loss

__all__ = [
    "KEEP",
    "make_calibrator",
    "make_decoder",
    "make_plain_decoder",
    "warn_of_fallback",
]


class _Keep:
    def __repr__(self) -> str:
        return "KEEP"


KEEP = _Keep()  # stands for the present decoder or calibration where another can be given


def make_decoder(spec: Any, loss: Loss, targets: TargetCodec, calibrated: bool) -> Decoder:
    """Return an unfitted decoder, with a warning where it does not suit loss or targets.

    Parameters
    ----------
    spec : str or Decoder
        "auto" is the default of the loss.
    loss : Loss
        Fitted.
    targets : TargetCodec
        Fitted.
    calibrated : bool
        Whether a calibration makes probabilities of the scores.

    Returns
    -------
    Decoder
    """
    decoder = clone(get_decoder(loss.default_decoder if is_auto(spec) else spec))
    if targets.kind == "multiclass":
        return _largest_score(spec, decoder)
    _try(decoder, targets.n_labels_)
    # A loss without probabilities may still have a natural cut, and then says so.
    natural = type(decoder) is type(get_decoder(loss.default_decoder))
    if decoder.needs_probabilities and not (loss.proper or natural or calibrated):
        warn_user(
            f"{decoder!r} takes scores for probabilities, but those of {type(loss).__name__} are "
            f"none: use decoder={loss.default_decoder!r}, another that learns from held-out "
            "rows, or calibration='sigmoid'"
        )
    return decoder


def make_plain_decoder(
    spec: Any, default: str, method: str, targets: TargetCodec, calibrated: bool
) -> Decoder:
    """Return an unfitted decoder for a classifier without a loss, with warnings as above.

    Parameters
    ----------
    spec : str or Decoder
    default : str
        What "auto" stands for.
    method : {"predict_proba", "decision_function"}
        Where the scores come from.
    targets, calibrated : see `make_decoder`

    Returns
    -------
    Decoder
    """
    decoder = clone(get_decoder(default if is_auto(spec) else spec))
    if targets.kind == "multiclass":
        return _largest_score(spec, decoder)
    _try(decoder, targets.n_labels_)
    # A fixed threshold of 0.5 is where decision_function changes its sign.
    suits = method == "predict_proba" or calibrated or isinstance(decoder, FixedThreshold)
    if decoder.needs_probabilities and not suits:
        warn_user(
            f"{decoder!r} takes scores for probabilities, but those of {method} are none: use "
            f"calibration='sigmoid', or decoder={default!r} or another that learns from held-out "
            "rows"
        )
    return decoder


def make_calibrator(spec: Any) -> Calibrator | None:
    """Return an unfitted calibrator, or None."""
    calibrator = get_calibrator(spec)
    if calibrator is None:
        return None
    calibrator = clone(calibrator)
    calibrator._check_params()
    return calibrator


def warn_of_fallback(decoder: Decoder, n_rows: int, advice: str) -> None:
    """Say so where a fitted decoder found too few positives for most labels."""
    fallback, n_labels = getattr(decoder, "fallback_labels_", ()), decoder.n_labels_
    if len(fallback) > n_labels / 2:
        warn_user(
            f"{len(fallback)} of {n_labels} labels have too few positives among the {n_rows} rows "
            f"that the decoder was fitted on, and use a common threshold: use {advice}"
        )


def _largest_score(spec: Any, decoder: Decoder) -> Argmax:
    """Return the decision of a multi-class y, and say so if another was named."""
    if isinstance(decoder, Argmax):
        return decoder
    if not is_auto(spec):
        warn_user(
            f"decoder={spec!r} is not used: a 1-D multi-class y is decided by the largest score"
        )
    return Argmax()


def _try(decoder: Decoder, n_labels: int) -> None:
    """Raise before training what a decoder would raise after it."""
    decoder._check_params(n_labels)
    if decoder.requires_fit:
        return
    low = decoder.decode(np.full((1, n_labels), 1e-3))
    if n_labels == 1 and low.all():
        warn_user(
            f"{decoder!r} compares labels of a row, and there is only one, which every row gets: "
            "use decoder='threshold' or 'global_threshold'"
        )
