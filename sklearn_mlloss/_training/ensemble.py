"""Predictions by several nets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .._data.rows import Matrix
from .batches import blocks
from .device import threads_for, torch_defaults
from .fast.stack import stack_of
from .fast.tiles import SMALL_PREDICTION
from .net import TableNet
from .outputs import block_sizes

__all__ = ["mean_scores"]

Scores = tuple[np.ndarray, np.ndarray | None]


def mean_scores(nets: Sequence[TableNet], X: Matrix, device: torch.device) -> Scores:
    """Return the means over nets of their scores and, if they have such, of their counts."""
    if len(nets) == 1:
        return nets[0].scores(X, device)
    of_nets = _together(nets, X, device) or [net.scores(X, device) for net in nets]
    scores, counts = zip(*of_nets, strict=True)
    return np.mean(scores, axis=0), None if counts[0] is None else np.mean(counts, axis=0)


@torch_defaults()
def _together(nets: Sequence[TableNet], X: Any, device: torch.device) -> list[Scores]:
    """Return the scores by each net of a few dense rows, or nothing if it takes more than that."""
    if not isinstance(X, np.ndarray):
        return []
    *few, _ = block_sizes(nets[0], X, device)
    if not few or len(X) > few[-1] or any(net.encoder_.transforms for net in nets):
        return []
    stack = stack_of([net.module_ for net in nets])
    if stack is None:
        return []
    n_weights = sum(p.numel() for p in nets[0].module_.parameters())
    with (
        threads_for(2.0 * len(X) * n_weights * len(nets), SMALL_PREDICTION),
        torch._C._InferenceMode(True),
    ):
        ((rows, real),) = blocks(X, few, device)
        outputs = stack(rows)
        return [net.scored(part, real) for net, part in zip(nets, outputs, strict=True)]
