"""Contract suite for custom decoders."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ..decoders import Decoder, get_decoder
from ._checking import (
    LABELS,
    Checks,
    _constructor,
    _pickled,
    _require,
    _run,
    _same,
    _same_params,
    _shape_is,
)

__all__ = ["check_decoder"]


def check_decoder(decoder: Any, *, n_labels: int = 4, random_state: int = 0) -> None:
    """Check that a custom decoder keeps the contract of `Decoder`.

    Parameters
    ----------
    decoder : Decoder, or anything that `get_decoder` takes
        The decoder, fitted or not. It is cloned and never fitted itself.
    n_labels : int, default=4
        Number of labels to check with.
    random_state : int, default=0
        Seed of scores and targets.

    Raises
    ------
    AssertionError
        Names the check, what is wrong, and how to fix it.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import Decoder
    >>> from sklearn_mlloss.testing import check_decoder
    >>> class AboveMean(Decoder):
    ...     def _decode(self, scores, count):
    ...         return scores >= scores.mean(axis=1, keepdims=True)
    >>> check_decoder(AboveMean())
    """
    _run(DECODER_CHECKS, _DecoderCase(get_decoder(decoder), n_labels, random_state))


class _DecoderCase:
    """A decoder with scores and labels that were drawn from them."""

    def __init__(self, original: Decoder, n_labels: int, seed: int):
        self.original, rng = original, np.random.default_rng(seed)
        self.scores = rng.random((60, n_labels))
        self.Y = 1.0 * (rng.random((60, n_labels)) < self.scores**2)

    def hat(self, scores: Any = None, Y: Any = None, weight: Any = None) -> np.ndarray:
        """Fit, then decode all scores."""
        scores, Y = self.scores if scores is None else scores, self.Y if Y is None else Y
        return clone(self.original).fit(scores, Y, weight).decode(self.scores)


def _decided(actual: Any, expected: np.ndarray, what: str) -> None:
    _same(actual, expected, f"decision {what}", LABELS)


def _decoded(case: _DecoderCase) -> None:
    """Decisions are bool, of the shape of the scores, and do not depend on other rows."""
    decoder = clone(case.original)
    _require(decoder.fit(case.scores, case.Y) is decoder, "fit does not return the decoder")
    actual = decoder.decode(case.scores)
    _shape_is(actual, case.scores.shape, "decision")
    _require(actual.dtype == bool, f"decision has dtype {actual.dtype}, expected bool")
    alone = np.vstack([decoder.decode(row[None]) for row in case.scores])
    _decided(actual, alone, "in a batch, against the row alone")


def _requires_fit(case: _DecoderCase) -> None:
    """Without fit it raises NotFittedError, if and only if `requires_fit`."""
    needed, refused = case.original.requires_fit, False
    try:
        clone(case.original).decode(case.scores)
    except NotFittedError:
        refused = True
    _require(refused == needed, f"requires_fit is {needed}, NotFittedError raised: {refused}")


def _unchanged(case: _DecoderCase) -> None:
    """No argument is written to, and no parameter changes."""
    kept, decoder = (case.scores, case.Y, np.ones(len(case.Y))), clone(case.original)
    original, before = [array.copy() for array in kept], decoder.get_params(deep=False)
    decoder.fit(*original).decode(original[0])
    for array, same in zip(original, kept, strict=True):
        _same(array, same, "an argument after the call", LABELS[: array.ndim])
    _same_params(before, decoder)


def _row_weights(case: _DecoderCase) -> None:
    """Permute rows, and compare weights with repeated rows."""
    order = np.random.default_rng(0).permutation(60)
    _decided(case.hat(case.scores[order], case.Y[order]), case.hat(), "after permuted rows")
    for weight in (np.tile([1, 0, 1], 20), np.tile([1, 2, 1], 20)):
        rows = np.repeat(order, weight[order])
        what = f"with weight {weight[1]}, against rows left out or repeated"
        _decided(case.hat(weight=weight), case.hat(case.scores[rows], case.Y[rows]), what)


def _hard_targets(case: _DecoderCase) -> None:
    """Soft, missing and constant labels, one row and one label are accepted."""
    missing = np.where(np.random.default_rng(0).random(case.Y.shape) < 0.3, np.nan, case.Y)
    missing[:, 0] = np.nan
    everywhere = [np.full_like(case.Y, constant) for constant in (0, 1, np.nan)]
    for Y in (missing, np.clip(case.Y, 0.1, 0.9), *everywhere):
        _shape_is(case.hat(Y=Y), case.Y.shape, "decision")
    _shape_is(case.hat(case.scores[:1], case.Y[:1]), case.Y.shape, "decision after one row")
    values = [v for v in case.original.get_params().values() if not isinstance(v, bool)]
    if not any(np.size(v) > 1 or isinstance(v, (int, np.integer)) and v > 1 for v in values):
        hat = clone(case.original).fit([[0.3]], [[1]]).decode([[0.3], [0.9]])
        _shape_is(hat, (2, 1), "decision for one label")


def _more_label_sets(case: _DecoderCase) -> None:
    """`learn_sets` takes targets and weights alone; those of `fit` change no decision."""
    decoder = clone(case.original).fit(case.scores, case.Y)
    _require(decoder.learn_sets(case.Y) is decoder, "learn_sets does not return the decoder")
    _decided(decoder.decode(case.scores), case.hat(), "after learn_sets with the rows of fit")
    missing = np.where(np.eye(*case.Y.shape), np.nan, case.Y)
    for Y in (case.Y[::-1], case.Y.astype(np.uint8), missing, np.full_like(case.Y, np.nan)):
        actual = decoder.learn_sets(Y, np.tile([1, 0, 2], 20)).decode(case.scores)
        _shape_is(actual, case.Y.shape, "decision after learn_sets")


def _pickled_decoder(case: _DecoderCase) -> None:
    """Compare with a copy made through pickle."""
    copy = _pickled(case.original, clone(case.original).fit(case.scores, case.Y))
    _decided(copy.decode(case.scores), case.hat(), "after pickling")


DECODER_CHECKS: Checks = (
    (_constructor, "let __init__ only store its arguments; check and convert in _fit."),
    (_decoded, "let _decode return a bool array, reduced over the last axis only."),
    (_requires_fit, "set requires_fit = True if and only if _decode uses attributes set by _fit."),
    (_unchanged, "write to no argument, and store fitted attributes under names that end in _."),
    (_row_weights, "let _fit use its sample_weight as counts."),
    (_hard_targets, "use nan-aware sums in _fit, and fall back where no positive was observed. "
     "An error about a number of labels goes away with check_decoder(..., n_labels=...)."),
    (_more_label_sets, "do not override learn_sets unless the rule uses label sets; then let it do "
     "with Y what _fit does, and call learn_sets of an inner decoder."),
    (_pickled_decoder, "keep lambdas and open files out of fitted attributes."),
)  # fmt: skip
