"""All names of scikit-learn that are private or that not all of its versions have.

Checked with scikit-learn 1.7.2, 1.8.0 and 1.9.1. A new version may rename or drop any of these:
this is the file to look at first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.metrics._scorer import (
    _BaseScorer,
    _check_multimetric_scoring,
    _MultimetricScorer,
    _PassthroughScorer,
    _Scorer,
)
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import _raise_for_params, _routing_enabled
from sklearn.utils.metaestimators import _BaseComposition, _safe_split
from sklearn.utils.validation import _check_method_params, _num_samples

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Raise an error that names the version of scikit-learn with callbacks."""

        @property
        def set_callbacks(self) -> Any:
            """Not available before scikit-learn 1.9."""
            raise AttributeError(
                "set_callbacks needs scikit-learn 1.9 or later: update it, or use verbose=1"
            )

    def with_callbacks(method: Callable) -> Callable:
        """Return the method as it is."""
        return method


__all__ = [
    "BaseSearchCV",
    "CallbackSupportMixin",
    "_BaseComposition",
    "_BaseScorer",
    "_MultimetricScorer",
    "_PassthroughScorer",
    "_Scorer",
    "_check_method_params",
    "_check_multimetric_scoring",
    "_num_samples",
    "_raise_for_params",
    "_routing_enabled",
    "_safe_indexing",
    "_safe_split",
    "with_callbacks",
]
