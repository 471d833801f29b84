"""Expected metrics of the first k labels of each row, as `decoders.expected` computes them.

Written for tensors of which the number of rows is not known. There are some nodes per label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..decoders import expected, sets

__all__ = ["best_length", "fbeta_values", "gfm_chosen", "gfm_gains", "gfm_values", "jaccard_values"]


def best_length(values: Tensor) -> Tensor:
    """Return the first index of the maximum of each row, as a column."""
    best = values.amax(-1, keepdim=True)
    return (values >= best - expected._TIE * best).double().argmax(-1, keepdim=True).double()


def fbeta_values(p: Tensor, beta: float, empty: float) -> Tensor:
    """Return the expected F-beta of the first k = 0..L labels; p falls along each row."""
    n_labels, square = p.shape[-1], beta**2
    k = torch.arange(1, n_labels + 1, dtype=torch.float64)
    if n_labels > expected._EXACT_LABELS:
        inside = p.cumsum(-1)
        values = (1 + square) * inside / (k + square * inside[..., -1:])
        return torch.cat([empty * (-p).log1p().sum(-1, keepdim=True).exp(), values], -1)
    pmf = _certain(p)
    for label in range(n_labels):
        pmf = _one_more(pmf, p[..., label : label + 1])
    weight = (1 + square) / (square * k.unsqueeze(-1) + k)
    likely = p > 0.5
    q = torch.where(likely, 1 - p, p)
    rest, values = torch.zeros_like(p), torch.zeros_like(p)
    for term in range(n_labels):
        # As in `expected._fbeta_values`.
        few, many = (pmf[..., s : s + 1] for s in (term, n_labels - term))
        rest = (torch.where(likely, many, few) - q * rest) / (1 - q)
        joint = p * rest
        upwards = torch.where(likely, 0.0, joint).cumsum(-1)
        downwards = torch.where(likely, joint, 0.0).cumsum(-1)
        values = values + upwards * weight[term] + downwards * weight[n_labels - 1 - term]
    return torch.cat([empty * pmf[..., :1], values], -1)


def jaccard_values(p: Tensor, empty: float) -> Tensor:
    """Return the expected Jaccard index of the first k = 0..L labels; p falls along each row."""
    n_labels, inside = p.shape[-1], p.cumsum(-1)
    outside = _certain(p)
    values: list[Tensor] = []
    for k in range(n_labels, 0, -1):
        share = k + torch.arange(n_labels - k + 1, dtype=torch.float64)
        values.append(inside[..., k - 1 : k] * (outside / share).sum(-1, keepdim=True))
        outside = _one_more(outside, p[..., k - 1 : k])
    return torch.cat([empty * outside[..., :1], *values[::-1]], -1)


def _certain(p: Tensor) -> Tensor:
    """Return the distribution of a sum of no labels."""
    return torch.ones_like(p[..., :1]) + 0 * p[..., :1]


def _one_more(pmf: Tensor, p: Tensor) -> Tensor:
    """Add an independent label to a sum of labels."""
    return pad(pmf, (0, 1)) * (1 - p) + pad(pmf, (1, 0)) * p


def gfm_gains(decoder: Any, posterior: Tensor) -> Tensor:
    """Return what each label adds to a set of size k = 1..L, of shape (n, L, n_labels)."""
    n_labels, size = decoder.label_sets_.shape[1], decoder.label_sets_.sum(axis=1)
    # If all sets are empty, no label adds anything to a set of any size.
    sizes = np.unique(size[size > 0]) if size.any() else np.ones(1)
    square, k = decoder.beta**2, np.arange(1, n_labels + 1)
    joint = []
    for s in sizes:
        members = decoder.label_sets_ * (size == s)[:, None]
        joint.append((posterior @ torch.tensor(members.astype(float))).unsqueeze(-2))
    weight = torch.tensor((1 + square) / (square * sizes + k[:, None]))
    return weight @ torch.cat(joint, -2)


def gfm_values(decoder: Any, posterior: Tensor, gains: Tensor) -> Tensor:
    """Return the expected F-beta of the best sets of sizes k = 0..L."""
    ranked = gains.sort(descending=True, stable=True)[0]
    inside = torch.tensor(np.tri(gains.shape[-1]))  # the first k of row k
    is_empty = decoder.label_sets_.sum(axis=1) == 0
    nothing = (posterior * torch.tensor(is_empty.astype(float))).sum(-1, keepdim=True)
    return torch.cat([decoder.empty * nothing, (ranked * inside).sum(-1)], -1)


def gfm_chosen(gains: Tensor, best: Tensor) -> Tensor:
    """Return the gains for the best size of each row, rounded as by `GFMDecoder`."""
    k = torch.arange(1, gains.shape[-1] + 1, dtype=torch.float64)
    at_best = (k == best.clamp(min=1)).double().unsqueeze(-1)
    chosen = (gains * at_best).sum(-2)
    return (chosen * 10.0**sets._DIGITS).round() / 10.0**sets._DIGITS
