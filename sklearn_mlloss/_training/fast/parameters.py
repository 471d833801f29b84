"""All parameters of a network in one buffer, and steps of optimisers over it in one kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["FlatParameters", "make_step"]

# Each parameter begins at a multiple of this number, which suits vector instructions.
ALIGNMENT = 16


class FlatParameters:
    """Parameters that are views of one buffer during training.

    Parameters
    ----------
    parameters : list of nn.Parameter
        Of one dtype and device. Their `data` and `grad` become views. The first, a weight, is
        stored column by column: sparse products read columns, and dense products write its
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
        self.gradient_views = self.views(self.gradients)
        for parameter, value, gradient in zip(
            parameters, self.views(self.values), self.gradient_views, strict=True
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
                self.parameters, self.starts, self.gradient_views, strict=True
            )
        )

    def release(self) -> None:
        """Copy each parameter out of the buffer: a view would be pickled with the whole buffer."""
        for parameter in self.parameters:
            parameter.data, parameter.grad = owned(parameter.data), None


def owned(view: Tensor) -> Tensor:
    """Return a copy that shares no memory."""
    return view.clone(memory_format=torch.contiguous_format)


class Step:
    """A step of an optimiser, which finds the gradients at the parameters."""

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters):
        self.optimizer = optimizer

    def begin_epoch(self) -> None:
        """Read the settings, which a schedule may have changed."""

    def __call__(self) -> None:
        """Step over all parameters."""
        self.optimizer.step()

    def is_intact(self) -> bool:
        """Return whether callbacks have left the optimiser as it was."""
        return True

    def release(self) -> None:
        """Copy the state of each parameter out of the buffers, if there are any."""


class _FusedStep(Step):
    """A step of one of torch's fused optimisers, over one buffer.

    The state of the optimiser is that of `torch.optim`, as views of buffers until `release`.
    """

    # Names in the state of the optimiser, in the order of the kernel's arguments.
    names: tuple[str, ...] = ()
    counts = True
    kernel: Any

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters):
        super().__init__(optimizer, flat)
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
                self._show(parameter, name, view)
        if self.counts:
            for parameter in flat.parameters:
                self._show(parameter, "step", self.count)
        self.lists = [[flat.values], [flat.gradients], *([buffer] for buffer in self.buffers)]

    def _show(self, parameter: nn.Parameter, name: str, value: Tensor) -> None:
        self.optimizer.state[parameter][name] = value
        self.shown.append((parameter, name, value))

    def _names(self) -> tuple[str, ...]:
        return self.names

    def _read(self, *names: str) -> dict[str, Any]:
        """Return settings of the optimiser by name, and its learning rate."""
        return {name: self.group[name] for name in names} | {"lr": float(self.group["lr"])}

    def is_intact(self) -> bool:
        """Return whether the optimiser still has this state, and these settings."""
        groups, state = self.optimizer.param_groups, self.optimizer.state
        return groups[0] is self.group and all(
            state.get(parameter, {}).get(name) is value for parameter, name, value in self.shown
        )

    def release(self) -> None:
        """Copy the state of each parameter out of the buffers, unless it has been replaced."""
        for parameter, name, value in self.shown:
            state = self.optimizer.state.get(parameter, {})
            if state.get(name) is value:
                state[name] = owned(value)


class _Adam(_FusedStep):
    names = ("exp_avg", "exp_avg_sq")

    def _names(self):
        return (*self.names, "max_exp_avg_sq") if self.group["amsgrad"] else self.names

    def begin_epoch(self):
        decoupled = self.group.get(
            "decoupled_weight_decay", isinstance(self.optimizer, torch.optim.AdamW)
        )
        self.kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        lists = self.lists if self.group["amsgrad"] else [*self.lists, []]
        self.arguments = (*lists, [self.count])
        beta1, beta2 = map(float, self.group["betas"])
        self.settings = {"beta1": beta1, "beta2": beta2}
        self.settings |= self._read("weight_decay", "eps", "amsgrad", "maximize")

    def __call__(self):
        self.count += 1
        self.kernel(*self.arguments, **self.settings)


class _SGD(_FusedStep):
    counts = False
    kernel: Any = staticmethod(torch._fused_sgd_)

    def _names(self):
        return ("momentum_buffer",) if self.group["momentum"] else ()

    def begin_epoch(self):
        self.arguments = self.lists if self.buffers else [*self.lists, []]
        self.settings = self._read("weight_decay", "momentum", "dampening", "nesterov", "maximize")

    def __call__(self):
        first = self.fresh and bool(self.buffers)
        self.kernel(*self.arguments, **self.settings, is_first_step=first)
        self.fresh = False


class _Adagrad(_FusedStep):
    names = ("sum",)
    kernel: Any = staticmethod(torch._fused_adagrad_)

    def begin_epoch(self):
        self.settings = self._read("lr_decay", "weight_decay", "eps", "maximize")

    def __call__(self):
        self.count += 1
        self.kernel(*self.lists, [self.count], **self.settings)


_KERNELS: dict[type[torch.optim.Optimizer], type[_FusedStep]] = {
    torch.optim.Adam: _Adam,
    torch.optim.AdamW: _Adam,
    torch.optim.SGD: _SGD,
    torch.optim.Adagrad: _Adagrad,
}


def make_step(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> Step:
    """Return a step of the optimiser over the parameters: one kernel where torch has one."""
    group = optimizer.param_groups[0]
    fused = group.get("fused") and not group.get("differentiable")
    kind = _KERNELS.get(type(optimizer), Step) if fused else Step
    return kind(optimizer, flat)
