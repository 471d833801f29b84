"""Common parts of all `fit` methods: one seed, and no change if they fail."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from .interrupts import uninterrupted
from .messages import describe, once_each

__all__ = [
    "draw_entropy",
    "unchanged_on_error",
]


class unchanged_on_error:
    """Restore the estimator if anything fails, so that it is never half fitted.

    Within, warnings are given once each: those of fits within a fit are often the same.
    """

    def __init__(self, estimator: BaseEstimator):
        self.estimator = estimator

    def __enter__(self) -> None:
        """Keep the attributes."""
        self.before = dict(vars(self.estimator))
        self.once = once_each(depth=2)
        self.once.__enter__()

    @uninterrupted
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore them after an error."""
        if error is not None:
            self.estimator.__dict__ = self.before
        self.once.__exit__(kind, error, traceback)


def draw_entropy(random_state: Any) -> int:
    """Return the number from which all seeds of a fit are drawn."""
    # check_random_state(None) returns numpy's global generator, which must not change.
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError:
        raise ValueError(
            "random_state must be None, an int from 0 to 2**32 - 1 or a numpy.random.RandomState, "
            f"got {describe(random_state)}"
        ) from None
