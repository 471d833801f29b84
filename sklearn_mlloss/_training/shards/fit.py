"""Fitting a network classifier on rows that are read by shards."""

from __future__ import annotations

import copy
import numbers
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ..._data.fields import check_fields
from ..._data.fitting import draw_entropy
from ..._data.interrupts import Interrupt
from ..._data.messages import LONGEST, describe
from ..._data.progress import Task, begin_fit
from ..._data.rows import Rows
from ..._data.sources import RowSource, blocks_of
from ..._data.validation import is_auto
from ...losses import Loss
from ...model_selection import MultilabelStratifiedShuffleSplit
from ...streaming._settings import Streaming
from ...streaming._sources import make_source
from ..build import auto_batch_size, make_loss
from ..cache import hash_code
from ..callbacks import Progress, StopTraining, check_callbacks
from ..device import call_seeded, resolve_device
from ..fast.loop import can_fuse
from ..fit import Trained, prepare, warn_of_early_end
from ..net import TableNet
from ..optimizers import needs_closure
from ..parameters import PRECISIONS, check_params
from .buffers import Buffers
from .categories import fit_one_hot
from .checkpoint import Checkpoint
from .progress import Report, reported
from .ranks import Ranks, equal_sizes, joined_ranks
from .survey import Survey, convert, count, finish
from .tables import Position, Tables, train_on_tables
from .workers import fit_on_workers

__all__ = ["fit_by_shards", "fitted_attributes"]

# Parameters that change nothing in the fitted model.
WITHOUT_EFFECT = ("streaming", "n_jobs", "verbose")
# Attributes that scikit-learn sets for callbacks.
OF_CALLBACKS = ("_skl_callbacks", "_skl_callbacks_to_teardown", "_callback_fit_ctx",
                "_parent_callback_ctx")  # fmt: skip


def fit_by_shards(
    estimator: Any, X: Any, y: Any, sample_weight: Any, groups: Any, interrupt: Interrupt
) -> None:
    """Fit a `MultiLabelNetClassifier` on rows that are read by shards.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
        Half fitted if anything fails.
    X, y, sample_weight, groups : as `fit` got them
    interrupt : Interrupt
        Of the fit.
    """
    settings = Streaming() if estimator.streaming is None else estimator.streaming
    if not isinstance(settings, Streaming):
        raise TypeError(
            "streaming must be None or a sklearn_mlloss.streaming.Streaming, got "
            f"{describe(settings)}"
        )
    check_fields(settings)
    check_params(estimator)
    _check_fits(estimator, settings, groups)
    source = make_source(X, y, sample_weight)
    for name in fitted_attributes(estimator):
        if name.endswith("_") or name in ("_inputs", "_targets", "_entropy"):
            delattr(estimator, name)
    if settings.distributed == "dask":
        vars(estimator).update(fit_on_workers(estimator, X, y, sample_weight))
        return
    device = resolve_device(estimator.device)
    estimator._dtype = PRECISIONS[estimator.precision]
    with joined_ranks(settings.distributed is not None) as ranks:
        if ranks is not None:
            # If one of them ended at once, others would wait for it: they look together.
            interrupt.holds = True
            source = make_source(X, y, sample_weight, ranks.size)
            _check_ranks(estimator, settings, source, device, ranks)
        checkpoint = None
        if settings.checkpoint is not None:
            checkpoint = Checkpoint(
                settings.checkpoint, _key_of(estimator, settings, source, ranks), ranks
            )
        found = _survey(estimator, source, settings, checkpoint, ranks, interrupt)
        args = source, settings, checkpoint, found, device, ranks, interrupt
        is_complete = _Fit(estimator, (X, y, sample_weight), *args).run()
        if ranks is not None:
            # The same to the last bit, whatever machines they run on.
            vars(estimator).update(ranks.first(fitted_attributes(estimator)))
        if checkpoint is not None and is_complete:
            checkpoint.remove()


def _check_fits(estimator: Any, settings: Streaming, groups: Any) -> None:
    """Raise for parameters that need all rows in memory, and for callbacks that cannot work."""
    for name, value in (("cv", None), ("warm_start", False), ("memory", None)):
        given = getattr(estimator, name)
        if given is not value and given != value:
            raise ValueError(
                f"{name}={describe(given)} needs rows in memory, and these are read by shards: set "
                f"{name}={value}"
            )
    if groups is not None:
        raise ValueError("groups need rows in memory, and these are read by shards: leave them out")
    if estimator._part("decoder", estimator.decoder, {}).untouched_rows:
        raise ValueError(
            f"decoder={describe(estimator.decoder)} needs rows of its own, and these are read by "
            "shards: fit with another decoder, then call fit_decoder with new rows"
        )
    callbacks = estimator.callbacks or ()
    check_callbacks(callbacks, estimator.early_stopping, estimator.early_stopping)
    if settings.distributed is not None and callbacks:
        raise ValueError(
            f"callbacks={describe(callbacks)} do not work with "
            f"distributed={settings.distributed!r}, where each process has a network: set "
            "callbacks=None, or distributed=None"
        )
    if settings.distributed == "dask" and hasattr(estimator, "_skl_callbacks"):
        raise ValueError(
            "set_callbacks does not work with distributed='dask', where workers train: call "
            "set_callbacks() to remove the callbacks, and set verbose=1 to see the progress"
        )
    if settings.checkpoint is not None and callbacks:
        try:
            pickle.dumps(callbacks)
        except Exception as error:  # each class fails in its own way
            raise ValueError(
                f"callbacks={describe(callbacks)} cannot be pickled, and checkpoint="
                f"{describe(settings.checkpoint)} saves them: {str(error)[:LONGEST]}. Define their "
                "classes in a module, or set checkpoint=None"
            ) from error


def _check_ranks(
    estimator: Any, settings: Streaming, source: RowSource, device: torch.device, ranks: Ranks
) -> None:
    """Raise for what does not work on several ranks."""
    n_shards = len(source.shards())

    def arguments() -> str:
        return hash_code([*_params_of(estimator, settings), n_shards, source.fingerprint()])

    # Otherwise, a rank may wait for a step that another one does not take.
    if len(set(ranks.all(ranks.together(arguments)))) > 1:
        raise ValueError(
            "the ranks have different parameters, versions or rows: call fit with the same "
            "arguments on all of them, also with all rows, of which each rank reads its part"
        )
    if n_shards < ranks.size:
        raise ValueError(
            f"X has {n_shards} shard(s) for {ranks.size} ranks: write more files or row groups, or "
            "start fewer processes"
        )
    if estimator.normalization == "batch":
        raise ValueError(
            "normalization='batch' does not work with several ranks: set normalization=None or "
            "'layer', or train in one process"
        )
    if device.type != "cpu":
        raise ValueError(f"several ranks train on the CPU, got device={device}: set device='cpu'")


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """Return the attributes that are neither parameters nor of callbacks."""
    others = {*estimator.get_params(deep=False), *OF_CALLBACKS}
    return {name: value for name, value in vars(estimator).items() if name not in others}


def _params_of(estimator: Any, settings: Streaming) -> list[dict[str, Any]]:
    """Return the parameters that have an effect on the fitted model."""
    params = {k: v for k, v in estimator.get_params().items() if k.partition("__")[0] not in
              WITHOUT_EFFECT}  # fmt: skip
    return [params, {k: v for k, v in settings.get_params().items() if k != "checkpoint"}]


def _key_of(estimator: Any, settings: Streaming, source: RowSource, ranks: Ranks | None) -> str:
    rank, size = (0, 1) if ranks is None else (ranks.rank, ranks.size)

    def key() -> str:
        # Other arrays or columns may have the same shards.
        rows = next(blocks_of(source, rank), None) if source.shards() else None
        known = type(source).__name__, source.fingerprint(), size, rows
        params, others = _params_of(estimator, settings)
        # Each fit changes a generator, and the seeds that it gave are in the checkpoint.
        if not isinstance(params["random_state"], numbers.Integral):
            del params["random_state"]
        return hash_code([params, others, *known])

    return key() if ranks is None else ranks.together(key)


def _survey(
    estimator: Any,
    source: RowSource,
    settings: Streaming,
    checkpoint: Checkpoint | None,
    ranks: Ranks | None,
    interrupt: Interrupt,
) -> Survey:
    """Make the pass over all rows, unless its results have been saved."""
    saved: Any = None if checkpoint is None else checkpoint.load("start")
    if saved is None:
        estimator._entropy = draw_entropy(estimator.random_state)
        found = _pass(estimator, source, settings, ranks, interrupt)
        saved = found, fitted_attributes(estimator)
        if ranks is not None:
            saved = ranks.first(saved)
        if checkpoint is not None:
            checkpoint.save("start", saved)
    everywhere, attributes = saved
    vars(estimator).update(attributes)
    return everywhere


def _pass(
    estimator: Any,
    source: RowSource,
    settings: Streaming,
    ranks: Ranks | None,
    interrupt: Interrupt,
) -> Survey | None:
    """Return what all rows are like, of several ranks on the first one only."""
    shards, size = range(len(source.shards())), settings.sample_rows
    if ranks is None:
        return finish(estimator, [count(estimator, source, size, reported(estimator, shards))])
    estimator._entropy = ranks.first(estimator._entropy)
    shards = shards[ranks.rank :: ranks.size]
    shown = reported(estimator, shards) if ranks.rank == 0 else shards
    mine = takewhile(lambda _: not interrupt.came, shown)
    part = ranks.together(lambda: count(estimator, source, size, mine))
    if any(ranks.all(interrupt.came)):
        raise KeyboardInterrupt
    parts = ranks.gather(part)
    return ranks.together(lambda: None if parts is None else finish(estimator, parts))


class _Fit:
    """The training after the pass over all rows.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
    data : tuple
        X, y and sample_weight as `fit` got them, for callbacks.
    source : RowSource
    settings : Streaming
    checkpoint : Checkpoint or None
    found : Survey
    device : torch.device
    ranks : Ranks or None
    interrupt : Interrupt

    Attributes
    ----------
    is_complete : bool
        Whether training has not been interrupted.
    task : Task or None
        The training, if callbacks of scikit-learn follow it.
    """

    def __init__(
        self,
        estimator: Any,
        data: tuple[Any, Any, Any],
        source: RowSource,
        settings: Streaming,
        checkpoint: Checkpoint | None,
        found: Survey,
        device: torch.device,
        ranks: Ranks | None,
        interrupt: Interrupt,
    ):
        self.estimator, self.data, self.source, self.settings = estimator, data, source, settings
        self.checkpoint, self.found, self.device = checkpoint, found, device
        self.ranks, self.rank = ranks, 0 if ranks is None else ranks.rank
        self.seeds, self.interrupt, self.is_complete = estimator._seeds(0), interrupt, True
        self.task: Task | None = None

    def run(self) -> bool:
        """Train the net, and fit the decision; return whether training was not interrupted."""
        estimator, rows = self.estimator, self.found.sample
        loss = make_loss(estimator.loss, rows)
        estimator._decision = estimator._make_decision(
            estimator.decoder, estimator.calibration, loss
        )
        estimator._try_decoder(rows)
        train, held = np.arange(len(rows)), np.arange(0)
        if estimator.early_stopping or estimator._decision.requires_fit:
            splitter = MultilabelStratifiedShuffleSplit(
                1, test_size=estimator.validation_fraction, random_state=self.seeds[2]
            )
            train, held = next(splitter.split(rows.Y, rows.Y))
        held_out = rows[held].scaled() if len(held) else None
        self._count(loss, rows[train], rows[held])

        def finish(model: Any, net: TableNet) -> None:
            model._keep([net])
            if held_out is not None and model._decision.requires_fit:
                scored = net.held_out_scores(held_out, self.device)
                model._fit_decision_on(*scored, held_out, rows[train])

        trained = self._train(loss, train, held, held_out, finish)
        net = trained.net
        if self.is_complete:
            warn_of_early_end(trained, estimator.max_epochs)
        finish(estimator, net)
        if self.task is not None:
            self.task.end({})
        net.held_out_deviations_ = net.linear_outputs_ = None
        net.optimizer_.state.clear()
        return self.is_complete

    def _count(self, loss: Loss, train: Rows, held_out: Rows) -> None:
        """Fit the loss on the sample, and give it the counts of all training rows."""
        observed, positive = (self.found.scale * n for n in (self.found.observed,
                                                             self.found.positive))  # fmt: skip
        loss.fit(train.Y, train.weight)
        if len(held_out):
            mass = np.ones(held_out.Y.shape) if held_out.weight is None else held_out.weight
            mass = (mass if mass.ndim == 2 else mass[:, None]) * (held_out.Y >= 0)
            observed = observed - mass.sum(axis=0)
            positive = positive - (mass * np.nan_to_num(held_out.Y)).sum(axis=0)
        loss._set_counts(observed.clip(min=0), positive.clip(min=0))
        self.estimator._targets.warn_of_constant_labels(loss.positive_count_, loss.label_count_)

    def _train(
        self,
        loss: Loss,
        train: np.ndarray,
        held: np.ndarray,
        held_out: Rows | None,
        finish: Callable[[Any, TableNet], None],
    ) -> Trained:
        estimator, settings, found = self.estimator, self.settings, self.found
        interrupt = self.interrupt
        n_rows = found.n_rows - len(held)
        is_held = np.zeros(len(found.places), dtype=bool)
        is_held[held] = True
        shards, sizes = self._divide(found.places[held, 0])
        buffers = Buffers(
            self.source, partial(_converted, estimator, found, self.source.shards()),
            shards[self.rank], sizes[self.rank], settings.shards_at_once, found.places, is_held,
            self.seeds[1],
        )  # fmt: skip
        categories = None
        if estimator.is_categorical_ is not None:
            categories = fit_one_hot(
                found.categories, estimator.categories_, estimator.is_categorical_, found.sample,
                train, held, found.scale,
            )  # fmt: skip
        plan = estimator._plan(loss, self.device, categories=categories)
        auto = is_auto(estimator.batch_size)
        steps = n_rows / (auto_batch_size(n_rows) if auto else estimator.batch_size)
        n_checks = 1
        if settings.steps_per_check is not None:
            n_checks = round(steps / settings.steps_per_check)
            n_checks = min(len(buffers.sizes), max(1, n_checks))
        plan.params.max_epochs = estimator.max_epochs * n_checks
        plan.params.verbose = estimator.verbose if self.rank == 0 else 0
        self._begin(plan.params.max_epochs, finish)
        valid = held_out if estimator.early_stopping else None
        ready = prepare(plan, found.sample[train], valid, self.seeds, n_rows=n_rows)
        state = None if self.checkpoint is None else self.checkpoint.load("state")
        net, position = (ready.net, Position()) if state is None else state
        if self.ranks is not None:
            for part in net._torch_modules().values():
                self.ranks.share_weights(part)
        args = sizes, ready, train, self.device, self.seeds[1], n_checks, self.ranks
        tables = Tables(net, buffers, *args)
        net.held_out_deviations_ = tables.of_valid
        report = Report(estimator, n_rows, settings, steps, tables.n_tables)

        def done(net: TableNet, position: Position) -> None:
            if self.rank == 0:
                report.show(position)
            if self.checkpoint is not None and report.is_due(position):
                # The same steps with and without an interruption here.
                net._unfuse()
                # A net on a GPU is pickled as a copy, whose optimiser is not that of the schedule.
                net.to("cpu")
                self.checkpoint.save("state", (net, copy.copy(position)))
                net.to(self.device)
            if self.ranks is not None and any(self.ranks.all(interrupt.came)):
                interrupt.take(KeyboardInterrupt(), position.has_weights(valid), interrupt.what)
                self.is_complete = False
                raise StopTraining

        net.to(self.device)
        try:
            with self._summing(net, sizes):
                trained = call_seeded(
                    lambda: train_on_tables(
                        net, tables, *tables.in_memory, estimator.max_epochs, position, done,
                        self._observers(net, position), interrupt if self.ranks is None else None,
                    ),
                    seed=self.seeds[1],
                    device=self.device,
                )  # fmt: skip
        finally:
            net.to("cpu")
        if self.ranks is None:
            self.is_complete = not interrupt.came
        if not self.is_complete:
            made = f"{position.epoch + position.table / tables.n_tables:.3g}"
            interrupt.what = f"the weights after {made} of at most {estimator.max_epochs} epochs"
            if valid is not None:
                best = f"those of check {trained.n_epochs} of {position.n_checks}"
                interrupt.what = f"the best weights, {best}, after {made} epochs"
            if self.checkpoint is not None:
                where = describe(settings.checkpoint)
                interrupt.what += f" (checkpoint={where} keeps the state to continue from)"
        return trained

    def _begin(self, n_checks: int, finish: Callable[[Any, TableNet], None]) -> None:
        """Report the begin of the training to the callbacks of scikit-learn on the first rank."""

        def begin() -> Task | None:
            return begin_fit(self.estimator, *self.data, n_parts=n_checks, ordered=True)

        if self.ranks is None:
            self.task = begin()
        else:
            self.task = self.ranks.together(begin if self.rank == 0 else lambda: None)
        if self.task is not None:
            self.task.finish = finish

    def _observers(self, net: TableNet, position: Position) -> list[Progress]:
        """Return what reports the checks, those before `position` already."""
        if self.task is None:
            return []
        progress = Progress(self.task)
        for _ in range(position.n_checks):
            self.task.epoch().end()
        if position.begun:
            progress.on_epoch_begin(net)
        return [progress]

    def _divide(self, held_out: np.ndarray) -> tuple[list[list[int]], list[list[int]]]:
        """Return the shards of each rank, and the sizes of its buffers: as many for each.

        `held_out` are the shards of the held-out rows.
        """
        n_ranks = 1 if self.ranks is None else self.ranks.size
        n_shards = len(self.source.shards())
        shards = [list(range(rank, n_shards, n_ranks)) for rank in range(n_ranks)]
        left = dict(self.found.counts)
        for shard in held_out.tolist():
            left[shard] -= 1
        rows = [sum(left[shard] for shard in some) for some in shards]
        if not all(rows):
            raise ValueError(
                f"rank {rows.index(0)} of {n_ranks} has no rows in its shards "
                f"{shards[rows.index(0)][:10]}: write more files or row groups, or start fewer "
                "processes"
            )
        n_tables = -(-max(rows) // self.settings.buffer_rows)
        return shards, [equal_sizes(n, n_tables) for n in rows]

    @contextmanager
    def _summing(self, net: TableNet, sizes: list[list[int]]) -> Iterator[None]:
        """Sum gradients over the ranks where autograd computes them."""
        if self.ranks is None or can_fuse(net.module_, net.criterion_, net.optimizer_):
            yield
            return
        self._check_unfused(net, sizes, self.ranks)
        hook = net.optimizer_.register_step_pre_hook(self.ranks.sum_gradients)
        try:
            yield
        finally:
            hook.remove()

    def _check_unfused(self, net: TableNet, sizes: list[list[int]], ranks: Ranks) -> None:
        """Raise for what autograd cannot train on several ranks."""
        name, reason = "module", ""
        if any(isinstance(part, _BatchNorm) for part in net.module_.modules()):
            reason = "has batch normalisation, whose statistics would be those of one rank"
        if not net.criterion_.loss.row_wise:
            name, reason = "loss", "couples the rows of a batch, and the network is not built in"
        if needs_closure(net.optimizer_):
            name, reason = "optimizer", "computes the loss in its steps"
        if reason:
            raise ValueError(
                f"{name}={describe(getattr(self.estimator, name))} {reason}: train in one process"
            )
        for rows in zip(*sizes, strict=True):
            n_steps = ranks.n_steps(rows, net.batch_size)
            if min(rows) < n_steps:
                raise ValueError(
                    f"rank {rows.index(min(rows))} has {min(rows)} rows for {n_steps} steps, and "
                    "this network needs rows in each step: write shards of more equal sizes"
                )


def _converted(
    estimator: Any, found: Survey, names: list[str], X: Any, y: Any, w: Any, shard: int, start: int
) -> tuple[Any, np.ndarray, np.ndarray | None, np.ndarray]:
    """Return a block as it is trained on."""
    X, Y, w, rows = convert(estimator, estimator._targets, X, y, w, names[shard], start)
    # In all buffers the same, since the loss of hard labels has a faster derivative.
    Y = Y.astype(np.float32) if found.soft else Y
    return X, Y, None if w is None else w * found.scale, rows
