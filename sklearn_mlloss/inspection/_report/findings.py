"""What a reader of the report should know first: possible problems in the data and the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from .evidence import Evidence

__all__ = ["find_problems", "name_some"]

# Names that a sentence holds.
_N_SHOWN = 12
# A label with fewer positives has metrics and a threshold that are mostly chance.
_RARE = 10
_FEW_ROWS = 100
# Share of missing values from which on a column is named.
_MOSTLY = 0.5


def find_problems(evidence: Evidence) -> list[str]:
    """Return one sentence per problem."""
    parts = (_of_rows, _of_labels, _of_decisions, _of_columns)
    return [sentence for part in parts for sentence in part(evidence)]


def name_some(names: Iterable[Any]) -> str:
    """Return names in a sentence, with the number of those that are left out."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - _N_SHOWN} more" if len(texts) > _N_SHOWN else ""
    return ", ".join(texts[:_N_SHOWN]) + more


def _of_rows(evidence: Evidence) -> Iterator[str]:
    Y = evidence.Y
    n_rows = len(Y)
    if n_rows < _FEW_ROWS:
        yield f"There are only {n_rows} rows: all numbers of this report are uncertain."
    unseen = np.isnan(Y)
    if unseen.any():
        yield (
            f"{unseen.mean():.1%} of the labels were not observed (NaN). They are left out of all "
            "metrics, which are those of the observed labels only."
        )
    if evidence.targets.kind == "multilabel":
        known = ~unseen.all(axis=1)
        without = (np.nansum(Y, axis=1) == 0) & known
        if without.any():
            yield f"{_rows(without.sum())} of {n_rows} ({without.mean():.1%}) have no label."
        if not known.all():
            yield f"No label of {_rows((~known).sum())} was observed."
    columns = evidence.columns
    if columns.train_values is not None:
        seen = set(_keys(columns.train_values))
        copies = sum(key in seen for key in _keys(columns.values))
        if copies:
            yield (
                f"{_rows(copies)} of {n_rows} are in the training rows as well, with the same "
                "values in all columns. Scores of rows that the model was trained on are too good."
            )


def _of_labels(evidence: Evidence) -> Iterator[str]:
    names = np.array(evidence.names, dtype=object)
    positives = evidence.positives
    observed = (~np.isnan(evidence.Y)).sum(axis=0)
    absent = positives == 0
    if absent.any():
        yield (
            f"{_labels(absent.sum())} without positives among these rows, so that recall and "
            f"average precision are not defined: {name_some(names[absent])}."
        )
    always = (positives == observed) & ~absent
    if always.any():
        yield f"{_labels(always.sum())} present in all observed rows: {name_some(names[always])}."
    rare = (positives < _RARE) & ~absent
    if rare.any():
        yield (
            f"{_labels(rare.sum())} with fewer than {_RARE} positives, whose metrics are mostly "
            f"chance: {name_some(names[rare])}."
        )
    if evidence.Y_train is not None:
        unknown = (np.nansum(evidence.Y_train, axis=0) == 0) & ~absent
        if unknown.any():
            yield (
                f"{_labels(unknown.sum())} without positives among the training rows, but with "
                f"some here: {name_some(names[unknown])}."
            )


def _of_decisions(evidence: Evidence) -> Iterator[str]:
    names = np.array(evidence.names, dtype=object)
    if evidence.method == "decision_function":
        yield (
            "The model has no predict_proba. Its scores are the sigmoid of decision_function, "
            "which are no probabilities: log loss, Brier score, calibration and the worst mistakes "
            "are to be read with care."
        )
    fallback = np.asarray(getattr(evidence.decoder, "fallback_labels_", []), dtype=int)
    if fallback.size:
        yield (
            f"The decoder had too few positives to tune a threshold for {_labels(fallback.size)}, "
            f"and uses a common one: {name_some(names[fallback])}."
        )
    never = (evidence.Y_hat.sum(axis=0) == 0) & (evidence.positives > 0)
    if never.any():
        yield (
            f"{_labels(never.sum())} never predicted for these rows, in which there are positives: "
            f"{name_some(names[never])}."
        )
    everywhere = (evidence.Y_hat.all(axis=0)) & (evidence.positives < len(evidence.Y))
    if everywhere.any() and len(evidence.Y) > 1:
        yield f"{_labels(everywhere.sum())} predicted for all rows: {name_some(names[everywhere])}."
    nothing = evidence.Y_hat.sum(axis=1) == 0
    if nothing.any():
        share = f"{_rows(nothing.sum())} of {len(nothing)} ({nothing.mean():.1%})"
        yield f"No label is predicted for {share}."


def _of_columns(evidence: Evidence) -> Iterator[str]:
    columns = evidence.columns
    if columns.values is None:
        yield f"The columns of X were not checked: {columns.error}"
        return
    if columns.left_out:
        yield (
            "Columns of X that are neither numbers nor categories, which the checks and the "
            f"logistic regression leave out: {name_some(columns.left_out)}."
        )
    values, names = columns.values, np.array(columns.names, dtype=object)
    if sp.issparse(values):
        low, high = (part(axis=0).toarray().ravel() for part in (values.min, values.max))
    else:
        missing = np.isnan(values).mean(axis=0)
        mostly = missing > _MOSTLY
        if mostly.any():
            texts = [f"{n} ({s:.0%})" for n, s in zip(names[mostly], missing[mostly], strict=True)]
            yield f"Columns of X with mostly missing values: {name_some(texts)}."
        low, high = (
            part(values, axis=0, where=~np.isnan(values), initial=start)
            for part, start in ((np.min, np.inf), (np.max, -np.inf))
        )
    constant = (low >= high) & (len(evidence.Y) > 1)
    if constant.any():
        yield f"Columns of X that are constant in these rows: {name_some(names[constant])}."


def _keys(values: Any) -> Iterator[bytes]:
    """Yield something for each row that is equal for equal rows."""
    if sp.issparse(values):
        for start, end in zip(values.indptr[:-1], values.indptr[1:], strict=True):
            yield values.indices[start:end].tobytes() + values.data[start:end].tobytes()
        return
    for row in np.nan_to_num(values, nan=np.inf) + 0.0:  # and no negative zeros
        yield row.tobytes()


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _labels(count: int) -> str:
    return f"{count} label" if count == 1 else f"{count} labels"
