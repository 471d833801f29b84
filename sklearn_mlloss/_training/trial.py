"""Trials of loss and optimiser before training, so that errors are raised at once and explained."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._data.rows import Rows
from .._data.validation import naming
from ..losses import LOSSES, Criterion, FunctionLoss, Loss
from .device import call_seeded
from .fast.parameters import FlatParameters, make_step
from .optimizers import keep_compiler_out, make_optimizer, needs_closure

__all__ = ["HUGE", "naming_loss", "try_loss", "try_optimizer"]

# Larger losses and biases soon overflow in float32.
HUGE = 1e30
# Steps in which an optimiser is tried: enough for a factor that is far too large to overflow.
STEPS = 4


def try_loss(loss: Loss, rows: Rows, batch_size: int) -> None:
    """Raise unless a loss has a value, a gradient and a link for as many rows as a batch has.

    The outputs are near those at the begin of training. Without a trial, an error in the first
    step would name torch's functions, and NaN because of a parameter of the loss would blame the
    learning rate. Values of a function are not checked: training itself raises. Losses of this
    package with their default parameters are not tried.

    Parameters
    ----------
    loss : Loss
        Fitted; its module, if there is one, must not be in use yet.
    rows : Rows
    batch_size : int
        Number of rows, which a batch-coupled loss may need.

    Raises
    ------
    TypeError, ValueError
        With a message that begins with "loss".
    """
    kind = type(loss)
    if kind in LOSSES.values() and repr(loss) == repr(kind()):
        return
    dtype = torch.float64 if rows.X.dtype == np.float64 else torch.float32
    with naming_loss(loss):
        module = loss.module
        state = {} if module is None else _copy(module.state_dict())
        args = loss, rows, batch_size, dtype
        problem = call_seeded(_find_problem, *args, seed=0, device=torch.device("cpu"))
        if module is not None:
            module.load_state_dict(state)
        if problem is not None:
            raise ValueError(problem)


def try_optimizer(
    optimizer: Callable[..., torch.optim.Optimizer],
    settings: dict[str, Any],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Raise unless one of torch's optimisers can make a few steps with its settings.

    Settings that its constructor accepts may fail in a step, or make weights infinite. Other
    optimisers may need more than a single matrix, and are not tried.

    Parameters
    ----------
    optimizer : callable
    settings : dict
        Its arguments, learning rate included.
    device : torch.device
    dtype : torch.dtype

    Raises
    ------
    ValueError
        With a message that begins with the parameters of the settings.
    """
    if not getattr(optimizer, "__module__", "").startswith("torch.optim.") or needs_closure(
        optimizer
    ):
        return
    weights = nn.Parameter(torch.zeros(2, 2, device=device, dtype=dtype))
    flat = FlatParameters([weights])
    made = make_optimizer(optimizer, [weights], **settings)
    keep_compiler_out(made)
    problem = f"makes weights infinite in {STEPS} steps: give smaller numbers"
    step = make_step(made, flat)
    try:
        with torch.no_grad():
            step.begin_epoch()
            for _ in range(STEPS):
                flat.gradients.fill_(1)
                step()
        # Training itself detects a learning rate that is too large, and restores the best weights.
        if settings["lr"] > 1 or weights.isfinite().all():
            return
    except Exception as error:
        problem = f"fails: {error}"
    params = {name: value for name, value in settings.items() if (name, value) != ("fused", True)}
    rates = {"weight_decay": params.pop("weight_decay", 0.0), "learning_rate": params.pop("lr")}
    parts = [f"optimizer_params={params}"] if params else []
    parts += [f"{name}={value!r}" for name, value in rates.items()]
    raise ValueError(f"{', '.join(parts)}: {optimizer.__name__} {problem}")


def naming_loss(loss: Loss) -> AbstractContextManager[None]:
    """Begin an error of Python, numpy or torch with the parameter and the loss."""
    return naming(f"loss={_name(loss)} cannot be trained with")


def _find_problem(loss: Loss, rows: Rows, n: int, dtype: torch.dtype) -> str | None:
    targets, weight = torch.tensor(rows.Y[:n]), None
    if rows.weight is not None:
        weight = torch.tensor(rows.weight[:n], dtype=dtype)
    # Logits near those of the label priors, in no order.
    leaf = 4 * torch.arange(len(targets) * loss.n_outputs_, dtype=dtype).sin()
    leaf = leaf.reshape(len(targets), loss.n_outputs_)
    leaf[:, : loss.n_labels_] += torch.tensor(loss.prior_, dtype=dtype).logit()
    leaf.requires_grad_()
    outputs = leaf * 1  # into a leaf nothing can be written
    value = Criterion(loss)(outputs, targets, weight)
    for name, tensor in ("outputs", outputs), ("targets", targets):
        if tensor._version:
            return f"it writes into {name}: let it work on {name}.clone()"
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
    if gradient is None:
        return "its value has no gradient by outputs: compute it from them without detaching"
    tensors = {"value": value, "gradient": gradient}
    hard = not targets.is_floating_point() and (weight is None or weight.ndim == 1)
    with torch.no_grad():
        if loss.row_wise and hard:
            closed = loss.gradient(leaf.clone(), targets.to(dtype))
            if closed is not None:
                tensors["gradient()"] = closed
        tensors["link()"] = loss.link(leaf)
    shapes = {"gradient()": leaf.shape, "link()": targets.shape}
    for name, tensor in tensors.items():
        is_checked = name == "link()" or type(loss) is not FunctionLoss
        problem = _describe_problem(tensor, shapes.get(name, tensor.shape), is_checked)
        if problem is not None:
            return f"its {name} {problem} for ordinary outputs"
    return None


def _describe_problem(tensor: Tensor, shape: torch.Size, finite: bool) -> str | None:
    if tensor.shape != shape:
        return f"has shape {tuple(tensor.shape)}, not {tuple(shape)},"
    if finite and not (tensor.abs() < HUGE).all():
        return "is NaN or infinite, or nearly so,"
    return None


def _name(loss: Loss) -> str:
    """Return a loss with its parameters, but of a function its name only: it may hold data."""
    if type(loss) is not FunctionLoss:
        return " ".join(repr(loss).split())
    return getattr(loss.func, "__name__", type(loss.func).__name__)


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()
    }
