"""Model selection: multi-label stratified splitters, and tests that compare models.

`LossDecoderSearchCV`, the search over losses and decoders, can be imported from here, too.
"""

from importlib import import_module
from typing import Any

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

# Without LossDecoderSearchCV, which needs torch: an import of all names would import that.
__all__ = [
    "BootstrapCorrection",
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
        return getattr(import_module("sklearn_mlloss._search.search"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the search before it is imported."""
    return sorted({*globals(), "LossDecoderSearchCV"})
