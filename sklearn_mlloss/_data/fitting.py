"""Common parts of all `fit` methods: one seed, and no change if they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from .messages import describe, once_each

__all__ = [
    "draw_entropy",
    "unchanged_on_error",
]


@contextmanager
def unchanged_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Restore the estimator if anything fails, so that it is never half fitted.

    Within, warnings are given once each: those of fits within a fit are often the same.
    """
    before = dict(vars(estimator))
    try:
        with once_each():
            yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


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
