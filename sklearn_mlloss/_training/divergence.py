"""Training that diverges: losses, weights or outputs that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .batches import Table, block_size

if TYPE_CHECKING:
    from .net import TableNet

__all__ = [
    "Diverged",
    "check_end",
    "check_overflow",
    "check_weights",
    "diverged",
    "go_back",
    "names_not_finite",
]

# Rows whose outputs are checked after a training without held-out rows.
CHECKED_ROWS = 256


class Diverged(Exception):
    """Raised when a loss, a score or the weights are not finite; its message says which."""


def diverged(net: TableNet, problem: str) -> Diverged:
    """Return the error that names the problem, the epoch and the learning rate."""
    rate = float(net.optimizer_.param_groups[0]["lr"])
    return Diverged(
        f"{problem} in epoch {len(net.history)} with learning rate {rate:.6g}: lower "
        "learning_rate, or scale X"
    )


def check_weights(net: TableNet, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Raise if weights or buffers are no longer finite."""
    names = names_not_finite(net._torch_modules(), optimizer) - net.not_finite_
    if names:
        problem = f"{min(names)} is not finite"
        raise diverged(net, f"training with {net.criterion_.loss!r} diverged ({problem})")


def check_end(net: TableNet, table: Table) -> None:
    """Raise if the last weights are useless, where no held-out rows have shown it."""
    # Only a later call of `partial_fit` needs the state of the optimiser.
    check_weights(net, None if net.whole_fit_ else net.optimizer_)
    size = block_size(CHECKED_ROWS, net.encoder_.n_outputs)
    rows = torch.arange(min(size, len(table)))
    with torch.no_grad():
        if net.fused_ is not None:
            outputs = net.fused_.outputs(table, rows)
        else:
            net._set_mode(False)
            outputs = net.module_(table.batch(rows)[0])
    check_overflow(net, [outputs])


def check_overflow(net: TableNet, outputs: list[Tensor]) -> None:
    """Raise if outputs overflow, or would for other rows; their loss may be finite."""
    if not all(block.square().isfinite().all() for block in outputs):
        problem = "outputs overflow"
        raise diverged(net, f"training with {net.criterion_.loss!r} diverged ({problem})")


def go_back(net: TableNet, error: Diverged) -> None:
    """Return to the best weights and forget the last epoch; raise if there are none."""
    rule = net.best_weights()
    if rule is None or rule.state_ is None:
        raise error
    net.set_weights(rule.state_)
    del net.history[-1:]
    best = max(row["epoch"] for row in net.history if row.get("is_best"))
    net.divergence_ = f"the best weights, those of epoch {best}, are kept ({error})"


@torch.no_grad()
def names_not_finite(
    parts: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer | None = None
) -> frozenset[str]:
    """Return the names of parameters and buffers with values that are not finite.

    Parameters
    ----------
    parts : dict of str to nn.Module
    optimizer : torch.optim.Optimizer, optional
        Whose state is checked, too.
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
    total: Any = sum(tensor.sum() for _, tensor in named)
    if math.isfinite(abs(total)):
        return frozenset()
    return frozenset(name for name, tensor in named if not tensor.isfinite().all())
