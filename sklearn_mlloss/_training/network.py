"""The network of a net: the built-in one or a custom module, behind the encoding of its inputs."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .._data.messages import describe
from .._data.validation import is_auto, naming
from ..networks import MLP, Mixup
from ..networks.linear import LinearPart
from .encoding import Encoder
from .parameters import BESIDE_LAYERS, NETWORK

__all__ = ["check_memory", "check_outputs", "make_network", "network_settings"]

# Rows beyond which a second hidden layer helps, and units of a layer.
ROWS_OF_ONE_LAYER, UNITS = 4000, 256
# Values for "auto", times the rate of `dropout`: if that is needed, so are they.
INPUT_DROPOUT, MIXUP = 0.625, 0.4
# Number of columns from which `INPUT_DROPOUT` holds; with fewer columns it is less.
INPUT_COLUMNS = 64


def make_network(
    factory: Callable[[int, int], nn.Module],
    encoder: Encoder,
    n_outputs: int,
    dtype: torch.dtype,
    linear: LinearPart | None = None,
) -> nn.Module:
    """Return a network that begins with the encoding, if there is one."""
    network, encoding = _call(factory, encoder.n_outputs, n_outputs), encoder.module(dtype)
    if linear is not None:
        network.linear = linear
    if encoding is None:
        return network
    if type(network) is MLP and network.encoding is None:
        network.encoding = encoding
        return network
    return nn.Sequential(OrderedDict(encoding=encoding, network=network))


def network_settings(
    params: Any, n_rows: tuple[int, int], n_columns: int, before: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of the built-in network, with those of `before` or numbers for "auto".

    `n_rows` are the numbers of training and held-out rows.
    """
    settings = {name: getattr(params, name) for name in NETWORK if name not in BESIDE_LAYERS}
    settings |= {name: before[name] for name in before if is_auto(settings[name])}
    if is_auto(settings["hidden_layer_sizes"]):
        # The same for folds and for one fit of all rows.
        many = sum(n_rows) > ROWS_OF_ONE_LAYER
        settings["hidden_layer_sizes"] = (UNITS,) * (2 if many else 1)
    if is_auto(settings["dropout"]):
        settings["dropout"] = _auto_dropout(n_rows[0], settings["hidden_layer_sizes"])
    # A linear model has nothing to drop, and is small as it is.
    rate = settings["dropout"] if len(settings["hidden_layer_sizes"]) else 0.0
    if is_auto(settings["input_dropout"]):
        # Few columns are seldom redundant.
        most = INPUT_DROPOUT * min(1, n_columns / INPUT_COLUMNS)
        settings["input_dropout"] = round(256 * most * rate) / 256
    if is_auto(settings["mixup"]):
        settings["mixup"] = MIXUP * rate
    return settings


def check_memory(sizes: Sequence[int], n_inputs: int, n_outputs: int, dtype: torch.dtype) -> None:
    """Raise a ValueError if weights and gradients need more memory than the machine has."""
    widths = [n_inputs, *map(int, sizes), n_outputs]
    n_weights = sum((above + 1) * below for above, below in zip(widths, widths[1:], strict=False))
    needed, available = 2 * n_weights * dtype.itemsize, _physical_memory()
    if needed > available:
        size = f"{needed / 2**30:.3g}" if needed < 2**1000 else "more than 1e+291"
        raise ValueError(
            f"hidden_layer_sizes={describe(sizes)} with {n_inputs} inputs and {n_outputs} outputs "
            f"takes {size} GiB of memory for weights and gradients, and "
            f"{available / 2**30:.3g} GiB are available: give smaller layers"
        )


def check_outputs(
    network: nn.Module, n_features: int, n_outputs: int, name: str = "module"
) -> None:
    """Raise if a network does not map (n, n_features) to (n, n_outputs), or mixes rows twice.

    `name` is the parameter that an error is due to if the network fails.
    """
    network.eval()
    parameter = next(network.parameters(), torch.empty(0))
    X = parameter.new_zeros(2, n_features)
    with naming(f"{name} fails for X of shape {tuple(X.shape)}"), torch.no_grad():
        outputs = network(X)
    n_mixups = sum(isinstance(part, Mixup) for part in network.modules())
    if n_mixups > 1:
        raise ValueError(f"module may mix rows once, got {n_mixups} Mixup layers: leave one")
    if getattr(outputs, "shape", None) != (2, n_outputs):
        raise ValueError(
            f"module must return a tensor of shape (n, {n_outputs}) for X of shape "
            f"(n, {n_features}), got {getattr(outputs, 'shape', type(outputs).__name__)} for n = 2"
        )
    if not outputs.is_floating_point() or not outputs.isfinite().all():
        raise ValueError(
            "module must return finite floating point numbers, got "
            f"{'NaN or infinity' if outputs.is_floating_point() else outputs.dtype} for rows of "
            "zeros"
        )


def _physical_memory() -> int:
    """Return the bytes of memory of this machine, or of the address space if it is unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return 2**63


def _call(factory: Callable[[int, int], nn.Module], n_inputs: int, n_outputs: int) -> nn.Module:
    is_built_in = isinstance(factory, partial) and factory.func is MLP
    name = "hidden_layer_sizes" if is_built_in else "module"
    with naming(f"{name} fails for {n_inputs} inputs and {n_outputs} outputs"):
        network = factory(n_inputs, n_outputs)
    if not isinstance(network, nn.Module):
        raise TypeError(f"module must return a torch.nn.Module, got {describe(network)}")
    parameters = list(network.parameters())
    if any(is_lazy(p) or p.is_meta for p in parameters):
        raise ValueError(
            "module must return layers of known sizes with allocated memory, got "
            f"{describe(network)}: give lazy layers n_features, and do not set a device"
        )
    if not any(p.requires_grad for p in parameters):
        raise ValueError(
            f"module must return a network with parameters to train, got {describe(network)}"
        )
    return network


def _auto_dropout(n_rows: int, sizes: Sequence[int]) -> float:
    # In steps of 1/16: masks of such rates are cheap to draw. From 64,000 rows on it is 0.
    return round(16 * min([0.5, 2000 / n_rows, *(min(size, 128) / 128 for size in sizes)])) / 16
