"""Summaries of fitted classifiers: model, training and decision in words."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = [
    "count",
    "describe",
    "describe_nets",
    "fitted_parameters",
    "shown",
    "with_details",
    "with_params",
]

# Where scikit-learn's diagram has its own style, this follows it by colours that it inherits.
DETAILS = '<details><summary>summary()</summary><pre style="overflow-x: auto">{}</pre></details>'


def describe(clf: Any, model: Sequence[tuple[str, str]], n_rows: int | None) -> str:
    """Return a line for each part of a fitted classifier, and a table of its labels.

    Parameters
    ----------
    clf : DecidingClassifier
        Fitted.
    model : sequence of (name, text)
        What comes before the decision.
    n_rows : int or None
        Number of labels that are shown.
    """
    parts = {"calibration": clf.calibrator_, "decoder": clf.decoder_}
    lines = list(model)
    columns: dict[str, np.ndarray] = {}
    for name, part in parts.items():
        text = ["none" if part is None else with_params(part)]
        for attribute, value in fitted_parameters(part):
            if np.ndim(value) == 0:
                text.append(f"{attribute} {_number(value)}")
            elif value.shape == (clf.n_labels_,):
                columns[f"{name} {attribute}"] = value
            else:
                text.append(f"{attribute} of shape {value.shape}")
        fallback = len(getattr(part, "fallback_labels_", ()))
        if fallback:
            text.append(f"a common value for {count(fallback, 'label')} with too few rows")
        if name in clf._decision.n_rows:
            text.append(f"fitted on {count(clf._decision.n_rows[name], 'row')}")
        elif part is not None and getattr(part, "requires_fit", True):
            text.append("not fitted yet: call fit_decoder")
        lines.append((name, "; ".join(text)))
    kinds = {"multilabel": "label", "multiclass": "class", "binary": "label (binary y)"}
    title = f"{type(clf).__name__}: {count(clf.n_labels_, kinds[clf._targets.kind])}"
    if hasattr(clf, "n_features_in_"):
        title += f", {count(clf.n_features_in_, 'feature')}"
    text = [title, *align([[name, *value.split("\n")] for name, value in lines])]
    if columns:
        text += ["", *_table(clf.label_names_, columns, n_rows)]
    return "\n".join(text)


def describe_nets(clf: Any) -> list[tuple[str, str]]:
    """Return the lines on the networks of a classifier and their training."""
    loss, net = clf.loss_, clf.net_
    kind = (
        "proper: its scores are probabilities"
        if loss.proper
        else ("not proper: its scores are not probabilities without a calibration")
    )
    encoding = "none" if clf.encoding_ is None else with_params(clf.encoding_)
    encoding = f"{encoding}; {clf.encoding_reason_}"
    if net.encoder_.categories is not None:
        encoding += f"; {_hot(clf.categories_, net.encoder_.categories.n_outputs_)}"
    network = getattr(net.module_, "network", net.module_)
    widths = [layer for layer in network.modules() if hasattr(layer, "out_features")]
    layers = type(network).__name__
    if layers == "MLP":
        layers = " - ".join(map(str, [widths[0].in_features, *(w.out_features for w in widths)]))
    n_parameters = sum(parameter.numel() for parameter in net.module_.parameters())
    several = f"{len(clf.nets_)} networks of " if len(clf.nets_) > 1 else ""
    return [
        ("loss", f"{with_params(loss)}; {kind}"),
        ("encoding", encoding),
        ("network", f"{several}{layers}; {n_parameters:,} parameters, trained on {net.place_}"),
        ("linear part", _linear(clf)),
        ("training", "\n".join(_course(net) for net in clf.nets_)),
    ]


def with_details(diagram: str, text: str) -> str:
    """Return scikit-learn's diagram of an estimator with a text to unfold below it."""
    return diagram + DETAILS.format(html.escape(text))


def shown(part: Any) -> str:
    """Return an object's representation in one line."""
    return " ".join(repr(part).split())


def with_params(part: Any) -> str:
    """Return an object with all its parameters in one line, also those at their defaults."""
    if not hasattr(part, "get_params"):
        return shown(part)
    params = part.get_params(deep=False).items()
    return f"{type(part).__name__}({', '.join(f'{key}={shown(value)}' for key, value in params)})"


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of a name and one or several texts, which begin below each other."""
    width = max(len(row[0]) for row in rows)
    return [
        f"{name if number == 0 else '':<{width}}  {text}"
        for name, *texts in rows
        for number, text in enumerate(texts)
    ]


def _hot(categories: list[np.ndarray], n_inputs: int) -> str:
    """Return the numbers of categorical columns, of categories, and of inputs for them."""
    number, total = len(categories), sum(map(len, categories))
    held = f"{total:,} {'category' if total == 1 else 'categories'}"
    gives = "gives" if number == 1 else "in all give"
    return f"{count(number, 'column')} of {held} {gives} {count(n_inputs, 'input')}"


def _linear(clf: Any) -> str:
    """Return the penalties of the linear parts, and the shares that their labels have."""
    parts = [net.linear_part() for net in clf.nets_]
    reasons = list(dict.fromkeys(net.linear_reason_ for net in clf.nets_))
    text = ", ".join(reasons)
    if parts[0] is None:
        return text
    alphas = np.concatenate([part.alpha().detach().numpy() for part in parts])
    low, middle, high = np.quantile(alphas, [0, 0.5, 1])
    text = f"{text}; shares {low:.2g} to {high:.2g}, median {middle:.2g}"
    alone = 1 - np.mean([net.network_share_ for net in clf.nets_])
    return f"{text}; {alone:.0%} of the outputs are from the linear part alone" if alone else text


def _course(net: Any) -> str:
    """Return how many epochs a net was trained for, on which rows, and why training ended."""
    n_train, n_valid = net.n_rows_
    curves = net.curves()
    n_epochs = len(curves["epoch"])
    n_last = n_epochs - net.epochs_before_
    last = "" if n_last == n_epochs else ", the last" if n_last == 1 else f", the last {n_last:,}"
    text, learned = f"{count(n_epochs, 'epoch')}{last} on {count(n_train, 'row')}", ""
    if net.check_ is not None:
        of = "held-out" if net.check_.held_out else "training"
        values = _number(net.check_.loss), _number(net.check_.constant_loss)
        learned = f"; {of} loss {values[0]}, label priors {values[1]}"
    rule = dict(net.callbacks_).get("early_stopping")
    if rule is None or not n_valid:
        return text + learned
    best = n_epochs - rule.epochs_ + rule.best_epoch_
    if not 0 < best <= n_epochs:  # a callback has loaded another history
        return text
    watched = "valid_loss" if rule.score is None else "valid_score"
    value = curves[watched][best - 1]
    if net.divergence_:
        why = "ended because it diverged"
    elif rule.misses_ >= rule.patience:
        why = f"stopped after {count(rule.patience, 'epoch')} without a better one"
    elif rule.epochs_ >= net.max_epochs:
        why = "ended by max_epochs"
    else:
        why = "ended by a callback"
    return (
        f"{text}, {why}; epoch {best} kept: {watched} {_number(value)} on "
        f"{count(n_valid, 'held-out row')}{learned}"
    )


def fitted_parameters(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fitted parameters of a decoder or a calibrator, or of the decoder that it wraps."""
    for name in getattr(part, "learned", ()):
        value = getattr(part, name, None)
        if hasattr(value, "learned"):
            yield from fitted_parameters(value)
        elif value is not None:
            yield name, value


def _number(value: Any) -> str:
    return str(value) if isinstance(value, bool | np.bool_) else f"{value:.3g}"


def _table(names: np.ndarray, columns: dict[str, np.ndarray], n_rows: int | None) -> list[str]:
    n_rows = len(names) if n_rows is None else min(n_rows, len(names))
    rows = [["label", *columns]]
    rows += [
        [str(names[label]), *(_number(column[label]) for column in columns.values())]
        for label in range(n_rows)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([name.ljust(widths[0]), *map(str.rjust, values, widths[1:])])
        for name, *values in rows
    ]
    if len(names) > n_rows:
        lines.append(f"... and {len(names) - n_rows} more: summary(n_rows=None) has them all")
    return lines
