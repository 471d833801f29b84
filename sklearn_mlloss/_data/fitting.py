"""What every `fit` does: one seed for all, and no change if it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from .messages import describe

__all__ = [
    "draw_entropy",
    "unchanged_on_error",
]


@contextmanager
def unchanged_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Leave the estimator as it was if anything fails, so that it is never half fitted."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def draw_entropy(random_state: Any) -> int:
    """Return the number that all seeds of a fit follow from."""
    # numpy's global generator, which check_random_state(None) returns, is not ours to advance.
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError:
        raise ValueError(
            "random_state must be None, an int from 0 to 2**32 - 1 or a numpy.random.RandomState, "
            f"got {describe(random_state)}"
        ) from None
