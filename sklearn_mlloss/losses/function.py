"""`FunctionLoss`: any callable or torch loss as a `Loss`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from .._data.messages import describe
from .._data.registry import make_default
from .._data.validation import check_call, is_auto
from .base import Loss
from .links import sigmoid_scores, softmax_scores, strictly_increasing

__all__ = ["FunctionLoss"]

LINKS = ("sigmoid", "softmax", "identity")

# Losses of torch whose outputs are not logits of single labels.
TORCH_LINKS = {
    nn.CrossEntropyLoss: "softmax",
    nn.HuberLoss: "identity",
    nn.L1Loss: "identity",
    nn.MSELoss: "identity",
    nn.SmoothL1Loss: "identity",
}
REFUSED = {
    nn.BCELoss: "takes probabilities, and is unstable near 0 and 1: use BCEWithLogitsLoss or 'bce'",
    nn.MultiLabelMarginLoss: "takes lists of label indices: use 'multilabel_margin'",
    nn.MultiMarginLoss: "takes one class number per row: use 'multilabel_margin'",
    nn.NLLLoss: "takes one class number per row: use CrossEntropyLoss or 'softmax_ce'",
}


class FunctionLoss(Loss):
    """Custom loss from a function ``(outputs, targets) -> loss`` or a torch loss module.

    Parameters
    ----------
    func : callable, nn.Module or nn.Module class
        Called with outputs and targets of shape (n, n_labels). A class is instantiated without
        arguments; a module is copied, and one with an attribute `reduction` gets "none" there.
        Its parameters are trained along with the network.
    link : {"auto", "sigmoid", "softmax", "identity"} or callable, default="auto"
        How outputs become scores. "identity" takes outputs as probabilities and clips them; a
        callable maps (n, n_labels) outputs to scores in [0, 1] of the same shape. "auto" is the
        softmax for `torch.nn.CrossEntropyLoss`, the identity for torch's regression losses, and
        the sigmoid for everything else.

    Notes
    -----
    The shape that `func` returns decides what is supported:

    ============  =====================================================================
    (n, L)        labels are averaged; unobserved targets and all weights are handled
    (n,)          weights of rows are handled; unobserved targets are refused
    a scalar      neither weights nor unobserved targets can be handled: refused
    ============  =====================================================================

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import FunctionLoss
    >>> loss = FunctionLoss(torch.nn.BCEWithLogitsLoss).fit(np.array([[1, 0], [0, 1]]))
    >>> loss.objective(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor([0.6931])
    """

    accepts_soft_targets = True
    accepts_label_weights = True

    func_: Callable[..., Any]

    def __init__(
        self,
        func: Callable[..., Any] | type[nn.Module],
        link: str | Callable[[Tensor], Tensor] = "auto",
    ):
        self.func = func
        # The name `link` is the method of the contract: see `get_params`.
        self._link = link

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor parameters."""
        return {"func": self.func, "link": self._link}

    def set_params(self, **params: Any) -> FunctionLoss:
        """Set constructor parameters."""
        if "link" in params:
            self._link = params.pop("link")
        return super().set_params(**params)

    @property
    def default_decoder(self) -> str:  # type: ignore[override]
        """The mean score of the row for a softmax, else the fixed threshold."""
        return "one_over_n" if self._link_name() == "softmax" else "threshold"

    @property
    def module(self) -> nn.Module | None:
        """`func` if it is a torch module, which is moved to the device and trained, or None."""
        func = getattr(self, "func_", None)
        return func if isinstance(func, nn.Module) else None

    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each row; see `Loss.objective`."""
        values = self.func_(outputs, targets)
        if not isinstance(values, Tensor):
            raise TypeError(f"func must return a torch tensor, got {type(values).__name__}")
        if not values.is_floating_point():
            raise TypeError(f"func must return floating point numbers, got {values.dtype}")
        if values.shape == targets.shape:
            return (values if mask is None else values * mask).mean(-1)
        if mask is not None:
            raise ValueError(
                f"func returned shape {tuple(values.shape)} for targets of shape "
                f"{tuple(targets.shape)}: unobserved targets (NaN) and weights of single labels "
                "need one value per row and label"
            )
        if values.shape == targets.shape[:-1]:
            return values
        if values.ndim > 0:
            raise ValueError(
                f"func must return shape {tuple(targets.shape)}, {tuple(targets.shape[:-1])} or a "
                f"scalar, got {tuple(values.shape)}"
            )
        if sample_weight is not None:
            raise ValueError(
                "func returned a scalar, which cannot be weighted: leave sample_weight out, or "
                "return one value per row"
            )
        return values.expand(targets.shape[:-1])

    def link(self, outputs: Tensor) -> Tensor:
        """Return the scores; see `Loss.link`."""
        link = self._link_name()
        if link == "sigmoid":
            return sigmoid_scores(outputs)
        if link == "softmax":
            return softmax_scores(outputs)
        scores = outputs if link == "identity" else link(outputs)
        if not isinstance(scores, Tensor | type(outputs)):  # of another type when it is traced
            raise TypeError(f"link must return a torch tensor, got {type(scores).__name__}")
        if scores.shape != outputs.shape:
            raise ValueError(
                f"link must keep the shape {tuple(outputs.shape)}, got {tuple(scores.shape)}"
            )
        return strictly_increasing(scores.double().clamp(0, 1), outputs.double())

    def initial_bias(self) -> np.ndarray:
        """Return the outputs whose link is the label priors; zeros for a callable link."""
        link = self._link_name()
        if link == "sigmoid":
            return self._prior_logit
        if link == "softmax":
            return np.log(self.prior_)
        return self.prior_ if link == "identity" else np.zeros(self.n_labels_)

    def _link_name(self) -> Any:
        if not is_auto(self._link):
            return self._link
        return TORCH_LINKS.get(self._kind(), "sigmoid")

    def _kind(self) -> type:
        return self.func if isinstance(self.func, type) else type(self.func)

    def _check_params(self):
        super()._check_params()
        kind = self._kind()
        if not callable(self.func) or (kind is self.func and not issubclass(kind, nn.Module)):
            raise TypeError(f"func must be callable or a torch module, got {describe(self.func)}")
        if kind in REFUSED:
            raise ValueError(f"torch.nn.{kind.__name__} {REFUSED[kind]}")
        if callable(self._link):
            check_call(self._link, "link", "outputs")
        elif not isinstance(self._link, str) or self._link not in ("auto", *LINKS):
            raise ValueError(
                f"link must be 'auto', one of {', '.join(map(repr, LINKS))} or a callable, got "
                f"{describe(self._link)}"
            )

    def _update(self):
        if hasattr(self, "func_"):  # partial_fit: its parameters have been trained
            return
        func: Any = self.func
        if isinstance(func, type) and issubclass(func, nn.Module):
            func = make_default(func, "func")
        elif isinstance(func, nn.Module):
            func = copy.deepcopy(func)
        check_call(getattr(func, "forward", func), "func", "outputs", "targets")
        if isinstance(func, nn.Module) and hasattr(func, "reduction"):
            func.reduction = "none"  # type: ignore[assignment]  # torch: a tensor or a module
        self.func_ = func
