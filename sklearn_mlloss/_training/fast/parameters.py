"""All parameters of a network in one buffer, and optimisers that step over it in one kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["FlatParameters", "make_step"]

# Each parameter begins at a multiple of so many numbers, where vector instructions like it.
ALIGNMENT = 16


class FlatParameters:
    """Parameters that are, for the time of training, views of one buffer.

    Parameters
    ----------
    parameters : list of nn.Parameter
        Of one dtype and device. Their `data` and `grad` become views. The first, a weight, is
        stored column by column: that is what sparse products read, and dense ones write its
        gradient faster if the number of features is odd.

    Attributes
    ----------
    values, gradients : Tensor of shape (size,)
        Zero between the parameters.
    """

    def __init__(self, parameters: list[nn.Parameter]):
        self.parameters = parameters
        self.starts, size = [], 0
        for parameter in parameters:
            self.starts.append(size)
            size += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        like = parameters[0].detach()
        self.values, self.gradients = like.new_zeros(size), like.new_zeros(size)
        self.own_gradients = self.views(self.gradients)
        for parameter, value, gradient in zip(
            parameters, self.views(self.values), self.own_gradients, strict=True
        ):
            value.copy_(parameter.detach())
            parameter.data, parameter.grad = value, gradient

    def views(self, buffer: Tensor) -> list[Tensor]:
        """Return the parts of a buffer, in the shapes of the parameters."""
        views = [
            buffer[start : start + parameter.numel()].view(parameter.shape)
            for start, parameter in zip(self.starts, self.parameters, strict=True)
        ]
        views[0] = views[0].view(views[0].shape[::-1]).t()
        return views

    def is_intact(self) -> bool:
        """Return whether parameters and gradients are still views."""
        step = self.values.element_size()
        return all(
            p.data_ptr() == self.values.data_ptr() + start * step and p.grad is gradient
            for p, start, gradient in zip(
                self.parameters, self.starts, self.own_gradients, strict=True
            )
        )

    def release(self) -> None:
        """Give each parameter memory of its own: a view would be pickled with the whole buffer."""
        for parameter in self.parameters:
            parameter.data, parameter.grad = own(parameter.data), None


def own(view: Tensor) -> Tensor:
    """Return a copy that shares no memory."""
    return view.clone(memory_format=torch.contiguous_format)


class _Step:
    """A step of one of torch's fused optimisers, over one buffer.

    The state of the optimiser is that of `torch.optim`, as views of buffers of its own until
    `release`.
    """

    # Names in the state of the optimiser, in the order of the kernel's arguments.
    names: tuple[str, ...] = ()
    counts = True

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters):
        self.optimizer, self.flat = optimizer, flat
        (self.group,) = optimizer.param_groups
        # Schedulers ask whether the optimiser has stepped.
        vars(optimizer)["_opt_called"] = True
        names = self._names()
        states = [optimizer.state.get(parameter, {}) for parameter in flat.parameters]
        self.fresh = not any(states)
        self.buffers = [torch.zeros_like(flat.values) for _ in names]
        steps = [state["step"] for state in states if "step" in state]
        count = torch.as_tensor(steps[0] if steps else 0.0, dtype=torch.float32)
        self.count = count.to(flat.values.device, copy=True)
        self.shown: list[tuple[nn.Parameter, str, Tensor]] = []
        for name, buffer in zip(names, self.buffers, strict=True):
            for view, state, parameter in zip(
                flat.views(buffer), states, flat.parameters, strict=True
            ):
                if state.get(name) is not None:
                    view.copy_(state[name])
                optimizer.state[parameter][name] = view
                self.shown.append((parameter, name, view))
        if self.counts:
            for parameter in flat.parameters:
                optimizer.state[parameter]["step"] = self.count
                self.shown.append((parameter, "step", self.count))
        self.lists = [[flat.values], [flat.gradients], *([buffer] for buffer in self.buffers)]

    def _names(self) -> tuple[str, ...]:
        return self.names

    def begin_epoch(self) -> None:
        """Read the settings, which a schedule may have changed."""
        raise NotImplementedError

    def __call__(self) -> None:
        """Step over all parameters."""
        raise NotImplementedError

    def is_intact(self) -> bool:
        """Return whether the optimiser still has this state, and these settings."""
        groups, state = self.optimizer.param_groups, self.optimizer.state
        return groups[0] is self.group and all(
            state.get(parameter, {}).get(name) is value for parameter, name, value in self.shown
        )

    def release(self) -> None:
        """Give the state of each parameter memory of its own, unless it has another by now."""
        for parameter, name, value in self.shown:
            state = self.optimizer.state.get(parameter, {})
            if state.get(name) is value:
                state[name] = own(value)


class _Adam(_Step):
    names = ("exp_avg", "exp_avg_sq")

    def _names(self):
        return (*self.names, "max_exp_avg_sq") if self.group["amsgrad"] else self.names

    def begin_epoch(self):
        group = self.group
        decoupled = group.get(
            "decoupled_weight_decay", isinstance(self.optimizer, torch.optim.AdamW)
        )
        self.kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        lists = self.lists if group["amsgrad"] else [*self.lists, []]
        self.arguments = (*lists, [self.count])
        self.settings = {
            "lr": float(group["lr"]),
            "beta1": float(group["betas"][0]),
            "beta2": float(group["betas"][1]),
            **{name: group[name] for name in ("weight_decay", "eps", "amsgrad", "maximize")},
        }

    def __call__(self):
        self.count += 1
        self.kernel(*self.arguments, **self.settings)


class _SGD(_Step):
    counts = False

    def _names(self):
        return ("momentum_buffer",) if self.group["momentum"] else ()

    def begin_epoch(self):
        names = ("weight_decay", "momentum", "dampening", "nesterov", "maximize")
        self.arguments = self.lists if self.buffers else [*self.lists, []]
        self.settings = {name: self.group[name] for name in names}
        self.settings["lr"] = float(self.group["lr"])

    def __call__(self):
        first = self.fresh and bool(self.buffers)
        torch._fused_sgd_(*self.arguments, **self.settings, is_first_step=first)
        self.fresh = False


class _Adagrad(_Step):
    names = ("sum",)

    def begin_epoch(self):
        self.kernel: Any = torch._fused_adagrad_
        names = ("lr_decay", "weight_decay", "eps", "maximize")
        self.settings = {name: self.group[name] for name in names}
        self.settings["lr"] = float(self.group["lr"])

    def __call__(self):
        self.count += 1
        self.kernel(*self.lists, [self.count], **self.settings)


class _AnyStep:
    """A step of any other optimiser, which finds gradients at the parameters."""

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters):
        self.optimizer = optimizer

    def begin_epoch(self) -> None:
        """Do nothing: the optimiser reads its settings itself."""

    def __call__(self) -> None:
        """Step over all parameters."""
        self.optimizer.step()

    def is_intact(self) -> bool:
        """Return True: whatever the optimiser has become, it steps itself."""
        return True

    def release(self) -> None:
        """Do nothing: the state was never in a buffer."""


_KERNELS: dict[type[torch.optim.Optimizer], type[_Step]] = {
    torch.optim.Adam: _Adam,
    torch.optim.AdamW: _Adam,
    torch.optim.SGD: _SGD,
    torch.optim.Adagrad: _Adagrad,
}


def make_step(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> Any:
    """Return a step of the optimiser over the parameters: one kernel where torch has one."""
    group = optimizer.param_groups[0]
    fused = group.get("fused") and not group.get("differentiable")
    kind: Callable[..., Any] = _KERNELS.get(type(optimizer), _AnyStep) if fused else _AnyStep
    return kind(optimizer, flat)
