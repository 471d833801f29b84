"""Model cards: what a saved model is, as a dict of numbers and texts, and as Markdown."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from numbers import Real
from typing import Any

import numpy as np

from .._data.messages import describe
from .._decision.base import DecidingClassifier
from .._decision.summary import fitted_parameters, shown, with_params
from .._versions import __version__

__all__ = ["as_markdown", "make_card"]

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "safetensors", "skops")
KINDS = {"multilabel": "labels", "multiclass": "classes", "binary": "label of a binary y"}


def make_card(model: Any, scores: Any, custom: Sequence[str]) -> dict[str, Any]:
    """Return the model card of an estimator, which JSON can hold.

    Parameters
    ----------
    model : LabelClassifier
        If it is not fitted, only its parameters are described.
    scores : dict of str to float or (float, float, float), optional
        See `save`.
    custom : sequence of str
        What `load` needs.
    """
    card: dict[str, Any] = {
        "model": type(model).__name__,
        "parameters": shown(model),
        "custom": list(custom),
        "versions": {"sklearn_mlloss": __version__, "python": platform.python_version()}
        | {name: number for name in PACKAGES if (number := _version(name)) is not None},
    }
    if scores is not None:
        card["scores"] = _checked(scores)
    if not hasattr(model, "_targets"):
        return card
    names = [str(name) for name in model.label_names_.tolist()]
    card["labels"] = {"kind": model._targets.kind, "number": model.n_labels_, "names": names}
    if hasattr(model, "n_features_in_"):
        card["features"] = {"number": int(model.n_features_in_)}
        if hasattr(model, "feature_names_in_"):
            card["features"]["names"] = list(map(str, model.feature_names_in_))
    rows = _rows(model)
    if rows:
        card["rows"] = rows
    card["parts"] = dict(_parts(model))
    if isinstance(model, DecidingClassifier):
        fitted = {"decoder": model.decoder_, "calibration": model.calibrator_}
        card["fitted"] = {
            f"{part} {name}": np.asarray(value).tolist()
            for part, holder in fitted.items()
            for name, value in fitted_parameters(holder)
            if np.size(value) <= max(1, 2 * model.n_labels_)
        }
    return card


def as_markdown(card: Mapping[str, Any]) -> str:
    """Return a model card as Markdown."""
    lines = [f"# {card['model']}", "", f"`{card['parameters']}`", ""]
    overview: dict[str, Any] = {}
    if "labels" in card:
        overview[KINDS[card["labels"]["kind"]]] = f"{card['labels']['number']:,}"
    if "features" in card:
        overview["features"] = f"{card['features']['number']:,}"
    overview |= {name: f"{number:,}" for name, number in card.get("rows", {}).items()}
    overview |= card.get("parts", {})
    fitted = card.get("fitted", {})
    names = card.get("labels", {}).get("names", [])
    per_label = {
        name: values
        for name, values in fitted.items()
        if isinstance(values, list) and len(values) == len(names)
    }
    overview |= {name: _text(value) for name, value in fitted.items() if name not in per_label}
    lines += _table(["", ""], overview.items()) if overview else []
    if card.get("scores"):
        rows = [(name, *map(_text, values)) for name, values in card["scores"].items()]
        widths = max(map(len, rows))
        rows = [row + ("",) * (widths - len(row)) for row in rows]
        head = ["score", "value", "lower limit", "upper limit"][:widths]
        lines += ["## Scores on test rows", "", *_table(head, rows)]
    if names:
        values = zip(*per_label.values(), strict=True) if per_label else [()] * len(names)
        rows = [(name, *map(_text, row)) for name, row in zip(names, values, strict=True)]
        lines += ["## Labels", "", *_table(["label", *per_label], rows)]
    if card["custom"]:
        lines += ["## Needed to load it", "", ", ".join(f"`{name}`" for name in card["custom"]), ""]
    lines += ["## Versions", "", *_table(["package", "version"], card["versions"].items())]
    return "\n".join(lines)


def _parts(model: Any) -> list[tuple[str, str]]:
    """Return names and descriptions of the parts of a fitted model."""
    if isinstance(model, DecidingClassifier):
        calibrator = model.calibrator_
        return [
            *model._model_lines(),
            ("calibration", "none" if calibrator is None else with_params(calibrator)),
            ("decoder", with_params(model.decoder_)),
        ]
    if hasattr(model, "estimators_"):
        members = zip(model._fitted_members(), model.weights_, strict=True)
        return [(name, f"{weight:.3g} of {shown(part)}") for (name, part), weight in members]
    if hasattr(model, "forests_"):
        return [("forests", f"{len(model.forests_)} of {model.n_estimators} trees")]
    return [("penalty", f"{model.penalty_:.3g}")]


def _rows(model: Any) -> dict[str, int]:
    rows: dict[str, int] = {}
    for number, net in enumerate(getattr(model, "nets_", ()), 1):
        of = f" of network {number}" if len(model.nets_) > 1 else ""
        n_train, n_valid = net.n_rows_
        rows |= {f"training rows{of}": n_train, f"held-out rows{of}": n_valid}
    if isinstance(model, DecidingClassifier):
        rows |= {f"rows of the {name}": number for name, number in model._decision.n_rows.items()}
    return rows


def _checked(scores: Any) -> dict[str, list[float]]:
    """Return scores as lists of a value, and perhaps the limits of its interval."""
    if not isinstance(scores, Mapping):
        raise TypeError(f"scores must be a dict, got {describe(scores)}")
    lists = {}
    for name, value in scores.items():
        values = list(value) if isinstance(value, tuple | list) else [value]
        numbers = all(isinstance(v, Real) and np.isfinite(float(v)) for v in values)
        if not isinstance(name, str) or len(values) not in (1, 3) or not numbers:
            raise ValueError(
                "scores must map names to a finite number or to (value, lower limit, upper limit), "
                f"got {describe(name)}: {describe(value)}"
            )
        if len(values) == 3 and not values[1] <= values[0] <= values[2]:
            raise ValueError(
                f"scores[{name!r}] must lie between its limits, (value, lower limit, upper limit), "
                f"got {describe(value)}"
            )
        lists[name] = [float(v) for v in values]
    return lists


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Any) -> list[str]:
    cells = [[str(cell).replace("|", "\\|").replace("\n", "<br>") for cell in row] for row in rows]
    lines = [list(head), ["---"] * len(head), *cells]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
