"""Run checks, with messages that name what is wrong and where."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from sklearn.base import BaseEstimator, clone
from torch import Tensor

# (function, how to fix what it finds); the name of a check is that of its function.
Checks = tuple[tuple[Callable[[Any], None], str], ...]
N_ROWS = 8
AXES, LABELS, OUTPUT = ("row", "logit"), ("row", "label"), ("output",)


class _Wrong(Exception):
    """What is wrong, as a check reports it."""


def _run(checks: Checks, case: Any) -> None:
    for check, fix in checks:
        head = f"{type(case.original).__name__} fails the check {check.__name__[1:]!r}:"
        try:
            check(case)
        except _Wrong as wrong:
            raise AssertionError(f"{head} {wrong}.\nTo fix: {fix}") from None
        except Exception as error:
            what = f"it raised {type(error).__name__}: {error}"
            raise AssertionError(f"{head} {what}\nTo fix: {fix}") from error


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise _Wrong(what)


def _same(actual: Any, expected: Any, what: str, axes: tuple[str, ...] = ()) -> None:
    """Compare, and name the first place that differs."""
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    _shape_is(actual, tuple(expected.shape), what)
    close = torch.isclose(actual.double(), expected.double(), rtol=1e-7, atol=1e-9)
    _at_first(close, what, axes, lambda i: f"found {actual[i]:.6g}, expected {expected[i]:.6g}")


def _is_finite(actual: Any, what: str, axes: tuple[str, ...] = ()) -> None:
    actual = torch.as_tensor(actual)
    _at_first(actual.isfinite(), what, axes, lambda i: f"found {actual[i]:g}, expected a number")


def _at_first(good: Tensor, what: str, axes: tuple[str, ...], describe: Callable[..., str]) -> None:
    if not good.all():
        place = tuple((~good).nonzero()[0].tolist())
        at = ", ".join(f"{name} {i}" for name, i in zip(axes or AXES, place, strict=False))
        raise _Wrong(f"{what}{' at ' if at else ''}{at}: {describe(place)}")


def _shape_is(actual: Any, shape: tuple[int, ...], what: str) -> None:
    _require(hasattr(actual, "shape"), f"{what} is a {type(actual).__name__}, expected an array")
    size = tuple(actual.shape)
    _require(size == shape, f"{what} has shape {size}, expected {shape}")


def _pickled(original: BaseEstimator, fitted: Any) -> Any:
    """Pickle and load; classes and functions of the user may be local ones."""
    values = [original, *original.get_params().values()]
    shared = [v for v in values if isinstance(v, (type, FunctionType))]
    shared += [type(v) for v in values if isinstance(v, BaseEstimator)]

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return next((i for i, v in enumerate(shared) if v is obj), None)

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid):
            return shared[pid]

    file = io.BytesIO()
    Pickler(file).dump(fitted)
    return Unpickler(io.BytesIO(file.getvalue())).load()


def _constructor(case: Any) -> None:
    """Check that the constructor stores its arguments, and nothing else."""
    cls, params = type(case.original), case.original.get_params(deep=False)
    marks = {key: object() for key in params}
    stored = cls(**marks).get_params(deep=False)
    for key in params:
        _require(stored[key] is marks[key], f"parameter {key!r} is not stored as it was passed")
    fresh = clone(case.original)
    learned = [k for k in vars(fresh) if k.endswith("_") and not k.startswith("_")]
    _require(not learned, f"{learned} exist before fit")
    _require(fresh.set_params(**params) is fresh, "set_params does not return the object")
    _same_params(params, fresh, "set_params")


def _same_params(before: dict[str, Any], now: BaseEstimator, by: str = "fit") -> None:
    changed = [key for key, v in now.get_params(deep=False).items() if v is not before[key]]
    _require(not changed, f"{by} changed the parameters {changed}")
