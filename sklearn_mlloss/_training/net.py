"""The skorch net that trains a table.

skorch gives the training loop, its notification of callbacks, the history, and parameters of
optimiser and callbacks by nested names; the batches, the steps, the passes over an epoch and the
predictions are replaced. On small tables a step takes microseconds, and skorch's bookkeeping per
batch takes longer than the step. Batches come as tensors, so nothing is converted; without
callbacks of the user that need it, nothing is recorded or notified per batch; the loss is read
from the device once per epoch. The built-in network is trained by `FusedTraining`, any other one
by autograd. With callbacks, all notifications are those that skorch documents.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from torch import Tensor, nn

from .._data.interrupts import Interrupt
from .._data.rows import Rows
from ..networks import MLP
from ..networks.linear import LinearPart
from .batches import Batches, Table
from .callbacks import (
    BUILT_IN,
    BestWeights,
    EpochLog,
    StopTraining,
    check_callbacks,
    follows_batches,
    is_request,
    with_datasets,
)
from .device import threads_for, torch_defaults
from .divergence import (
    Diverged,
    check_end,
    check_overflow,
    check_weights,
    diverged,
    go_back,
    names_not_finite,
)
from .fast.loop import FusedTraining, can_fuse
from .fast.sparse import sparse_outputs, takes_sparse
from .fast.tiles import SMALL_PREDICTION
from .guard import Check, Guard, is_checked
from .interface import NetInterface
from .linear import deviations_of, mix_with_linear
from .optimizers import keep_compiler_out, make_optimizer, needs_closure
from .outputs import block_sizes, outputs_of_blocks

__all__ = ["FIXED", "TableNet"]

VALID_ROWS = 4096
# Factor of the first output weights beside a linear part, which random ones would blur.
BESIDE_LINEAR = 0.1

# Arguments that all nets have.
FIXED: dict[str, Any] = {
    "iterator_train": Batches,
    "iterator_train__shuffle": True,
    "iterator_valid": Batches,
    "train_split": None,
    # Outputs for a training batch are of mixed rows and of earlier weights.
    "use_caching": False,
    "device": "cpu",
}

# The curves of `history_`, and their values in epochs without such an entry.
CURVES = {
    "epoch": math.nan,
    "train_loss": math.nan,
    "valid_loss": math.nan,
    "valid_score": math.nan,
    "is_best": False,
    "learning_rate": math.nan,
}


class TableNet(NetInterface, NeuralNet):
    """A `skorch.NeuralNet` over tables in memory, whose criterion is a `Criterion`.

    Call `start`, then `train`.
    """

    # Arguments of the built-in network, with numbers for "auto"; empty for a custom module.
    network_: dict[str, Any]
    # The penalty of the linear part of the network, or why it has none.
    linear_reason_: str = "none"
    # Numbers of training and held-out rows of the last training, and its device.
    n_rows_: tuple[int, int] = (0, 0)
    place_: str = "cpu"
    # Epochs on other rows: on another number of rows, or in an earlier call of `partial_fit`.
    epochs_before_: int = 0
    # Whether matrices are multiplied in bfloat16 while training.
    half_products_: bool = False
    # Names of parameters and buffers that were not finite before the last training, such as the
    # mask of a custom module.
    not_finite_: frozenset[str] = frozenset()
    # Share of the network in its mixture with the linear part alone, see `mix_with_linear`.
    network_share_: float = 1.0
    # Deviations of the held-out rows by linear models that have not seen them, until the end of a
    # fit: the linear part has seen them.
    held_out_deviations_: Tensor | None = None
    # And the outputs that the linear part alone would have for them.
    linear_outputs_: Tensor | None = None
    # Why the last training went back to its best weights before its end, else empty.
    divergence_: str = ""
    # What the last training learned, where that was checked.
    check_: Check | None = None
    # During a training: the engine without autograd if it can be used, callbacks of this training
    # only, the outputs of the held-out rows, and interrupts by the user.
    fused_: FusedTraining | None = None
    observers_: tuple[Callback, ...] = ()
    valid_outputs_: Sequence[Tensor] = ()
    interrupt_: Interrupt | None = None

    # Parameters of skorch.
    lr: float
    iterator_train__generator: torch.Generator | None

    def get_default_callbacks(self) -> list[tuple[str, Callback]]:
        """Return skorch's epoch log if verbose; losses are recorded without callbacks."""
        return [("epoch_timer", EpochTimer()), ("print_log", EpochLog())] if self.verbose else []

    def initialize_optimizer(self, triggered_directly=None):
        """Create the optimiser without importing torch._dynamo."""
        parameters = self.get_all_learnable_params()
        arguments, settings = self.get_params_for_optimizer("optimizer", parameters)
        self.optimizer_ = make_optimizer(self.optimizer, *arguments, **settings)
        return self

    def start(self, dtype: Any, bias: np.ndarray, last: TableNet | None) -> None:
        """Initialise with this floating type and output bias, or from another net's weights."""
        NeuralNet.initialize(self)
        for part in self._torch_modules().values():
            part.to(torch.float64 if dtype == np.float64 else torch.float32)
        if self.optimizer_.state:  # of Adagrad, which has that of the first type
            self.initialize_optimizer()
        if last is None:
            self._set_output_bias(bias)
            if self.linear_part() is not None:
                layers: Any = self.module_.layers
                with torch.no_grad():
                    layers[-1].weight.mul_(BESIDE_LINEAR)
            return
        # The linear part is that of the rows of this training; its shares continue.
        linear, before = self.linear_part(), last.linear_part()
        parts, weights = self.module_.state_dict(), last.module_.state_dict()
        parts = {k: v for k, v in parts.items() if linear and k.startswith("linear.")}
        weights = {k: v for k, v in weights.items() if not (before and k.startswith("linear."))}
        if linear and before:
            parts["linear.share"] = before.alpha().detach() / linear.pace
        try:
            self.module_.load_state_dict(parts | weights)
        except RuntimeError:
            raise ValueError(
                "warm_start=True continues from the weights of the last fit, but the network has "
                "other layers now: set warm_start=False, or hidden_layer_sizes, normalization, "
                "module and the number of outputs of the loss as they were"
            ) from None
        self.history.extend(last.history)
        if self.history:
            # Schedulers that continue from an epoch need it.
            for group in self.optimizer_.param_groups:
                group.setdefault("initial_lr", group["lr"])
        self.n_rows_, self.epochs_before_ = last.n_rows_, last.epochs_before_

    @classmethod
    def restored(
        cls,
        module: nn.Module,
        callbacks: list[tuple[str, Callback]],
        settings: dict[str, Any],
        fitted: dict[str, Any],
    ) -> TableNet:
        """Return a net of the parts and attributes of a trained one, with a new optimiser."""
        net = cls(module=module, callbacks=callbacks, **FIXED, **settings)
        NeuralNet.initialize(net)
        net.__dict__.update(fitted)
        return net

    def train(
        self, table: Table, valid: Table | None, epochs: int, seed: int, **options: Any
    ) -> bool:
        """Train for at most `epochs`, in an order of the rows that `seed` determines.

        Parameters
        ----------
        table : Table
        valid : Table or None
            Held-out rows.
        epochs, seed : int
        **options : dict
            Those of `train_by`.

        Returns
        -------
        bool
            See `train_by`.
        """

        def loop() -> None:
            self.iterator_train__generator = torch.Generator().manual_seed(seed + 1)
            self.fit_loop(table, epochs=epochs)

        return self.train_by(loop, table, valid, epochs, guarded=True, **options)

    def train_by(
        self,
        loop: Callable[[], Any],
        table: Table,
        valid: Table | None,
        epochs: int,
        *,
        n_rows: int | None = None,
        goes_on: bool = False,
        guarded: bool = False,
        whole_fit: bool = True,
        observers: Sequence[Callback] = (),
        network_share: float | None = None,
        interrupt: Interrupt | None = None,
    ) -> bool:
        """Train by a loop over epochs: all that is to be done before and after it.

        Parameters
        ----------
        loop : callable
        table : Table
            The training rows, or a sample of them.
        valid : Table or None
            Held-out rows.
        epochs : int
            Of the loop, at the most.
        n_rows : int, optional
            Number of training rows, if `table` is a sample of them.
        goes_on : bool, default=False
            Whether the loop goes on where it was when the net was pickled.
        guarded : bool, default=False
            Whether it is checked that the net learns something, see `Guard`.
        whole_fit : bool, default=True
            Whether a learning rate schedule runs over these epochs.
        observers : sequence of Callback
            Callbacks of this training only.
        network_share : float, optional
            In the mixture with the linear part, if there are no held-out rows to choose it.
        interrupt : Interrupt, optional
            Ends training when it comes, and holds from the end of the first epoch on.

        Returns
        -------
        bool
            Whether the end came while the score of the held-out rows still improved.
        """
        # An interrupt may have hit the end of the last training.
        self._unfuse()
        self.whole_fit_, self.observers_ = whole_fit, tuple(observers)
        self.interrupt_ = interrupt
        n_rows = len(table) if n_rows is None else n_rows
        if n_rows != self.n_rows_[0] or not whole_fit:
            self.epochs_before_ = sum("train_loss" in row for row in self.history)
        self.n_rows_ = (n_rows, 0 if valid is None else len(valid))
        self.place_ = str(self.device)
        self.not_finite_, self.divergence_ = names_not_finite(self._torch_modules()), ""
        rule = self.best_weights()
        watched = None if rule is None else valid
        guarded = guarded and is_checked(self, epochs, watched)
        guard = Guard(self, table, watched) if guarded else None
        self.train_split = None if valid is None else lambda train: (train, valid)
        try:
            # Forward, and backward by weights and by inputs: one product and one sum each.
            n_parameters = sum(p.numel() for p in self.module_.parameters())
            with threads_for(6 * self.batch_size * n_parameters):
                self._follow(loop, table, goes_on)
                if watched is None:
                    check_end(self, table)
        except Diverged as error:
            raise ValueError(str(error)) from None
        finally:
            self.forget_training()
        chosen_by = network_share if watched is None else watched
        if chosen_by is not None and self.linear_part() is not None:
            mix_with_linear(self, table, chosen_by)
        self.check_ = None if guard is None or self.divergence_ else guard.check()
        if rule is None or valid is None or self.divergence_:
            return False
        return rule.is_improving() and rule.epochs_ == epochs

    def _follow(self, loop: Callable[[], Any], table: Table, goes_on: bool) -> None:
        """Run a training loop between the notifications of its begin and its end."""
        try:
            if goes_on:
                self.on_train_begin(self)  # the callbacks are under way
            else:
                self.notify("on_train_begin", X=table, y=None)
            loop()
        except Diverged as error:
            go_back(self, error)
        except StopTraining:
            if self._is_interrupted() and "train_loss" not in self.history[-1]:
                del self.history[-1:]
        if not any("train_loss" in row for row in self.history):
            raise ValueError("callbacks ended training before its first epoch was over")
        self.notify("on_train_end", X=table, y=None)

    def forget_training(self) -> None:
        """Drop what belongs to a training: a fitted net holds no rows, and can be pickled."""
        self._unfuse()
        self._set_mode(False)
        self.module_.zero_grad()
        for mixup in self._mixups():
            mixup.forget()
        self.iterator_train__generator = self.train_split = self.interrupt_ = None
        self.observers_ = self.valid_outputs_ = ()

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Decide whether steps can do without skorch's bookkeeping, and perhaps autograd."""
        check_callbacks(self.callbacks_, scored=True, monitored=self.train_split is not None)
        keep_compiler_out(self.optimizer_)
        simple = not needs_closure(self.optimizer_)
        self.plain_steps_ = simple and not self._has_user_callbacks()
        self.may_fuse_ = simple and not any(follows_batches(c) for _, c in self.callbacks_)

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Keep the weights if there is an interrupt from now on."""
        if self.interrupt_ is not None:
            self.interrupt_.holds = True

    def _is_interrupted(self) -> bool:
        return self.interrupt_ is not None and self.interrupt_.came

    def _end_if_interrupted(self) -> None:
        if self._is_interrupted():
            raise StopTraining

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks; those of the user may end training by KeyboardInterrupt.

        The others are still notified: they may have something to complete.
        """
        getattr(self, method_name)(self, **cb_kwargs)
        shown = with_datasets(cb_kwargs) if self._has_user_callbacks() else cb_kwargs
        outer, stops = sys.exception(), False
        for callback in (*(callback for _, callback in self.callbacks_), *self.observers_):
            built_in = type(callback) in BUILT_IN
            try:
                getattr(callback, method_name)(self, **(cb_kwargs if built_in else shown))
            except StopTraining:
                stops = True
            except KeyboardInterrupt as error:
                if built_in or not is_request(error, outer):
                    raise
                stops = True
        if stops and method_name != "on_train_end":
            raise StopTraining

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run one pass over the batches and record its mean loss."""
        if iterator is None:
            return
        if training:
            self.criterion_.set_epoch(len(self.history) - 1)
            self._fuse()
        outputs: list[Tensor] = []
        if self.fused_ is not None:
            # Held-out rows, too: a change of mode takes as long as a step.
            self._set_mode(True)
            if training:
                mean = self.fused_.epoch(iterator)
            else:
                mean = self.fused_.evaluate(iterator, outputs)
            if self._has_user_callbacks():
                self._set_mode(training)
                # Some of skorch's read the batches of the history: one represents all.
                self.history.new_batch()
                self.history.record_batch(prefix + "_loss", mean)
                self.history.record_batch(prefix + "_batch_size", len(iterator.table))
        else:
            self._set_mode(training)
            mean = self._pass_over(iterator, training, prefix, step_fn, outputs)
        if not math.isfinite(mean):
            raise diverged(self, f"the {prefix} loss of {self.criterion_.loss!r} is {mean}")
        if not training:
            check_overflow(self, outputs)
            self.valid_outputs_ = outputs
        elif self.fused_ is None or not self.fused_.is_finite():
            check_weights(self)
        self.record_loss(prefix, mean)
        self.history.record(prefix + "_batch_count", len(iterator))

    def record_loss(self, prefix: str, mean: float) -> None:
        """Record the mean loss of the present epoch."""
        self.history.record(prefix + "_loss", mean)
        if self._has_user_callbacks():
            # skorch's Checkpoint asks for it.
            others = [row.get(prefix + "_loss", math.inf) for row in self.history[:-1]]
            self.history.record(prefix + "_loss_best", mean < min(others, default=math.inf))

    def _pass_over(
        self,
        batches: Batches,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Tensor]],
        outputs: list[Tensor],
    ) -> float:
        """Return the mean loss over rows of a pass by autograd; append outputs if not training."""
        notify = self._has_user_callbacks()
        if training and self.plain_steps_:
            step_fn = self._plain_step
        losses, sizes = [], []
        for batch in batches:
            if training:
                self._end_if_interrupted()
            rows = len(batch[0])
            if notify:
                self.notify("on_batch_begin", batch=batch, training=training)
            with self.knowing(batches.table, batches.rows):
                step = step_fn(batch)
            loss = step["loss"].detach()
            if notify:
                self.history.record_batch(prefix + "_loss", loss.item())
                self.history.record_batch(prefix + "_batch_size", rows)
                self.notify("on_batch_end", batch=batch, training=training, **step)
            losses.append(loss)
            sizes.append(rows)
            if not training:
                outputs.append(step["y_pred"])
        pairs = zip(torch.stack(losses).tolist(), sizes, strict=True)
        return sum(loss * rows for loss, rows in pairs) / sum(sizes)

    def train_step_single(self, batch, **fit_params):
        """Return loss and outputs of a batch after computing the gradient."""
        X, targets = batch
        if not self.module_.training:  # a callback has predicted
            self._set_mode(True)
        with torch.autocast(X.device.type, torch.bfloat16, enabled=self.half_products_):
            outputs = self.module_(X)
        outputs = outputs.to(X.dtype)
        loss = self.get_loss(outputs, targets, training=True)
        if not loss.requires_grad:
            raise ValueError(
                "module must return outputs with a gradient by its parameters: compute them "
                "without detach() or no_grad()"
            )
        loss.backward()
        return {"loss": loss, "y_pred": outputs}

    def validation_step(self, batch, **fit_params):
        """Return loss and outputs of a batch."""
        X, targets = batch
        if self.module_.training:
            self._set_mode(False)
        with torch.no_grad():
            outputs = self.module_(X)
            return {"loss": self.get_loss(outputs, targets), "y_pred": outputs}

    @torch.no_grad()
    def outputs_of(self, table: Table, rows: Tensor) -> Tensor:
        """Return the outputs of the network for the rows of a table with these numbers."""
        self._set_mode(False)
        module: Any = self.module_
        with self.knowing(table, rows):
            if table.stays_sparse and self.takes_sparse():
                thin = table.sparse_batch(rows)[0].matrix()
                return next(sparse_outputs(module, thin, [len(rows)]))[0]
            X = table.batch(rows)[0]
            return module(X).to(X.dtype)

    def outputs(self, X: Any, device: torch.device | str) -> Iterator[tuple[Tensor, int]]:
        """Yield the outputs of the network for blocks of rows of X, and how many rows are real.

        To be called in inference mode. The tensors are on the CPU. The network stays where it is:
        on another device a copy of it computes.
        """
        return outputs_of_blocks(self, X, device, block_sizes(self, X, device))

    @torch_defaults()
    def scores(self, X: Any, device: torch.device | str) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the scores of each label in float64, and the counts if the loss has them."""
        sizes, n_labels = block_sizes(self, X, device), self.criterion_.loss.n_labels_
        scores, counts, start = np.empty((X.shape[0], n_labels)), [], 0
        # Blocks of a single size are computed on as many threads, however many they are.
        n_rows = X.shape[0] if len(sizes) > 1 else sizes[0]
        n_weights = sum(parameter.numel() for parameter in self.module_.parameters())
        # As `torch.inference_mode`, but left without code of Python, which could be interrupted.
        with (
            threads_for(2.0 * n_rows * n_weights, SMALL_PREDICTION),
            torch._C._InferenceMode(True),
        ):
            for outputs, real in outputs_of_blocks(self, X, device, sizes):
                scores[start : start + real], count = self.scored(outputs, real)
                start += real
                if count is not None:
                    counts.append(count)
        return scores, np.concatenate(counts) if counts else None

    def scored(self, outputs: Tensor, real: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the scores and the counts of the first rows of a block; raise unless finite.

        The link, too, is computed for whole blocks: the last digit of vectorised functions depends
        on the position of a row in its array.
        """
        # The sum is finite, and fast, unless something is not or is huge.
        if not math.isfinite(outputs.sum()) and not outputs[:real].isfinite().all():
            raise ValueError(
                "the network's outputs are not finite for some rows: X holds values far beyond "
                "those that it was trained on"
            )
        loss = self.criterion_.loss
        count = loss.count(outputs)
        scores = loss.link(outputs)[:real].numpy()
        return scores, None if count is None else count[:real].double().numpy()

    def held_out_scores(
        self, rows: Rows, device: torch.device | str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return `scores` of the rows that were held out when the net was trained."""
        linear, known = self.linear_part(), self.held_out_deviations_
        if linear is None or known is None:
            return self.scores(rows.X, device)
        seen = deviations_of(linear, self.encoder_.transform(rows).X)
        with torch._C._InferenceMode(True):
            outputs = torch.cat([block[:real] for block, real in self.outputs(rows.X, device)])
            return self.link(linear.added(outputs, known - seen))

    @torch.inference_mode()
    def link(self, outputs: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the scores in float64 of some outputs, and the counts if the loss has them."""
        loss = self.criterion_.loss
        count = loss.count(outputs)
        return loss.link(
            outputs
        ).double().numpy(), None if count is None else count.double().numpy()

    def snapshot(self) -> TableNet:
        """Return a copy of the net as it is now, even in training, on the CPU."""
        net = type(self).__new__(type(self))
        net.__dict__.update(self._lasting_state())
        net.history_ = copy.copy(self.history_)
        # Together, since the optimiser has the parameters of the others.
        learned = self.module_, self.criterion_, self.optimizer_
        net.module_, net.criterion_, net.optimizer_ = copy.deepcopy(learned)
        return net.to("cpu")

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Return a copy of the weights and buffers of the network and the criterion."""
        return {
            name: {key: value.clone() for key, value in part.state_dict().items()}
            for name, part in self._torch_modules().items()
        }

    def set_weights(self, weights: dict[str, dict[str, Tensor]]) -> None:
        """Restore the copy that `weights` returned."""
        for name, part in self._torch_modules().items():
            part.load_state_dict(weights[name])

    def set_learning_rate(self, rate: float | None) -> None:
        """Set the learning rate, if it is not None and has changed."""
        if rate is not None and rate != self.lr:
            self.set_params(lr=rate)

    def to(self, device: torch.device | str) -> TableNet:
        """Move network, criterion and the state of the optimiser to a device."""
        moves = torch.device(self.device) != torch.device(device)
        self.device = str(device)
        for part in self._torch_modules().values():
            part.to(device)
        if moves and self.optimizer_.state:
            # Loading moves the state to where the parameters are.
            self.optimizer_.load_state_dict(self.optimizer_.state_dict())
        return self

    @contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """Restore weights, loss, optimiser and history if training fails."""
        weights, loss, n_epochs = self.weights(), self.criterion_.loss, len(self.history)
        # Not by `state_dict`, the first call of which imports torch._dynamo.
        states = {p: copy.deepcopy(state) for p, state in self.optimizer_.state.items()}
        groups = [dict(group) for group in self.optimizer_.param_groups]
        rest = self.n_rows_, self.epochs_before_, self.lr
        try:
            yield
        except BaseException:
            self.set_weights(weights)
            self.criterion_.loss = loss
            self.optimizer_.state.clear()
            self.optimizer_.state.update(states)
            for group, before in zip(self.optimizer_.param_groups, groups, strict=True):
                group.update(before)
            del self.history[n_epochs:]
            self.n_rows_, self.epochs_before_, self.lr = rest
            raise

    def curves(self) -> dict[str, list]:
        """Return the recorded values of each epoch."""
        # A callback may have ended the last epoch before its end.
        rows = [row for row in self.history if "train_loss" in row]
        names = [name for name in CURVES if any(name in row for row in rows)]
        return {name: [row.get(name, CURVES[name]) for row in rows] for name in names}

    def __getstate__(self) -> dict[str, Any]:
        """Return what lasts, on the CPU.

        skorch pickles the parts separately: they would be pickled by name even if the pickler of a
        parallel job sends the classes of a script by value.
        """
        on_cpu = torch.device(self.device).type == "cpu"
        return (self if on_cpu else self.snapshot())._lasting_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state that `__getstate__` returned."""
        self.__dict__.update(state)

    def _lasting_state(self) -> dict[str, Any]:
        """Return all but what belongs to a training under way: rows, generator and buffers."""
        temporary = ("train_split", "iterator_train__generator", "fused_", "interrupt_")
        return vars(self) | dict.fromkeys(temporary) | {"observers_": (), "valid_outputs_": ()}

    def _set_output_bias(self, bias: np.ndarray) -> None:
        """Set the bias of the last linear layer with this number of outputs, if any."""
        layers = [
            layer
            for layer in self.module_.modules()
            if isinstance(layer, nn.Linear) and layer.out_features == len(bias)
        ]
        if layers and layers[-1].bias is not None:
            with torch.no_grad():
                layers[-1].bias.copy_(torch.as_tensor(bias))

    @contextmanager
    def knowing(self, table: Table, rows: Tensor) -> Iterator[None]:
        """Give the linear part of the network, if there is one, the deviations of some rows."""
        linear = self.linear_part()
        if linear is None:
            yield
            return
        linear.known = table.known(rows)
        try:
            yield
        finally:
            linear.known = None

    def takes_sparse(self) -> bool:
        """Return whether `sparse_outputs` takes the network."""
        module = self.module_
        if type(module) is not MLP or not takes_sparse(module.encoding):
            return False
        return module.linear is None or module.linear.takes_sparse

    def linear_part(self) -> LinearPart | None:
        """Return the linear part of the network, if there is one."""
        return getattr(self.module_, "linear", None) if type(self.module_) is MLP else None

    def _plain_step(self, batch: Any) -> dict[str, Tensor]:
        for group in self.optimizer_.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        step = self.train_step_single(batch)
        self.optimizer_.step()
        return step

    def _set_mode(self, training: bool) -> None:
        if any(part.training != training for part in self._torch_modules().values()):
            self._set_training(training)

    def _fuse(self) -> None:
        """Begin to train without autograd, where that can be done as things are."""
        module: Any = self.module_
        parts = module, self.criterion_, self.optimizer_
        # Callbacks may have changed anything since the last epoch.
        watched = self._has_user_callbacks()
        if self.fused_ is not None and watched and not self.fused_.is_current(*parts):
            self._unfuse()
        if self.fused_ is None and self.may_fuse_ and can_fuse(*parts):
            seed = int(torch.randint(2**62, ()))
            self.fused_ = FusedTraining(*parts, seed, self.half_products_, self._end_if_interrupted)

    def _unfuse(self) -> None:
        if self.fused_ is not None:
            self.fused_.release()
            self.fused_ = None

    def _has_user_callbacks(self) -> bool:
        return any(type(callback) not in BUILT_IN for _, callback in self.callbacks_)

    def best_weights(self) -> BestWeights | None:
        """Return the callback of early stopping, if there is one."""
        return next((c for _, c in self.callbacks_ if type(c) is BestWeights), None)
