"""Choice of the numerical feature encoding for ``encoding="auto"``."""

from __future__ import annotations

import numpy as np

from .columns import CSR, Columns, sample
from .encoding import PiecewiseLinearEncoding

__all__ = ["choose_encoding"]

# Rows that are used for the choice; of wide ones, as many as have this many numbers.
AUTO_ROWS, AUTO_FEWER, AUTO_NUMBERS = 10_000, 1000, 2**18
# A sparse X with a larger share of non-zeros is treated as dense.
AUTO_SHARE = 0.25
# Sparse values that need no encoding: typical size, and the largest.
AUTO_TYPICAL, AUTO_LARGEST = (0.01, 10.0), 100.0
# Below this number of rows, quantiles are noise.
AUTO_MIN_ROWS = 50
# Maximum number of outputs of a piecewise-linear encoding, and of outputs times rows. With 2**27
# (260 000 rows of 64 columns), the first layer takes a core about one second per epoch (without an
# encoding half a second); above that, a fit would take minutes.
AUTO_WIDTH, AUTO_CELLS = 4096, 2**27
# Such outputs that take as long as a number that a quantile encoding computes.
AUTO_QUANTILE = 2
# Rows per column below which the ranks of a column are more informative than its bins.
AUTO_RATIO = 1.25
# Columns beyond which most are uninformative alone, and their ranks even more so.
AUTO_COLUMNS = 1000
# Standard deviations from the mean beyond which a column has heavy tails.
AUTO_TAIL = 10.0


def choose_encoding(X: np.ndarray | CSR) -> tuple[str | None, str]:
    """Choose the encoding of X for ``encoding="auto"``, and return it with the reason.

    The first line that applies is used:

    ====================================================================  ==================
    X                                                                     encoding
    ====================================================================  ==================
    all values 0 or 1                                                     None
    all values 0, 1 or missing                                            "piecewise_linear"
    sparse, stored values of unit size (median 0.01-10, largest to 100)   None
    sparse                                                                "robust" (no shift)
    fewer than 50 rows                                                    "standard"
    dense, rows fewer than 1.25 times the columns, at most 1000 columns   "quantile"
    dense, at most 4096 piecewise-linear outputs, times rows to 2**27     "piecewise_linear"
    dense, at most 1000 columns, times rows to 2**26                      "quantile"
    dense, a value more than 10 standard deviations out                   "robust"
    dense                                                                 "standard"
    ====================================================================  ==================

    A sparse matrix counts as sparse if less than a quarter of its entries are not 0. Text is not
    standardised, because rare words would get the largest weight. At most 10 000 rows, drawn with a
    fixed seed, are used. For None, ``encoding="auto"`` fits ``IdentityEncoding(binary=True)``: the
    rarer value of a column of 0 and 1 is coded as 1, and its mean may be subtracted.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Training rows, with NaN for missing values in dense ones, or a view of some rows as in
        `Columns`.

    Returns
    -------
    name : str or None
        A name of `ENCODINGS`, or None.
    reason : str
        One line for the user.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.networks import choose_encoding
    >>> choose_encoding(np.eye(60))
    (None, 'all values are 0 or 1')
    >>> choose_encoding(np.random.default_rng(0).normal(size=(200, 3)))
    ('piecewise_linear', '3 dense columns give 24 outputs')
    """
    n_samples, n_features = X.shape
    size = max(AUTO_FEWER, min(AUTO_ROWS, AUTO_NUMBERS // n_features))
    columns = Columns(X[sample(n_samples, size)])
    stored = columns.X.data if columns.sparse else columns.X
    if ((stored == 0) | (stored == 1) | np.isnan(stored)).all():
        if columns.sparse or not Columns(X).missing.any():
            return None, "all values are 0 or 1"
        # Like no encoding where values are not missing.
        return "piecewise_linear", "all values are 0, 1 or missing"
    if columns.sparse and columns.X.nnz < AUTO_SHARE * np.prod(columns.X.shape):
        size = np.abs(stored[stored != 0])
        typical, largest = np.median(size), size.max()
        reason = f"X is sparse with values of typically {typical:.3g} and up to {largest:.3g}"
        fine = AUTO_TYPICAL[0] <= typical <= AUTO_TYPICAL[1] and largest <= AUTO_LARGEST
        return (None if fine else "robust"), reason
    if n_samples < AUTO_MIN_ROWS:
        return "standard", f"{n_samples} rows are too few for quantiles"
    if n_samples < AUTO_RATIO * n_features and n_features <= AUTO_COLUMNS:
        return "quantile", f"{n_samples} rows are few for {n_features} dense columns"
    width = PiecewiseLinearEncoding().fit(columns.X).n_outputs_
    reason = f"{n_features} dense columns give {width} outputs"
    if width <= AUTO_WIDTH and n_samples * width <= AUTO_CELLS:
        return "piecewise_linear", reason
    affordable = AUTO_QUANTILE * n_samples * n_features <= AUTO_CELLS
    if n_features <= AUTO_COLUMNS and affordable:
        reason = f"{width} piecewise-linear outputs of {n_samples} rows would cost too much"
        return "quantile", reason
    mean, variance = columns.moments
    tail = np.maximum(columns.high - mean, mean - columns.low) > AUTO_TAIL * np.sqrt(variance)
    reason = f"{n_features} dense columns of {n_samples} rows are too many for quantiles"
    if tail.any():
        return "robust", f"{reason}, and some have heavy tails"
    return "standard", reason
