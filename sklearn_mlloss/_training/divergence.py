"""Training that diverges: how it is noticed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn

__all__ = ["Diverged", "names_not_finite"]


class Diverged(Exception):
    """Raised where a loss, a score or the weights are no longer finite; says which and when."""


@torch.no_grad()
def names_not_finite(
    parts: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer | None = None
) -> frozenset[str]:
    """Return the names of parameters and buffers with values that are not finite.

    Parameters
    ----------
    parts : dict of str to nn.Module
    optimizer : torch.optim.Optimizer, optional
        Whose state is looked at, too.
    """
    named = [
        (f"{part}.{name}", tensor)
        for part, module in parts.items()
        for name, tensor in chain(module.named_parameters(), module.named_buffers())
    ]
    if optimizer is not None:
        for state in optimizer.state.values():
            tensors = [(name, value) for name, value in state.items() if isinstance(value, Tensor)]
            named += [(f"optimizer.{name}", value) for name, value in tensors]
    # One sum is fast, and finite unless something is not or is huge.
    if math.isfinite(abs(sum(tensor.sum() for _, tensor in named))):
        return frozenset()
    return frozenset(name for name, tensor in named if not tensor.isfinite().all())
