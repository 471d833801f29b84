"""Building a net from the parameters of an estimator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from .._data.interrupts import Interrupt
from .._data.messages import describe, did_you_mean
from .._data.progress import Task
from .._data.rows import Rows
from .._data.validation import is_auto, naming
from ..losses import Criterion, FunctionLoss, Loss, get_loss
from ..networks import MLP, OneHotEncoding
from ..networks.linear import LinearPart
from .batches import Table, block_size
from .callbacks import BestWeights, EpochLog, Schedule
from .device import call_seeded
from .encoding import Encoder
from .net import FIXED, VALID_ROWS, TableNet
from .network import check_memory, check_outputs, make_network, network_settings
from .optimizers import check_groups, get_schedule, optimizer_settings
from .parameters import BUILT_IN_NAMES, PRECISIONS
from .trial import HUGE, naming_loss, try_loss, try_optimizer

__all__ = ["Plan", "auto_batch_size", "build_net", "check_accepts", "make_loss"]

# Parameters of skorch.NeuralNet that work and that the estimator has no parameters for.
NET_PARAMS = ("optimizer__param_groups", "torch_load_kwargs")
# Optimisers whose steps do not depend on the size of the gradient.
ADAPTIVE = (
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.NAdam,
    torch.optim.RMSprop,
    torch.optim.Adagrad,
)


@dataclass(frozen=True)
class Plan:
    """What all trainings of one fit share.

    Attributes
    ----------
    params : object
        With the checked parameters of `TRAINING` as attributes.
    loss : Loss
        Fitted.
    device : torch.device
    is_categorical : ndarray of bool, shape (n_features,), optional
        Columns that hold codes of categories.
    exclusive : bool, default=False
        Whether each row has exactly one of the labels.
    task : Task, optional
        The training, if callbacks of scikit-learn follow it.
    name : str, default=""
        Which of several nets is trained, for error messages.
    network_share : float, optional
        In the mixture with the linear part, if there are no held-out rows to choose it.
    interrupt : Interrupt, optional
        Of the fit. Training ends early when it comes, and lets it hold from the first epoch on.
    categories : OneHotEncoding, optional
        Fitted on more rows than are in memory.
    """

    params: Any
    loss: Loss
    device: torch.device
    is_categorical: np.ndarray | None = None
    exclusive: bool = False
    task: Task | None = None
    name: str = ""
    network_share: float | None = None
    interrupt: Interrupt = field(default_factory=Interrupt)
    categories: OneHotEncoding | None = None


def build_net(
    plan: Plan,
    encoder: Encoder,
    rows: Rows,
    n_held_out: int,
    seed: int,
    last: TableNet | None = None,
    linear: LinearPart | None = None,
    n_rows: int | None = None,
) -> TableNet:
    """Return an initialised net, on the CPU.

    Parameters
    ----------
    plan : Plan
    encoder : Encoder
        Fitted.
    rows : Rows
        The rows to train on.
    n_held_out : int
        Number of rows held out to stop early.
    seed : int
        Controls the randomness of the initial weights.
    last : TableNet, optional
        A net from whose weights and history training continues, with its numbers for "auto".
    linear : LinearPart, optional
        Of the built-in network.
    n_rows : int, optional
        Number of rows to train on, of which `rows` are a sample.

    Returns
    -------
    TableNet
    """
    params, loss = plan.params, plan.loss
    n_rows = len(rows) if n_rows is None else n_rows
    auto = is_auto(params.batch_size)
    batch_size = auto_batch_size(n_rows) if auto else int(params.batch_size)
    if params.normalization == "batch" and (n_rows < 2 or batch_size < 2):
        raise ValueError(
            "normalization='batch' needs at least 2 training rows and batch_size >= 2, got "
            f"{n_rows} and {batch_size}"
        )
    try_loss(loss, rows, batch_size)
    optimizer, settings = optimizer_settings(
        params.optimizer,
        params.learning_rate,
        params.weight_decay,
        params.optimizer_params,
        plan.device,
    )
    adaptive = isinstance(optimizer, type) and issubclass(optimizer, ADAPTIVE)
    if linear is not None and not adaptive:
        linear.pace = 1.0
    dtype = torch.float64 if params.precision == "float64" else torch.float32
    try_optimizer(optimizer, settings, plan.device, dtype)
    network, arguments = params.module, {}
    if network is None:
        before = {} if last is None else last.network_
        arguments = network_settings(params, (n_rows, n_held_out), encoder.n_inputs, before)
        check_memory(arguments["hidden_layer_sizes"], encoder.n_outputs, loss.n_outputs_, dtype)
        network = partial(MLP, **arguments)
    callbacks = _callbacks(params)
    net_params = dict(params.net_params or {})
    _check_net_params(net_params, callbacks)
    net = TableNet(
        module=partial(make_network, network, encoder, loss.n_outputs_, dtype, linear),
        criterion=Criterion(loss),
        optimizer=optimizer,
        lr=settings.pop("lr"),
        max_epochs=int(params.max_epochs),
        batch_size=batch_size,
        iterator_valid__batch_size=block_size(VALID_ROWS, encoder.n_outputs),
        callbacks=callbacks,
        verbose=int(params.verbose),
        **FIXED,
        **{f"optimizer__{name}": value for name, value in settings.items()},
        **net_params,
    )
    net.encoder_, net.half_products_ = encoder, params.precision == "bf16"
    net.network_, net.exclusive_ = arguments, plan.exclusive
    args = PRECISIONS[params.precision], _initial_bias(loss), last
    call_seeded(net.start, *args, seed=seed, device=torch.device("cpu"))
    for _, callback in net.callbacks_:
        if isinstance(callback, EpochLog):
            callback.name = plan.name
    name = "encoding" if params.module is None else "module"
    check_outputs(net.module_, encoder.n_inputs, loss.n_outputs_, name)
    return net


def make_loss(spec: Any, rows: Rows) -> Loss:
    """Return a loss fitted on the rows, which it accepts."""
    loss = clone(get_loss(spec))
    check_accepts(loss, rows)
    with naming_loss(loss) if type(loss) is FunctionLoss else nullcontext():
        return loss.fit(rows.Y, rows.weight)


def check_accepts(loss: Loss, rows: Rows) -> None:
    """Raise if the loss does not take such targets or weights."""
    name = type(loss).__name__
    soft = rows.Y.dtype.kind == "f" and ((rows.Y > 0) & (rows.Y < 1)).any()
    if soft and not loss.accepts_soft_targets:
        raise ValueError(f"y has values between 0 and 1, which {name} does not accept")
    if rows.weight is not None and rows.weight.ndim == 2 and not loss.accepts_label_weights:
        raise ValueError(
            f"sample_weight has a weight per row and label, but {name} is not a sum over labels: "
            "give one weight per row"
        )


def _initial_bias(loss: Loss) -> np.ndarray:
    bias = np.asarray(loss.initial_bias())
    if bias.shape != (loss.n_outputs_,) or not (np.abs(bias) < HUGE).all():
        raise ValueError(
            f"loss={loss!r} must have {loss.n_outputs_} finite number(s) as its initial_bias, got "
            f"{describe(bias.tolist())}"
        )
    return bias


def _check_net_params(net_params: dict[Any, Any], callbacks: list[Any]) -> None:
    """Raise unless skorch can take the parameter `net_params`."""
    others = [
        name
        for name in net_params
        if name not in NET_PARAMS and not str(name).startswith("callbacks__")
    ]
    if others:
        raise ValueError(
            f"net_params may hold {', '.join(NET_PARAMS)} and callbacks__..., got {others}: use "
            "the parameters of the estimator for the rest"
        )
    check_groups(net_params.get("optimizer__param_groups", ()))
    loading = net_params.get("torch_load_kwargs", {})
    if loading is not None and not isinstance(loading, Mapping):
        raise TypeError(
            f"net_params['torch_load_kwargs'] must be None or a dict, got {describe(loading)}"
        )
    named = [item if isinstance(item, tuple) else (type(item).__name__, item) for item in callbacks]
    names = ["epoch_timer", "print_log", *(n for n, _ in named if n not in BUILT_IN_NAMES)]
    for key in net_params:
        name = str(key).removeprefix("callbacks__").split("__")[0]
        # skorch numbers the names of several callbacks of a class.
        if key not in NET_PARAMS and name.rstrip("_0123456789") not in names and name not in names:
            raise ValueError(
                f"net_params has {key!r}, but the callbacks are {', '.join(names)}"
                f"{did_you_mean(name, names)}"
            )


def _callbacks(params: Any) -> list[Any]:
    callbacks: list[Any] = []
    patience = params.n_iter_no_change
    patience = params.max_epochs if patience == np.inf else int(patience)
    schedule = get_schedule(params.lr_schedule, params.max_epochs, patience)
    if schedule is not None:
        callbacks.append(("lr_schedule", Schedule(schedule)))
    if params.early_stopping:
        monitor = params.monitor
        score = partial(_monitored, monitor) if callable(monitor) else None
        callbacks.append(("early_stopping", BestWeights(patience, score)))
    return callbacks + copy.deepcopy(list(params.callbacks or []))


def _monitored(
    monitor: Callable[[np.ndarray, np.ndarray], float], net: TableNet, table: Table
) -> float:
    Y, scores = table.Y.cpu().numpy(), net.predict_proba(table)
    with naming(f"monitor fails for the {len(Y)} held-out rows"):
        return monitor(Y, scores)


def auto_batch_size(n_rows: int) -> int:
    """Return the batch size that "auto" stands for."""
    return int(np.clip(2 ** round(np.log2(n_rows / 20)), 32, 512))
