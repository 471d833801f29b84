"""Transformations of X that leave the labels as predictable as they were, or nearly so.

For tests and benchmarks of invariance: a classifier should predict about as well after each.
"""

import numpy as np
import scipy.sparse as sp

N_BINS = 6


def standardised(X, X_test):
    mean, std = X.mean(axis=0), X.std(axis=0)
    return [(part - mean) / np.where(std > 0, std, 1) for part in (X, X_test)]


def shifted(X, X_test):
    offset = 100 * np.random.default_rng(0).normal(size=X.shape[1])
    return [part + offset for part in standardised(X, X_test)]


def scaled(X, X_test):
    factor = 10 ** np.random.default_rng(0).uniform(-4, 4, size=X.shape[1])
    return [part * factor for part in standardised(X, X_test)]


def exponential(X, X_test):
    return [np.exp(part.clip(-20, 20)) for part in standardised(X, X_test)]


def binary(X, X_test, quantile=0.5):
    cuts = np.quantile(X, quantile, axis=0)
    return [(part > cuts).astype(float) for part in (X, X_test)]


def mostly_ones(X, X_test):
    return binary(X, X_test, 0.15)


def signs(X, X_test):
    return [2 * part - 1 for part in binary(X, X_test)]


def one_hot(X, X_test):
    """Return one column per quantile bin of each column."""
    blocks = []
    for column, column_test in zip(X.T, X_test.T, strict=True):
        edges = np.unique(np.quantile(column, np.arange(1, N_BINS) / N_BINS))
        of_bins = [np.digitize(values, edges, right=True) for values in (column, column_test)]
        blocks.append([np.eye(len(edges) + 1)[bins] for bins in of_bins])
    return [np.hstack(part) for part in zip(*blocks, strict=True)]


def inverted_one_hot(X, X_test):
    return [1 - part for part in one_hot(X, X_test)]


def integers(X, X_test):
    low, high = X.min(axis=0), X.max(axis=0)
    parts = [255 * (part - low) / np.where(high > low, high - low, 1) for part in (X, X_test)]
    return [np.rint(part.clip(0, 255)).astype(np.uint8) for part in parts]


def as_sparse(function):
    return lambda X, X_test: [sp.csr_array(part) for part in function(X, X_test)]


def with_ones(function):
    return lambda *parts: [np.c_[part, np.ones((len(part), 1500))] for part in function(*parts)]


def with_noise(X, X_test):
    rng = np.random.default_rng(0)
    return [np.c_[part, rng.normal(size=(len(part), 100))] for part in standardised(X, X_test)]


def permuted(X, X_test):
    order = np.random.default_rng(0).permutation(X.shape[1])
    return [part[:, order] for part in (X, X_test)]


TRANSFORMATIONS = {
    "shifted": shifted,
    "scaled": scaled,
    "exponential": exponential,
    "binary": binary,
    "mostly ones": mostly_ones,
    "signs": signs,
    "one-hot": one_hot,
    "one-hot, sparse": as_sparse(one_hot),
    "inverted one-hot": inverted_one_hot,
    "inverted one-hot, sparse": as_sparse(inverted_one_hot),
    "with ones": with_ones(standardised),
    "binary, with ones": with_ones(binary),
    "with noise": with_noise,
    "integers": integers,
    "duplicated": lambda *parts: [np.tile(part, 4) for part in parts],
    "permuted": permuted,
}


def transform(name, X, Y, X_test, Y_test):
    """Return a table after a transformation."""
    if name == "permuted labels":
        order = np.random.default_rng(0).permutation(Y.shape[1])
        return X, Y[:, order], X_test, Y_test[:, order]
    X, X_test = TRANSFORMATIONS[name](X, X_test)
    return X, Y, X_test, Y_test


NAMES = [*TRANSFORMATIONS, "permuted labels"]
