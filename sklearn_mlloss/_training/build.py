"""From the parameters of an estimator to a net that is ready to train."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from .._data.rows import Rows
from .._data.validation import FOREIGN, describe, did_you_mean, is_auto
from ..losses import Criterion, FunctionLoss, Loss, get_loss
from ..networks import MLP
from .batches import Batches, Table, block_size
from .callbacks import BestWeights, Schedule
from .device import call_seeded
from .encoding import Encoder
from .net import VALID_ROWS, TableNet
from .network import check_memory, make_network
from .optimizers import check_groups, get_schedule, optimizer_settings
from .parameters import NETWORK, OWN_NAMES, PRECISIONS
from .trial import HUGE, naming_loss, try_loss, try_optimizer
from .user_callbacks import check_callbacks

__all__ = ["build_net", "check_accepts", "check_held_out", "make_loss"]

# Rows beyond which a second hidden layer helps, and units of a layer.
ROWS_OF_ONE_LAYER, UNITS = 4000, 256
# What "auto" is for them, times the rate of `dropout`: where that is needed, so are they.
INPUT_DROPOUT, MIXUP = 0.625, 0.4
# Columns from which on it is so much.
INPUT_COLUMNS = 64
# What of skorch.NeuralNet has no counterpart among the estimator's parameters, and works.
NET_PARAMS = ("optimizer__param_groups", "torch_load_kwargs")


def build_net(
    estimator: Any,
    loss: Loss,
    encoder: Encoder,
    rows: Rows,
    n_held_out: int,
    device: torch.device,
    seed: int,
    last: TableNet | None = None,
) -> TableNet:
    """Return an initialised net.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
        Whose checked parameters are read.
    loss : Loss
        Fitted.
    encoder : Encoder
        Fitted.
    rows : Rows
        The rows to train on.
    n_held_out : int
        Number of rows held out to stop early.
    device : torch.device
        Where training will take place; the net is on the CPU.
    seed : int
        Of the initial weights.
    last : TableNet, optional
        A net whose weights and history are gone on from, and with it what "auto" stood for in its
        network.

    Returns
    -------
    TableNet
    """
    n_rows = len(rows), n_held_out
    if is_auto(estimator.batch_size):
        batch_size = _auto_batch_size(n_rows[0])
    else:
        batch_size = int(estimator.batch_size)
    if estimator.normalization == "batch" and (n_rows[0] < 2 or batch_size < 2):
        raise ValueError(
            "normalization='batch' needs at least 2 training rows and batch_size >= 2, got "
            f"{n_rows[0]} and {batch_size}"
        )
    try_loss(loss, rows, batch_size)
    optimizer, settings = optimizer_settings(
        estimator.optimizer,
        estimator.learning_rate,
        estimator.weight_decay,
        estimator.optimizer_params,
        device,
    )
    dtype = torch.float64 if estimator.precision == "float64" else torch.float32
    try_optimizer(optimizer, settings, device, dtype)
    network, chosen = estimator.module, {}
    if network is None:
        before = {} if last is None else last.network_
        chosen = _settings_of_network(estimator, n_rows, encoder.n_inputs, before)
        check_memory(chosen["hidden_layer_sizes"], encoder.n_outputs, loss.n_outputs_, dtype)
        network = partial(MLP, **chosen)
    own = {
        "module": partial(make_network, network, encoder, loss.n_outputs_, dtype),
        "criterion": Criterion(loss),
        "optimizer": optimizer,
        "lr": settings.pop("lr"),
        "max_epochs": int(estimator.max_epochs),
        "batch_size": batch_size,
        "iterator_train": Batches,
        "iterator_train__shuffle": True,
        "iterator_valid": Batches,
        "iterator_valid__batch_size": block_size(VALID_ROWS, encoder.n_outputs),
        "train_split": None,
        "callbacks": _callbacks(estimator),
        "verbose": int(estimator.verbose),
        # What is made of a training batch has been mixed, and is of weights that are gone.
        "use_caching": False,
        "device": "cpu",
        **{f"optimizer__{name}": value for name, value in settings.items()},
    }
    given = dict(estimator.net_params or {})
    _check_net_params(given, own["callbacks"])
    net = TableNet(**own, **given)
    net.encoder_, net.half_products_ = encoder, estimator.precision == "bf16"
    net.network_, net.exclusive_ = chosen, estimator._targets.kind == "multiclass"
    args = PRECISIONS[estimator.precision], _initial_bias(loss), last
    call_seeded(net.start, *args, seed=seed, device=torch.device("cpu"))
    net.check_outputs(
        encoder.n_inputs, loss.n_outputs_, "encoding" if estimator.module is None else "module"
    )
    return net


def make_loss(spec: Any, rows: Rows) -> Loss:
    """Return a loss fitted on the rows, which it accepts."""
    loss = clone(get_loss(spec))
    check_accepts(loss, rows)
    if type(loss) is FunctionLoss:
        with naming_loss(loss):
            loss.fit(rows.Y, rows.weight)
    else:
        loss.fit(rows.Y, rows.weight)
    return loss


def check_accepts(loss: Loss, rows: Rows) -> None:
    """Raise if the loss does not take such targets or weights."""
    name = type(loss).__name__
    soft = rows.Y.dtype.kind == "f" and ((rows.Y > 0) & (rows.Y < 1)).any()
    if soft and not loss.accepts_soft_targets:
        raise ValueError(f"y has values between 0 and 1, which {name} does not accept")
    if rows.weight is not None and rows.weight.ndim == 2 and not loss.accepts_label_weights:
        raise ValueError(
            f"sample_weight has a weight a row and label, but {name} is not a sum over labels: "
            "give one weight a row"
        )


def check_held_out(estimator: Any) -> None:
    """Raise for callbacks of an estimator that need held-out rows where there are none."""
    check_callbacks(
        estimator.callbacks or (),
        scored=estimator.early_stopping,
        # The last network is trained on all rows.
        monitored=estimator.early_stopping and (estimator.cv is None or estimator.ensemble),
    )


def _initial_bias(loss: Loss) -> np.ndarray:
    bias = np.asarray(loss.initial_bias())
    if bias.shape != (loss.n_outputs_,) or not (np.abs(bias) < HUGE).all():
        raise ValueError(
            f"loss={loss!r} must have {loss.n_outputs_} finite number(s) as its initial_bias, got "
            f"{describe(bias.tolist())}"
        )
    return bias


def _check_net_params(given: dict[Any, Any], callbacks: list[Any]) -> None:
    """Raise unless skorch can take what the user has for it."""
    others = [n for n in given if n not in NET_PARAMS and not str(n).startswith("callbacks__")]
    if others:
        raise ValueError(
            f"net_params may hold {', '.join(NET_PARAMS)} and callbacks__..., got {others}: the "
            "estimator has parameters of its own for the rest"
        )
    check_groups(given.get("optimizer__param_groups", ()))
    loading = given.get("torch_load_kwargs", {})
    if loading is not None and not isinstance(loading, Mapping):
        raise TypeError(
            f"net_params['torch_load_kwargs'] must be None or a dict, got {describe(loading)}"
        )
    named = [item if isinstance(item, tuple) else (type(item).__name__, item) for item in callbacks]
    names = ["epoch_timer", "print_log", *(name for name, _ in named if name not in OWN_NAMES)]
    for key in given:
        name = str(key).removeprefix("callbacks__").split("__")[0]
        # Of several of a class skorch numbers the names.
        if key not in NET_PARAMS and name.rstrip("_0123456789") not in names and name not in names:
            raise ValueError(
                f"net_params has {key!r}, but the callbacks are {', '.join(names)}"
                f"{did_you_mean(name, names)}"
            )


def _callbacks(estimator: Any) -> list[Any]:
    callbacks: list[Any] = []
    patience = estimator.n_iter_no_change
    patience = estimator.max_epochs if patience == np.inf else int(patience)
    schedule = get_schedule(estimator.lr_schedule, estimator.max_epochs, patience)
    if schedule is not None:
        callbacks.append(("lr_schedule", Schedule(schedule)))
    if estimator.early_stopping:
        monitor = estimator.monitor
        score = partial(_monitored, monitor) if callable(monitor) else None
        callbacks.append(("early_stopping", BestWeights(patience, score)))
    given = list(estimator.callbacks or [])
    for item in given:
        if not hasattr(item[1] if isinstance(item, tuple) else item, "initialize"):
            raise TypeError(f"callbacks must hold skorch callbacks, got {describe(given)}")
    return callbacks + copy.deepcopy(given)


def _monitored(
    monitor: Callable[[np.ndarray, np.ndarray], float], net: TableNet, table: Table
) -> float:
    Y, scores = table.Y.cpu().numpy(), net.predict_proba(table)
    try:
        return monitor(Y, scores)
    except FOREIGN as error:
        raise ValueError(f"monitor fails for the {len(Y)} held-out rows: {error!r}") from error


def _settings_of_network(
    estimator: Any, n_rows: tuple[int, int], n_columns: int, before: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of the built-in network: for "auto" those of before, or numbers."""
    settings = {name: getattr(estimator, name) for name in NETWORK}
    for name, value in settings.items():
        if isinstance(value, str) and value == "auto" and name in before:
            settings[name] = before[name]
    if isinstance(settings["hidden_layer_sizes"], str):
        # Of folds and of one fit of all rows alike.
        many = sum(n_rows) > ROWS_OF_ONE_LAYER
        settings["hidden_layer_sizes"] = (UNITS,) * (2 if many else 1)
    if isinstance(settings["dropout"], str):
        settings["dropout"] = _auto_dropout(n_rows[0], settings["hidden_layer_sizes"])
    # A linear model has nothing to drop, and is small as it is.
    rate = settings["dropout"] if len(settings["hidden_layer_sizes"]) else 0.0
    if isinstance(settings["input_dropout"], str):
        # Few columns seldom tell what another one would have.
        most = INPUT_DROPOUT * min(1, n_columns / INPUT_COLUMNS)
        settings["input_dropout"] = round(256 * most * rate) / 256
    if isinstance(settings["mixup"], str):
        settings["mixup"] = MIXUP * rate
    return settings


def _auto_dropout(n_rows: int, sizes: Sequence[int]) -> float:
    # In steps of 1/16: masks of such rates are cheap to draw. So none from 64,000 rows on.
    return round(16 * min([0.5, 2000 / n_rows, *(min(size, 128) / 128 for size in sizes)])) / 16


def _auto_batch_size(n_rows: int) -> int:
    return int(np.clip(2 ** round(np.log2(n_rows / 20)), 32, 512))
