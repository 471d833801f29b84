"""Where to compute."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["cpu_by_default", "resolve_device", "threads_for"]

# Steps with fewer floating point operations are no faster with two threads, and several times
# slower where another process keeps a core busy.
FEW_OPERATIONS = 20e6


def resolve_device(device: str | torch.device, fall_back: bool = False) -> torch.device:
    """Return the device that a name means.

    Parameters
    ----------
    device : str or torch.device
        "auto" is CUDA if there is one, else the CPU.
    fall_back : bool, default=False
        Whether a device that is not there gives the CPU and a warning instead of an error, so
        that a model fitted elsewhere predicts.

    Raises
    ------
    ValueError
        If the name is no device, or the device is not there.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device must be 'auto' or the name of a torch device such as 'cpu' or 'cuda:0', "
            f"got {device!r}"
        ) from None
    problem = _problem(resolved)
    if problem is None:
        return resolved
    if not fall_back:
        raise ValueError(f"device={device!r}: {problem}; use device='auto' or 'cpu'")
    warnings.warn(f"device={device!r}: {problem}; predicting on the CPU", stacklevel=3)
    return torch.device("cpu")


@contextmanager
def threads_for(operations: float) -> Iterator[None]:
    """Compute on one thread where steps are too small to share, and leave torch as it was.

    Parameters
    ----------
    operations : float
        Floating point operations of a step.
    """
    threads = torch.get_num_threads()
    if threads == 1 or operations >= FEW_OPERATIONS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def cpu_by_default() -> Iterator[None]:
    """Create tensors on the CPU where nothing else is said, whatever torch's default device is.

    Each call of torch is slower within, so that this does nothing where it changes nothing.
    """
    if torch.get_default_device().type == "cpu":
        yield
        return
    with torch.device("cpu"):
        yield


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
    except Exception as error:  # noqa: BLE001 (each backend fails in its own way)
        return f"torch cannot use it ({str(error).splitlines()[0]})"
    return None
