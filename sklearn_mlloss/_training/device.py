"""Where to compute, and contexts that make results independent of the settings of the process."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch

from .._data.messages import describe, warn_user

__all__ = [
    "call_seeded",
    "resolve_device",
    "seed_generators",
    "seeded",
    "threads_for",
    "torch_defaults",
]

T = TypeVar("T")

# Steps with fewer floating point operations are no faster with two threads, and several times
# slower where another process keeps a core busy.
FEW_OPERATIONS = 20e6
# The types of device that autocast is for.
AUTOCAST = ("cpu", "cuda", "mps", "xpu")


def resolve_device(device: str | torch.device, fall_back: bool = False) -> torch.device:
    """Return the device that a name means.

    Parameters
    ----------
    device : str or torch.device
        "auto" is CUDA if it is available, else the CPU.
    fall_back : bool, default=False
        Whether to return the CPU and warn if the device is not available, so that a model fitted
        elsewhere can predict, instead of raising an error.

    Raises
    ------
    ValueError
        If the name is no device, or the device is not available.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError):
        raise ValueError(
            f"device must be 'auto' or the name of a torch device such as 'cpu' or 'cuda:0', "
            f"got {describe(device)}"
        ) from None
    problem = _problem(resolved)
    if problem is None:
        return resolved
    if not fall_back:
        raise ValueError(f"device={describe(device)}: {problem}; use device='auto' or 'cpu'")
    warn_user(f"device={describe(device)}: {problem}; predicting on the CPU")
    return torch.device("cpu")


@contextmanager
def threads_for(operations: float, few: float = FEW_OPERATIONS) -> Iterator[None]:
    """Compute on one thread where steps are too small to share, and leave torch as it was.

    Parameters
    ----------
    operations : float
        Floating point operations of a step.
    few : float
        Fewer operations are computed on one thread.
    """
    threads = torch.get_num_threads()
    if threads == 1 or operations >= few:
        yield
        return
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run with torch's generators seeded and autograd on, and leave both as they were.

    Initialisation and dropout always use the global generators. Other threads that draw from
    them meanwhile are affected; those that train take turns.
    """
    devices = [device] if device.type == "cuda" else []
    with (
        _TURN,
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=devices),
    ):
        seed_generators(seed, device)
        yield


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of torch that a training on a device draws from, and no others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def call_seeded(function: Callable[..., T], *args: Any, seed: int, device: torch.device) -> T:
    """Call a function within `seeded`, and restore torch's settings even if that was interrupted.

    Ctrl-C may interrupt the code that enters or leaves a context. The context would then last as
    long as the traceback, which a notebook keeps.
    """
    with _TURN:
        return _call_seeded(function, args, seeded(seed, device))


def _call_seeded(function: Callable[..., T], args: tuple, context: Any) -> T:
    # A separate function: an error between the lock and a `try` would never release the lock.
    state, threads = torch.default_generator.get_state(), torch.get_num_threads()
    try:
        with context:
            return function(*args)
    finally:
        context.gen.close()
        torch.default_generator.set_state(state)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Run with the CPU and float32 as torch's defaults and without autocast, and restore them.

    Each call of torch is slower within a context of a default device, so the context is entered
    only if it changes something.
    """
    before, holder = _thread_state(), object()
    kinds = [kind for kind in AUTOCAST if torch.is_autocast_enabled(kind)]
    on_cpu = torch.get_default_device().type == "cpu"
    as_usual = on_cpu and not kinds and not _FLOAT32.holders
    try:
        if as_usual and torch.get_default_dtype() == torch.float32:
            yield
            return
        with ExitStack() as stack:
            stack.enter_context(_FLOAT32.held(holder))
            if not on_cpu:
                stack.enter_context(torch.device("cpu"))
            for kind in kinds:
                stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        # An interrupt may have hit the code that leaves one of the contexts, here or within.
        if _FLOAT32.before is not None:
            _FLOAT32.release(holder)
        if _thread_state() != before:
            _restore(*before)


def _thread_state() -> tuple[bool, list[bool], int, int]:
    """Return the settings of a thread: autograd, autocast, and how many contexts it is within."""
    return (
        torch.is_grad_enabled(),
        [torch.is_autocast_enabled(kind) for kind in AUTOCAST],
        _autocast_depth(),
        torch._C._len_torch_function_stack(),
    )


def _autocast_depth() -> int:
    """Return how many contexts of autocast the thread is within, as torch counts them."""
    # Both calls are made by C: there is no place for an interrupt in between.
    both = torch.autocast_increment_nesting, torch.autocast_decrement_nesting
    within, _ = map(operator.call, both)
    return within - 1


def _restore(with_grad: bool, autocast: list[bool], autocast_depth: int, depth: int) -> None:
    torch.set_grad_enabled(with_grad)
    for kind, enabled in zip(AUTOCAST, autocast, strict=True):
        torch.set_autocast_enabled(kind, enabled)
    # Within a context, torch keeps weights that it has converted: training would not change them.
    while _autocast_depth() > autocast_depth:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
    while torch._C._len_torch_function_stack() > depth:
        torch._C._pop_torch_function_stack()


class _Float32Default:
    """Keeps float32 the default dtype of the process for as long as one thread asks for it.

    torch has one default dtype for all threads. The first thread changes it, and the last one
    restores it, so that no thread restores it while another one is computing.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders: set[object] = set()
        # The default dtype without them, as long as there are some.
        self.before: torch.dtype | None = None

    @contextmanager
    def held(self, holder: object) -> Iterator[None]:
        try:
            with self.lock:
                if self.before is None:
                    self.before = torch.get_default_dtype()
                self.holders.add(holder)
                torch.set_default_dtype(torch.float32)
            yield
        finally:
            self.release(holder)

    def release(self, holder: object) -> None:
        """Restore the default dtype unless others hold it; once more does no harm."""
        with self.lock:
            self.holders.discard(holder)
            if not self.holders and self.before is not None:
                torch.set_default_dtype(self.before)
                self.before = None


def _problem(device: torch.device) -> str | None:
    if device.type == "cpu":
        return None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            return "torch sees no CUDA device"
        if (device.index or 0) >= count:
            return f"torch sees {count} CUDA device(s), numbered from 0"
        return None
    try:
        torch.empty(1, device=device).cpu()
    except Exception as error:  # each backend fails in its own way
        return f"torch cannot use it ({str(error).splitlines()[0]})"
    return None


_TURN = threading.RLock()
_FLOAT32 = _Float32Default()


def _after_fork() -> None:
    """Make a forked process able to compute, whatever state its parent was in.

    Locks that another thread held stay locked in the child. The thread pool that OpenMP started
    for the parent does not exist there, and work for it would never end: one thread needs no pool.
    torch does the same in the workers of its `DataLoader`.
    """
    global _TURN, _FLOAT32
    _TURN = threading.RLock()
    if _FLOAT32.before is not None:
        torch.set_default_dtype(_FLOAT32.before)
        _FLOAT32 = _Float32Default()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
