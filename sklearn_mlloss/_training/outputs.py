"""The outputs of a net for rows, in blocks of a few sizes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .batches import block_size, blocks
from .fast.sparse import is_thin, sparse_outputs
from .fast.tiles import PREDICT_ROWS, forward, is_plain, sizes_for, weight_shapes

__all__ = ["block_sizes", "outputs_of_blocks"]


def block_sizes(net: Any, X: Any, device: torch.device | str) -> tuple[int, ...]:
    """Return the sizes of the blocks of rows that a net predicts together, see `tiles`."""
    module, size, sparse = net.module_, PREDICT_ROWS, _stays_sparse(net, X, device)
    if not sparse:
        size = block_size(size, max(X.shape[1], net.encoder_.n_outputs))
    if not is_plain(module) or torch.device(device).type != "cpu" or size < PREDICT_ROWS:
        return (size,)
    few = sizes_for(weight_shapes(module, sparse), torch.get_num_threads())
    return (*(n for n in few if n < size), size)


def outputs_of_blocks(
    net: Any, X: Any, device: torch.device | str, sizes: Sequence[int]
) -> Iterator[tuple[Tensor, int]]:
    """Yield the outputs of `TableNet.outputs` for blocks of these sizes."""
    module: Any = net.module_
    on_cpu = torch.device(device).type == "cpu"
    if not on_cpu:
        module = copy.deepcopy(module).to(device)
    if module.training:
        module.eval()
    encoder, plain = net.encoder_, on_cpu and is_plain(module)
    if _stays_sparse(net, X, device):
        yield from sparse_outputs(module, X, sizes)
        return
    for rows, real in (encoder.blocks if encoder.transforms else blocks)(X, sizes, device):
        yield forward(module, rows) if plain else module(rows).cpu(), real


def _stays_sparse(net: Any, X: Any, device: torch.device | str) -> bool:
    if torch.device(device).type != "cpu" or not is_thin(getattr(X, "matrix", X)):
        return False
    return net.takes_sparse() and is_plain(net.module_) and not net.encoder_.transforms
