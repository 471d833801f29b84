"""Rules for each call with any arguments: errors, warnings and side effects."""

import ast
import os
import random
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import sklearn
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import FitFailedWarning, NotFittedError

import sklearn_mlloss

PACKAGE = os.path.join(Path(sklearn_mlloss.__file__).parent, "")
SKLEARN = os.path.join(Path(sklearn.__file__).parent, "")
INTERRUPTS = os.path.join(PACKAGE, "_data", "interrupts.py")
HERE = os.path.join(Path(__file__).parent, "")
LIBRARIES = os.path.join(Path(np.__file__).parent.parent, "")
# Of a message; and the number of fractions in it that look like data.
LONGEST, MANY = 1500, 12
FRACTION = re.compile(r"\d\.\d{3,}")


class Failure(Exception):
    """Something that must hold does not."""


class Injected(Exception):
    """What a callback or a classifier of the user raises."""


# ------------------------------------------------------------------ errors


def check_error(error: BaseException, nested: bool) -> None:
    """Raise unless an error is intended: by the package, by scikit-learn, or by a callback here.

    If `nested`, it is an estimator of scikit-learn that has been called.
    """
    frames = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    file, line = frames[-1]
    if isinstance(error, Injected | KeyboardInterrupt):
        of_signal = isinstance(error, KeyboardInterrupt) and file == INTERRUPTS
        meant = file.startswith(HERE) or of_signal
    elif isinstance(error, AttributeError) and not isinstance(error, NotFittedError):
        meant = re.search("has no attribute|This .* has none|refit", str(error)) is not None
    elif file.startswith(PACKAGE):
        meant = isinstance(error, ValueError | TypeError) and is_raised(file, line)
    else:
        meant = file.startswith(SKLEARN) and isinstance(error, ValueError | TypeError)
        meant = meant or is_of_other([name for name, _ in frames], nested)
    if not meant:
        raise Failure(f"an error that is not meant: {type(error).__name__}: {error}") from error
    if file.startswith(PACKAGE):
        check_text(str(error))


def is_own(error: BaseException) -> bool:
    """Return whether an error is raised by the package itself."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code.co_filename.startswith(PACKAGE)


@cache
def raise_statements(file: str) -> list[tuple[int, int]]:
    tree = ast.parse(Path(file).read_text())
    return [(n.lineno, n.end_lineno) for n in ast.walk(tree) if isinstance(n, ast.Raise)]


def is_raised(file: str, line: int) -> bool:
    """Return whether a line raises; others are where numpy or torch have refused something."""
    return any(first <= line <= last for first, last in raise_statements(file))


def is_of_other(files: list[str], nested: bool) -> bool:
    """Return whether a classifier or transformer of others fails, that the package has called."""
    own = [number for number, name in enumerate(files) if name.startswith(PACKAGE)]
    parts = os.path.join(SKLEARN, "utils"), os.path.join(SKLEARN, "base.py")
    return (
        nested
        if not own
        else any(
            name.startswith((SKLEARN, HERE)) and not name.startswith(parts)
            for name in files[own[-1] + 1 :]
        )
    )


# ------------------------------------------------------------------ warnings


@dataclass(frozen=True)
class Warned:
    """A warning, the line that it shows, and whether the package has asked for it."""

    category: type[Warning]
    text: str
    file: str
    line: int
    by_package: bool


@contextmanager
def recorded() -> Iterator[list[Warned]]:
    """Collect all warnings."""
    found: list[Warned] = []

    def keep(message, category, filename, lineno, file=None, line=None):
        frame = sys._getframe(1)
        while frame.f_back and not frame.f_code.co_filename.startswith((PACKAGE, SKLEARN, HERE)):
            frame = frame.f_back
        by_package = frame.f_code.co_filename.startswith(PACKAGE)
        found.append(Warned(category, str(message), filename, lineno, by_package))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = keep
        yield found


def check_warning(warned: Warned, nested: bool) -> None:
    """Raise unless a warning of the package is for users and shows a line of theirs.

    If `nested`, it is an estimator of scikit-learn that has been called.
    """
    text = f"{warned.category.__name__} at {warned.file}:{warned.line}: {warned.text}"
    inner = issubclass(warned.category, RuntimeWarning | DeprecationWarning | ResourceWarning)
    if warned.by_package and inner and warned.category is not FitFailedWarning:
        raise Failure(f"a warning that is not meant for users: {text}")
    of_library = warned.file.startswith(LIBRARIES) and warned.by_package and not nested
    if warned.file.startswith(PACKAGE) or of_library:
        raise Failure(f"a warning that does not show the user's line: {text}")
    if warned.by_package:
        check_text(warned.text)


def check_text(text: str) -> None:
    """Raise if a message is long, or looks like rows of data."""
    text = " ".join(text.split())
    if len(text) > LONGEST or len(FRACTION.findall(text)) > MANY:
        raise Failure(f"a message of {len(text)} characters, which may hold data: {text}")


# ------------------------------------------------------------------ what is left behind


def world() -> dict[str, Any]:
    """Return the global state of the process."""
    kind, keys, *rest = np.random.get_state()
    return {
        "threads of torch": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "generator of torch": torch.random.get_rng_state().tolist(),
        "generator of numpy": [kind, keys.tolist(), *rest],
        "generator of python": random.getstate(),
        "errors of numpy": np.geterr(),
        "settings of scikit-learn": sklearn.get_config(),
        "threads": threading.active_count(),
    }


def is_of_package(part: Any) -> bool:
    return type(part).__module__.startswith("sklearn_mlloss")


def state_of(estimator: Any) -> dict[str, Any]:
    """Return the attributes of an estimator of the package, and of those among its parameters."""
    if not is_of_package(estimator):
        return {}
    parts = {"": estimator, **estimator.get_params()}
    return {
        f"{name}.{attribute}": value
        for name, part in parts.items()
        if isinstance(part, BaseEstimator)
        for attribute, value in vars(part).items()
    }


def check_equal(before: dict[str, Any], after: dict[str, Any], equal: Callable) -> None:
    changed = [n for n in before.keys() | after.keys() if not equal(before.get(n), after.get(n))]
    if changed:
        raise Failure(f"has changed: {', '.join(sorted(changed))}")


def digest(value: Any) -> str:
    """Return a text that equals that of another object only if both hold the same."""
    if sp.issparse(value):
        parts = ("data", "indices", "indptr", "row", "col", "rows", "offsets")
        return "".join(digest(getattr(value, name)) for name in parts if hasattr(value, name))
    if isinstance(value, np.ma.MaskedArray):
        return digest(value.data) + digest(value.mask)
    if isinstance(value, np.ndarray):
        return value.dtype.str + repr(value.tolist())
    if hasattr(value, "columns"):
        return "".join(digest(value[name]) for name in value.columns)
    if hasattr(value, "to_list"):
        return str(value.dtype) + repr(value.to_list())
    return repr(value)
