"""Estimators: the version of the package in pickles, a file as state elsewhere, links to docs."""

from __future__ import annotations

import os
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from .._versions import __version__
from .messages import warn_user

__all__ = ["FileEstimator", "VersionedEstimator"]

KEY = "_sklearn_mlloss_version"
# A link to the page that shows the diagram.
HERE = "#"
# Whether pickle, or copy, asks for the state.
_PICKLED: ContextVar[bool] = ContextVar("pickled", default=False)


class VersionedEstimator(BaseEstimator):
    """A `BaseEstimator` that warns when it was pickled by another version of this package.

    scikit-learn warns for its own classes only. Diagrams in notebooks describe parameters and
    attributes, and link to the pages of this package where the environment has their address.
    """

    _doc_link_module = "sklearn_mlloss"

    @property
    def _doc_link_template(self) -> str:
        site = os.environ.get("SKLEARN_MLLOSS_DOCS_URL", "").rstrip("/")
        return site and f"{site}/api/{{page}}.html"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Return the page of the class: that of the public name it is imported by."""
        package, part = type(self).__module__.split(".")[:2]
        name = type(self).__name__
        if hasattr(import_module(package), name):
            return {"page": f"{package}.{name}"}
        return {"page": f"{package}.{part}.{name}"}

    def _get_params_html(self, deep: bool = True, doc_link: str = "") -> Any:
        """Return the table of parameters; scikit-learn shows descriptions at links only."""
        params = super()._get_params_html(deep)
        params.doc_link = doc_link or HERE
        return params

    def _get_fitted_attr_html(self, doc_link: str = "") -> Any:
        """Return the table of fitted attributes, as that of parameters."""
        return super()._get_fitted_attr_html(doc_link or HERE)

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


class FileEstimator(VersionedEstimator):
    """An estimator whose state is a file of `sklearn_mlloss.persistence`, but for pickle and copy.

    skops, which MLflow uses as well, asks for the state and needs to trust the type of everything
    in it. A file is bytes, so that there is nothing to trust but the estimator itself.
    """

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return what pickle and copy ask for, with the attributes as state."""
        token = _PICKLED.set(True)
        try:
            return super().__reduce_ex__(protocol)
        finally:
            _PICKLED.reset(token)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for pickle and copy, and otherwise a file."""
        if _PICKLED.get():
            return super().__getstate__()
        return {"file": _files().dumps(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state that `__getstate__` returned."""
        if state.keys() == {"file"}:
            state = vars(_files().loads(state["file"]))
        super().__setstate__(state)


def _files() -> Any:
    """Return the module that knows all parts of estimators, which import this one."""
    return import_module("sklearn_mlloss.persistence.files")
