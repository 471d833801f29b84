"""The functions of torch that a `Symbol` takes, written with the operators of ONNX.

Composed of those that onnxruntime computes in float64, in forms that keep their digits near 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..losses.base import MAX_LOGIT, stationary_probability
from ..losses.counts import bracket
from ._graph import (
    OPERATIONS,
    Graph,
    Symbol,
    axis_of,
    broadcast,
    common_type,
    convert,
    elementwise,
    graph_of,
    name_of,
    operation,
    shape_of,
)

__all__: list[str] = []

# Halvings of an interval of hundreds to the last digits.
HALVINGS = 64

# Distance of logits in the table of a link: straight lines between them are right to 1e-7.
TABLE_STEP = 2.0**-9

OPERATORS = {
    "abs": "Abs",
    "div": "Div",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "logical_and": "And",
    "logical_not": "Not",
    "logical_or": "Or",
    "maximum": "Max",
    "minimum": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "pow": "Pow",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "round": "Round",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}
COMPARISONS = {
    "eq": "Equal",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "isnan": "IsNaN",
    "le": "LessOrEqual",
    "lt": "Less",
}


def _of_operator(op: str, result: torch.dtype | None = None) -> Callable[..., Symbol]:
    def function(*values: Any, inplace: bool = False) -> Symbol:
        return elementwise(op, *values, result=result)

    return function


for _name, _op in OPERATORS.items():
    operation(_name)(_of_operator(_op))
for _name, _op in COMPARISONS.items():
    operation(_name)(_of_operator(_op, torch.bool))
OPERATIONS |= {"__and__": OPERATIONS["logical_and"], "__or__": OPERATIONS["logical_or"]}

# ---------------------------------------------------------------------- arithmetic


@operation("add")
def _add(x: Any, y: Any, alpha: float = 1) -> Symbol:
    return elementwise("Add", x, y if alpha == 1 else y * alpha)


@operation("sub")
def _sub(x: Any, y: Any, alpha: float = 1) -> Symbol:
    return elementwise("Sub", x, y if alpha == 1 else y * alpha)


@operation("addcmul")
def _addcmul(x: Any, a: Any, b: Any, value: float = 1) -> Symbol:
    return _add(x, a * b, alpha=value)


@operation("addcdiv")
def _addcdiv(x: Any, a: Any, b: Any, value: float = 1) -> Symbol:
    return _add(x, a / b, alpha=value)


@operation("square")
def _square(x: Symbol) -> Symbol:
    return x * x


@operation("lerp")
def _lerp(x: Any, y: Any, weight: Any) -> Symbol:
    return x * (1 - weight) + y * weight


@operation("clamp")
def _clamp(x: Symbol, min: Any = None, max: Any = None) -> Symbol:
    x = x if min is None else elementwise("Max", x, min)
    return x if max is None else elementwise("Min", x, max)


@operation("copysign")
def _copysign(x: Symbol, sign: Symbol) -> Symbol:
    return x.abs() * (1 - 2 * (sign < 0).to(x.dtype))


@operation("nan_to_num")
def _nan_to_num(x: Symbol) -> Symbol:
    return _where(x.isnan(), 0.0, x)


@operation("where")
def _where(condition: Any, x: Any, y: Any) -> Symbol:
    graph = graph_of(condition, x, y)
    some = x if isinstance(x, Symbol | Tensor) else y
    dtype = some.dtype if isinstance(some, Symbol | Tensor) else torch.float64
    inputs = [
        name_of(graph, condition, torch.bool),
        name_of(graph, x, dtype),
        name_of(graph, y, dtype),
    ]
    shape = broadcast(*map(shape_of, (condition, x, y)))
    return graph.symbol(graph.append("Where", inputs), shape, dtype)


# ---------------------------------------------------------------------- functions


@operation("expm1")
def _expm1(x: Symbol) -> Symbol:
    return (x / 2).tanh() * (x.exp() + 1)


@operation("log1p")
def _log1p(x: Symbol) -> Symbol:
    u = x + 1
    return _where(u == 1, x, u.log() * x / (u - 1))


@operation("sigmoid")
def _sigmoid(x: Symbol) -> Symbol:
    return 1 / (1 + (-x).exp())


@operation("softplus")
def _softplus(x: Symbol) -> Symbol:
    return x.relu() + (-x.abs()).exp().log1p()


@operation("silu")
def _silu(x: Symbol, inplace: bool = False) -> Symbol:
    return x * x.sigmoid()


@operation("elu")
def _elu(x: Symbol, alpha: float = 1.0, inplace: bool = False) -> Symbol:
    return _where(x > 0, x, alpha * x.clamp(max=0).expm1())


@operation("selu")
def _selu(x: Symbol, inplace: bool = False) -> Symbol:
    return 1.0507009873554805 * _elu(x, 1.6732632423543772)


@operation("leaky_relu")
def _leaky_relu(x: Symbol, negative_slope: float = 0.01, inplace: bool = False) -> Symbol:
    return _where(x > 0, x, negative_slope * x)


@operation("gelu")
def _gelu(x: Symbol, approximate: str = "none") -> Symbol:
    # onnxruntime has this function in float32 only.
    error = elementwise("Erf", convert(x / math.sqrt(2), torch.float32))
    return x * 0.5 * (convert(error, x.dtype) + 1)


@operation("dropout", "contiguous", "clone", "detach")
def _same(x: Symbol, p: float = 0, training: bool = False, inplace: bool = False) -> Symbol:
    return x


# ---------------------------------------------------------------------- reductions


def _reduce(op: str, x: Symbol, dim: int, keepdim: bool = False) -> Symbol:
    axis = axis_of(x, dim, last=False) + x.dim()
    shape = (*x.shape[:axis], *[1] * keepdim, *x.shape[axis + 1 :])
    axes: dict[str, Any]
    # A sum takes its axes as an input, in this version of ONNX.
    if op == "ReduceSum":
        inputs, axes = [x.name, x.graph.constant([axis], np.int64)], {}
    else:
        inputs, axes = [x.name], {"axes": [axis]}
    name = x.graph.append(op, inputs, keepdims=int(keepdim), **axes)
    return x.graph.symbol(name, shape, x.dtype)


operation("sum")(partial(_reduce, "ReduceSum"))
operation("mean")(partial(_reduce, "ReduceMean"))
operation("amax")(partial(_reduce, "ReduceMax"))
operation("amin")(partial(_reduce, "ReduceMin"))


@operation("any")
def _any(x: Symbol, dim: int, keepdim: bool = False) -> Symbol:
    return convert(x, torch.float32).amax(dim, keepdim) > 0


@operation("argmax")
def _argmax(x: Symbol, dim: int, keepdim: bool = False) -> Symbol:
    shape = (*x.shape[:-1], *[1] * keepdim)
    name = x.graph.append("ArgMax", [x.name], axis=axis_of(x, dim), keepdims=int(keepdim))
    return x.graph.symbol(name, shape, torch.int64)


@operation("logsumexp")
def _logsumexp(x: Symbol, dim: int, keepdim: bool = False) -> Symbol:
    top = x.amax(axis_of(x, dim), keepdim=True)
    value = top + (x - top).exp().sum(dim, keepdim=True).log()
    return value if keepdim else value[..., 0]


@operation("log_softmax")
def _log_softmax(x: Symbol, dim: int) -> Symbol:
    return x - x.logsumexp(dim, keepdim=True)


@operation("softmax")
def _softmax(x: Symbol, dim: int) -> Symbol:
    return x.log_softmax(dim).exp()


@operation("cumsum")
def _cumsum(x: Symbol, dim: int) -> Symbol:
    name = x.graph.append("CumSum", [x.name, x.graph.constant(axis_of(x, dim), np.int64)])
    return x.graph.symbol(name, x.shape, x.dtype)


@operation("sort")
def _sort(
    x: Symbol, dim: int = -1, descending: bool = False, stable: bool = False
) -> tuple[Symbol, Symbol]:
    """Return the sorted values and their places; equal ones keep their order."""
    k, largest = x.graph.constant([x.shape[-1]], np.int64), int(descending)
    values, places = x.graph.append("TopK", [x.name, k], 2, axis=axis_of(x, dim), largest=largest)
    return x.graph.symbol(values, x.shape, x.dtype), x.graph.symbol(places, x.shape, torch.int64)


# ---------------------------------------------------------------------- products and layers


@operation("matmul")
def _matmul(x: Any, y: Any) -> Symbol:
    if isinstance(y, Symbol):
        axis_of(y, -2, last=False)
    graph, dtype = graph_of(x, y), common_type(x, y)
    name = graph.append("MatMul", [name_of(graph, value, dtype) for value in (x, y)])
    left, right = shape_of(x), shape_of(y)
    stack = broadcast(left[:-2], right[:-2])
    return graph.symbol(name, (*stack, left[-2], *right[-1:] * (len(right) > 1)), dtype)


@operation("linear")
def _linear(x: Symbol, weight: Tensor, bias: Tensor | None = None) -> Symbol:
    product = _matmul(x, weight.T)
    return product if bias is None else product + bias


@operation("addmm")
def _addmm(bias: Tensor, x: Symbol, weight: Tensor) -> Symbol:
    return _matmul(x, weight) + bias


@operation("batch_norm")
def _batch_norm(
    x: Symbol, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float, **_: Any
) -> Symbol:
    return (x - mean) * (weight / (var + eps).sqrt()) + bias


@operation("layer_norm")
def _layer_norm(
    x: Symbol, shape: Sequence[int], weight: Tensor, bias: Tensor, eps: float
) -> Symbol:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


# ---------------------------------------------------------------------- tables and loops


@operation("stationary_probability")
def _stationary_probability(
    positive: Callable[[Tensor], Tensor], negative: Callable[[Tensor], Tensor], s: Symbol
) -> Any:
    """Interpolate in a table of the probability, which needs gradients."""
    n_labels, n_bins = s.shape[-1], round(2 * MAX_LOGIT / TABLE_STEP)
    grid = torch.linspace(-MAX_LOGIT, MAX_LOGIT, n_bins + 1, dtype=torch.float64)
    table = stationary_probability(positive, negative, grid[:, None].repeat(1, n_labels))
    # One column will do where labels do not differ.
    width = 1 if bool((table == table[:, :1]).all()) else n_labels
    values = table[:, :width].flatten()
    place = (s.clamp(-MAX_LOGIT, MAX_LOGIT) + MAX_LOGIT) / TABLE_STEP
    low = place.floor().clamp(max=n_bins - 1)
    at = (low * width).long() + torch.arange(width)
    return torch.lerp(values[at], values[at + width], place - low)


@operation("log_rates")
def _log_rates(log_p: Any, log_count: Any) -> Any:
    """Append a loop that halves the interval of each row."""
    from onnx import TensorProto, helper

    bounds: Any = bracket(log_p, log_count)
    log_target, low, high, tiny = bounds
    graph, body = log_p.graph, Graph(log_p.graph.name() + "_")
    below, above = (body.symbol(name, low.shape, low.dtype) for name in ("below", "above"))
    # A loop sees the values of the graph around it.
    p, target = (body.symbol(x.name, x.shape, x.dtype) for x in (log_p, log_target))
    middle = (below + above) / 2
    total = -torch.expm1(-(middle.unsqueeze(-1) + p).exp()).sum(-1)
    too_low: Any = total.log() < target
    new: Any = torch.where(too_low, middle, below), torch.where(too_low, above, middle)
    going = body.append("Identity", ["going"])

    def numbers(*symbols: Any) -> list[Any]:
        kind = TensorProto.DOUBLE
        return [helper.make_tensor_value_info(symbol.name, kind, [None]) for symbol in symbols]

    def scalar(name: str, kind: int) -> Any:
        return helper.make_tensor_value_info(name, kind, [])

    inputs = [scalar("step", TensorProto.INT64), scalar("going", TensorProto.BOOL)]
    inner = helper.make_graph(
        body.nodes, "halving", inputs + numbers(below, above),
        [scalar(going, TensorProto.BOOL), *numbers(*new)], body.constants,
    )  # fmt: skip
    n_steps, always = graph.constant(HALVINGS, np.int64), graph.constant(True, np.bool_)
    log_theta, _ = graph.append("Loop", [n_steps, always, low.name, high.name], 2, body=inner)
    return (graph.symbol(log_theta, low.shape, low.dtype) + tiny).unsqueeze(-1) + log_p
