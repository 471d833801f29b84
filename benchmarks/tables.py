"""Read data sets from files NAME.npz of a folder.

A file contains `Y` of shape (n_samples, n_labels) with 0 and 1; `X` of shape (n_samples,
n_features), or the parts `X_data`, `X_indices`, `X_indptr` and `X_shape` of a CSR matrix; and
`train`, a bool per row, if there is an official split.
"""

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit


def load_table(name, folder=None):
    """Return X and Y of all rows of a data set; without a folder, yeast of the package river."""
    if folder is None:
        if name != "yeast":
            raise SystemExit(f"--folder is needed for {name}")
        return load_yeast(return_X_y=True)
    return _read(folder, name)[:2]


def read_table(folder, name):
    """Return X_train, Y_train, X_test, Y_test of a data set.

    The split is the official one. Without test rows there, a third of the rows, stratified by
    label, are the test rows.
    """
    X, Y, train = _read(folder, name)
    if train is None or train.all():
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=1 / 3, random_state=0)
        train = np.isin(np.arange(len(Y)), next(splitter.split(Y, Y))[0])
    return X[train], Y[train], X[~train], Y[~train]


def _read(folder, name):
    with np.load(Path(folder) / f"{name}.npz") as file:
        if "X" in file:
            X = file["X"]
        else:
            parts = (file["X_data"].astype(np.float32), file["X_indices"], file["X_indptr"])
            X = sp.csr_array(parts, shape=tuple(file["X_shape"]))
        return X, file["Y"].astype(int), file["train"] if "train" in file else None
