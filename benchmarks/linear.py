"""Whether the default network is ever behind a logistic regression.

Log loss and LRAP on the test rows of simulated families (`families.py`) and of data sets, for

* "priors": the share of positives of each label among the training rows;
* "logistic": a logistic regression per label, with one penalty for all labels, chosen by five
  folds. Columns are standardised (divided by their maximum in sparse X), categories one-hot;
* "network": ``MultiLabelNetClassifier()``;
* "no linear part": the same with ``linear_part=False``;
* "for_metric": ``DecodedClassifierCV.for_metric("log_loss")``, if it is asked for.

    python benchmarks/linear.py --out linear.jsonl
    python benchmarks/linear.py --out linear.jsonl --data FOLDER --for-metric
    python benchmarks/linear.py --report linear.jsonl [before.jsonl]

Data sets are FOLDER/NAME.npz. Labels that are constant among the training rows are left out. A seed
is that of the draw and of the networks. Results are appended to a file, and a later run continues
it. The report marks with ** where a contender is behind the logistic regression by more than .005
in log loss or .01 in LRAP.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from contenders import print_machine
from families import FAMILIES, make
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler
from tables import read_table

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier
from sklearn_mlloss.metrics import label_ranking_average_precision, multilabel_log_loss
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

# Inverse penalties, and the largest number of labels that the choice among them looks at.
CS = (0.003, 0.02, 0.1, 0.6, 4, 25, 150)
MOST_LABELS = 100
MOST_PARTS = 50


class Priors(ClassifierMixin, BaseEstimator):
    """Predicts the share of positives of each label, for all rows."""

    def fit(self, X, y):
        """Count positives."""
        self.priors_ = (y.sum(axis=0) + 0.5) / (len(y) + 1)
        return self

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        return np.tile(self.priors_, (X.shape[0], 1))


class Logistic(ClassifierMixin, BaseEstimator):
    """A logistic regression per label, with one penalty for all labels, chosen by five folds."""

    def fit(self, X, y):
        """Choose the penalty and fit all labels."""
        self.scaler_ = scaler(X).fit(X)
        X = self.scaler_.transform(X)
        # The penalty is the same in all directions: with fewer rows than columns, coordinates in
        # the space of the rows have the same optimum and are faster.
        self.basis_ = None
        if not sp.issparse(X) and X.shape[1] > X.shape[0]:
            self.basis_ = np.linalg.svd(X, full_matrices=False)[2].T
            X = X @ self.basis_
        some = y[:, :: -(-y.shape[1] // MOST_LABELS)]
        losses = np.zeros(len(CS))
        folds = MultilabelStratifiedKFold(5, shuffle=True, random_state=0)
        for train, test in folds.split(some, some):
            for number, models in enumerate(path(X[train], some[train], CS)):
                losses[number] += multilabel_log_loss(some[test], probabilities(models, X[test]))
        self.C_ = CS[int(np.argmin(losses))]
        self.models_ = next(path(X, y, [self.C_]))
        return self

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        X = self.scaler_.transform(X)
        return probabilities(self.models_, X if self.basis_ is None else X @ self.basis_)


def scaler(X):
    """Return a transformer that makes X fit for a logistic regression."""
    if sp.issparse(X):
        return MaxAbsScaler()
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    if not isinstance(X, pd.DataFrame):
        return numbers
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_include="category")),
    )


def path(X, Y, Cs):
    """Yield the models of all labels for each inverse penalty; a constant label has its prior."""
    constant = Y.min(axis=0) == Y.max(axis=0)
    models = [
        (Y[:, j].sum() + 0.5) / (len(Y) + 1)
        if constant[j]
        else LogisticRegression(max_iter=1000, warm_start=True)
        for j in range(Y.shape[1])
    ]
    for C in Cs:
        for model, y in zip(models, Y.T, strict=True):
            if isinstance(model, LogisticRegression):
                model.set_params(C=C).fit(X, y)
        yield models


def probabilities(models, X):
    columns = [
        model.predict_proba(X)[:, 1]
        if isinstance(model, LogisticRegression)
        else np.full(X.shape[0], model)
        for model in models
    ]
    return np.stack(columns, axis=1)


def for_metric(X, seed):
    """Return the model of `for_metric`; forests need categories one-hot."""
    model = DecodedClassifierCV.for_metric("log_loss", random_state=seed)
    if not isinstance(X, pd.DataFrame):
        return model
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = (categories, make_column_selector(dtype_include="category"))
    return make_pipeline(make_column_transformer(columns, remainder="passthrough"), model)


CONTENDERS = {
    "priors": lambda X, seed: Priors(),
    "logistic": lambda X, seed: Logistic(),
    "network": lambda X, seed: MultiLabelNetClassifier(random_state=seed),
    "no linear part": lambda X, seed: MultiLabelNetClassifier(linear_part=False, random_state=seed),
    "for_metric": for_metric,
}


def read(name, folder, seed):
    """Return X_train, Y_train, X_test, Y_test of a family or a data set."""
    X, Y, X_test, Y_test = make(name, seed) if name in FAMILIES else read_table(folder, name)
    varies = Y.min(axis=0) < Y.max(axis=0)
    return X, Y[:, varies], X_test, Y_test[:, varies]


def measure(contender, table, folder, seed):
    """Return the metrics of a contender on a table.

    "parts" has the log loss and LRAP of parts of the test rows, the same for all contenders, for
    standard errors of differences.
    """
    X, Y, X_test, Y_test = read(table, folder, seed)
    model = CONTENDERS[contender](X, seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        model.fit(X, Y)
        seconds = time.perf_counter() - start
    scores = model.predict_proba(X_test).astype(float).clip(1e-7, 1 - 1e-7)
    n_parts = min(MOST_PARTS, len(Y_test))
    metrics = {"log_loss": multilabel_log_loss, "lrap": label_ranking_average_precision}
    return {
        "contender": contender, "table": table, "seed": seed,
        **{name: round(float(f(Y_test, scores)), 6) for name, f in metrics.items()},
        "seconds": round(seconds, 2), "warnings": len(caught),
        "parts": {
            name: [round(float(f(Y_test[i::n_parts], scores[i::n_parts])), 5)
                   for i in range(n_parts)]
            for name, f in metrics.items()
        },
    }  # fmt: skip


def load(path):
    """Return the results in a file, by contender, table and seed."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(row["contender"], row["table"], row["seed"]): row for row in rows}


def report(path, path_before):
    """Print the results, with those of a baseline before them."""
    new, old = load(path), load(path_before) if path_before else {}
    columns = {
        "priors": ("priors", old | new),
        "logistic": ("logistic", old | new),
        "network, before": ("network", old),
        "network": ("network", new),
        "no linear part": ("no linear part", new),
        "for_metric, before": ("for_metric", old),
        "for_metric": ("for_metric", new),
    }
    tables = list(dict.fromkeys((table, seed) for _, table, seed in new))
    rows = {
        title: [results.get((contender, *table)) for table in tables]
        for title, (contender, results) in columns.items()
    }
    rows = {title: column for title, column in rows.items() if any(column)}
    compared = [title for title in rows if title not in ("priors", "logistic")]
    texts = {title: [metrics_of(row) for row in column] for title, column in rows.items()}
    for title in compared:
        pairs = zip(texts[title], rows[title], rows["logistic"], strict=True)
        texts[title] = [text + versus(row, reference) for text, row, reference in pairs]
    print("\nLog loss / LRAP (log loss against logistic regression, in standard errors)\n")
    print_table(tables, texts)
    behind = {title: sum(text.endswith("**") for text in texts[title]) for title in compared}
    print("\nBehind the logistic regression:", behind)
    print("\nSeconds of fit, number of warnings\n")
    print_table(tables, {
        title: [f"{row['seconds']:.1f}, {row['warnings']}" if row else "" for row in column]
        for title, column in rows.items() if title != "priors"
    })  # fmt: skip


def print_table(tables, columns):
    """Print a Markdown table with a row per table."""
    print("| table | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|")
    for (table, seed), *cells in zip(tables, *columns.values(), strict=True):
        print(f"| {table}{f', seed {seed}' if seed else ''} | " + " | ".join(cells) + " |")


def metrics_of(row):
    return f"{row['log_loss']:.4f} / {row['lrap']:.3f}" if row else ""


def versus(row, reference):
    """Return how a result compares with that of the logistic regression."""
    if not (row and reference):
        return ""
    parts = np.subtract(row["parts"]["log_loss"], reference["parts"]["log_loss"])
    errors = parts.mean() / max(parts.std(ddof=1) / np.sqrt(len(parts)), 1e-9)
    loss, lrap = (row[name] - reference[name] for name in ("log_loss", "lrap"))
    return f" ({errors:+.1f})" + " **" * (loss > 0.005 or lrap < -0.01)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("linear.jsonl"))
    parser.add_argument("--data", type=Path, help="folder of data sets")
    parser.add_argument("--tables", nargs="+", help="names; default: all families and data sets")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS)
    parser.add_argument("--for-metric", action="store_true", help="also DecodedClassifierCV")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--report", nargs="+", type=Path, metavar="FILE", help="print results")
    options = parser.parse_args()
    if options.report:
        report(*options.report, *[None] * (2 - len(options.report)))
        return
    tables = options.tables
    if tables is None:
        folder = sorted(options.data.glob("*.npz")) if options.data else []
        tables = [*FAMILIES, *(path.stem for path in folder)]
    contenders = options.contenders
    if contenders is None:
        contenders = [name for name in CONTENDERS if name != "for_metric" or options.for_metric]
        if "linear_part" not in MultiLabelNetClassifier().get_params():
            contenders.remove("no linear part")
    print_machine()
    done = load(options.out)
    for seed in options.seeds:
        for table in tables:
            for contender in contenders:
                if (contender, table, seed) in done:
                    continue
                row = measure(contender, table, options.data, seed)
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                values = f"{row['log_loss']:.4f} {row['lrap']:.3f} {row['seconds']:7.1f} s"
                print(f"{table:25} {seed} {contender:15} {values}", flush=True)


if __name__ == "__main__":
    main()
