"""Forward and backward pass of the built-in network, written out.

A layer keeps what its backward pass needs in buffers, which the next batch overwrites.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...networks import MLP, Mixup
from ...networks.layers import FIXED
from ...networks.linear import LinearPart
from .sparse import SparseRows

__all__ = ["HiddenLayer", "LinearShare", "OutputLayer", "split_layers"]


class _Activation(NamedTuple):
    """An activation and its derivative.

    Attributes
    ----------
    forward : callable ``z -> h``
        In place if the derivative is a function of h.
    backward : callable ``(gradient, z, h)``
        Multiplies the gradient by the derivative, in place. h may have been zeroed by dropout,
        where the gradient is then 0 already.
    zero_stays : bool, default=False
        Whether the derivative is 0 where h is: it does the work of the mask of dropout.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], object]
    zero_stays: bool = False


_aten = torch.ops.aten


def _elu(alpha: float, scale: float) -> _Activation:
    kernel = _aten.elu_backward.grad_input
    return _Activation(
        lambda z: _aten.elu_(z, alpha, scale),
        lambda g, z, h: kernel(g, alpha, scale, 1, True, h, grad_input=g),
    )


def _leaky_relu(slope: float) -> _Activation:
    kernel = _aten.leaky_relu_backward.grad_input
    return _Activation(
        lambda z: _aten.leaky_relu_(z, slope),
        lambda g, z, h: kernel(g, h, slope, True, grad_input=g),
    )


# By the modules of `networks.ACTIVATIONS`.
_ACTIVATIONS: dict[type[nn.Module], Callable[[Any], _Activation]] = {
    nn.ELU: lambda module: _elu(module.alpha, 1.0),
    nn.GELU: lambda module: _Activation(
        nn.functional.gelu,
        lambda g, z, h: _aten.gelu_backward.grad_input(g, z, grad_input=g),
    ),
    nn.Identity: lambda module: _Activation(lambda z: z, lambda g, z, h: None),
    nn.LeakyReLU: lambda module: _leaky_relu(module.negative_slope),
    nn.ReLU: lambda module: _Activation(
        Tensor.relu_,
        lambda g, z, h: _aten.threshold_backward.grad_input(g, h, 0, grad_input=g),
        zero_stays=True,
    ),
    # The constants are those of torch.nn.SELU.
    nn.SELU: lambda module: _elu(1.6732632423543772, 1.0507009873554805),
    nn.Sigmoid: lambda module: _Activation(
        Tensor.sigmoid_,
        lambda g, z, h: _aten.sigmoid_backward.grad_input(g, h, grad_input=g),
    ),
    nn.SiLU: lambda module: _Activation(
        nn.functional.silu,
        lambda g, z, h: _aten.silu_backward.grad_input(g, z, grad_input=g),
    ),
    nn.Tanh: lambda module: _Activation(
        Tensor.tanh_,
        lambda g, z, h: _aten.tanh_backward.grad_input(g, h, grad_input=g),
    ),
}


def _gradient(parameter: Any) -> Tensor:
    """Return the gradient of a parameter, which `FlatParameters` has allocated."""
    return parameter.grad


class OutputLayer:
    """A linear layer.

    Parameters
    ----------
    linear : nn.Linear
        With `grad` of weight and bias allocated: gradients are written into them.
    scale : float
        Factor of the inputs, which makes up for those that dropout has zeroed before.
    half : bool
        Whether dense matrices are multiplied in bfloat16, except for predictions.
    """

    def __init__(self, linear: nn.Linear, scale: float, half: bool):
        self.weight, self.bias = linear.weight.detach(), linear.bias.detach()
        self.weight_gradient: Tensor = _gradient(linear.weight)
        self.bias_row = _gradient(linear.bias).unsqueeze(0)
        self.transposed = self.weight.t()
        self.scale, self.half = scale, half

    def linear(self, inputs: Tensor | SparseRows, out: Tensor) -> None:
        """Write the outputs of the linear map."""
        if isinstance(inputs, SparseRows):
            torch.add(inputs.times(self.transposed), self.bias, out=out)
        elif self.half:
            self.half_inputs, self.half_weight = inputs.bfloat16(), self.weight.bfloat16()
            product = torch.mm(self.half_inputs, self.half_weight.t())
            torch.add(self.bias, product, alpha=self.scale, out=out)
        else:
            torch.addmm(self.bias, inputs, self.transposed, alpha=self.scale, out=out)

    def evaluate(self, inputs: Tensor | SparseRows) -> Tensor:
        """Return the outputs of the linear map without scale, in new memory."""
        if isinstance(inputs, SparseRows):
            return inputs.times(self.transposed).add_(self.bias)
        return torch.addmm(self.bias, inputs, self.transposed)

    def learn(self, inputs: Tensor | SparseRows, gradient: Tensor, ones: Tensor) -> None:
        """Write the gradients of weight and bias; `ones` is a row with a one per row of inputs."""
        if isinstance(inputs, SparseRows):
            inputs.transposed_times(gradient, out=self.weight_gradient.t())
        elif self.half:
            product = torch.mm(gradient.bfloat16().t(), self.half_inputs)
            self.weight_gradient.copy_(product).mul_(self.scale)
        elif self.scale == 1:
            torch.mm(gradient.t(), inputs, out=self.weight_gradient)
        else:
            weight = self.weight_gradient
            torch.addmm(weight, gradient.t(), inputs, beta=0, alpha=self.scale, out=weight)
        # As a product, which is faster than a sum over rows.
        torch.mm(ones, gradient, out=self.bias_row)

    def pull_back(self, gradient: Tensor, out: Tensor) -> None:
        """Write the gradient by the inputs."""
        if self.half:
            out.copy_(torch.mm(gradient.bfloat16(), self.half_weight)).mul_(self.scale)
        elif self.scale == 1:
            torch.mm(gradient, self.weight, out=out)
        else:
            torch.addmm(out, gradient, self.weight, beta=0, alpha=self.scale, out=out)


class HiddenLayer(OutputLayer):
    """A linear layer, normalisation, activation and dropout.

    Parameters
    ----------
    linear, scale, half : see `OutputLayer`
    norm : nn.Module or None
    activation : nn.Module
    dropout : float
        Probability that a unit is zeroed. Those that stay are left as they are: the next layer
        has the `scale`.
    """

    def __init__(
        self,
        linear: nn.Linear,
        scale: float,
        norm: nn.Module | None,
        activation: nn.Module,
        dropout: float,
        half: bool,
    ):
        super().__init__(linear, scale, half)
        self.activation = _ACTIVATIONS[type(activation)](activation)
        self.norm, self.dropout = norm, dropout

    def forward(self, inputs: Tensor | SparseRows, mask: Tensor | None, out: Tensor) -> Tensor:
        """Return the units, in `out` where the activation works in place."""
        self.linear(inputs, out)
        if self.norm is not None:
            self.leaf = out.detach().requires_grad_()
            with torch.enable_grad():
                self.normed = self.norm(self.leaf)
            out = self.normed.detach()
        self.z = out
        self.h = self.activation.forward(out)
        if mask is not None:
            self.h.mul_(mask)
        return self.h

    def evaluate(self, inputs: Tensor | SparseRows) -> Tensor:
        """Return the units as they are when predicting: without dropout."""
        z = super().evaluate(inputs)
        if self.norm is not None:
            self.norm.eval()
            z = self.norm(z)
            self.norm.train()
        return self.activation.forward(z)

    def backward(self, gradient: Tensor, mask: Tensor | None) -> Tensor:
        """Return the gradient by the outputs of the linear map, in place of that by the units."""
        if mask is not None and not self.activation.zero_stays:
            gradient.mul_(mask)
        self.activation.backward(gradient, self.z, self.h)
        if self.norm is None:
            return gradient
        parameters = list(self.norm.parameters())
        inputs = [self.leaf, *parameters]
        by_outputs, *by_parameters = torch.autograd.grad(self.normed, inputs, gradient)
        for parameter, value in zip(parameters, by_parameters, strict=True):
            _gradient(parameter).copy_(value)
        return by_outputs


class LinearShare:
    """The shares of a `LinearPart`, whose deviations are known.

    Parameters
    ----------
    linear : LinearPart
        With `grad` of its parameter allocated.
    """

    def __init__(self, linear: LinearPart):
        self.share, self.gradient = linear.share.detach(), _gradient(linear.share)
        self.pace = linear.pace

    def add(self, outputs: Tensor, deviations: Tensor) -> Tensor:
        """Add the shares to the outputs, in place."""
        outputs[:, : len(self.share)].addcmul_(deviations, self.share, value=self.pace)
        return outputs

    def learn(self, deviations: Tensor, gradient: Tensor) -> None:
        """Write the gradient of the shares."""
        by_row = deviations * gradient[:, : len(self.share)]
        torch.sum(by_row, dim=0, out=self.gradient).mul_(self.pace)


# The parts of a hidden layer, in this order.
_HIDDEN = {
    ("linear", *norm, "activation", *dropout)
    for norm in ((), ("norm",))
    for dropout in ((), ("dropout",))
}
_KINDS = {nn.BatchNorm1d: "norm", nn.LayerNorm: "norm", nn.Dropout: "dropout"}


def has_known_layers(network: MLP) -> bool:
    """Return whether the layers are those of `MLP`, which somebody may have altered."""
    if type(network.layers) is not nn.Sequential:
        return False
    *hidden, last = (tuple(map(_kind, part)) for part in _layer_groups(network))
    encoding = [] if network.encoding is None else network.encoding.modules()
    fixed = all(type(part) in FIXED for part in encoding)
    known = type(network.mixup) in (NoneType, Mixup)
    known = known and type(network.input_dropout) in (NoneType, nn.Dropout)
    known = known and type(network.linear) in (NoneType, LinearPart)
    return fixed and known and last == ("linear",) and all(part in _HIDDEN for part in hidden)


def _kind(module: nn.Module) -> str:
    if type(module) is nn.Linear and module.bias is not None:
        return "linear"
    if type(module) is nn.GELU and module.approximate != "none":
        return "other"
    return "activation" if type(module) in _ACTIVATIONS else _KINDS.get(type(module), "other")


def split_layers(network: MLP, half: bool = False) -> tuple[list[HiddenLayer], OutputLayer]:
    """Return the layers of the network, whose parameters have gradients allocated."""
    hidden, scale = [], 1.0
    parts = list(_layer_groups(network))
    for linear, *others in parts[:-1]:
        part = {_kind(module): module for module in others}
        dropout = part["dropout"].p if "dropout" in part else 0.0
        modules = linear, scale, part.get("norm"), part["activation"]
        hidden.append(HiddenLayer(*modules, dropout, half))
        scale = 1 / (1 - dropout)
    ((last,),) = parts[-1:]
    return hidden, OutputLayer(last, scale, half)


def _layer_groups(network: MLP) -> Iterator[list[Any]]:
    """Yield each linear layer with the modules that follow it."""
    part: list[Any] = []
    for module in network.layers:
        if isinstance(module, nn.Linear) and part:
            yield part
            part = []
        part.append(module)
    yield part
