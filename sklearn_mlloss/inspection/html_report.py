"""A report on a fitted classifier in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._data.validation import check_integer, check_number
from ._panels import check_matplotlib
from ._report import sections
from ._report.baselines import Baselines, fit_baselines
from ._report.evidence import Evidence, collect
from ._report.findings import find_problems
from ._report.intervals import bootstrap
from ._report.page import Html, page, tag
from .importance import permutation_importance

__all__ = ["report"]

# Predictions for permuted columns of more than these would take long.
_MOST_COLUMNS = 200


def report(
    model: Any,
    X: Any,
    y: Any,
    path: str | PathLike[str] = "report.html",
    *,
    X_train: Any = None,
    y_train: Any = None,
    label_names: Sequence[Any] | None = None,
    title: str | None = None,
    max_labels: int = 12,
    n_mistakes: int = 20,
    baselines: bool = True,
    n_bootstrap: int = 500,
    confidence: float = 0.95,
    n_repeats: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> Path:
    """Write a report on a fitted classifier for held-out rows into one HTML file.

    The file needs no other file and no network, so that it can be sent to a colleague. It holds

    - the key numbers, the comparison with the baselines in words, and warnings: rare labels,
      thresholds that fell back to a common one, labels that are never predicted, rows without
      labels, constant columns, rows that are among the training rows;
    - the data: rows, labels and their prevalence, which labels occur together, labels per row;
    - scores with bootstrap intervals, beside those of two baselines: the label priors, and one
      logistic regression per label;
    - a table of all labels: prevalence, threshold, precision, recall, F1, average precision,
      calibration error and confusion;
    - precision-recall curves, reliability diagrams and confusion matrices of the most frequent
      labels;
    - the rows with the largest log loss;
    - the most important columns of X per label, by `permutation_importance`;
    - the model, its parameters, and versions of packages.

    Parameters
    ----------
    model : classifier
        Fitted, with `predict` and with `predict_proba` or `decision_function` in any form that
        `DecodedClassifierCV` takes, such as a random forest's list of arrays. Without
        `predict_proba` the scores are the sigmoid of `decision_function`, and the report says so.
    X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
        Held-out rows, on which neither the model nor its decoder was fitted. The index of a
        DataFrame names the rows.
    y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
        Their labels, 0, 1 or NaN where not observed; or classes: then there is one label per class,
        and for two classes one for the second.
    path : str or path-like, default="report.html"
        The file, which is overwritten if it exists.
    X_train, y_train : optional
        The rows on which the model was fitted, to fit the baselines on the same rows, and to find
        rows that are among both. Without them, the baselines are cross-validated on `X` and `y`
        with five folds, which leaves them fewer rows than the model may have had.
    label_names : sequence of length n_labels, optional
        None takes the names that the model knows, else the columns of a DataFrame, else numbers.
    title : str, optional
        None is the name of the model's class.
    max_labels : int, default=12
        Number of labels with plots: those with the most positives. The table has all labels.
    n_mistakes : int, default=20
        Number of rows with the largest log loss.
    baselines : bool, default=True
        Whether to fit the baselines. They use the decoder of the model, refitted on their own
        out-of-fold scores; without a decoder they predict labels from a probability of 0.5 on. The
        logistic regressions take the most time if there are hundreds of labels.
    n_bootstrap : int, default=500
        Number of bootstrap samples of the rows for the intervals of the scores; 0 is none.
    confidence : float, default=0.95
        Coverage of these intervals, in (0, 1).
    n_repeats : int, optional
        Number of permutations per column for the importance of columns; 0 leaves the section out.
        None is 5, or 0 if X has more than 200 columns, since each takes one prediction for all
        rows.
    random_state : int, RandomState or None, default=0
        Controls the randomness of the folds, the bootstrap and the permutations.

    Returns
    -------
    pathlib.Path
        The absolute path of the file.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or X and y do not go together.
    TypeError
        If `model` lacks a method.
    NotFittedError
        If it is not fitted.
    ImportError
        Without matplotlib.

    See Also
    --------
    sklearn_mlloss.metrics.multilabel_report : The table of labels as a DataFrame.
    permutation_importance : Importance of columns per label.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_mlloss.inspection import report
    >>> X, y = make_multilabel_classification(n_classes=3, n_features=4, random_state=0)
    >>> model = KNeighborsClassifier().fit(X[:50], y[:50])
    >>> with TemporaryDirectory() as folder:
    ...     path = report(model, X[50:], y[50:], Path(folder) / "knn.html", max_labels=1,
    ...         X_train=X[:50], y_train=y[:50], label_names=["sport", "politics", "music"])
    ...     "politics" in path.read_text(encoding="utf-8")
    True
    """
    check_matplotlib("report")
    check_integer(max_labels, "max_labels", low=1)
    check_integer(n_mistakes, "n_mistakes", low=1)
    check_integer(n_bootstrap, "n_bootstrap", low=0)
    check_number(confidence, "confidence", low=0, high=1, closed="neither")
    if n_repeats is not None:
        check_integer(n_repeats, "n_repeats", low=0)
    rng = check_random_state(random_state)
    target = Path(path).absolute()
    if not target.parent.is_dir():
        raise ValueError(f"path must be in a folder that exists, got {str(path)!r}")
    evidence = collect(model, X, y, X_train, y_train, label_names)
    compared = Baselines({}, "Without baselines: baselines is False.", [])
    if baselines:
        compared = fit_baselines(evidence, rng)
    predictions = {sections.MODEL: (evidence.scores, evidence.Y_hat), **compared.predictions}
    scores, differences = bootstrap(
        evidence.Y, predictions, n_bootstrap, confidence, rng, sections.MODEL
    )
    parts = [
        ("summary", "At a glance",
         sections.sum_up(evidence, scores, differences, find_problems(evidence))),
        ("data", "Data", sections.describe_data(evidence)),
        ("scores", "Scores",
         sections.compare_scores(scores, differences, compared, confidence, n_bootstrap)),
        ("labels", "Labels", sections.list_labels(evidence)),
        *sections.plot_labels(evidence, compared, max_labels),
        ("mistakes", "Worst mistakes", sections.show_mistakes(evidence, n_mistakes)),
        ("columns", "Important columns", _importance(evidence, n_repeats, max_labels, rng)),
        ("model", "Model", sections.describe_model(evidence)),
    ]  # fmt: skip
    name = type(model).__name__
    when = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    subtitle = f"{name} on {len(evidence.Y):,} held-out rows. Written on {when}."
    text = page(f"Report on {name}" if title is None else title, subtitle, parts)
    target.write_text(text, encoding="utf-8")
    return target


def _importance(
    evidence: Evidence, n_repeats: int | None, max_labels: int, rng: np.random.RandomState
) -> Html:
    """Return the section on columns, or why there is none."""
    shape = getattr(evidence.X, "shape", None) or np.shape(evidence.X)
    if len(shape) != 2:
        return tag("p", "Left out, since X is no table with columns.")
    n_columns = shape[1]
    if n_repeats == 0 or n_repeats is None and n_columns > _MOST_COLUMNS:
        why = "n_repeats is 0" if n_repeats == 0 else f"X has {n_columns:,} columns"
        return tag("p", f"Left out, since {why}. Give n_repeats to report(), such as 5.")
    importances = permutation_importance(
        evidence.model, evidence.X, evidence.y, n_repeats=n_repeats or 5, random_state=rng
    )
    return sections.rank_columns(evidence, importances, max_labels)
