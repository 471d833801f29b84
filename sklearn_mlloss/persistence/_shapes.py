"""The functions of torch that change type or shape of a `Symbol`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._graph import ROWS, Graph, Symbol, axis_of, convert, graph_of, name_of, operation, shape_of

__all__: list[str] = []


@operation("to")
def _to(x: Symbol, dtype: torch.dtype) -> Symbol:
    return convert(x, dtype)


operation("double")(partial(_to, dtype=torch.float64))
operation("float")(partial(_to, dtype=torch.float32))
operation("long")(partial(_to, dtype=torch.int64))


@operation("zeros_like")
def _zeros_like(x: Symbol) -> Symbol:
    return _full_like(x, 0)


@operation("ones_like")
def _ones_like(x: Symbol) -> Symbol:
    return _full_like(x, 1)


@operation("full_like")
def _full_like(x: Symbol, value: float) -> Symbol:
    # A constant is broadcast wherever it is used.
    return x.graph.symbol(name_of(x.graph, value, x.dtype), x.shape, x.dtype)


@operation("new_zeros")
def _new_zeros(x: Symbol, *shape: int) -> Symbol:
    return _expand(x.graph, name_of(x.graph, 0, x.dtype), x, shape, x.dtype)


def _expand(
    graph: Graph, name: str, rows: Symbol, shape: Sequence[int], dtype: torch.dtype
) -> Symbol:
    """Return a value expanded to a shape whose first axis is that of the rows of a symbol."""
    sizes = graph.append("Shape", [rows.name], start=0, end=1)
    sizes = graph.append("Concat", [sizes, graph.constant(shape[1:], np.int64)], axis=0)
    return graph.symbol(graph.append("Expand", [name, sizes]), shape, dtype)


@operation("unsqueeze")
def _unsqueeze(x: Symbol, dim: int) -> Symbol:
    place = dim % (x.dim() + 1)
    if place == 0:
        raise NotImplementedError("an axis before that of rows has no counterpart in ONNX here")
    name = x.graph.append("Unsqueeze", [x.name, x.graph.constant([place], np.int64)])
    return x.graph.symbol(name, (*x.shape[:place], 1, *x.shape[place:]), x.dtype)


@operation("reshape")
def _reshape(x: Symbol, *shape: Any) -> Symbol:
    sizes = tuple(shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)
    if sizes == x.shape:
        return x
    if sizes[0] != ROWS or math.prod(sizes[1:]) != math.prod(x.shape[1:]):
        raise NotImplementedError("a change of the number of rows has no counterpart in ONNX here")
    name = x.graph.append("Reshape", [x.name, x.graph.constant(sizes, np.int64)])
    return x.graph.symbol(name, sizes, x.dtype)


@operation("flatten")
def _flatten(x: Symbol, start: int) -> Symbol:
    return _reshape(x, *x.shape[:start], math.prod(x.shape[start:]))


@operation("split")
def _split(x: Symbol, size: int) -> tuple[Symbol]:
    # All rows are one block.
    return (x,)


@operation("cat")
def _cat(parts: Sequence[Any], dim: int = 0) -> Symbol:
    if len(parts) == 1:
        return parts[0]
    graph, shape = graph_of(*parts), list(shape_of(parts[0]))
    dtype = next(part.dtype for part in parts if isinstance(part, Symbol))
    axis = axis_of(next(part for part in parts if isinstance(part, Symbol)), dim, last=False)
    name = graph.append("Concat", [name_of(graph, part, dtype) for part in parts], axis=axis)
    shape[axis] = sum(shape_of(part)[axis] for part in parts)
    return graph.symbol(name, shape, dtype)


@operation("pad")
def _pad(x: Symbol, sizes: tuple[int, int], mode: str = "constant", value: Any = None) -> Symbol:
    pads = [0] * (len(x.shape) - 1)
    pads = [*pads, sizes[0], *pads, sizes[1]]
    name = x.graph.append("Pad", [x.name, x.graph.constant(pads, np.int64)])
    return x.graph.symbol(name, (*x.shape[:-1], x.shape[-1] + sum(sizes)), x.dtype)


@operation("index_select")
def _index_select(x: Symbol, dim: int, index: Tensor) -> Symbol:
    inputs = [x.name, name_of(x.graph, index, torch.int64)]
    name = x.graph.append("Gather", inputs, axis=axis_of(x, dim))
    return x.graph.symbol(name, (*x.shape[:-1], len(index)), x.dtype)


@operation("__getitem__")
def _getitem(x: Any, index: Any) -> Symbol:
    if isinstance(index, Symbol):  # rows of a constant
        inputs = [name_of(index.graph, x, x.dtype), index.name]
        shape = (*index.shape, *x.shape[1:])
        return index.graph.symbol(index.graph.append("Gather", inputs), shape, x.dtype)
    dots, last = index if isinstance(index, tuple) and len(index) == 2 else (None, None)
    if dots is not ... or not isinstance(last, int | slice):
        raise NotImplementedError(f"an index {index} has no counterpart in ONNX here")
    if isinstance(last, int):
        name = x.graph.append("Gather", [x.name, x.graph.constant(last, np.int64)], axis=-1)
        return x.graph.symbol(name, x.shape[:-1], x.dtype)
    start, stop, _ = last.indices(x.shape[-1])
    ends = [x.graph.constant([value], np.int64) for value in (start, stop, -1)]
    name = x.graph.append("Slice", [x.name, *ends])
    return x.graph.symbol(name, (*x.shape[:-1], stop - start), x.dtype)


@operation("scatter")
def _scatter(x: Symbol, dim: int, index: Symbol, value: Any) -> Symbol:
    updates = value
    if not isinstance(value, Symbol):
        updates = _expand(x.graph, name_of(x.graph, value, x.dtype), x, index.shape, x.dtype)
    name = x.graph.append(
        "ScatterElements", [x.name, index.name, updates.name], axis=axis_of(x, dim)
    )
    return x.graph.symbol(name, x.shape, x.dtype)
