"""Optimisers and learning rate schedules by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial, wraps
from numbers import Real
from types import MethodType
from typing import Any

import torch

from .._data.messages import describe, did_you_mean
from .._data.validation import check_flag, check_number, naming

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "check_groups",
    "get_schedule",
    "keep_compiler_out",
    "make_optimizer",
    "needs_closure",
    "optimizer_settings",
]

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}

# Those whose step over all parameters is one kernel, by type of device.
FUSED = {
    "cpu": (torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD),
    "cuda": (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD),
}

SCHEDULES = ("cosine", "plateau")


def optimizer_settings(
    optimizer: str | Callable[..., torch.optim.Optimizer],
    learning_rate: float | None,
    weight_decay: float,
    optimizer_params: dict[str, Any] | None,
    device: torch.device,
) -> tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]:
    """Return the optimiser's class and its keyword arguments, including the learning rate.

    By default, the class has its own defaults. skorch would pass a learning rate of 0.01 to all
    of them, which is a hundredth of Adadelta's.
    """
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise ValueError(
                f"optimizer must be one of {', '.join(sorted(OPTIMIZERS))} or a torch optimizer "
                f"class, got {describe(optimizer)}{did_you_mean(optimizer, OPTIMIZERS)}"
            )
        optimizer = OPTIMIZERS[optimizer]
    wrong = f"optimizer must be a name or a torch optimizer class, got {describe(optimizer)}"
    if not callable(optimizer) or (
        isinstance(optimizer, type) and not issubclass(optimizer, torch.optim.Optimizer)
    ):
        raise ValueError(wrong)
    try:
        known = dict(inspect.signature(optimizer).parameters)
    except ValueError:  # of functions written in C
        raise ValueError(wrong) from None
    known.pop("params", None)
    settings = dict(optimizer_params or {})
    for name in ("lr", "weight_decay"):
        if name in settings:
            parameter = {"lr": "learning_rate"}.get(name, name)
            raise ValueError(f"give {name!r} as {parameter}=, not within optimizer_params")
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for name in settings:
        if name not in known and not open_ended:
            raise ValueError(
                f"optimizer_params has {name!r}, which {_name(optimizer)} does not take: it takes "
                f"{', '.join(n for n in known if n not in ('lr', 'weight_decay'))}"
                f"{did_you_mean(name, known)}"
            )
        _check_kind(name, settings[name], known[name].default if name in known else None)
    if learning_rate is None:
        learning_rate = known["lr"].default if "lr" in known else None
        if not isinstance(learning_rate, int | float):
            raise ValueError(f"learning_rate must be given: {_name(optimizer)} has no default")
    settings["lr"] = learning_rate
    if "weight_decay" in known or open_ended:
        settings["weight_decay"] = weight_decay
    elif weight_decay:
        raise ValueError(
            f"weight_decay must be 0: {_name(optimizer)} has no weight decay, got {weight_decay!r}"
        )
    ways = {"foreach", "fused", "capturable", "differentiable"}
    if optimizer in FUSED.get(device.type, ()) and not ways & settings.keys():
        settings["fused"] = True
    return optimizer, settings


def make_optimizer(
    optimizer: Callable[..., torch.optim.Optimizer], *arguments: Any, **settings: Any
) -> torch.optim.Optimizer:
    """Return an optimiser, made without importing torch._dynamo.

    torch excludes `Optimizer.add_param_group`, which the constructor calls, from compilation, and
    the first call imports the compiler for it: seconds in each new process.
    """
    refuses = f"{_name(optimizer)} refuses learning_rate, weight_decay and optimizer_params"
    with naming(f"optimizer_params: {refuses}, {settings}"):
        made = _make(optimizer, *arguments, **settings)
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(f"optimizer must return a torch optimizer, got {describe(made)}")
    return made


def needs_closure(optimizer: Any) -> bool:
    """Return whether an optimiser or its class, such as LBFGS, evaluates the loss in a step."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def keep_compiler_out(optimizer: torch.optim.Optimizer) -> None:
    """Make the steps of an optimiser without importing torch._dynamo.

    torch excludes `step` and `zero_grad` from compilation, and the first call imports the compiler
    for it, as in `make_optimizer`.
    """
    kind, base = type(optimizer), torch.optim.Optimizer
    if "step" in vars(optimizer) or "torch._dynamo" in sys.modules:
        return
    guarded: Any = getattr(kind.step, "__wrapped__", None)  # beneath the hooks of torch
    plain = getattr(guarded, "__wrapped__", None)
    if plain is not None and guarded.__code__.co_name == "_use_grad":

        @wraps(plain)
        def step(self: torch.optim.Optimizer, *arguments: Any, **settings: Any) -> Any:
            with torch.set_grad_enabled(self.defaults["differentiable"]):
                return plain(self, *arguments, **settings)

        vars(optimizer)["step"] = MethodType(base.profile_hook_step(step), optimizer)
    zero_grad = getattr(base.zero_grad, "__wrapped__", None)
    if zero_grad is not None and kind.zero_grad is base.zero_grad:
        vars(optimizer)["zero_grad"] = MethodType(zero_grad, optimizer)


def get_schedule(
    schedule: str | Callable[..., Any] | None, max_epochs: int, patience: int
) -> Callable[[torch.optim.Optimizer], Any] | None:
    """Return a function from the optimiser to its scheduler, or None for a constant rate."""
    if schedule is None or callable(schedule):
        return schedule
    if not isinstance(schedule, str) or schedule not in SCHEDULES:
        raise ValueError(
            f"lr_schedule must be None, {', '.join(map(repr, SCHEDULES))} or a callable "
            f"optimizer -> scheduler, got {describe(schedule)}"
            f"{did_you_mean(schedule, SCHEDULES)}"
        )
    if schedule == "cosine":
        # The cosine of a larger int cannot be computed in floating point.
        return partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=min(max_epochs, 2**53))
    return partial(
        torch.optim.lr_scheduler.ReduceLROnPlateau,
        factor=0.3,
        patience=max(1, patience // 3),
        threshold=1e-4,
    )


def _make(optimizer: Any, *arguments: Any, **settings: Any) -> Any:
    plain = torch.optim.Optimizer.add_param_group
    inside = getattr(plain, "__wrapped__", None)
    if inside is None or getattr(optimizer, "add_param_group", None) is not plain:
        return optimizer(*arguments, **settings)
    made = optimizer.__new__(optimizer)
    made.add_param_group = MethodType(inside, made)
    made.__init__(*arguments, **settings)
    del made.add_param_group
    return made


def check_groups(groups: Any) -> None:
    """Raise unless these are pairs of a pattern of names and settings for these parameters."""
    name = "net_params['optimizer__param_groups']"
    if not isinstance(groups, tuple | list):
        raise TypeError(f"{name} must be a list of pairs (pattern, dict), got {describe(groups)}")
    for group in groups:
        pair = isinstance(group, tuple | list) and len(group) == 2
        if not pair or not isinstance(group[0], str) or not isinstance(group[1], Mapping):
            raise TypeError(f"{name} must hold pairs (pattern, dict), got {describe(group)}")
        for option in ("lr", "weight_decay"):
            if option in group[1]:
                check_number(group[1][option], f"{name}: {option!r}", low=0)


def _check_kind(name: str, value: Any, default: Any) -> None:
    """Raise unless a value is of the kind of an optimiser's default: its kernels may not check."""
    label = f"optimizer_params[{name!r}]"
    if isinstance(default, bool):
        check_flag(value, label)
    elif name in ("foreach", "fused"):
        if value is not None:
            check_flag(value, label, other="None, ")
    elif isinstance(default, Real):
        check_number(value, label)
    elif isinstance(default, tuple) and all(isinstance(number, Real) for number in default):
        numbers = value if isinstance(value, tuple | list) else ()
        known = all(isinstance(number, Real | torch.Tensor) for number in numbers)
        if len(numbers) != len(default) or not known:
            raise ValueError(f"{label} must be {len(default)} numbers, got {describe(value)}")
        for number in numbers:
            if not isinstance(number, torch.Tensor):
                check_number(number, label)


def _name(optimizer: Any) -> str:
    return getattr(optimizer, "__name__", repr(optimizer))
