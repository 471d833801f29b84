"""What the callbacks of scikit-learn 1.9 are told of a fit; earlier versions have none."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._sklearn import with_callbacks
from .fit import Trained
from .net import TableNet

__all__ = ["Task", "begin_fit", "callbacks_torn_down"]


@contextmanager
def callbacks_torn_down(estimator: Any) -> Iterator[None]:
    """Tell the callbacks of an estimator in any case that its fit is over."""
    try:
        yield
    finally:
        # `with_callbacks` on `fit` itself would find nothing to do after `unchanged_on_error`.
        _nothing(estimator)


@with_callbacks
def _nothing(estimator: Any) -> None:
    """Do nothing, so that all that is left is what the decorator does."""


def begin_fit(
    estimator: Any, X: Any, y: Any, sample_weight: Any, n_parts: int, ordered: bool
) -> Task | None:
    """Return the task that is a whole fit, and tell of its begin; None without callbacks.

    Parameters
    ----------
    estimator : estimator with `CallbackSupportMixin`
    X, y, sample_weight : as they were given to `fit`
    n_parts : int
        Largest number of tasks that it consists of.
    ordered : bool
        Whether these come one after the other, else they have numbers.
    """
    # Those of a step or a part are told where it stands in the whole.
    everyone = (estimator, *estimator.get_params().values())
    if not any(hasattr(one, "_skl_callbacks") for one in everyone):
        return None
    context = estimator._init_callback_context(max_subtasks=n_parts, sequential_subtasks=ordered)
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return Task(estimator, context, {"X": X, "y": y, "metadata": metadata}).begin()


class Task:
    """A fit or a part of it, as a node of scikit-learn's tree of tasks.

    Parameters
    ----------
    estimator : estimator
        Whose fit it is.
    context : sklearn.callback.CallbackContext
    given : dict, optional
        What it is done with: X, y and metadata.

    Attributes
    ----------
    finish : callable ``(estimator, Trained) -> None``, optional
        Does with a copy of the estimator what its fit does after the training of its only net.
    """

    finish: Callable[[Any, Trained], None] | None = None

    def __init__(self, estimator: Any, context: Any, given: dict | None = None):
        self.estimator = estimator
        self.context = context
        self.given = given or {}

    def __getstate__(self) -> dict:
        """Leave the rows behind: in other processes parts have rows of their own."""
        return {**vars(self), "given": {}, "finish": None}

    def part(self, name: str, number: int, n_parts: int = 0, **given: Any) -> Task:
        """Return a task that is done beside others, and has not begun."""
        return Task(self.estimator, self.context.subcontext(name, number, n_parts), given)

    def epoch(self) -> Task:
        """Tell that the next epoch of a training begins, and return it."""
        epoch = Task(self.estimator, self.context.subcontext("epoch"), self.given)
        epoch.finish = self.finish
        return epoch.begin()

    def begin(self) -> Task:
        """Tell that it begins."""
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.given)
        return self

    def end(self, attributes: Any = None) -> bool:
        """Tell that it is over; return whether a callback asks for an end of its kind.

        Parameters
        ----------
        attributes : dict, or callable that returns one, optional
            What the estimator lacks to be a fitted one; None if it cannot be one yet.
        """
        return self.context.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.given
        )

    def end_epoch(self, net: TableNet) -> bool:
        """Tell that an epoch is over; return whether it is to be the last."""
        # Called for those callbacks only that ask for a fitted estimator.
        stop = self.end(None if self.finish is None else lambda: self._stopped(net))
        # What is kept in memory must not depend on callbacks, which its key does not tell of.
        return stop and self.estimator.memory is None

    def _stopped(self, net: TableNet) -> dict:
        """Return the attributes that the estimator would have if training had ended here."""
        model = copy.copy(self.estimator)
        model._decision = copy.deepcopy(model._decision)
        with warnings.catch_warnings():
            # The fit itself will tell.
            warnings.simplefilter("ignore")
            self.finish(model, Trained(net.snapshot(), improving=False, n_epochs=0))
        return vars(model)

    @contextmanager
    def fitting(self, model: Any) -> Iterator[None]:
        """Let the fit of another estimator be this task, with callbacks that are for both."""
        with self.context.propagate_callback_context(model):
            self.begin()
            try:
                yield
            finally:
                self.end()
