"""Reports of a fit to the callbacks of scikit-learn 1.9; earlier versions have none."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from .._sklearn import with_callbacks

__all__ = ["Task", "begin_fit", "callbacks_torn_down", "fitting_part"]


@contextmanager
def callbacks_torn_down(estimator: Any) -> Iterator[None]:
    """Tear down the callbacks of an estimator at the end of its fit, even if it fails."""
    try:
        yield
    finally:
        # `with_callbacks` on `fit` itself would find nothing to do after `unchanged_on_error`.
        _tear_down(estimator)


@with_callbacks
def _tear_down(estimator: Any) -> None:
    """Do nothing: what remains is what the decorator does."""


def begin_fit(
    estimator: Any, X: Any, y: Any, sample_weight: Any, n_parts: int, ordered: bool
) -> Task | None:
    """Report the begin of a fit and return its task, or None without callbacks.

    Parameters
    ----------
    estimator : estimator with `CallbackSupportMixin`
    X, y, sample_weight : arguments of `fit`
    n_parts : int
        Largest number of parts of the task.
    ordered : bool
        Whether the parts follow one another; else they are numbered.
    """
    # The callbacks of a step or a part are notified as parts of the whole fit.
    estimators = (estimator, *estimator.get_params().values())
    if not any(hasattr(each, "_skl_callbacks") for each in estimators):
        return None
    context = estimator._init_callback_context(max_subtasks=n_parts, sequential_subtasks=ordered)
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return Task(estimator, context, {"X": X, "y": y, "metadata": metadata}).begin()


class Task:
    """A fit or a part of it: a node of scikit-learn's tree of tasks.

    Parameters
    ----------
    estimator : estimator
        The one being fitted.
    context : sklearn.callback.CallbackContext
    data : dict, optional
        X, y and metadata of the task.

    Attributes
    ----------
    finish : callable ``(estimator, net) -> None``, optional
        Turns a copy of the estimator into a fitted one with a net, if the fit trains only one.
    """

    finish: Callable[[Any, Any], None] | None = None

    def __init__(self, estimator: Any, context: Any, data: dict[str, Any] | None = None):
        self.estimator = estimator
        self.context = context
        self.data = data or {}

    def __getstate__(self) -> dict[str, Any]:
        """Drop the data: parts in other processes have rows of their own."""
        return {**vars(self), "data": {}, "finish": None}

    def part(self, name: str, number: int, n_parts: int = 0, **data: Any) -> Task:
        """Return a numbered part, which has not begun."""
        return Task(self.estimator, self.context.subcontext(name, number, n_parts), data)

    def epoch(self) -> Task:
        """Report the begin of the next epoch of a training, and return it."""
        epoch = Task(self.estimator, self.context.subcontext("epoch"), self.data)
        epoch.finish = self.finish
        return epoch.begin()

    def begin(self) -> Task:
        """Report the begin."""
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return self

    def end(self, attributes: Any = None) -> bool:
        """Report the end; return whether a callback asks to stop.

        Parameters
        ----------
        attributes : dict, or callable that returns one, optional
            The attributes that make the estimator a fitted one; None if there are none yet.
        """
        return self.context.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.data
        )

    def end_epoch(self, net: Any) -> bool:
        """Report the end of an epoch; return whether it is to be the last."""
        finish = self.finish
        # Called only if a callback asks for a fitted estimator.
        stop = self.end(None if finish is None else lambda: self._fitted(finish, net))
        # Cached networks must not depend on callbacks, which are no part of the key.
        return stop and self.estimator.memory is None

    def _fitted(self, finish: Callable[[Any, Any], None], net: Any) -> dict[str, Any]:
        """Return the attributes of the estimator as if training had ended here."""
        model = copy.copy(self.estimator)
        model._decision = copy.deepcopy(model._decision)
        with warnings.catch_warnings():
            # The fit itself warns.
            warnings.simplefilter("ignore")
            finish(model, net.snapshot())
        return vars(model)

    @contextmanager
    def fitting(self, model: Any) -> Iterator[None]:
        """Report the fit of another estimator as this task, to the callbacks of both."""
        takes = hasattr(model, "set_callbacks")  # to others a warning would say that they do not
        with self.context.propagate_callback_context(model) if takes else nullcontext():
            self.begin()
            try:
                yield
            finally:
                self.end()


def fitting_part(
    task: Task | None, model: Any, name: str, number: int, **data: Any
) -> AbstractContextManager[None]:
    """Report the fit of another estimator as a numbered part of a task, if there is one."""
    return nullcontext() if task is None else task.part(name, number, **data).fitting(model)
