"""The processes of `torch.distributed` that train one network together."""

from __future__ import annotations

import atexit
import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from time import monotonic
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from ..._data.parallel import ByValue
from ...losses import Criterion, Loss
from ..batches import Batches, Table
from ..divergence import Diverged

__all__ = ["OtherFailed", "Ranks", "equal_sizes", "join", "joined_ranks"]

T = TypeVar("T")

# In which all ranks must have called `fit`, if it makes the process group.
JOINING = timedelta(minutes=5)
# In which a rank must answer then: one may be reading for longer than the others.
ANSWER = timedelta(minutes=30)
# Numbers of the groups that `fit` makes: the same on all ranks.
GROUPS = count()


class OtherFailed(RuntimeError):
    """Another rank has failed, which raises the error itself."""


@contextmanager
def joined_ranks(wanted: bool) -> Iterator[Ranks | None]:
    """Yield the ranks, or None for a single process; make the group if torchrun asks for one."""
    if not wanted:
        yield None
        return
    if distributed.is_initialized():
        backend = distributed.get_backend_config()
        if "cpu:" not in backend:
            raise ValueError(
                f"the process group has the backend {backend!r}, and ranks exchange what is on the "
                "CPU: call init_process_group('gloo') or init_process_group('cpu:gloo,cuda:nccl')"
            )
        yield Ranks() if distributed.get_world_size() > 1 else None
        return
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ):
        raise ValueError(
            "Streaming(distributed='torch') needs the processes of torch.distributed: start them "
            "by torchrun --nproc-per-node=2 script.py, or call init_process_group('gloo') before"
        )
    join()
    try:
        # It stays for the next fit.
        yield Ranks() if distributed.get_world_size() > 1 else None
    except BaseException:
        # The others may wait for this rank: they get an error, too.
        distributed.destroy_process_group()
        raise


def join(address: str = "env://", rank: int = -1, size: int = -1) -> None:
    """Make the process group; raise if the other ranks do not come in time.

    Parameters
    ----------
    address : str, default="env://"
        Where the ranks meet. The default reads that, and the numbers, from the environment.
    rank, size : int, default=-1
    """
    from torch.distributed.distributed_c10d import _set_pg_timeout

    begin = monotonic()
    try:
        store, rank, size = next(distributed.rendezvous(address, rank, size, timeout=JOINING))
        if address == "env://":
            # The store of torchrun outlives a group, and has the addresses of its processes.
            restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            store = distributed.PrefixStore(f"{restarts} {next(GROUPS)}", store)
        distributed.init_process_group(
            "gloo", timeout=JOINING, store=store, rank=rank, world_size=size
        )
    except RuntimeError as error:
        waited = monotonic() - begin
        if waited < JOINING.total_seconds():
            raise
        raise RuntimeError(
            f"waited {waited:.0f} s for other ranks, which have ended or have not called fit yet: "
            "see their output, and start all ranks again. To wait longer, call "
            f"init_process_group('gloo', timeout=...) before fit (torch: {_brief(error)})"
        ) from error
    # torch has no public way to set another timeout for what follows.
    _set_pg_timeout(ANSWER)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


class Ranks:
    """The present process among those of the group, and what they exchange.

    Attributes
    ----------
    rank, size : int
    is_lost : bool
        Whether another rank is gone: no exchange is possible any more.
    """

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.is_lost = False
        # Threads of a group that is left would abort the process at its very end, now and then.
        atexit.unregister(_leave)
        atexit.register(_leave)
        self.steps: Iterator[list[int]] = iter(())
        self.sizes: list[int] = []
        self.mixing = np.random.default_rng(0)

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        """Say what has happened and what to do where torch reports a broken connection."""
        try:
            yield
        except RuntimeError as error:
            self.is_lost = True
            raise RuntimeError(
                f"rank {self.rank} of {self.size} lost the connection to another rank, which was "
                "killed, has ended or does not answer: see its output for the cause. Start the fit "
                "again on all ranks; with Streaming(checkpoint=...), it continues from the last "
                f"checkpoint (torch: {_brief(error)})"
            ) from error

    # ------------------------------------------------------------------ objects

    def all(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        values: list[Any] = [None] * self.size
        with self._exchange():
            distributed.all_gather_object(values, value)
        return values

    def gather(self, value: Any) -> list[Any] | None:
        """Return the values of all ranks on the first one, and None on others."""
        values: list[Any] | None = [None] * self.size if self.rank == 0 else None
        with self._exchange():
            distributed.gather_object(value, values, dst=0)
        return values

    def first(self, value: Any) -> Any:
        """Return the value of the first rank."""

        def pickled() -> bytes:
            return pickle.dumps(ByValue(value)) if self.rank == 0 else b""

        values = [self.together(pickled)]
        with self._exchange():
            distributed.broadcast_object_list(values, src=0)
        return pickle.loads(values[0]).value

    def agree(self, error: Exception | None) -> None:
        """Raise the error, or one if another rank has an error: none waits for a rank that ended.

        An error of training that diverges is one of all ranks.
        """
        errors = self.all(None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        for rank, text in enumerate(errors):
            if text is not None:
                kind = Diverged if text.startswith("Diverged: ") else OtherFailed
                raise kind(f"rank {rank} failed with {text}")

    def together(self, function: Callable[[], T]) -> T:
        """Return the value of a function, or raise if it fails on any rank."""
        value, error = None, None
        try:
            value = function()
        except Exception as reason:  # each source of rows fails in its own way
            if self.is_lost:
                raise
            error = reason
        self.agree(error)
        return value  # type: ignore[return-value]

    # ------------------------------------------------------------------ tensors

    def share_weights(self, module: torch.nn.Module) -> None:
        """Give all ranks the parameters and buffers of the first rank."""
        with self._exchange():
            for tensor in (*module.buffers(), *module.parameters()):
                distributed.broadcast(tensor.data, src=0)

    def total(self, *values: float) -> list[float]:
        """Return the sums of some numbers over all ranks."""
        numbers = torch.tensor(values, dtype=torch.float64)
        with self._exchange():
            distributed.all_reduce(numbers)
        return numbers.tolist()

    def add(self, gradients: Tensor) -> None:
        """Replace the gradients by their sum over all ranks."""
        with self._exchange():
            distributed.all_reduce(gradients)

    # ------------------------------------------------------------------ steps

    def batches(
        self, table: Table, sizes: Sequence[int], batch_size: int, generator: torch.Generator
    ) -> Batches:
        """Return the batches of a table: as many on each rank, of which some may be empty.

        Parameters
        ----------
        table : Table
        sizes : sequence of int
            Numbers of rows of the tables of all ranks.
        batch_size : int
            Rows of a step of all ranks together, at the most.
        generator : torch.Generator
        """
        n_steps = self.n_steps(sizes, batch_size)
        parts = [equal_sizes(size, n_steps) for size in sizes]
        self.steps = iter([list(step) for step in zip(*parts, strict=True)])
        self.mixing = np.random.default_rng(self.first(generator.initial_seed()))
        return _Batches(self, table, parts[self.rank], generator)

    def n_steps(self, sizes: Sequence[int], batch_size: int) -> int:
        """Return the number of steps on a table, see `batches`."""
        own = -(-batch_size // self.size)
        return max(-(-size // own) for size in sizes)

    def shares(self, alpha: float, n_steps: int) -> np.ndarray:
        """Return the shares of mixup in the next steps: those of a step are the same on all ranks.

        Each rank mixes its own rows, and the loss of all rows has one share.
        """
        return self.mixing.beta(alpha, alpha, size=n_steps)

    def begin_step(self) -> None:
        """Go on to the next step."""
        self.sizes = next(self.steps)

    def share_of(self, gradient: Tensor, loss: Loss) -> Tensor:
        """Return the gradient of the mean over the rows of this rank as that over all rows.

        That of a batch-coupled loss is the latter already, see `differentiate`.
        """
        if not loss.row_wise:
            return gradient
        return gradient.mul_(self.sizes[self.rank] / sum(self.sizes))

    def sum_gradients(self, optimizer: torch.optim.Optimizer, *unused: Any) -> None:
        """Make the gradients those of the mean over the rows of all ranks, before a step.

        A hook of the optimiser, for networks that are trained by autograd.
        """
        self.begin_step()
        share = self.sizes[self.rank] / sum(self.sizes)
        learned = [p for group in optimizer.param_groups for p in group["params"]]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad * share for p in learned]
        total = torch.cat([part.flatten() for part in parts])
        self.add(total)
        for p, part in zip(learned, total.split([p.numel() for p in learned]), strict=True):
            p.grad = part.view_as(p)

    def differentiate(
        self, criterion: Criterion, outputs: Tensor, sides: Sequence[Any]
    ) -> tuple[Tensor, Tensor]:
        """Return gradient and value of a batch-coupled loss of the rows of all ranks."""
        leaf = self._gather(outputs.detach()).requires_grad_()
        everywhere = [
            (self._gather(y), None if w is None else self._gather(w), share)
            for y, w, share in sides
        ]
        with torch.enable_grad():
            value: Any = sum(share * criterion(leaf, y, w) for y, w, share in everywhere)
        (gradient,) = torch.autograd.grad(value, leaf)
        return gradient.split(self.sizes)[self.rank].contiguous(), value.detach()

    def _gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all ranks, those of each rank together."""
        padded = rows.new_zeros(max(self.sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in self.sizes]
        with self._exchange():
            distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, self.sizes, strict=True)])


class _Batches(Batches):
    """Batches of given sizes in a random order of the rows."""

    def __init__(self, ranks: Ranks, table: Table, sizes: list[int], generator: torch.Generator):
        self.ranks = ranks
        super().__init__(table, max(1, *sizes), shuffle=True, generator=generator)
        self._sizes = sizes

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._sizes)

    def sizes(self) -> list[int]:
        """Return the number of rows of each batch."""
        return self._sizes


def equal_sizes(n: int, k: int) -> list[int]:
    """Return the sizes of k parts of n rows, as equal as can be."""
    size, larger = divmod(n, k)
    return [size + 1] * larger + [size] * (k - larger)


def _brief(error: RuntimeError) -> str:
    """Return the first sentence of an error of torch, without the place in its code."""
    text = re.sub(r"^\[[^]]*\] ", "", str(error).partition("\n")[0])
    return text.partition(". ")[0].rstrip(".")
