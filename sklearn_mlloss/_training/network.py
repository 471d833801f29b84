"""The network of a net: the built-in one or another, behind the encoding of its inputs."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .._data.validation import FOREIGN, describe
from ..networks import MLP
from .encoding import Encoder

__all__ = ["check_memory", "make_network"]


def make_network(
    factory: Callable[[int, int], nn.Module], encoder: Encoder, n_outputs: int, dtype: torch.dtype
) -> nn.Module:
    """Return a network that begins with the encoding, if there is one."""
    network, encoding = _call(factory, encoder.n_outputs, n_outputs), encoder.module(dtype)
    if encoding is None:
        return network
    if type(network) is MLP and network.encoding is None:
        network.encoding = encoding
        return network
    return nn.Sequential(OrderedDict(encoding=encoding, network=network))


def check_memory(sizes: Sequence[int], n_inputs: int, n_outputs: int, dtype: torch.dtype) -> None:
    """Raise a ValueError if weights and gradients need more memory than the machine has."""
    widths = [n_inputs, *map(int, sizes), n_outputs]
    n_weights = sum((above + 1) * below for above, below in zip(widths, widths[1:], strict=False))
    needed, there = 2 * n_weights * dtype.itemsize, _physical_memory()
    if needed > there:
        size = f"{needed / 2**30:.3g}" if needed < 2**1000 else "more than 1e+291"
        raise ValueError(
            f"hidden_layer_sizes={describe(sizes)} with {n_inputs} inputs and {n_outputs} outputs "
            f"takes {size} GiB of memory for weights and gradients, of {there / 2**30:.3g} GiB "
            "that there are: give smaller layers"
        )


def _physical_memory() -> int:
    """Return the bytes of memory of this machine, or what 64 bits can address if it is unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return 2**63


def _call(factory: Callable[[int, int], nn.Module], n_inputs: int, n_outputs: int) -> nn.Module:
    is_own = isinstance(factory, partial) and factory.func is MLP
    name = "hidden_layer_sizes" if is_own else "module"
    try:
        network = factory(n_inputs, n_outputs)
    except FOREIGN as error:
        raise ValueError(
            f"{name} fails for {n_inputs} inputs and {n_outputs} outputs: {error!r}"
        ) from error
    if not isinstance(network, nn.Module):
        raise TypeError(f"module must return a torch.nn.Module, got {describe(network)}")
    parameters = list(network.parameters())
    if any(is_lazy(p) or p.is_meta for p in parameters):
        raise ValueError(
            f"module must return layers of known sizes with memory of their own, got "
            f"{describe(network)}: give lazy layers n_features, and leave the device out"
        )
    if not any(p.requires_grad for p in parameters):
        raise ValueError(
            f"module must return a network with parameters to train, got {describe(network)}"
        )
    return network
