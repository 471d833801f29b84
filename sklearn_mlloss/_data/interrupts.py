"""Ctrl-C during `fit`: what has been trained so far is kept, and KeyboardInterrupt is raised."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from sklearn.exceptions import ConvergenceWarning

from .messages import warn_user
from .parallel import call_in_parallel

__all__ = ["Interrupt", "call_until_interrupted", "describe_folds", "uninterrupted"]

# One model would be no ensemble, and its scores are of few rows.
FEWEST_FOLDS = 2

F = TypeVar("F", bound=Callable[..., Any])

# Code that restores something: an interrupt within it waits for the end of the fit.
_UNINTERRUPTED: set[Any] = set()


def uninterrupted(method: F) -> F:
    """Let the handler of `Interrupt` raise nothing within a method."""
    _UNINTERRUPTED.add(method.__code__)
    return method


class Interrupt:
    """A context that handles interrupts of a `fit`, and what is known of them.

    In the main thread it handles SIGINT, unless the user has a handler. Until there is something to
    keep, KeyboardInterrupt is raised at once. From then on (`holds`) the first interrupt is only
    noted, training ends as soon as it sees that, and the rest of the fit is made; at the end of the
    context a warning says what was kept, and KeyboardInterrupt is raised. A second interrupt raises
    KeyboardInterrupt at once.

    Parameters
    ----------
    estimator : estimator, optional
        The one that is being fitted: the attribute `kept` of the KeyboardInterrupt if it is usable.
    enclosing : Interrupt, optional
        Of a fit that this is a part of; otherwise it is the one that handles SIGINT.

    Attributes
    ----------
    holds : bool
        Whether there is something to keep.
    drops : bool
        Whether fits within this one are of no use unless they are complete.
    aborted : bool
        Whether there was a second interrupt.
    what : str
        What is kept.
    """

    def __init__(self, estimator: Any = None, enclosing: Interrupt | None = None):
        self.estimator, self.enclosing = estimator, enclosing
        self.holds = self.drops = self.aborted = self._noted = False
        self.what = "all that was to be trained"
        self._error: KeyboardInterrupt | None = None
        self._before: Any = None

    def __reduce__(self) -> tuple:
        """Return one that never comes: in another process there is another handler."""
        return Interrupt, ()

    @property
    def came(self) -> bool:
        """Whether the user has interrupted this fit or one that it is a part of."""
        return self._noted or (self.enclosing is not None and self.enclosing.came)

    def take(self, error: KeyboardInterrupt, usable: bool, what: str) -> None:
        """Continue the fit after an interrupt with what is usable; else raise it again.

        Parameters
        ----------
        error : KeyboardInterrupt
            Raised by something that the fit has called.
        usable : bool
            Whether there is something to keep.
        what : str
            That.
        """
        if self.aborted or not usable:
            raise error
        self.holds = self._noted = True
        self.what, self._error = what, error

    def __enter__(self) -> Self:
        """Handle SIGINT from here on."""
        try:
            before: Any = signal.getsignal(signal.SIGINT)
            ours = isinstance(before, Interrupt)
            if threading.current_thread() is threading.main_thread() and (
                ours or before is signal.default_int_handler
            ):
                self._before = before
                if ours:
                    self.enclosing = before
                signal.signal(signal.SIGINT, self)
            return self
        except BaseException:
            self._leave()
            raise

    @uninterrupted
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the handler; raise KeyboardInterrupt if there was an interrupt."""
        handler: Any = signal.getsignal(signal.SIGINT)
        if handler is self:
            signal.signal(signal.SIGINT, self._before)
        if error is None and self._noted:
            self._raise_kept()
        if isinstance(error, KeyboardInterrupt):
            error.__dict__.pop("kept", None)  # that of a part, which was dropped
        elif isinstance(error, Exception) and self._noted:
            raise KeyboardInterrupt from error  # a search would go on

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        first = not self.came
        fit: Interrupt | None = self
        holds = self.holds
        while fit is not None:
            fit._noted = True
            fit.aborted = fit.aborted or not first
            holds = holds and not (fit is not self and fit.drops)
            fit = fit.enclosing
        if not (first and holds) and not self._is_restoring(frame):
            raise KeyboardInterrupt

    def _is_restoring(self, frame: FrameType | None) -> bool:
        if frame is None or frame.f_code not in _UNINTERRUPTED:
            return False
        owner = frame.f_locals.get("self")
        # A fit within this one has restored this handler already.
        return owner is self or not isinstance(owner, Interrupt)

    @uninterrupted
    def _leave(self) -> None:
        handler: Any = signal.getsignal(signal.SIGINT)
        if handler is self:
            signal.signal(signal.SIGINT, self._before)

    def _raise_kept(self) -> None:
        error: Any = KeyboardInterrupt() if self._error is None else self._error
        error.kept, error.what = self.estimator, self.what
        try:
            if self.enclosing is None:
                name = type(self.estimator).__name__
                warn_user(
                    f"the fit of {name} was interrupted, and the model is usable with {self.what}: "
                    "call fit again to train to the end",
                    ConvergenceWarning,
                )
        finally:
            raise error


def call_until_interrupted(
    interrupt: Interrupt,
    function: Callable,
    calls: Sequence[tuple],
    n_jobs: int | None,
    *,
    keep: Callable[[dict[int, str]], str],
    common: dict[str, Any] | None = None,
    models: Sequence[Any] = (),
) -> dict[int, Any]:
    """Return the results of `call_in_parallel` by number, or those before an interrupt.

    Parameters
    ----------
    interrupt : Interrupt
        It holds from the end on, and has taken an interrupt if there are results enough.
    function, calls, n_jobs, common : see `call_in_parallel`
    keep : callable
        Returns in words what is kept after an interrupt, nothing if that is not enough. Its
        argument has the number of each result, with what a fit has kept that was interrupted
        itself, else an empty text.
    models : sequence of estimators, optional
        What each call fits and returns. The one that is interrupted counts if it is usable.
    """
    done: dict[int, Any] = {}

    def on_result(number: int, result: Any) -> None:
        done[number] = result
        interrupt.holds = len(done) == len(calls)
        if interrupt.came and not interrupt.holds:
            raise KeyboardInterrupt  # the first one was lost, such as in a `__del__`

    try:
        call_in_parallel(function, calls, n_jobs, common=common, on_result=on_result)
    except KeyboardInterrupt as error:
        parts = dict.fromkeys(done, "")
        for number, model in enumerate(models):
            if model is getattr(error, "kept", None):
                done[number], parts[number] = model, error.what  # type: ignore[attr-defined]
        what = keep(dict(sorted(parts.items())))
        interrupt.take(error, bool(what), what)
    return dict(sorted(done.items()))


def describe_folds(n_kept: int, n_folds: int) -> str:
    """Return in words which folds are kept after an interrupt: nothing if they are too few."""
    return f"{n_kept} of {n_folds} folds" if n_kept >= FEWEST_FOLDS else ""
