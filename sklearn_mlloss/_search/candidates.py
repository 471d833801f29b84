"""The candidates of a search: settings to train, with calibrations and decoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

from .._data.messages import describe
from .._data.targets import TargetCodec
from .._data.validation import is_auto
from ..calibration import CALIBRATORS, Calibrator, get_calibrator
from ..classifier import MultiLabelNetClassifier
from ..decoders import DECODERS, Decoder, get_decoder
from ..losses import LOSSES, Loss, get_loss

__all__ = [
    "DEFAULT_DECODERS",
    "DEFAULT_LOSSES",
    "Candidate",
    "Setting",
    "last_step",
    "make_candidates",
    "make_settings",
    "prefix_of",
]

# Chosen by benchmarks/search_defaults.py, see docs/selection.md: separable losses with different
# costs of errors, losses over pairs of labels and over rows, and an F-measure itself.
DEFAULT_LOSSES = ("bce", "brier", "abs_kl", "zlpr", "softmax_ce", "tversky")
# For the Hamming loss, micro-F, macro-F, the number of labels, samples-F, and whole label sets.
DEFAULT_DECODERS = (
    "threshold",
    "global_threshold",
    "per_label_threshold",
    "cardinality",
    "expected_fbeta",
    "label_set",
)
# "hierarchy" needs parents and "cost" costs; without them, they are a threshold of 1/2.
ALL_DECODERS = tuple(name for name in DECODERS if name not in ("hierarchy", "cost"))
# With one label there is nothing to compare in a row, and both fitted thresholds are the same.
ONE_LABEL_DECODERS = ("threshold", "global_threshold")


@dataclass(frozen=True)
class Setting:
    """A loss and hyperparameters, which are trained once per fold.

    Attributes
    ----------
    number : int
        Its place among the settings.
    loss_name : str
        Name of the loss in the results.
    loss : Loss
        The loss with its hyperparameters, not fitted.
    params : dict
        For ``estimator.set_params``, the loss among them.
    grid : dict
        The part of them that comes from `param_grid`.
    """

    number: int
    loss_name: str
    loss: Loss
    params: dict[str, Any]
    grid: dict[str, Any]

    @property
    def title(self) -> str:
        """The setting in a line."""
        grid = "".join(f", {name}={value!r}" for name, value in self.grid.items())
        return " ".join(f"{self.loss_name}{grid}".split())

    @property
    def is_tuned(self) -> bool:
        """Whether the loss has other hyperparameters than its defaults."""
        kind = type(self.loss)
        return kind in LOSSES.values() and repr(self.loss) != repr(kind())


@dataclass(frozen=True)
class Candidate:
    """A setting with a calibration and a decoder: a row of the results.

    Attributes
    ----------
    setting : Setting
    calibration_name, decoder_name : str or None
        Names in the results.
    calibrator : Calibrator or None
        Not fitted.
    decoder : Decoder
        Not fitted.
    decision_params : dict
        Calibration and decoder as in the parameters of the search, for ``estimator.set_params``.
    """

    setting: Setting
    calibration_name: str | None
    calibrator: Calibrator | None
    decoder_name: str
    decoder: Decoder
    decision_params: dict[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        """All parameters for ``estimator.set_params``."""
        return self.setting.params | self.decision_params

    @property
    def calibration_key(self) -> tuple[str | None, bool]:
        """The same for candidates of a setting that share a fitted calibrator."""
        return self.calibration_name, self.decoder.untouched_rows

    @property
    def complexity(self) -> tuple[bool, bool, bool]:
        """The order of candidates for the rule "one_std_error", simple ones first."""
        return self.setting.is_tuned, self.decoder.requires_fit, self.calibrator is not None


def prefix_of(estimator: Any) -> str:
    """Return the prefix of the parameters of the network classifier; raise if there is none."""
    prefix, inner = "", estimator
    while isinstance(inner, Pipeline):
        prefix += inner.steps[-1][0] + "__"
        inner = inner.steps[-1][1]
    if not isinstance(inner, MultiLabelNetClassifier):
        raise TypeError(
            "estimator must be None, a MultiLabelNetClassifier or a Pipeline that ends with one, "
            f"got {describe(estimator)}"
        )
    return prefix


def last_step(estimator: Any) -> MultiLabelNetClassifier:
    """Return the network classifier itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def make_settings(estimator: Any, losses: Any, param_grid: Any) -> list[Setting]:
    """Return each loss with each combination of hyperparameters.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier or Pipeline
    losses : str, list or dict
        "default", "all", or the losses to try.
    param_grid : None, dict or list of dicts
        As for `GridSearchCV`. A parameter of losses, such as "loss__gamma", is left out for losses
        without it.
    """
    prefix = prefix_of(estimator)
    grids = [{}] if param_grid is None else param_grid
    grids = [grids] if isinstance(grids, Mapping) or not np.iterable(grids) else list(grids)
    if not all(isinstance(grid, Mapping) for grid in grids):
        raise TypeError(
            f"param_grid must be None, a dict or a list of dicts, got {describe(param_grid)}"
        )
    ParameterGrid(grids)  # raises for invalid values
    keys = {key for grid in grids for key in grid}
    for name, argument in (
        ("loss", "losses"), ("decoder", "decoders"), ("calibration", "calibrations")
    ):  # fmt: skip
        for key in keys:
            is_nested = name != "loss" and key.startswith(f"{prefix}{name}__")
            if key == prefix + name or is_nested:
                raise ValueError(f"param_grid has {key!r}: give {argument}=... instead")
    of_losses = {key for key in keys if key.startswith(prefix + "loss__")}
    unused = set(of_losses)
    settings: list[Setting] = []
    presets = {"default": DEFAULT_LOSSES, "all": tuple(LOSSES)}
    for name, spec in _by_name("losses", losses, LOSSES, get_loss, presets).items():
        known = get_loss(spec).get_params()
        lacking = {key for key in of_losses if key.removeprefix(prefix + "loss__") not in known}
        unused &= lacking
        tried: list[dict] = []
        for grid in grids:
            grid = {key: grid[key] for key in grid if key not in lacking}
            # Without a parameter that the loss lacks, two grids may be the same.
            if grid in tried:
                continue
            tried.append(grid)
            for point in ParameterGrid(grid):
                params = {prefix + "loss": spec} | point
                model = clone(estimator).set_params(**clone(params, safe=False))
                loss = get_loss(last_step(model).loss)
                settings.append(Setting(len(settings), name, loss, params, point))
    if unused:
        raise ValueError(f"no loss has the parameters {sorted(unused)} of param_grid")
    return settings


def make_candidates(
    estimator: Any,
    settings: Sequence[Setting],
    calibrations: Any,
    decoders: Any,
    targets: TargetCodec,
) -> list[Candidate]:
    """Return each setting with each calibration and each decoder.

    Decoders that expect probabilities are tried with losses whose scores are none, too: it costs
    little, sometimes they are the best, and cross-validation shows it.
    """
    presets = {"default": DEFAULT_DECODERS, "all": ALL_DECODERS}
    if targets.n_labels_ == 1:
        presets = dict.fromkeys(presets, ONE_LABEL_DECODERS)
    named_decoders = _by_name("decoders", decoders, DECODERS, _check_decoder, presets)
    if targets.kind == "multiclass":  # always decided by the largest score
        named_decoders = {"argmax": "argmax"}
    named_calibrators = _by_name("calibrations", calibrations, CALIBRATORS, get_calibrator, {})
    candidates, prefix = [], prefix_of(estimator)
    for setting in settings:
        for calibration_name, calibration in named_calibrators.items():
            calibrator = get_calibrator(calibration)
            if calibrator is not None:
                calibrator._check_params()
            for name, spec in named_decoders.items():
                decoder = get_decoder(setting.loss.default_decoder if is_auto(spec) else spec)
                decoder._check_params(targets.n_labels_)
                params = {prefix + "calibration": calibration, prefix + "decoder": spec}
                candidates.append(
                    Candidate(setting, calibration_name, calibrator, name, decoder, params)
                )
    return candidates


def _check_decoder(spec: Any) -> None:
    if not is_auto(spec):
        get_decoder(spec)


def _by_name(
    argument: str,
    specs: Any,
    registry: Mapping[str, type],
    check: Callable[[Any], Any],
    presets: Mapping[str, Sequence[str]],
) -> dict[Any, Any]:
    """Return losses, decoders or calibrations to try by their names in the results."""
    if isinstance(specs, str) and specs in presets:
        return {name: name for name in presets[specs]}
    if isinstance(specs, Mapping):
        named = dict(specs)
    else:
        if _may_be_one(specs):
            specs = [specs]
        elif not np.iterable(specs):
            raise TypeError(
                f"{argument} must be a name, an object, a list or a dict, got {describe(specs)}"
            )
        specs = list(specs)
        if not all(map(_may_be_one, specs)):
            raise TypeError(f"{argument} must hold names or objects, got {describe(specs)}")
        names = [_name_of(spec, registry) for spec in specs]
        named = dict(zip(names, specs, strict=True))
        if len(named) < len(specs):
            raise ValueError(f"{argument} names something twice: {names}")
    if not named:
        raise ValueError(f"{argument} is empty: there is nothing to try")
    for spec in named.values():
        check(spec)
    return named


def _may_be_one(spec: Any) -> bool:
    """Return whether something may be a single loss, decoder or calibration, or None for none."""
    return isinstance(spec, str | type | BaseEstimator) or spec is None or callable(spec)


def _name_of(spec: Any, registry: Mapping[str, type]) -> Any:
    """Return the name of a loss, decoder or calibration: that of the registry for defaults."""
    if spec is None or isinstance(spec, str):
        return spec
    kind = spec if isinstance(spec, type) else type(spec)
    for name, known in registry.items():
        if kind is known and (spec is kind or repr(spec) == repr(kind())):
            return name
    return getattr(spec, "__name__", None) or " ".join(repr(spec).split())
