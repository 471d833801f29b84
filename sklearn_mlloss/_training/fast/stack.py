"""Networks of one architecture computed together, for predictions of few rows.

Where rows are few, calls take longer than arithmetic: of an ensemble each layer is one batched
product, with the weights of all networks stacked.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ...networks import ACTIVATIONS, MLP
from ...networks.layers import (
    Centered,
    Filled,
    Flipped,
    Mixed,
    OneHot,
    PiecewiseLinear,
    Scaled,
    WithIndicator,
)
from ...networks.linear import LinearPart, _WithBins
from .tiles import batched_product, is_altered, is_plain

__all__ = ["Stack", "stack_of"]

# Layers of an encoding that broadcast over a leading axis of their buffers.
ENCODINGS = (nn.Sequential, nn.Identity, Centered, Filled, Flipped, Mixed, OneHot, PiecewiseLinear,
             Scaled, WithIndicator, _WithBins)  # fmt: skip
# What the stacks of the first networks of ensembles were made of, and these stacks. Weights change
# in further training; neither copies nor pickles of a model have a stack. Torch does not count
# changes through `Tensor.data` or numpy: they go unnoticed.
_STACKS: WeakKeyDictionary[nn.Module, tuple[tuple, Stack | None]] = WeakKeyDictionary()


class Stack:
    """Networks whose layers differ in values only.

    Parameters
    ----------
    networks : sequence of MLP

    Raises
    ------
    ValueError
        If they differ in more, or have layers that cannot be stacked.
    """

    def __init__(self, networks: Sequence[MLP]):
        self.size = len(networks)
        self.encoding = _stacked([network.encoding for network in networks])
        self.layers: list[Any] = []
        for layers in zip(*(network.layers for network in networks), strict=True):
            first = layers[0]
            _require(all(type(layer) is type(first) for layer in layers))
            if type(first) is nn.Linear:
                _require(all(layer.bias is not None for layer in layers))
                weight = _stack([layer.weight for layer in layers]).transpose(1, 2)
                bias = _stack([layer.bias for layer in layers])
                product = partial(batched_product, matrices=weight, biases=bias)
                self.layers.append(product)
            elif type(first) is not nn.Dropout:
                _require(type(first) in ACTIVATIONS.values())
                self.layers.append(first)
        parts: list[Any] = [network.linear for network in networks]
        _require(len({part is None for part in parts}) == 1)
        self.linear: LinearPart | None = None
        if parts[0] is not None:
            self.linear = parts[0]
            self.linear_encoding = _stacked([part.encoding for part in parts])
            weights, biases = [part.weight for part in parts], [part.bias for part in parts]
            self.deviations = partial(
                batched_product, matrices=_stack(weights), biases=_stack(biases)
            )
            self.alpha = _stack([part.alpha() for part in parts])[:, None]

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the outputs of all networks, shape (n_networks, n, n_outputs)."""
        rows = rows.expand(self.size, -1, -1)
        outputs = rows if self.encoding is None else self.encoding(rows)
        for layer in self.layers:
            outputs = layer(outputs)
        if self.linear is None:
            return outputs
        share = self.alpha * self.deviations(self.linear_encoding(rows))
        more = outputs.shape[-1] - share.shape[-1]
        return outputs + (nn.functional.pad(share, (0, more)) if more else share)


@torch.no_grad()
def stack_of(networks: Sequence[nn.Module]) -> Stack | None:
    """Return the networks as a stack, which is made once for the same weights, or None."""
    if not all(map(is_plain, networks)):
        return None
    parts = [part for network in networks for part in network.modules() if part is not network]
    if any(map(is_altered, parts)):
        return None
    tensors = [tensor for part in parts for tensor in _tensors(part)]
    if any(tensor.is_inference() or not tensor.is_cpu for tensor in tensors):
        return None
    made_of = *parts, *((tensor.data_ptr(), tensor._version) for tensor in tensors)
    known = _STACKS.get(networks[0])
    if known is None or known[0] != made_of:
        stack = None
        try:
            # Tensors of inference mode could not be used outside of it.
            with torch.inference_mode(False):
                stack = Stack(networks)  # type: ignore[arg-type]
        except ValueError:
            pass
        known = _STACKS[networks[0]] = made_of, stack
    return known[1]


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters and buffers of a module itself; faster than torch's methods."""
    for tensors in (module._parameters, module._buffers):
        for tensor in tensors.values():
            if tensor is not None:
                yield tensor


def _stacked(modules: Sequence[Any]) -> Any:
    """Return one module with the buffers of several ones, along a new first axis."""
    first = modules[0]
    _require(all(type(module) is type(first) for module in modules))
    if first is None:
        return None
    parts = [list(module.modules()) for module in modules]
    made = copy.deepcopy(first)
    for i, part in enumerate(made.modules()):
        others = [each[i] for each in parts if i < len(each)]
        _require(len(others) == len(modules) and type(part) in ENCODINGS)
        _require(all(_settings(other) == _settings(part) for other in others))
        for name in list(part._buffers):
            buffers = [getattr(other, name) for other in others]
            if buffers[0].is_floating_point():
                part._buffers[name] = _stack(buffers)[:, None]
            else:  # numbers of columns
                _require(all(torch.equal(buffer, buffers[0]) for buffer in buffers))
    return made


def _settings(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name[0] != "_"}


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    _require(len({(tensor.shape, tensor.dtype) for tensor in tensors}) == 1)
    return torch.stack([tensor.detach() for tensor in tensors])


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("the networks cannot be stacked")
