"""Choosing: splitters that keep the balance of every label, and tests that compare fairly.

The search over losses and decoders, `LossDecoderSearchCV`, is a name of this module, too.
"""

from typing import TYPE_CHECKING, Any

from sklearn_mlloss.model_selection.comparison import (
    BootstrapCorrection,
    PairedTest,
    PracticalDifference,
    bootstrap_corrected_score,
    corrected_t_test,
    practical_difference,
)
from sklearn_mlloss.model_selection.split import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
    RepeatedMultilabelStratifiedKFold,
)
from sklearn_mlloss.model_selection.split_groups import MultilabelStratifiedGroupKFold

if TYPE_CHECKING:
    from sklearn_mlloss._search.search import LossDecoderSearchCV

__all__ = [
    "BootstrapCorrection",
    "LossDecoderSearchCV",
    "MultilabelStratifiedGroupKFold",
    "MultilabelStratifiedKFold",
    "MultilabelStratifiedShuffleSplit",
    "PairedTest",
    "PracticalDifference",
    "RepeatedMultilabelStratifiedKFold",
    "bootstrap_corrected_score",
    "corrected_t_test",
    "practical_difference",
]


def __getattr__(name: str) -> Any:
    """Import the search on first use: it needs torch, and splitters do not."""
    if name == "LossDecoderSearchCV":
        from sklearn_mlloss._search.search import LossDecoderSearchCV

        return LossDecoderSearchCV
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the search before it is imported."""
    return sorted({*globals(), *__all__})
