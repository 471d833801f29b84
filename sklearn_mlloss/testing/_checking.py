"""Running checks, and telling what is wrong where."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from sklearn.base import BaseEstimator, clone
from torch import Tensor

# (function, how to mend what it finds); the name of a check is that of its function.
Checks = tuple[tuple[Callable[[Any], None], str], ...]
N_ROWS = 8
AXES, LABELS, OUTPUT = ("row", "logit"), ("row", "label"), ("output",)


class _Wrong(Exception):
    """What a check found."""


def _run(checks: Checks, case: Any) -> None:
    for check, mend in checks:
        head = f"{type(case.given).__name__} fails the check {check.__name__[1:]!r}:"
        try:
            check(case)
        except _Wrong as found:
            raise AssertionError(f"{head} {found}.\nTo mend: {mend}") from None
        except Exception as error:
            what = f"it raised {type(error).__name__}: {error}"
            raise AssertionError(f"{head} {what}\nTo mend: {mend}") from error


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise _Wrong(what)


def _same(found: Any, expected: Any, what: str, axes: tuple[str, ...] = ()) -> None:
    """Compare, and name the first place that differs."""
    found, expected = torch.as_tensor(found), torch.as_tensor(expected)
    _shape_is(found, tuple(expected.shape), what)
    close = torch.isclose(found.double(), expected.double(), rtol=1e-7, atol=1e-9)
    _at_first(close, what, axes, lambda i: f"found {found[i]:.6g}, expected {expected[i]:.6g}")


def _is_finite(found: Any, what: str, axes: tuple[str, ...] = ()) -> None:
    found = torch.as_tensor(found)
    _at_first(found.isfinite(), what, axes, lambda i: f"found {found[i]:g}, expected a number")


def _at_first(good: Tensor, what: str, axes: tuple[str, ...], tell: Callable[..., str]) -> None:
    if not good.all():
        place = tuple((~good).nonzero()[0].tolist())
        at = ", ".join(f"{name} {i}" for name, i in zip(axes or AXES, place, strict=False))
        raise _Wrong(f"{what}{' at ' if at else ''}{at}: {tell(place)}")


def _shape_is(found: Any, shape: tuple[int, ...], what: str) -> None:
    _require(hasattr(found, "shape"), f"{what} is a {type(found).__name__}, expected an array")
    size = tuple(found.shape)
    _require(size == shape, f"{what} has shape {size}, expected {shape}")


def _pickled(given: BaseEstimator, fitted: Any) -> Any:
    """Pickle and load; classes and functions that the user gave may be local ones."""
    values = [given, *given.get_params().values()]
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
    """Check that the constructor stores what it is given, and nothing else."""
    cls, params = type(case.given), case.given.get_params(deep=False)
    marks = {key: object() for key in params}
    stored = cls(**marks).get_params(deep=False)
    for key in params:
        _require(stored[key] is marks[key], f"parameter {key!r} is not stored as it was given")
    fresh = clone(case.given)
    learned = [k for k in vars(fresh) if k.endswith("_") and not k.startswith("_")]
    _require(not learned, f"{learned} exist before fit")
    _require(fresh.set_params(**params) is fresh, "set_params does not return the object")
    _same_params(params, fresh, "set_params")


def _same_params(before: dict[str, Any], now: BaseEstimator, by: str = "fit") -> None:
    changed = [key for key, v in now.get_params(deep=False).items() if v is not before[key]]
    _require(not changed, f"{by} changed the parameters {changed}")
