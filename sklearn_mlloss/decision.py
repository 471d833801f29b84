"""The decision of a classifier: which decoder and calibration, and fitting them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import clone

from .calibration import Calibrator, get_calibrator
from .decoders import Argmax, Decoder, get_decoder
from .losses import Loss
from .targets import TargetCodec
from .training import Rows

__all__ = ["fit_decoder", "make_calibrator", "make_decoder"]


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
    automatic = isinstance(spec, str) and spec == "auto"
    decoder = clone(get_decoder(loss.default_decoder if automatic else spec))
    if targets.kind == "multiclass" and not isinstance(decoder, Argmax):
        if not automatic:
            _warn(
                f"decoder={spec!r} is not used: a 1-D multi-class y is decided by the largest score"
            )
        return Argmax()
    _try(decoder, targets.n_labels_)
    # A loss without probabilities may still have a natural cut, and then says so.
    natural = type(decoder) is type(get_decoder(loss.default_decoder))
    if decoder.needs_probabilities and not (loss.proper or natural or calibrated):
        _warn(
            f"{decoder!r} takes scores for probabilities, but those of {type(loss).__name__} are "
            f"none: use decoder={loss.default_decoder!r}, another that learns from held-out "
            "rows, or calibration='sigmoid'"
        )
    return decoder


def make_calibrator(spec: Any) -> Calibrator | None:
    """Return an unfitted calibrator, or None."""
    calibrator = get_calibrator(spec)
    return None if calibrator is None else clone(calibrator)


def fit_decoder(decoder: Decoder, rows: Rows, scores: np.ndarray, count: np.ndarray | None) -> None:
    """Fit a decoder on rows that trained no network, and say so where they were too few."""
    decoder.fit(scores, *rows.for_decoder(), count)
    fallback, n_labels = getattr(decoder, "fallback_labels_", ()), scores.shape[1]
    if len(fallback) > n_labels / 2:
        _warn(
            f"{len(fallback)} of {n_labels} labels have too few positives among the {len(rows)} "
            "rows that the decoder was fitted on, and use a common threshold: use cv=5, so that "
            "every row serves, or call fit_decoder with more rows"
        )


def _try(decoder: Decoder, n_labels: int) -> None:
    """Raise before training what a decoder without fit would raise after it."""
    if decoder.requires_fit:
        return
    low = decoder.decode(np.full((1, n_labels), 1e-3))
    if n_labels == 1 and low.all():
        _warn(
            f"{decoder!r} compares labels of a row, and there is only one, which every row gets: "
            "use decoder='threshold' or 'global_threshold'"
        )


def _warn(message: str) -> None:
    # From the user's call of fit, past this module and the classifier.
    warnings.warn(message, stacklevel=5)
