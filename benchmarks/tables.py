"""Read data sets from files NAME.npz of a folder.

A file contains `Y` of shape (n_samples, n_labels) with 0 and 1; `X` of shape (n_samples,
n_features), or the parts `X_data`, `X_indices`, `X_indptr` and `X_shape` of a CSR matrix; and
`train`, a bool per row, if there is an official split.
"""

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sklearn_mlloss.datasets import load_yeast


def load_table(name, folder=None):
    """Return X and Y of all rows of a data set; without a folder, yeast of the package river."""
    if folder is None:
        if name != "yeast":
            raise SystemExit(f"--folder is needed for {name}")
        return load_yeast(return_X_y=True)
    return _read(folder, name)[:2]


def read_table(folder, name):
    """Return X_train, Y_train, X_test, Y_test of a data set with an official split."""
    X, Y, train = _read(folder, name)
    return X[train], Y[train], X[~train], Y[~train]


def _read(folder, name):
    with np.load(Path(folder) / f"{name}.npz") as file:
        if "X" in file:
            X = file["X"]
        else:
            parts = (file["X_data"].astype(np.float32), file["X_indices"], file["X_indptr"])
            X = sp.csr_array(parts, shape=tuple(file["X_shape"]))
        return X, file["Y"].astype(int), file["train"] if "train" in file else None
