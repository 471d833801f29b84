"""Contributions of the columns of X to predictions of networks, by integrated gradients."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from .._data.messages import describe
from .._data.rows import Inputs, row_blocks
from ..losses import Loss
from ..networks import MLP
from ..networks.layers import (
    Centered,
    Filled,
    Flipped,
    Mixed,
    OneHot,
    PiecewiseLinear,
    Quantile,
    Scaled,
    WithIndicator,
)
from ..networks.linear import _WithBins
from .device import torch_defaults
from .net import TableNet

__all__ = ["Attribution", "attribute"]

# Numbers that are computed at once: gradients, and derivatives of the link.
BLOCK = 2**22
# Step of the derivatives of links, which not all losses compute in a form that autograd takes.
STEP = 1e-5
# Encodings with one output per column.
ONE_TO_ONE = (nn.Identity, Centered, Filled, Flipped, Quantile, Scaled)


class Attribution(NamedTuple):
    """Contributions to log-odds.

    Attributes
    ----------
    contributions : ndarray of shape (n_rows, n_features, n_labels)
    logits : ndarray of shape (n_rows, n_labels)
    baseline_logits : ndarray of shape (n_labels,)
    """

    contributions: np.ndarray
    logits: np.ndarray
    baseline_logits: np.ndarray


def attribute(
    nets: Sequence[TableNet],
    X: Inputs,
    baseline: Inputs | None,
    labels: Sequence[int],
    exclusive: bool,
    n_steps: int,
) -> Attribution:
    """Return integrated gradients of the log-odds of the mean scores of some nets.

    Parameters
    ----------
    nets : sequence of TableNet
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Rows as the nets take them.
    baseline : ndarray or CSR matrix of shape (n_baselines, n_features), optional
        Rows over which the results are averaged. None starts from zeros behind the encoding.
    labels : sequence of int
        Columns of the scores to explain.
    exclusive : bool
        Whether scores are those of exclusive classes, which are divided by their sum.
    n_steps : int
        Number of points of the path from a baseline to a row.
    """
    with torch_defaults(), torch.inference_mode(False), torch.enable_grad():
        parts = [_Parts(net, X.shape[1]) for net in nets]
        losses = [net.criterion_.loss for net in nets]
        if baseline is None:
            starts = [torch.zeros(1, len(part.sources), dtype=torch.float64) for part in parts]
        else:
            starts = [part.encode(baseline) for part in parts]
        width = sum(len(part.sources) for part in parts)
        blocks = []
        for rows in row_blocks(X.shape[0], width, BLOCK):
            ends = [part.encode(X[rows]) for part in parts]
            means = torch.zeros(len(ends[0]), X.shape[1], len(labels), dtype=torch.float64)
            for number in range(len(starts[0])):
                start = [rows_of_net[number] for rows_of_net in starts]
                _integrate(means, parts, losses, start, ends, labels, exclusive, n_steps)
            means /= n_steps * len(starts[0])
            logits = _log_odds(parts, losses, ends, exclusive)[:, labels]
            blocks.append((means.numpy(), logits.numpy()))
        contributions, of_rows = (np.concatenate(part) for part in zip(*blocks, strict=True))
        before = _log_odds(parts, losses, starts, exclusive)[:, labels].mean(dim=0)
        return Attribution(contributions, of_rows, before.numpy())


class _Parts:
    """A net in float64 as two functions: from rows to encoded rows, and from these to outputs.

    Attributes
    ----------
    sources : Tensor of int, shape (n_encoded,)
        The column of X that each encoded number comes from.
    """

    def __init__(self, net: TableNet, n_features: int):
        if net.encoder_.transforms:
            raise ValueError(
                f"encoding={describe(net.encoder_.fitted)} is a transformer, which may mix the "
                "columns of X: train with an encoding by name, such as 'standard', or use SHAP"
            )
        module: Any = copy.deepcopy(net.module_).to("cpu", torch.float64).eval()
        module.requires_grad_(False)
        self.linear = getattr(module, "linear", None) if type(module) is MLP else None
        encodings: list[nn.Module] = [nn.Identity()]
        self.layers: Any = module
        if type(module) is MLP:
            self.layers = module.layers
            if module.encoding is not None:
                encodings = [module.encoding]
        elif net.encoder_.module(torch.float64) is not None:
            encodings, self.layers = [module.encoding], module.network
        if self.linear is not None:
            encodings.append(self.linear.encoding)
        self.encodings = encodings
        columns = [_sources(encoding, n_features) for encoding in encodings]
        self.sources, self.width = torch.cat(columns), len(columns[0])

    def encode(self, X: Inputs) -> Tensor:
        table: Any = X
        dense = table.toarray() if sp.issparse(table) else table
        rows = torch.from_numpy(dense.astype(np.float64))
        with torch.no_grad():
            return torch.cat([encoding(rows) for encoding in self.encodings], dim=-1)

    def outputs(self, encoded: Tensor) -> Tensor:
        outputs = self.layers(encoded[:, : self.width])
        if self.linear is None:
            return outputs
        of_linear = encoded[:, self.width :]
        deviations = torch.addmm(self.linear.bias, of_linear, self.linear.weight)
        return self.linear.added(outputs, deviations)


def _integrate(
    total: Tensor,
    parts: Sequence[_Parts],
    losses: Sequence[Loss],
    start: Sequence[Tensor],
    ends: Sequence[Tensor],
    labels: Sequence[int],
    exclusive: bool,
    n_steps: int,
) -> None:
    """Add the contributions at each point of the paths from one baseline to some rows."""
    paths = [end - begin for end, begin in zip(ends, start, strict=True)]
    points = torch.arange(len(total) * n_steps)
    n_outputs = len(parts) * losses[0].n_outputs_ * len(labels)
    size = max(1, BLOCK // (n_outputs + sum(map(len, start)) + total.shape[1]))
    for some in points.split(size):
        rows, share = some // n_steps, ((some % n_steps).double() + 0.5) / n_steps
        at = [
            (begin + share[:, None] * path[rows]).requires_grad_()
            for begin, path in zip(start, paths, strict=True)
        ]
        outputs = [part.outputs(encoded) for part, encoded in zip(parts, at, strict=True)]
        slopes = _slopes(losses, [values.detach() for values in outputs], labels, exclusive)
        for place in range(len(labels)):
            for part, encoded, values, slope, path in zip(
                parts, at, outputs, slopes, paths, strict=True
            ):
                (gradient,) = torch.autograd.grad(
                    values, encoded, slope[:, place], retain_graph=place + 1 < len(labels)
                )
                of_columns = gradient.new_zeros(len(rows), total.shape[1])
                of_columns.index_add_(1, part.sources, gradient.mul_(path[rows]))
                total[:, :, place].index_add_(0, rows, of_columns)


@torch.no_grad()
def _slopes(
    losses: Sequence[Loss], outputs: Sequence[Tensor], labels: Sequence[int], exclusive: bool
) -> list[Tensor]:
    """Return derivatives of log-odds by the outputs of nets, (n, n_labels, n_outputs) for each."""
    mean = _mean_scores(losses, outputs)
    places = list(labels)
    some, rest = mean[:, places], _others(mean, exclusive)[:, places]
    slopes = []
    for loss, values in zip(losses, outputs, strict=True):
        of_net = values.new_empty(len(values), len(places), values.shape[1])
        for k in range(values.shape[1]):
            step = torch.zeros_like(values[0])
            step[k] = STEP
            rise = (loss.link(values + step) - loss.link(values - step)) / (2 * STEP * len(losses))
            rise_of_rest = _others(rise, exclusive=True) if exclusive else -rise
            of_net[:, :, k] = rise[:, places] / some - rise_of_rest[:, places] / rest
        slopes.append(of_net)
    return slopes


@torch.no_grad()
def _log_odds(
    parts: Sequence[_Parts], losses: Sequence[Loss], encoded: Sequence[Tensor], exclusive: bool
) -> Tensor:
    outputs = [part.outputs(rows) for part, rows in zip(parts, encoded, strict=True)]
    scores = _mean_scores(losses, outputs)
    return scores.log() - _others(scores, exclusive).log()


def _mean_scores(losses: Sequence[Loss], outputs: Sequence[Tensor]) -> Tensor:
    scores = [loss.link(values) for loss, values in zip(losses, outputs, strict=True)]
    return torch.stack(scores).mean(dim=0)


def _others(scores: Tensor, exclusive: bool) -> Tensor:
    """Return the complements of scores: the sum of the other classes, or what 1 leaves."""
    if not exclusive:
        return 1 - scores
    # Not the sum of all less the score, which is 0 where one class has nearly all.
    return scores @ (1 - torch.eye(scores.shape[1], dtype=scores.dtype))


def _sources(encoding: Any, n_features: int) -> Tensor:
    """Return the column that each output of an encoding comes from."""
    columns = torch.arange(n_features)
    if isinstance(encoding, ONE_TO_ONE):
        return columns
    if isinstance(encoding, nn.Sequential):
        for layer in encoding:
            columns = columns[_sources(layer, len(columns))]
        return columns
    if isinstance(encoding, PiecewiseLinear):
        return encoding.feature
    if isinstance(encoding, WithIndicator):
        return torch.cat([_sources(encoding.encoding, n_features), encoding.features])
    if isinstance(encoding, _WithBins):
        return torch.cat([columns, _sources(encoding.bins, n_features)])
    if isinstance(encoding, OneHot):
        place = torch.arange(len(encoding.places))
        of_place = torch.searchsorted(encoding.starts, place, right=True) - 1
        sources = torch.zeros(encoding.n_outputs + 1, dtype=torch.long)
        return sources.scatter(0, encoding.places, of_place)[:-1]
    if isinstance(encoding, Mixed):
        kinds = (
            (encoding.numbers, encoding.number_columns),
            (encoding.categories, encoding.category_columns),
        )
        return torch.cat([some[_sources(part, len(some))] for part, some in kinds])
    raise ValueError(
        f"encoding has the layer {type(encoding).__name__}, of which it is unknown which outputs "
        "come from which columns: train with an encoding by name, such as 'standard', or use SHAP"
    )
