"""Multi-label classification for scikit-learn with the loss and the decision as parameters."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._versions import __version__

if TYPE_CHECKING:  # for editors
    from ._search.search import LossDecoderSearchCV
    from ._versions import show_versions
    from .classifier import MultiLabelNetClassifier
    from .decoded import DecodedClassifierCV
    from .members import MultiLabelExtraTreesClassifier, MultiLabelLogisticRegressionCV
    from .voting import SoftVotingClassifier

# Loaded on first use: torch and skorch take seconds to import, and the decoders need neither.
_LAZY = {
    "DecodedClassifierCV": "decoded",
    "LossDecoderSearchCV": "_search.search",
    "MultiLabelExtraTreesClassifier": "members",
    "MultiLabelLogisticRegressionCV": "members",
    "MultiLabelNetClassifier": "classifier",
    "SoftVotingClassifier": "voting",
    "show_versions": "_versions",
}

__all__ = [
    "DecodedClassifierCV",
    "LossDecoderSearchCV",
    "MultiLabelExtraTreesClassifier",
    "MultiLabelLogisticRegressionCV",
    "MultiLabelNetClassifier",
    "SoftVotingClassifier",
    "__version__",
    "show_versions",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names before they are imported."""
    return sorted({*globals(), *__all__})
