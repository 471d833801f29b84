"""Estimators that store the package version in pickles, and warn if another one loads them."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from .._versions import __version__
from .messages import warn_user

__all__ = ["VersionedEstimator"]

KEY = "_sklearn_mlloss_version"


class VersionedEstimator(BaseEstimator):
    """A `BaseEstimator` that warns when it was pickled by another version of this package.

    scikit-learn warns for its own classes only.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the version of this package."""
        return {**super().__getstate__(), KEY: __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state; warn if it is that of another version."""
        # A subclass with a custom `__getstate__` may have none.
        saved = state.get(KEY, __version__)
        if saved != __version__:
            warn_user(
                InconsistentVersionWarning(
                    estimator_name=f"{type(self).__name__} of sklearn_mlloss",
                    current_sklearn_version=__version__,
                    original_sklearn_version=saved,
                )
            )
        super().__setstate__({name: value for name, value in state.items() if name != KEY})
