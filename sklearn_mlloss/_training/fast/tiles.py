"""Sizes of the blocks of rows that predictions are computed in.

A row's result must not depend on its neighbours. Kernels of matrix products for other numbers of
rows may add up in another order, so rows are filled up to blocks of a few sizes, each of which is
used only where it gives the same bits as the largest one, on this processor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...networks import MLP

__all__ = [
    "PREDICT_ROWS",
    "SMALL_PREDICTION",
    "apply",
    "batched_product",
    "forward",
    "is_altered",
    "is_plain",
    "sizes_for",
    "tiles",
    "weight_shapes",
]

# Numbers of outputs and inputs, type, and whether it is the weight of a layer.
Shape = tuple[int, int, torch.dtype, bool]

# Rows that go through a network at once: hidden activations stay in the cache.
PREDICT_ROWS = 1024
# Blocks of fewer rows, for predictions of few. All are multiples of 16, so that vectorised
# functions leave no rest of a block, which is computed in another way.
FEW_ROWS = (16, 32, 128)
# Products with fewer outputs are computed with as many: the bits of some kernels for few depend on
# the place of a row in its block.
FEW_OUTPUTS = 16
# Floating point operations of a prediction that one thread computes: about two milliseconds. To
# wait for others, which a busy neighbour may hold up, can take longer.
SMALL_PREDICTION = 1e8


def tiles(n: int, sizes: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Yield parts of n rows, and the size of the block that each part is filled up to.

    Parameters
    ----------
    n : int
    sizes : sequence of int
        Ascending. All but the last part are of the last size.
    """
    for start in range(0, n, sizes[-1]):
        real = min(sizes[-1], n - start)
        yield slice(start, start + real), next(size for size in sizes if size >= real)


def is_plain(network: nn.Module) -> bool:
    """Return whether `forward` does what a call of the network does.

    It does not call some parts of the network, which may have hooks.
    """
    if type(network) is not MLP:
        return False
    linear = (layer for layer in network.layers if type(layer) is nn.Linear)
    return not any(map(is_altered, (network, network.layers, network.linear, *linear)))


def is_altered(module: nn.Module | None) -> bool:
    """Return whether a call of a module does more than its class says."""
    if module is None:
        return False
    return bool(module._forward_hooks or module._forward_pre_hooks) or "forward" in vars(module)


def weight_shapes(network: MLP, sparse: bool = False) -> tuple[Shape, ...]:
    """Return the shape and the layout of each matrix that dense rows are multiplied with.

    Products of sparse rows add up each row by itself.
    """
    weights = [(layer.weight, True) for layer in network.layers if type(layer) is nn.Linear]
    if sparse:
        del weights[0]
    elif network.linear is not None:
        weights.append((network.linear.weight.t(), False))
    return tuple((*weight.shape, weight.dtype, by_layer) for weight, by_layer in weights)


def forward(network: MLP, rows: Tensor) -> Tensor:
    """Return the outputs of a network, in prediction."""
    inputs = rows if network.encoding is None else network.encoding(rows)
    outputs = apply(network.layers, inputs)
    linear = network.linear
    if linear is None:
        return outputs
    return linear.added(outputs, _product(linear.encoding(rows), linear.weight, linear.bias))


def apply(layers: Any, inputs: Tensor) -> Tensor:
    """Return the outputs of a sequence of layers, in prediction."""
    for layer in layers:
        if type(layer) is nn.Linear and layer.bias is not None:
            inputs = _product(inputs, layer.weight.t(), layer.bias)
        elif type(layer) is not nn.Dropout:
            inputs = layer(inputs)
    return inputs


@cache
def sizes_for(shapes: tuple[Shape, ...], threads: int) -> tuple[int, ...]:
    """Return the sizes of `FEW_ROWS` that give the same bits of a network's products.

    Parameters
    ----------
    shapes : tuple
        Those that `weight_shapes` returns.
    threads : int
        With which many rows are predicted.
    """
    same = set(FEW_ROWS).intersection(*(_same_bits(*shape, threads) for shape in shapes))
    return tuple(sorted(same))


@cache
def _same_bits(
    n_outputs: int, n_inputs: int, dtype: torch.dtype, by_layer: bool, threads: int
) -> frozenset[int]:
    """Return which of `FEW_ROWS` give the bits of products with `PREDICT_ROWS` rows."""
    rng = np.random.default_rng(0)
    real: Any = np.float64 if dtype == torch.float64 else np.float32
    X, weight = (
        torch.from_numpy(rng.random((n, n_inputs), dtype=real) - real(0.5))
        for n in (PREDICT_ROWS, n_outputs)
    )
    bias = weight[:, 0].contiguous()
    matrix = weight.t() if by_layer else weight.t().contiguous()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        whole, same = _product(X, matrix, bias), set()
        torch.set_num_threads(1)  # as for few rows
        if not torch.equal(_product(X, matrix, bias), whole):
            return frozenset()
        for size in FEW_ROWS:
            parts = [slice(0, size), slice(3 * size, 4 * size), slice(-size, None)]
            if all(_is_same(X[part].contiguous(), matrix, bias, whole[part]) for part in parts):
                same.add(size)
    finally:
        torch.set_num_threads(before)
    return frozenset(same)


def _is_same(rows: Tensor, matrix: Tensor, bias: Tensor, expected: Tensor) -> bool:
    """Return whether products have these bits, alone and as one of a batch."""
    batched = batched_product(*(part.expand(2, *part.shape) for part in (rows, matrix, bias)))
    plain = _product(rows, matrix, bias)
    return torch.equal(plain, expected) and all(torch.equal(each, expected) for each in batched)


def batched_product(rows: Tensor, matrices: Tensor, biases: Tensor) -> Tensor:
    """Return what `_product` does for the networks of a `Stack`."""
    n_outputs = biases.shape[-1]
    if n_outputs < FEW_OUTPUTS:
        more = (0, FEW_OUTPUTS - n_outputs)
        matrices, biases = nn.functional.pad(matrices, more), nn.functional.pad(biases, more)
    return torch.baddbmm(biases[:, None], rows, matrices)[..., :n_outputs].contiguous()


def _product(rows: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    n_outputs = len(bias)
    if n_outputs >= FEW_OUTPUTS:
        return torch.addmm(bias, rows, matrix)
    more = (0, FEW_OUTPUTS - n_outputs)
    outputs = torch.addmm(nn.functional.pad(bias, more), rows, nn.functional.pad(matrix, more))
    return outputs[:, :n_outputs].contiguous()
