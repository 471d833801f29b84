"""A graph of ONNX that records what torch functions compute.

A `Symbol` takes the place of a tensor, in networks, links and functions that are written with
torch: each function that is applied to it appends nodes to its `Graph`. So every formula is written
once. Rows are the first axis, and their number stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["ROWS", "TEXT", "Graph", "Symbol", "convert", "info_of", "operation"]

# The size of the axis of rows, which is known only when the graph runs.
ROWS = -1

# Stands for strings, for which torch has no type.
TEXT = torch.uint8

# Functions of torch by name; those that change a tensor in place are the same with "_" appended.
OPERATIONS: dict[str, Callable[..., Any]] = {}


def operation(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of symbols under the names that it has in torch."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


class Graph:
    """Nodes and constants of a graph of ONNX, in the order in which they were made.

    Attributes
    ----------
    nodes, constants : list
        Of `onnx.NodeProto` and `onnx.TensorProto`.
    """

    def __init__(self, prefix: str = "v") -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._known: dict[tuple[Any, ...], str] = {}
        self._n_names = 0

    def name(self) -> str:
        """Return a new name."""
        self._n_names += 1
        return f"{self.prefix}{self._n_names}"

    def constant(self, value: Any, dtype: Any) -> str:
        """Return the name of a constant array; equal ones are stored once."""
        from onnx import numpy_helper

        array = np.array(value, dtype=dtype)
        content = tuple(array.tolist()) if array.dtype == object else array.tobytes()
        key = (array.dtype.str, array.shape, content)
        if key not in self._known:
            self._known[key] = self.name()
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def append(self, op: str, inputs: Sequence[str], n_outputs: int = 1, **attributes: Any) -> Any:
        """Append a node and return the name of its output, or of each of several."""
        from onnx import helper

        outputs = [self.name() for _ in range(n_outputs)]
        # Optimisers of some versions of onnxruntime confuse nodes without names.
        node = helper.make_node(op, list(inputs), outputs, name=f"{op} {outputs[0]}", **attributes)
        self.nodes.append(node)
        return outputs[0] if n_outputs == 1 else outputs

    def symbol(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Any:
        """Return the symbol of a value with this name, to be used as a tensor."""
        return Symbol(self, name, tuple(shape), dtype)


class Symbol:
    """A value of a graph, to be used in the place of a tensor.

    Parameters
    ----------
    graph : Graph
    name : str
    shape : tuple of int
        `ROWS` for the axis of rows.
    dtype : torch.dtype
    """

    device = torch.device("cpu")

    def __init__(self, graph: Graph, name: str, shape: tuple[int, ...], dtype: torch.dtype):
        self.graph, self.name, self.shape, self.dtype = graph, name, shape, dtype

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """Append the nodes of a function of torch that has symbols among its arguments."""
        name = func.__name__
        if name in OPERATIONS:
            return OPERATIONS[name](*args, **(kwargs or {}))
        raise _unknown(name)

    def __getattr__(self, name: str) -> Any:
        """Return a method of tensors."""
        function = OPERATIONS.get(name)
        if function is not None:
            return lambda *args, **kwargs: function(self, *args, **kwargs)
        if name.endswith("_") and name[:-1] in OPERATIONS:
            return lambda *args, **kwargs: self._become(
                OPERATIONS[name[:-1]](self, *args, **kwargs)
            )
        if name.startswith("_"):
            raise AttributeError(name)
        raise _unknown(name)

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    def __bool__(self) -> bool:
        """Raise: values are known only when the graph runs."""
        raise NotImplementedError("a condition on values has no counterpart in ONNX here")

    def _become(self, other: Symbol) -> Symbol:
        self.name, self.shape, self.dtype = other.name, other.shape, other.dtype
        return self

    # fmt: off
    __hash__ = object.__hash__
    def __getitem__(self, index: Any) -> Any: return OPERATIONS["__getitem__"](self, index)
    def __neg__(self) -> Any: return OPERATIONS["neg"](self)
    def __invert__(self) -> Any: return OPERATIONS["logical_not"](self)
    def __add__(self, other: Any) -> Any: return OPERATIONS["add"](self, other)
    def __radd__(self, other: Any) -> Any: return OPERATIONS["add"](other, self)
    def __sub__(self, other: Any) -> Any: return OPERATIONS["sub"](self, other)
    def __rsub__(self, other: Any) -> Any: return OPERATIONS["sub"](other, self)
    def __mul__(self, other: Any) -> Any: return OPERATIONS["mul"](self, other)
    def __rmul__(self, other: Any) -> Any: return OPERATIONS["mul"](other, self)
    def __truediv__(self, other: Any) -> Any: return OPERATIONS["div"](self, other)
    def __rtruediv__(self, other: Any) -> Any: return OPERATIONS["div"](other, self)
    def __pow__(self, other: Any) -> Any: return OPERATIONS["pow"](self, other)
    def __matmul__(self, other: Any) -> Any: return OPERATIONS["matmul"](self, other)
    def __gt__(self, other: Any) -> Any: return OPERATIONS["gt"](self, other)
    def __ge__(self, other: Any) -> Any: return OPERATIONS["ge"](self, other)
    def __lt__(self, other: Any) -> Any: return OPERATIONS["lt"](self, other)
    def __le__(self, other: Any) -> Any: return OPERATIONS["le"](self, other)
    def __eq__(self, other: Any) -> Any: return OPERATIONS["eq"](self, other)
    def __and__(self, other: Any) -> Any: return OPERATIONS["logical_and"](self, other)
    def __or__(self, other: Any) -> Any: return OPERATIONS["logical_or"](self, other)
    # fmt: on


def _unknown(name: str) -> NotImplementedError:
    return NotImplementedError(f"{name} of torch has no counterpart in ONNX here")


def numpy_type(dtype: torch.dtype) -> np.dtype[Any]:
    """Return the type of numpy that a type of torch stands for."""
    return torch.empty(0, dtype=dtype).numpy().dtype


def onnx_type(dtype: torch.dtype) -> int:
    """Return the number that ONNX has for a type."""
    from onnx import TensorProto, helper

    return (
        TensorProto.STRING if dtype == TEXT else helper.np_dtype_to_tensor_dtype(numpy_type(dtype))
    )


def info_of(name: str, symbol: Any) -> Any:
    """Return the description of an input or output with the type and shape of a symbol."""
    from onnx import helper

    shape = ["rows" if size == ROWS else size for size in symbol.shape]
    return helper.make_tensor_value_info(name, onnx_type(symbol.dtype), shape)


def common_type(*values: Any) -> torch.dtype:
    """Return the type that torch gives the result of an operation on values."""
    plain = [
        torch.ones([1] * v.dim(), dtype=v.dtype) if isinstance(v, Symbol) else v for v in values
    ]
    result: Any = plain[0]
    for value in plain[1:]:
        dtype = torch.result_type(result, value)
        dims = max(np.ndim(result), np.ndim(value))
        is_tensor = isinstance(result, Tensor) or isinstance(value, Tensor)
        result = torch.ones([1] * dims, dtype=dtype) if is_tensor else dtype
    return result.dtype


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the result of an operation on values of some shapes."""
    n_axes = max(map(len, shapes), default=0)
    padded = [(1,) * (n_axes - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(ROWS if ROWS in sizes else max(sizes) for sizes in zip(*padded, strict=True))


def graph_of(*values: Any) -> Graph:
    """Return the graph of the symbols among some values."""
    return next(value.graph for value in values if isinstance(value, Symbol))


def shape_of(value: Any) -> tuple[int, ...]:
    """Return the shape of a symbol, a tensor or a number."""
    return tuple(value.shape) if isinstance(value, Symbol) else np.shape(value)


def axis_of(x: Symbol, dim: int, last: bool = True) -> int:
    """Return the number of an axis from the end; raise if it is that of rows, or not the last."""
    axis = dim - x.dim() if dim >= 0 else dim
    if axis == -x.dim() or (last and axis != -1):
        raise NotImplementedError(f"axis {dim} of {x.dim()} has no counterpart in ONNX here")
    return axis


def name_of(graph: Graph, value: Any, dtype: torch.dtype) -> str:
    """Return the name of a value, as a constant or converted where needed."""
    if isinstance(value, Symbol):
        return value.name if value.dtype == dtype else convert(value, dtype).name
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    return graph.constant(array, numpy_type(dtype))


def convert(x: Any, dtype: torch.dtype) -> Any:
    """Return a symbol of another type."""
    if x.dtype == dtype:
        return x
    name = x.graph.append("Cast", [x.name], to=onnx_type(dtype))
    return x.graph.symbol(name, x.shape, dtype)


def elementwise(op: str, *values: Any, result: torch.dtype | None = None) -> Any:
    """Append a node that works on each element, with the rules of torch for types and shapes."""
    graph, dtype = graph_of(*values), common_type(*values)
    name = graph.append(op, [name_of(graph, value, dtype) for value in values])
    return graph.symbol(name, broadcast(*map(shape_of, values)), result or dtype)
