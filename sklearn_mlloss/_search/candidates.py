"""What a search tries: settings, which are trained, and the decisions on their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

from .._data.validation import describe, is_auto
from ..calibration import CALIBRATORS, Calibrator, get_calibrator
from ..classifier import MultiLabelNetClassifier
from ..decoders import DECODERS, Decoder, get_decoder
from ..losses import LOSSES, Loss, get_loss

__all__ = [
    "DEFAULT_DECODERS",
    "DEFAULT_LOSSES",
    "Pair",
    "Setting",
    "last_step",
    "make_pairs",
    "make_settings",
    "prefix_of",
]

# Chosen by benchmarks/search_defaults.py, which docs/selection.md tells of: label by label with
# different costs of being wrong, by pairs of labels, by row, and an F-measure itself.
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
# "hierarchy" wants parents and "cost" costs; without, they are a threshold of 1/2.
ALL_DECODERS = tuple(name for name in DECODERS if name not in ("hierarchy", "cost"))
# With one label there is nothing to compare in a row, and both learned thresholds are the same.
ONE_LABEL_DECODERS = ("threshold", "global_threshold")


@dataclass(frozen=True)
class Setting:
    """A loss and hyperparameters: what is trained once a fold.

    Attributes
    ----------
    loss : str
        Name of the loss in the results.
    params : dict
        For ``estimator.set_params``, the loss among them.
    grid : dict
        The part of them that comes from `param_grid`.
    fitted_loss : Loss
        The loss with its hyperparameters, not fitted.
    """

    loss: str
    params: dict
    grid: dict
    unfitted_loss: Loss

    @property
    def title(self) -> str:
        """What it is, in a line."""
        grid = "".join(f", {name}={value!r}" for name, value in self.grid.items())
        return " ".join(f"{self.loss}{grid}".split())

    @property
    def tuned(self) -> bool:
        """Whether the loss has other hyperparameters than its defaults."""
        kind = type(self.unfitted_loss)
        return kind in LOSSES.values() and repr(self.unfitted_loss) != repr(kind())


@dataclass(frozen=True)
class Pair:
    """A setting with a calibration and a decoder: a row of the results.

    Attributes
    ----------
    setting : int
        Number of the setting.
    decoder_name, calibration_name : str or None
        Names in the results.
    decoder_spec, calibration_spec : object
        As they were given, for ``estimator.set_params``.
    decoder : Decoder
        Not fitted.
    calibrator : Calibrator or None
        Not fitted.
    """

    setting: int
    decoder_name: str
    decoder_spec: Any
    decoder: Decoder
    calibration_name: str | None
    calibration_spec: Any
    calibrator: Calibrator | None


def prefix_of(estimator: Any) -> str:
    """Return what parameters of the network classifier begin with; raise if there is none."""
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
        "default", "all", or what to try.
    param_grid : None, dict or list of dicts
        As for `GridSearchCV`. A parameter of losses, such as "loss__gamma", is left out for those
        that lack it.
    """
    prefix = prefix_of(estimator)
    presets = {"default": DEFAULT_LOSSES, "all": tuple(LOSSES)}
    grids = [{}] if param_grid is None else param_grid
    grids = [grids] if isinstance(grids, Mapping) or not np.iterable(grids) else list(grids)
    if not all(isinstance(grid, Mapping) for grid in grids):
        raise TypeError(
            f"param_grid must be None, a dict or a list of dicts, got {describe(param_grid)}"
        )
    ParameterGrid(grids)  # raises what is wrong with them
    nested = prefix + "loss__"
    own = {key for grid in grids for key in grid if key.startswith(nested)}
    _check_grid(prefix, {key for grid in grids for key in grid})
    settings, used = [], set()
    for name, spec in _named("losses", losses, presets, LOSSES, get_loss).items():
        known = get_loss(spec).get_params()
        lacking = {key for key in own if key.removeprefix(nested) not in known}
        used |= own - lacking
        made = []
        for grid in grids:
            grid = {key: grid[key] for key in grid if key not in lacking}
            # Without a parameter that the loss lacks, two grids may be the same.
            if grid in made:
                continue
            made.append(grid)
            for point in ParameterGrid(grid):
                params = {prefix + "loss": spec} | point
                tried = clone(estimator).set_params(**clone(params, safe=False))
                settings.append(Setting(name, params, point, get_loss(last_step(tried).loss)))
    if own - used:
        raise ValueError(f"no loss has the parameters {sorted(own - used)} of param_grid")
    return settings


def make_pairs(
    settings: list[Setting], decoders: Any, calibrations: Any, kind: str, n_labels: int
) -> list[Pair]:
    """Return each setting with each calibration and each decoder.

    Decoders that take scores for probabilities are tried with losses whose scores are none, too:
    it costs little, sometimes they are the best, and cross-validation tells.
    """
    default = ONE_LABEL_DECODERS if n_labels == 1 else DEFAULT_DECODERS
    every = ONE_LABEL_DECODERS if n_labels == 1 else ALL_DECODERS
    presets = {"default": default, "all": every}
    chosen = _named("decoders", decoders, presets, (*DECODERS, "auto"), _decoder)
    if kind == "multiclass":  # always decided by the largest score
        chosen = {"argmax": "argmax"}
    known = (*CALIBRATORS, None)
    calibrators = _named("calibrations", calibrations, {}, known, get_calibrator)
    pairs = []
    for number, setting in enumerate(settings):
        natural = get_decoder(setting.unfitted_loss.default_decoder)
        for calibration, calibration_spec in calibrators.items():
            calibrator = get_calibrator(calibration_spec)
            if calibrator is not None:
                calibrator._check_params()
            for name, spec in chosen.items():
                decoder = natural if is_auto(spec) else get_decoder(spec)
                decoder._check_params(n_labels)
                pairs.append(
                    Pair(number, name, spec, decoder, calibration, calibration_spec, calibrator)
                )
    return pairs


def _decoder(spec: Any) -> Any:
    return spec if is_auto(spec) else get_decoder(spec)


def _check_grid(prefix: str, keys: Iterable[str]) -> None:
    for key in keys:
        for part, argument in (
            ("loss", "losses"),
            ("decoder", "decoders"),
            ("calibration", "calibrations"),
        ):
            nested = part != "loss" and key.startswith(f"{prefix}{part}__")
            if key == prefix + part or nested:
                raise ValueError(f"param_grid has {key!r}: give {argument}=... instead")


def _named(argument: str, given: Any, presets: Mapping, known: Any, get: Any) -> dict[Any, Any]:
    """Return what is to be tried by its name in the results."""
    if isinstance(given, str) and given in presets:
        return {name: name for name in presets[given]}
    if isinstance(given, Mapping):
        found = dict(given)
    elif _may_be_one(given):
        found = {_name(given, known): given}
    elif not np.iterable(given):
        raise TypeError(
            f"{argument} must be a name, an object, a list or a dict, got {describe(given)}"
        )
    else:
        specs = list(given)
        if not all(map(_may_be_one, specs)):
            raise TypeError(f"{argument} must hold names or objects, got {describe(given)}")
        found = {_name(spec, known): spec for spec in specs}
        if len(found) < len(specs):
            raise ValueError(
                f"{argument} names something twice: {[_name(s, known) for s in specs]}"
            )
    if not found:
        raise ValueError(f"{argument} is empty: there is nothing to try")
    for spec in found.values():
        get(spec)  # raises for a name that is unknown
    return found


def _may_be_one(spec: Any) -> bool:
    """Return whether something may be a single thing to try, or None for none."""
    return isinstance(spec, str | type | BaseEstimator) or spec is None or callable(spec)


def _name(spec: Any, known: Any) -> Any:
    """Return a name for a loss, decoder or calibrator: that of the registry if it is plain."""
    if spec is None or isinstance(spec, str):
        return spec
    if isinstance(known, Mapping):
        classes = {kind: name for name, kind in known.items()}
    else:
        classes = {kind: name for name, kind in (DECODERS | CALIBRATORS).items()}
    kind = spec if isinstance(spec, type) else type(spec)
    if kind in classes and (spec is kind or repr(spec) == repr(kind())):
        return classes[kind]
    name = getattr(spec, "__name__", None)
    return name or " ".join(repr(spec).split())
