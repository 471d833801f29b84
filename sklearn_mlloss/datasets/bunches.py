"""Data sets as a Bunch or a pair, of arrays or DataFrames."""

from __future__ import annotations

from typing import Any

from sklearn.utils import Bunch

__all__ = ["MANY_LABELS", "SUBSETS", "as_requested"]

SUBSETS = ("all", "train", "test")
# Targets of files with more labels are sparse unless the user asks for another form.
MANY_LABELS = 1000


def as_requested(table: Bunch, as_frame: bool, return_X_y: bool) -> Any:
    """Return a data set as a Bunch or a pair, of arrays or DataFrames."""
    table.frame = None
    if as_frame:
        import pandas as pd

        table.data = pd.DataFrame(table.data, columns=table.feature_names)
        table.target = pd.DataFrame(table.target, columns=table.target_names)
        table.frame = pd.concat([table.data, table.target], axis=1)
    return (table.data, table.target) if return_X_y else table
