"""The built-in network trained without autograd.

On small tables most of a training step is not arithmetic but bookkeeping: of autograd, of modules,
of the optimiser. Here the parameters lie in one buffer and so do their gradients; the backward pass
of the layers is written out, the derivative of the loss by the logits comes in closed form where
there is one, and the optimiser is one kernel over the buffer. Without dropout the results are those
of the ordinary path up to rounding; dropout and mixup draw other numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...losses import Criterion
from ...networks import MLP
from ..batches import Batches, Table, Targets
from .layers import LinearShare, has_known_layers, split_layers
from .parameters import FlatParameters, make_step
from .sparse import SparseRows, takes_sparse

__all__ = ["FusedTraining", "Noise", "can_fuse"]

# Inputs of the first layer, targets and weights, and deviations if there is a linear part.
AnyBatch = tuple[Tensor | SparseRows, Targets, Tensor | None]

# Bytes of rows that are gathered at once, for several steps: they stay in the cache.
CHUNK = 1 << 20
# Bytes up to which the rows are encoded once for all epochs.
ENCODED = 1 << 25


def can_fuse(module: nn.Module, criterion: Criterion, optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a network can be trained here, with this loss and optimiser."""
    if type(module) is not MLP or type(criterion) is not Criterion:
        return False
    parameters = list(module.parameters())
    groups = optimizer.param_groups
    return (
        has_known_layers(module)
        and next(criterion.parameters(), None) is None
        and len(groups) == 1
        and [id(p) for p in groups[0]["params"]] == [id(p) for p in parameters]
        and all(p.requires_grad and not p._backward_hooks for p in parameters)
        and not any(map(_is_altered, module.modules()))
        and not optimizer._optimizer_step_pre_hooks
        and not optimizer._optimizer_step_post_hooks
    )


def _is_altered(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return "forward" in vars(module) or any(getattr(module, name) for name in hooks)


class FusedTraining:
    """Passes over batches that train a network.

    Parameters
    ----------
    module : MLP
        In training mode. Its parameters are views of one buffer until `release`.
    criterion : Criterion
        Without parameters.
    optimizer : torch.optim.Optimizer
    seed : int
        Of dropout and mixup.
    half : bool, default=False
        Whether matrices are multiplied in bfloat16.
    before_chunk : callable, optional
        Called before every few batches; an error that it raises ends the pass.
    """

    def __init__(
        self,
        module: MLP,
        criterion: Criterion,
        optimizer: torch.optim.Optimizer,
        seed: int,
        half: bool = False,
        before_chunk: Callable[[], None] | None = None,
    ):
        self.before_chunk = before_chunk
        self.parts = module, criterion, optimizer
        self.criterion = criterion
        self.flat = FlatParameters(list(module.parameters()))
        # Of the buffers only the statistics of normalisation change.
        statistics = (b for b in module.layers.buffers() if b.is_floating_point())
        self.learned = [self.flat.values, *statistics]
        self.hidden, self.output = split_layers(module, half)
        self.step = make_step(optimizer, self.flat)
        self.noise = Noise([(layer.dropout, len(layer.bias)) for layer in self.hidden], seed)
        self.mixup, self.input_dropout = module.mixup, module.input_dropout
        self.linear = None if module.linear is None else LinearShare(module.linear)
        self.kept: list[AnyBatch] | None = None
        self.described = _describe(module)
        self.encoding = module.encoding
        self.encoded: Tensor | None = None
        first: Any = module.layers[0]
        self.n_inputs: int = first.in_features
        self.widths = [len(layer.bias) for layer in self.hidden]
        self.buffers: dict[int, tuple[list[Tensor], list[Tensor], Tensor]] = {}
        like = self.flat.values
        example = torch.zeros(1, criterion.loss.n_outputs_, dtype=like.dtype, device=like.device)
        labels = example.new_zeros(1, criterion.loss.n_labels_)
        with torch.no_grad():
            self.closed = criterion.loss.row_wise and (
                criterion.loss.gradient(example, labels) is not None
            )

    def is_current(self, *parts: Any) -> bool:
        """Return whether network, criterion and optimiser are as they were."""
        return (
            all(one is two for one, two in zip(parts, self.parts, strict=True))
            and can_fuse(*parts)
            and self.described == _describe(self.parts[0])
            and self.flat.is_intact()
            and self.step.is_intact()
        )

    def is_finite(self) -> bool:
        """Return whether weights are finite; False if they are too large to be certain."""
        total: Any = sum(part.sum() for part in self.learned)
        return bool(total.isfinite())

    def release(self) -> None:
        """Copy parameters and the state of the optimiser out of the common buffers."""
        self.step.release()
        self.flat.release()

    @torch.no_grad()
    def epoch(self, batches: Batches) -> float:
        """Train on each batch; return the mean loss over rows."""
        self.step.begin_epoch()
        loss, table, like = self.criterion.loss, batches.table, self.flat.values
        ranks = batches.ranks
        total = torch.zeros((), dtype=torch.float64, device=like.device)
        widest = max(table.n_features, self.n_inputs, self.noise.width)
        self._encode(table)
        for rows, sizes in _chunks(batches, widest):
            if self.before_chunk is not None:
                self.before_chunk()
            if self.encoded is None:
                X, (targets, weight), known = self._gather(table, rows)
            else:
                X, (targets, weight) = self.encoded.index_select(0, rows), table.targets(rows)
                known = table.known(rows)
            closed = self.closed and not targets.is_floating_point()
            closed = closed and (weight is None or weight.ndim == 1)
            if closed:
                targets = targets.to(like.dtype)
            X, goals, known = self._mix(X, targets, weight, known, sizes, ranks)
            if self.input_dropout is not None:
                X = self.noise.drop(X, self.input_dropout.p)
            logits = like.new_empty(len(X), len(self.output.bias))
            parts = zip(
                X.split(sizes),
                logits.split(sizes),
                self.noise.draw(sizes, like),
                [None] * len(sizes) if known is None else known.split(sizes),
                *(goal.split(sizes) for goal in goals),
                strict=True,
            )
            for x, outputs, masks, deviations, *sides in parts:
                if ranks is not None:
                    ranks.begin_step()
                units, gradients, ones = self._buffers(len(x))
                self._forward(x, masks, units, outputs)
                if self.linear is not None:
                    self.linear.add(outputs, deviations)
                if closed:
                    g = self._gradient(outputs, sides)
                else:
                    g, value = self._differentiate(outputs, sides, ranks)
                    total += value * len(x)
                if ranks is not None:
                    g = ranks.share_of(g, loss)
                if self.linear is not None:
                    self.linear.learn(deviations, g)
                self._backward(x, masks, gradients, ones, g)
                if ranks is not None:
                    ranks.add(self.flat.gradients)
                self.step()
            if closed:
                for goal in goals:
                    total += goal.sum_of(loss.objective(logits, goal.targets), sizes)
        return float(total) / max(len(table), 1)

    @torch.no_grad()
    def evaluate(self, batches: Batches, outputs: list[Tensor]) -> float:
        """Return the mean loss over rows that are not trained on; append outputs to the list."""
        total = torch.zeros((), dtype=torch.float64, device=self.flat.values.device)
        for x, (targets, weight), known in self._held_out(batches):
            outputs.append(self._evaluate(x, known))
            total += self.criterion(outputs[-1], targets, weight) * len(x)
        return float(total) / len(batches.table)

    @torch.no_grad()
    def outputs(self, table: Table, rows: Tensor) -> Tensor:
        """Return the outputs of the network for some rows, as in prediction."""
        x, _, known = self._gather(table, rows)
        return self._evaluate(x, known)

    def _evaluate(self, x: Tensor | SparseRows, known: Tensor | None) -> Tensor:
        for layer in self.hidden:
            x = layer.evaluate(x)
        outputs = self.output.evaluate(x)
        if self.linear is None or known is None:
            return outputs
        return self.linear.add(outputs, known)

    def _held_out(self, batches: Batches) -> Iterable[AnyBatch]:
        """Return the batches; if they are small, those of the first epoch are reused."""
        if self.kept is not None:
            return self.kept
        table = batches.table
        gathered = (self._gather(table, rows) for rows in batches.order().split(batches.sizes()))
        if len(table) * max(table.n_features, self.n_inputs) * 4 > CHUNK:
            return gathered
        self.kept = list(gathered)
        return self.kept

    def _encode(self, table: Table) -> None:
        """Encode all rows once, if they are few; else each batch is encoded."""
        if self.encoding is None or self.encoded is not None or not table.resident:
            return
        if table.stays_sparse and takes_sparse(self.encoding):
            return
        if len(table) * self.n_inputs * 4 <= ENCODED:
            rows = torch.arange(len(table), device=table.index_device)
            blocks = [self.encoding(table.batch(block)[0]) for block in rows.split(1024)]
            self.encoded = torch.cat(blocks)

    def _gather(self, table: Table, rows: Tensor) -> AnyBatch:
        """Return rows as they go into the first layer."""
        known = table.known(rows)
        if table.stays_sparse and takes_sparse(self.encoding):
            thin, targets = table.sparse_batch(rows)
            return thin.encoded(self.encoding), targets, known
        X, targets = table.batch(rows)
        return X if self.encoding is None else self.encoding(X), targets, known

    def _mix(
        self,
        X: Tensor | SparseRows,
        targets: Tensor,
        weight: Tensor | None,
        known: Tensor | None,
        sizes: list[int],
        ranks: Any = None,
    ) -> tuple[Tensor | SparseRows, list[Goal], Tensor | None]:
        """Return inputs, goals of training, and deviations, perhaps mixed within each batch."""
        if self.mixup is None:
            return X, [Goal(targets, weight)], known
        pairs, shares = self.noise.pair(self.mixup.alpha, sizes)
        if ranks is not None:
            shares = ranks.shares(self.mixup.alpha, len(sizes))
        partners = torch.from_numpy(pairs).to(targets.device)
        others = targets[partners], None if weight is None else weight[partners]
        goals = [Goal(targets, weight, shares), Goal(*others, 1 - shares)]
        like = self.flat.values
        of_rows = torch.from_numpy(shares.repeat(sizes)).to(like.device, like.dtype)
        if known is not None:
            known = torch.lerp(known[partners], known, of_rows.unsqueeze(1))
        if isinstance(X, SparseRows):
            return X.mixed(partners, of_rows), goals, known
        return torch.lerp(X[partners], X, of_rows.unsqueeze(1)), goals, known

    def _forward(
        self, x: Tensor | SparseRows, masks: list, units: list[Tensor], outputs: Tensor
    ) -> None:
        for layer, mask, out in zip(self.hidden, masks, units, strict=True):
            x = layer.forward(x, mask, out)
        self.output.linear(x, outputs)

    def _backward(
        self, x: Tensor | SparseRows, masks: list, gradients: list[Tensor], ones: Tensor, g: Tensor
    ) -> None:
        layer = self.output
        for below, mask, out in zip(
            reversed(self.hidden), reversed(masks), reversed(gradients), strict=True
        ):
            layer.learn(below.h, g, ones)
            layer.pull_back(g, out)
            g = below.backward(out, mask)
            layer = below
        layer.learn(x, g, ones)

    def _gradient(self, outputs: Tensor, sides: list[Side]) -> Tensor:
        """Return the gradient of the loss by the outputs, in closed form."""
        gradients = []
        for y, w, share in sides:
            g: Any = self.criterion.loss.gradient(outputs, y)
            factor = share / max(len(outputs), 1)  # one of several ranks may have no rows
            gradients.append(g.mul_(factor if w is None else (w * factor).unsqueeze(1)))
        return reduce(Tensor.add_, gradients)

    def _differentiate(
        self, outputs: Tensor, sides: list[Side], ranks: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of the loss by the outputs, by autograd, and the loss."""
        if ranks is not None and not self.criterion.loss.row_wise:
            return ranks.differentiate(self.criterion, outputs, sides)
        if not len(outputs):
            return outputs, outputs.sum()
        leaf = outputs.detach().requires_grad_()
        with torch.enable_grad():
            value: Any = sum(share * self.criterion(leaf, y, w) for y, w, share in sides)
        return torch.autograd.grad(value, leaf)[0], value.detach()

    def _buffers(self, n: int) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return memory for the units of n rows and their gradients, and a row of ones."""
        if n not in self.buffers:
            like = self.flat.values
            units, gradients = ([like.new_empty(n, w) for w in self.widths] for _ in range(2))
            self.buffers[n] = units, gradients, like.new_ones(1, n)
        return self.buffers[n]


# Targets of a batch, weights of its rows, and the share that these have in the loss.
Side = tuple[Tensor, Tensor | None, float]


class Goal(NamedTuple):
    """The goal of training for some batches, or one of two sides of it.

    Attributes
    ----------
    targets : Tensor of shape (n, n_labels)
    weight : Tensor of shape (n,) or (n, n_labels), optional
    shares : ndarray of shape (n_batches,), optional
        The weight of this side in each batch.
    """

    targets: Tensor
    weight: Tensor | None
    shares: np.ndarray | None = None

    def split(self, sizes: list[int]) -> Iterator[Side]:
        """Return the side of each batch."""
        n = len(sizes)
        weights = [None] * n if self.weight is None else self.weight.split(sizes)
        shares = [1.0] * n if self.shares is None else self.shares.tolist()
        return zip(self.targets.split(sizes), weights, shares, strict=True)

    def sum_of(self, values: Tensor, sizes: list[int]) -> Tensor:
        """Return the weighted sum of the losses of all rows."""
        if self.weight is not None:
            values = values * self.weight
        if self.shares is None:
            return values.sum()
        return values @ torch.from_numpy(self.shares.repeat(sizes)).to(values.device, values.dtype)


class Noise:
    """The random numbers of a training: masks of dropout, and pairs of rows that are mixed.

    On the CPU masks are drawn as bytes by a generator of numpy, several times as fast as torch's
    Bernoulli numbers.

    Parameters
    ----------
    layers : list of (float, int)
        Probability and number of units of each hidden layer.
    seed : int

    Attributes
    ----------
    width : int
        Largest number of units with a mask.
    """

    def __init__(self, layers: list[tuple[float, int]], seed: int):
        self.layers = layers
        self.width = max([units for rate, units in layers if rate], default=0)
        self.generator = np.random.SFC64(seed)

    def pair(self, alpha: float, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return with which row of its batch each row is mixed, and the share of the row itself.

        Shares are those of a `Mixup`, one for each batch.
        """
        generator = np.random.Generator(self.generator)
        starts = np.cumsum(sizes) - sizes
        partners = [at + generator.permutation(n) for at, n in zip(starts, sizes, strict=True)]
        return np.concatenate(partners), generator.beta(alpha, alpha, size=len(sizes))

    def drop(self, X: Tensor | SparseRows, rate: float) -> Tensor | SparseRows:
        """Return rows with some of the values 0, and the others divided by ``1 - rate``."""
        if isinstance(X, SparseRows):
            return X.scaled(self._draw(rate, (1, len(X.values)), X.values)[0].div_(1 - rate))
        return X * self._draw(rate, tuple(X.shape), X).div_(1 - rate)

    def draw(self, sizes: list[int], like: Tensor) -> Iterator[tuple]:
        """Return, for each batch, a mask or None for each layer."""
        n, nothing = sum(sizes), [None] * len(sizes)
        drawn = [
            self._draw(rate, (n, units), like).split(sizes) if rate else nothing
            for rate, units in self.layers
        ]
        return zip(*drawn, strict=True) if drawn else iter([()] * len(sizes))

    def _draw(self, rate: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
        if like.device.type != "cpu":
            return like.new_empty(shape).bernoulli_(1 - rate)
        kind = _numbers_for(rate)
        n, steps = math.prod(shape), np.iinfo(kind).max + 1
        raw = self.generator.random_raw(-(-n * np.dtype(kind).itemsize // 8)).view(kind)[:n]
        return torch.from_numpy(raw >= round(rate * steps)).view(shape).to(like.dtype)


def _numbers_for(rate: float) -> type[np.unsignedinteger]:
    """Return the smallest type that represents a rate, or 1 - rate to a thousandth."""
    if (rate * 256).is_integer():
        return np.uint8
    return np.uint16 if abs(round(rate * 65536) / 65536 - rate) < 1e-3 * (1 - rate) else np.uint32


def _describe(module: MLP) -> list:
    """Return the identities of the layers, and the rates of dropout."""
    parts = (*module.layers, module.encoding, module.mixup, module.input_dropout, module.linear)
    return [(id(part), getattr(part, "p", None)) for part in parts]


def _chunks(batches: Batches, width: int) -> Iterator[tuple[Tensor, list[int]]]:
    """Yield the rows of several batches, and how many each has."""
    order, sizes = batches.order(), batches.sizes()
    start, at_once = 0, max(1, CHUNK // (max(1, sizes[0]) * width * 4))
    for first in range(0, len(sizes), at_once):
        some = sizes[first : first + at_once]
        yield order[start : start + sum(some)], some
        start += sum(some)
