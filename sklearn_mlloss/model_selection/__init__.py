"""Choosing: splitters that keep the balance of every label, and tests that compare fairly.

The search over losses and decoders is ``sklearn_mlloss.LossDecoderSearchCV``.
"""

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
