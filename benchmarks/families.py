"""Simulated multi-label tables whose labels depend on the columns of X in a known way.

The families of `TUNED` were there when the linear part of the networks was designed; those of
`FRESH` had no say in it. `make` draws a table: the same for the same seed.

    from families import FAMILIES, make
    X_train, Y_train, X_test, Y_test = make("linear", seed=0)

Each label has the probability sigmoid(b + strength * signal), with a standardised signal, and b
such that the label has a given share of positives.
"""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfTransformer

TRAIN, TEST = 1560, 4000


def labels(rng, signal, low=0.06, high=0.28, strength=6.0):
    """Draw labels with shares between `low` and `high` from signals of shape (n, L)."""
    signal = strength * (signal - signal.mean(axis=0)) / signal.std(axis=0)
    share = np.linspace(low, high, signal.shape[1])
    below, above = np.full(len(share), -100.0), np.full(len(share), 100.0)
    for _ in range(50):
        b = (below + above) / 2
        too_many = expit(signal + b).mean(axis=0) > share
        below, above = np.where(too_many, below, b), np.where(too_many, b, above)
    return (rng.random(signal.shape) < expit(signal + b)).astype(int)


def weights(rng, n_columns, n_labels, used=None):
    """Draw normal weights, of which only the first `used` columns have some."""
    w = rng.normal(size=(n_columns, n_labels))
    if used is not None:
        w[used:] = 0
    return w


def levels(rng, n, n_columns, most):
    """Draw codes of columns with 2 to `most` levels, equally frequent on average."""
    n_levels = rng.integers(2, most + 1, size=n_columns)
    shares = [rng.dirichlet(np.ones(k)) for k in n_levels]
    return np.stack([rng.choice(len(p), size=n, p=p) for p in shares], axis=1)


def heavy_levels(rng, n, n_columns, most):
    """Draw codes of columns with up to `most` levels, most of which are rare."""
    return np.minimum((3 * rng.pareto(1.0, size=(n, n_columns))).astype(int), most - 1)


def effects_of(rng, codes, n_labels, share=1.0):
    """Return the sum of an effect per level and label, of a share of the pairs column, label."""
    n_columns, most = codes.shape[1], codes.max() + 1
    effects = rng.normal(size=(n_columns, most, n_labels))
    effects *= rng.random((n_columns, 1, n_labels)) < share
    return sum(effects[j][codes[:, j]] for j in range(n_columns))


def one_hot(codes):
    """Return the one-hot blocks of all columns, as a CSR matrix."""
    n, n_columns = codes.shape
    most = codes.max() + 1
    at = (codes + most * np.arange(n_columns)).ravel().astype(np.int32)
    parts = (np.ones(at.size, np.float32), at, np.arange(0, at.size + 1, n_columns, dtype=np.int32))
    return sp.csr_array(parts, shape=(n, n_columns * most))


def category_frame(codes):
    """Return codes as a DataFrame of category columns."""
    names = {f"c{j}": [f"level{v}" for v in column] for j, column in enumerate(codes.T)}
    return pd.DataFrame(names).astype("category")


def linear(rng, n):
    X = rng.normal(size=(n, 200))
    return X, labels(rng, X @ weights(rng, 200, 12, used=10), strength=4.2)


def linear_few_rows_many_columns(rng, n):
    X = rng.normal(size=(n, 1500))
    return X, labels(rng, X @ weights(rng, 1500, 12, used=20), strength=3)


def linear_mostly_ones(rng, n):
    X = (rng.random((n, 600)) < rng.uniform(0.75, 0.95, size=600)).astype(float)
    return X, labels(rng, X @ weights(rng, 600, 12, used=40), strength=4)


def linear_rare_labels(rng, n):
    X = rng.normal(size=(n, 60))
    signal = X @ weights(rng, 60, 20, used=10)
    return X, labels(rng, signal, low=0.008, high=0.012, strength=20)


def linear_80_rows(rng, n):
    X = rng.normal(size=(n, 20))
    return X, labels(rng, X @ weights(rng, 20, 10, used=6), low=0.35, high=0.5, strength=7)


def categories(rng, n):
    codes = levels(rng, n, 30, 40)
    return category_frame(codes), labels(rng, effects_of(rng, codes, 12, share=0.3), strength=4.5)


def counts(rng, n):
    rates = rng.gamma(0.5, 0.5, size=300)
    X = rng.poisson(rates * rng.gamma(2, 0.5, size=(n, 1)))
    Y = labels(rng, np.log1p(X) @ weights(rng, 300, 15, used=60), strength=2.8)
    return sp.csr_array(X.astype(np.float32)), Y


def products(rng, n):
    X = rng.normal(size=(n, 20))
    pairs = rng.integers(10, size=(12, 2, 2))
    signal = sum(X[:, pairs[:, k, 0]] * X[:, pairs[:, k, 1]] for k in range(2))
    return X, labels(rng, signal + 0.5 * X @ weights(rng, 20, 12, used=2))


def steps(rng, n):
    X = rng.normal(size=(n, 20))
    cuts = rng.normal(scale=0.7, size=10)
    return X, labels(rng, (X[:, :10] > cuts) @ weights(rng, 10, 12), strength=5)


def heavy_tails(rng, n):
    Z = rng.normal(size=(n, 20))
    X = np.sinh(4 * Z) * 10 ** rng.uniform(-2, 3, size=20)
    return X, labels(rng, Z @ weights(rng, 20, 12, used=6), strength=5)


def smooth(rng, n):
    X = rng.normal(size=(n, 30))
    curves = np.concatenate([np.sin(1.5 * X[:, :6]), np.abs(X[:, 3:9]), X[:, :6] ** 2], axis=1)
    return X, labels(rng, curves @ weights(rng, 18, 12))


def ordinal_codes(rng, n):
    Z = rng.normal(size=(n, 40))
    codes = np.digitize(Z, [-1.5, -0.7, 0, 0.7, 1.5])
    signal = codes @ weights(rng, 40, 12, used=15) + effects_of(rng, codes, 12, share=0.2)
    return codes, labels(rng, signal, strength=5)


def latent_factors(rng, n):
    X = rng.normal(size=(n, 50))
    factors = np.tanh(X @ rng.normal(size=(50, 4)) / 4)
    return X, labels(rng, factors @ rng.normal(size=(4, 20)), strength=5)


def label_tree(rng, n):
    X = rng.normal(size=(n, 40))
    Y = labels(rng, X @ weights(rng, 40, 14, used=20), low=0.35, high=0.5, strength=5)
    for child in range(2, 14):
        Y[:, child] &= Y[:, child // 2 - 1]
    return X, Y


def mixed_with_missing_values(rng, n):
    Z = rng.normal(size=(n, 20))
    codes = levels(rng, n, 10, 15)
    signal = np.tanh(2 * Z) @ weights(rng, 20, 12, used=8) + effects_of(rng, codes, 12, share=0.5)
    numbers = Z * 10 ** rng.uniform(-2, 3, size=20)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    frame = category_frame(codes)
    frame = frame.mask(rng.random(frame.shape) < 0.1)
    names = [f"x{j}" for j in range(20)]
    return pd.concat([pd.DataFrame(numbers, columns=names), frame], axis=1), labels(rng, signal)


def one_hot_heavy_levels(rng, n):
    codes = heavy_levels(rng, n, 60, 60)
    signal = effects_of(rng, codes, 20, share=0.15)
    return one_hot(codes), labels(rng, signal, low=0.05, high=0.09, strength=8)


def inverted_one_hot(rng, n):
    codes = levels(rng, n, 20, 12)
    Y = labels(rng, effects_of(rng, codes, 12, share=0.4), strength=4)
    return 1 - one_hot(codes).toarray(), Y


def text(rng, n):
    topics = rng.dirichlet(np.full(12, 0.3), size=n)
    words = rng.dirichlet(np.full(2000, 0.02), size=12)
    counted = rng.poisson(rng.gamma(3, 15, size=(n, 1)) * (topics @ words))
    X = sp.csr_array(TfidfTransformer().fit_transform(sp.csr_array(counted)))
    return X, labels(rng, topics @ rng.normal(size=(12, 15)), strength=4)


def few_rows_mostly_noise(rng, n):
    X = rng.normal(size=(n, 300))
    return X, labels(rng, X @ weights(rng, 300, 10, used=5), low=0.15, high=0.4)


def exclusive_or(rng, n):
    X = rng.integers(2, size=(n, 30))
    Z, pairs = 2 * X - 1, rng.integers(12, size=(12, 2, 3))
    signal = sum(Z[:, pairs[:, 0, k]] * Z[:, pairs[:, 1, k]] for k in range(3))
    return X, labels(rng, signal + 0.3 * Z @ weights(rng, 30, 12, used=3))


def one_label(rng, n):
    X = rng.normal(size=(n, 30))
    signal = X @ weights(rng, 30, 1, used=8) + X[:, :1] * X[:, 1:2]
    return X, labels(rng, signal, low=0.3, high=0.3, strength=4)


def many_rare_labels(rng, n):
    X = rng.normal(size=(n, 80))
    signal = X @ weights(rng, 80, 120, used=30) + 2 * np.tanh(2 * X[:, :10]) @ weights(rng, 10, 120)
    return X, labels(rng, signal, low=0.01, high=0.03, strength=4)


TUNED = {
    "linear": linear,
    "linear, 300 rows": linear_few_rows_many_columns,
    "linear, mostly ones": linear_mostly_ones,
    "linear, rare labels": linear_rare_labels,
    "linear, 80 rows": linear_80_rows,
    "categories": categories,
    "counts": counts,
    "products": products,
    "steps": steps,
    "heavy tails": heavy_tails,
}
FRESH = {
    "smooth": smooth,
    "ordinal codes": ordinal_codes,
    "latent factors": latent_factors,
    "label tree": label_tree,
    "mixed, missing values": mixed_with_missing_values,
    "one-hot, heavy levels": one_hot_heavy_levels,
    "inverted one-hot": inverted_one_hot,
    "text": text,
    "few rows, mostly noise": few_rows_mostly_noise,
    "exclusive or": exclusive_or,
    "one label": one_label,
    "many rare labels": many_rare_labels,
}
FAMILIES = TUNED | FRESH
ROWS = {"linear, 300 rows": 300, "linear, 80 rows": 80, "few rows, mostly noise": 150}


def make(name, seed=0):
    """Return X_train, Y_train, X_test, Y_test of a table of a family."""
    rng = np.random.default_rng([seed, list(FAMILIES).index(name)])
    n_train = ROWS.get(name, TRAIN)
    X, Y = FAMILIES[name](rng, n_train + TEST)
    if isinstance(X, pd.DataFrame):
        return X[:n_train], Y[:n_train], X[n_train:].reset_index(drop=True), Y[n_train:]
    return X[:n_train], Y[:n_train], X[n_train:], Y[n_train:]
