"""Choosing: splitters that keep the balance of every label."""

from sklearn_mlloss.model_selection.split import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
)

__all__ = ["MultilabelStratifiedKFold", "MultilabelStratifiedShuffleSplit"]
