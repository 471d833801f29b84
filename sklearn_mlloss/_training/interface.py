"""The methods of a skorch net that users and callbacks can call on the net of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor, nn

from ..losses import Criterion
from ..networks import Mixup
from .batches import Table
from .callbacks import TableDataset
from .device import torch_defaults
from .encoding import Encoder

__all__ = ["NetInterface"]

# Parameters that only the classifier sets.
FIXED_PARAMS = ("module", "criterion", "optimizer", "iterator_train", "iterator_valid", "dataset",
         "train_split")  # fmt: skip


class NetInterface(ClassifierMixin):
    """Predictions and losses on rows as `module_` takes them; training is left to the classifier.

    Rows are an array, a tensor, a sparse matrix, or the dataset that callbacks get. Targets are an
    indicator matrix with one column per label, or per class of a 1-D y with more than two classes.
    """

    # Of `skorch.NeuralNet`, from which `TableNet` inherits, too.
    module_: nn.Module
    criterion_: Criterion
    device: str
    initialized_: bool
    forward: Callable[..., Any]
    check_is_fitted: Callable[..., None]
    _set_training: Callable[[bool], None]

    encoder_: Encoder
    # Whether each row has exactly one of the labels: the classes of a 1-D y.
    exclusive_: bool = False

    @property
    def classes_(self) -> np.ndarray:
        """The classes of each label, as those of a classifier for an indicator."""
        return np.tile([0, 1], (self.criterion_.loss.n_labels_, 1))

    def infer(self, x, **fit_params):
        """Return the outputs of the network for a batch, in the mode that the network is in."""
        if not isinstance(x, Tensor):
            table = self.get_dataset(x)
            x, _ = table.batch(torch.arange(len(table)))
        return self.module_(x.to(self.device, self._dtype()), **fit_params)

    def evaluation_step(self, batch, training=False):
        """Return the outputs for a batch, with dropout if `training`; rows are never mixed."""
        self.check_is_fitted()
        try:
            with torch.set_grad_enabled(training):
                self._set_training(training)
                for mixup in self._mixups():
                    mixup.eval()
                return self.infer(batch[0])
        finally:
            # Else a training under way would continue without mixing.
            self._set_training(False)

    def forward_iter(self, X, training=False, device="cpu"):
        """Yield the outputs of the network for blocks of rows."""
        for batch in self.get_iterator(self.get_dataset(X), training=False):
            yield self.evaluation_step(batch, training=training).to(device)

    @torch_defaults()
    def predict_proba(self, X):
        """Return the scores of each label, shape (n, n_labels), before any calibration."""
        outputs = self.forward(X)
        with torch.no_grad():
            return self.criterion_.loss.link(outputs).numpy()

    def predict(self, X):
        """Return 1 where the score is at least 1/2 (of exclusive classes for the largest), else 0.

        The decoder belongs to the classifier.
        """
        scores = self.predict_proba(X)
        if self.exclusive_:
            return np.eye(scores.shape[1], dtype=np.uint8)[scores.argmax(axis=1)]
        return (scores >= 0.5).astype(np.uint8)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the criterion for targets, or for a pair of targets and weights.

        In training, it is the criterion of the mixtures if the network has mixed the rows.
        """
        Y, weight = y_true if isinstance(y_true, tuple) else (y_true, None)
        Y = torch.as_tensor(Y, device=y_pred.device)
        if Y.shape != (len(y_pred), self.criterion_.loss.n_labels_):
            raise ValueError(
                f"y_true must be an indicator matrix of shape ({len(y_pred)}, "
                f"{self.criterion_.loss.n_labels_}), got shape {tuple(Y.shape)}"
            )
        for mixup in self._mixups() if training else ():
            if mixup.partners is not None:
                return mixup.loss(self.criterion_, y_pred, Y, weight)
        return self.criterion_(y_pred, Y, weight)

    def get_dataset(self, X: Any, y: Any = None) -> Table:
        """Return rows as a table without targets; a table as it is."""
        if isinstance(X, TableDataset):
            X = X.table
        if isinstance(X, Table):
            return X
        self.check_is_fitted()
        rows = self._rows(X)
        return Table(rows, np.empty((rows.shape[0], 0), np.uint8), device=self.device)

    def get_iterator(self, dataset, training=False):
        """Return the batches of a table."""
        return super().get_iterator(getattr(dataset, "table", dataset), training)

    def set_params(self, **params):
        """Set parameters that have an effect after training, such as `lr` or `verbose`."""
        for name in params:
            owner, _, rest = name.partition("__")
            if self.initialized_ and owner in FIXED_PARAMS and (owner != "optimizer" or not rest):
                raise ValueError(
                    f"{name} of net_ cannot be set: its classifier makes the network, whose "
                    "`module` is called with the numbers of columns and outputs"
                )
        return super().set_params(**params)

    def initialize(self) -> NoReturn:
        """Raise: the classifier does this."""
        raise NotImplementedError(
            "net_ is initialized by its classifier: fit a clone of MultiLabelNetClassifier"
        )

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> NoReturn:
        """Raise: the classifier does this."""
        raise NotImplementedError(
            "net_ is trained by its classifier: call fit or partial_fit of MultiLabelNetClassifier"
        )

    def partial_fit(self, X: Any, y: Any = None, **fit_params: Any) -> NoReturn:
        """Raise: the classifier does this."""
        self.fit(X, y)

    def trim_for_prediction(self) -> NoReturn:
        """Raise: the classifier needs what this would drop."""
        raise NotImplementedError(
            "net_ has nothing to trim: its classifier drops the state of the optimizer after "
            "training, and needs the rest"
        )

    def _rows(self, X: Any) -> np.ndarray | sp.csr_array | sp.csr_matrix:
        """Return rows in the precision of the network; raise if it cannot take them."""
        if isinstance(X, Tensor):
            X = X.detach().to("cpu", self._dtype()).numpy()
        X = X.tocsr() if sp.issparse(X) else np.asarray(X)
        n = self.encoder_.n_inputs
        if X.ndim != 2 or X.shape[1] != n or not X.shape[0] or X.dtype.kind not in "biuf":
            raise ValueError(
                f"net_ takes rows of {n} numbers, as its module_ does, got shape {X.shape} of "
                f"{X.dtype}: for X as in fit, call the methods of the classifier"
            )
        return X.astype(np.float64 if self._dtype() == torch.float64 else np.float32, copy=False)

    def _dtype(self) -> torch.dtype:
        """Return the type of the weights."""
        return next((p.dtype for p in self.module_.parameters()), torch.float32)

    def _mixups(self) -> list[Mixup]:
        return [part for part in self.module_.modules() if isinstance(part, Mixup)]

    def _torch_modules(self) -> dict[str, nn.Module]:
        return {"module": self.module_, "criterion": self.criterion_}
