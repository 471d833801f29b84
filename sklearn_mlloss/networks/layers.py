"""Layers that encode numeric inputs, without parameters to train."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .columns import CSR

__all__ = [
    "FIXED",
    "Centered",
    "Filled",
    "Flipped",
    "Mixed",
    "OneHot",
    "PiecewiseLinear",
    "Quantile",
    "Scaled",
    "WithIndicator",
    "inverse",
    "reach",
]

# Standard deviations at which scaled values end. No training row of a table with fewer than a
# million rows is that far out: the largest possible distance is sqrt(n_samples - 1).
SCALED_LIMIT = 1e3
# How far an encoding continues beyond the training rows: in widths of the outermost bin of a
# piecewise-linear one, in ranges of the column of others. The weights were trained on the range of
# the training rows; with one more width, a new extreme counts more than the old one, and at most
# twice as much.
EXTRAPOLATION = 1.0
# Numbers that `Quantile` computes at once: on a CPU few enough to stay in the cache, which takes a
# third of the time; on other devices, more calls would cost more than they save.
BLOCK, DEVICE_BLOCK = 2**17, 2**24


# Lower and upper limit of each column.
Limits = tuple[np.ndarray, np.ndarray]


class Filled(nn.Module):
    """Identity within limits, if any, that replaces NaN by one value per column."""

    values: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, values: np.ndarray, limits: Limits | None, dtype: torch.dtype):
        super().__init__()
        self.register_buffer("values", torch.tensor(values, dtype=dtype))
        self.limited = limits is not None
        if limits is not None:
            for name, limit in zip(("low", "high"), limits, strict=True):
                self.register_buffer(name, torch.tensor(limit, dtype=dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows."""
        filled = torch.where(X.isnan(), self.values, X)
        return filled.clamp(self.low, self.high) if self.limited else filled


class Flipped(nn.Module):
    """``1 - x`` in some columns of 0 and 1, and 0 in constant ones of these.

    Parameters
    ----------
    flipped, constant : ndarray of bool, shape (n_features,)
    dtype : torch.dtype
    """

    sign: Tensor
    offset: Tensor

    def __init__(self, flipped: np.ndarray, constant: np.ndarray, dtype: torch.dtype):
        super().__init__()
        sign = np.where(flipped, np.where(constant, 0, -1), 1)
        self.register_buffer("sign", torch.tensor(sign, dtype=dtype))
        self.register_buffer("offset", torch.tensor(sign < 0, dtype=dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows."""
        return torch.addcmul(self.offset, X, self.sign)

    def sparse(self, X: CSR) -> CSR:
        """Encode sparse rows: the ones of a flipped column disappear, its zeros are stored."""
        flipped = self.offset.numpy().nonzero()[0].astype(X.indices.dtype)
        starts = len(flipped) * np.arange(X.shape[0] + 1, dtype=X.indptr.dtype)
        ones = np.ones(starts[-1], dtype=X.dtype)
        offset = type(X)((ones, np.tile(flipped, X.shape[0]), starts), shape=X.shape)
        values = X.data * self.sign.numpy()[X.indices]
        # A sum of sparse matrices drops its zeros.
        return offset + type(X)((values, X.indices, X.indptr), shape=X.shape)


class Centered(nn.Module):
    """``x - mean``."""

    mean: Tensor

    def __init__(self, mean: np.ndarray, dtype: torch.dtype):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows."""
        return X - self.mean


class Scaled(nn.Module):
    """``(x - center) * factor`` within limits, or without them clipped smoothly to (-3, 3)."""

    center: Tensor
    factor: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, center: np.ndarray, factor: np.ndarray, limits: Limits | None, dtype: torch.dtype
    ):
        super().__init__()
        self.smooth = limits is None
        if limits is not None:
            for name, limit in zip(("low", "high"), limits, strict=True):
                # A value of the column, scaled as the rows are.
                scaled = ((limit - center) * factor).clip(-SCALED_LIMIT, SCALED_LIMIT)
                self.register_buffer(name, torch.tensor(scaled, dtype=dtype))
        self.register_buffer("center", torch.tensor(center, dtype=dtype))
        self.register_buffer("factor", torch.tensor(factor, dtype=dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows."""
        z = (X - self.center) * self.factor
        if not self.smooth:
            return z.clamp(self.low, self.high).nan_to_num()
        z = z.clamp(-SCALED_LIMIT, SCALED_LIMIT).nan_to_num()
        return z / (1 + (z / 3).square()).sqrt()

    def zeros(self) -> Tensor:
        """Encode a row of zeros, within limits."""
        return (-self.center * self.factor).clamp(self.low, self.high)

    def stored(self, columns: Tensor, values: Tensor) -> Tensor:
        """Encode the stored values of a sparse matrix, less what zeros are encoded as."""
        z = (values - self.center[columns]) * self.factor[columns]
        return z.clamp(self.low[columns], self.high[columns]) - self.zeros()[columns]


class Quantile(nn.Module):
    """A monotone piecewise-linear function of each column, as a sum over its segments.

    For 32 segments the sum takes a quarter of the time of `torch.searchsorted` and three gathers.
    Each term is limited to its segment, so that steep segments do not cancel each other.
    """

    left: Tensor
    slope: Tensor
    rise: Tensor
    base: Tensor

    def __init__(self, knots: list[np.ndarray], heights: list[np.ndarray], dtype: torch.dtype):
        super().__init__()
        shape = len(knots), max(1, *(len(k) - 1 for k in knots), 1)
        left, slope, rise = np.zeros((3, *shape))
        base = np.zeros(len(knots))
        for j, (knot, height) in enumerate(zip(knots, heights, strict=True)):
            if len(knot):
                m = len(knot) - 1
                left[j, :m], slope[j, :m] = knot[:-1], inverse(np.diff(knot))
                base[j], rise[j, :m] = height[0], np.diff(height)
        for name, value in ("left", left), ("slope", slope), ("rise", rise), ("base", base):
            self.register_buffer(name, torch.tensor(value, dtype=dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows, some at a time: the segments of all at once would fill the memory."""
        block = BLOCK if X.device.type == "cpu" else DEVICE_BLOCK
        rows = X.reshape(-1, X.shape[-1]).split(max(1, block // self.left.numel()))
        return torch.cat([self._encode(part) for part in rows]).reshape(X.shape)

    def _encode(self, X: Tensor) -> Tensor:
        filled = (X.unsqueeze(-1) - self.left).mul_(self.slope).clamp(0, 1)
        return filled.mul_(self.rise).sum(-1).add_(self.base).nan_to_num()


class PiecewiseLinear(nn.Module):
    """How far each value fills each bin of its column, minus the mean over the training rows."""

    left: Tensor
    slope: Tensor
    low: Tensor
    high: Tensor
    feature: Tensor
    mean: Tensor
    typical: Tensor

    def __init__(
        self,
        edges: list[np.ndarray],
        flipped: np.ndarray,
        means: list[np.ndarray],
        typical: np.ndarray,
        dtype: torch.dtype,
    ):
        super().__init__()
        bins = [max(0, len(edge) - 1) for edge in edges]
        parts = [(np.zeros(1),) * 5] if not any(bins) else []  # a layer needs an input
        for edge, flip, mean in zip(edges, flipped, means, strict=True):
            if len(edge) > 1:
                low, high = np.zeros(len(edge) - 1), np.ones(len(edge) - 1)
                low[0], high[-1] = -EXTRAPOLATION, 1 + EXTRAPOLATION
                # The one bin of a flipped column fills from above.
                left, sign = (edge[1:], -1) if flip else (edge[:-1], 1)
                parts.append((left, sign * inverse(np.diff(edge)), low, high, mean))
        # Where all columns have as many bins, broadcasting takes half the time of a gather.
        self.even = min(bins) == max(bins) > 0
        shape = (len(bins), -1) if self.even else (-1,)
        for name, part in zip(
            ("left", "slope", "low", "high", "mean"), zip(*parts, strict=True), strict=True
        ):
            value = torch.tensor(np.concatenate(part), dtype=dtype)
            self.register_buffer(name, value.reshape(shape))
        feature = np.repeat(np.arange(len(bins)), bins) if any(bins) else np.zeros(1, int)
        self.register_buffer("feature", torch.tensor(feature))
        self.register_buffer("typical", torch.tensor(typical, dtype=dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows."""
        X = torch.where(X.isnan(), self.typical, X)
        X = X.unsqueeze(-1) if self.even else X.index_select(-1, self.feature)
        # Not ``X * slope + bias``: far from 0 narrow bins would lose their digits.
        filled = (X - self.left).mul_(self.slope).clamp(self.low, self.high).sub_(self.mean)
        return filled.flatten(-2) if self.even else filled


class WithIndicator(nn.Module):
    """Another encoding, plus indicators of missing values for some columns."""

    features: Tensor

    def __init__(self, encoding: nn.Module, features: np.ndarray):
        super().__init__()
        self.encoding = encoding
        self.register_buffer("features", torch.tensor(features))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows."""
        encoded = self.encoding(X)
        missing = X.index_select(-1, self.features).isnan().to(encoded.dtype)
        return torch.cat([encoded, missing], dim=-1)


class OneHot(nn.Module):
    """One-hot encoding of columns of codes.

    Parameters
    ----------
    slots : list of ndarray of int
        For each column, the output indices of the codes 0, 1, ..., of any other number, and of
        NaN; -1 if all outputs are 0.
    n_outputs : int
    dtype : torch.dtype
    """

    places: Tensor
    starts: Tensor
    n_codes: Tensor

    def __init__(self, slots: list[np.ndarray], n_outputs: int, dtype: torch.dtype):
        super().__init__()
        sizes = np.array([len(slot) for slot in slots])
        places = np.concatenate(slots)
        self.n_outputs = n_outputs
        # An additional output, which is removed, for codes without an output.
        self.register_buffer("places", torch.tensor(np.where(places < 0, n_outputs, places)))
        self.register_buffer("starts", torch.tensor(sizes.cumsum() - sizes))
        self.register_buffer("n_codes", torch.tensor(sizes - 2, dtype=dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows of codes."""
        known = (X >= 0) & (X < self.n_codes)
        code = torch.where(known, X, self.n_codes + X.isnan())
        place = self.places[self.starts + code.long()]
        encoded = X.new_zeros(*X.shape[:-1], self.n_outputs + 1)
        return encoded.scatter_(-1, place, 1)[..., :-1]


class Mixed(nn.Module):
    """Separate encodings of numeric and of categorical columns.

    Parameters
    ----------
    numbers, categories : nn.Module
    is_categorical : ndarray of bool, shape (n_features,)
        Which columns `categories` encodes.
    """

    number_columns: Tensor
    category_columns: Tensor

    def __init__(self, numbers: nn.Module, categories: nn.Module, is_categorical: np.ndarray):
        super().__init__()
        self.numbers, self.categories = numbers, categories
        self.register_buffer("number_columns", torch.tensor(np.flatnonzero(~is_categorical)))
        self.register_buffer("category_columns", torch.tensor(np.flatnonzero(is_categorical)))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows."""
        numbers = self.numbers(X.index_select(-1, self.number_columns))
        categories = self.categories(X.index_select(-1, self.category_columns))
        return torch.cat([numbers, categories], dim=-1)


# Layers that are the same in training and in prediction.
FIXED = (
    nn.Identity,
    nn.Sequential,
    Centered,
    Filled,
    Flipped,
    Scaled,
    Quantile,
    PiecewiseLinear,
    OneHot,
    WithIndicator,
    Mixed,
)


def reach(low: np.ndarray, high: np.ndarray) -> Limits:
    """Return how far values of columns may exceed their ranges; 0 for columns without values."""
    has_values = low <= high
    low, high = np.where(has_values, low, 0.0), np.where(has_values, high, 0.0)
    width = EXTRAPOLATION * (high - low)
    return low - width, high + width


def inverse(width: np.ndarray) -> np.ndarray:
    """Return ``1 / width`` within what float32 can hold, so that 0 times it is 0."""
    limits = np.finfo(np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        return (1 / np.asarray(width, dtype=np.float64)).clip(limits.tiny, limits.max)
