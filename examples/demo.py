"""
The main job: which loss and which decision?
============================================

Cross-validates losses and decoders on a real table, takes the best pair, and compares it on the
official test rows with what scikit-learn offers. Takes about a minute on two cores.
"""

import argparse
import time

import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    hamming_loss,
    label_ranking_average_precision_score,
    make_scorer,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

LOSSES = ["bce", "focal", "asymmetric", "zlpr", "softmax_ce", "factorized", "brier"]
DECODERS = ["auto", "global_threshold", "per_label_threshold"]
QUICK_LOSSES = ["bce", "softmax_ce"]

SCORERS = {
    "micro-F1": make_scorer(f1_score, average="micro", zero_division=0),
    "macro-F1": make_scorer(f1_score, average="macro", zero_division=0),
    "samples-F1": make_scorer(f1_score, average="samples", zero_division=0),
    "Hamming loss": make_scorer(hamming_loss),
    "subset accuracy": make_scorer(accuracy_score),
    "LRAP": make_scorer(label_ranking_average_precision_score, response_method="predict_proba"),
}


def cross_validate(model, X, Y, losses, n_folds):
    """Return a table with the mean of each measure for each loss and decoder."""
    rows = []
    start = time.perf_counter()
    for i, loss in enumerate(losses, 1):
        search = GridSearchCV(
            model,
            {"net__loss": [loss], "net__decoder": DECODERS},
            scoring=SCORERS,
            refit=False,
            cv=MultilabelStratifiedKFold(n_folds, random_state=0),
            n_jobs=2,
            error_score="raise",
        ).fit(X, Y)
        results = search.cv_results_
        for j, params in enumerate(results["params"]):
            scores = {name: results[f"mean_test_{name}"][j] for name in SCORERS}
            rows.append({"loss": loss, "decoder": params["net__decoder"], **scores})
        best = max(rows[-len(DECODERS) :], key=lambda row: row["macro-F1"])
        seconds = time.perf_counter() - start
        print(
            f"[{i}/{len(losses)}] {loss:<12} best macro-F1 {best['macro-F1']:.3f} with decoder "
            f"{best['decoder']}   ({seconds:.0f} s)",
            flush=True,
        )
    return pd.DataFrame(rows)


def on_test(models, X_train, Y_train, X_test, Y_test):
    """Return a table with each measure on the test rows for each fitted model."""
    rows = {}
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(X_train, Y_train)
        seconds = time.perf_counter() - start
        Y_hat, proba = model.predict(X_test), model.predict_proba(X_test)
        if isinstance(proba, list):
            # A forest returns an array a label.
            proba = pd.DataFrame({i: p[:, 1] for i, p in enumerate(proba)}).to_numpy()
        rows[name] = {
            "micro-F1": f1_score(Y_test, Y_hat, average="micro", zero_division=0),
            "macro-F1": f1_score(Y_test, Y_hat, average="macro", zero_division=0),
            "samples-F1": f1_score(Y_test, Y_hat, average="samples", zero_division=0),
            "Hamming loss": hamming_loss(Y_test, Y_hat),
            "subset accuracy": accuracy_score(Y_test, Y_hat),
            "LRAP": label_ranking_average_precision_score(Y_test, proba),
            "seconds": seconds,
        }
    return pd.DataFrame(rows).T


def main():
    """Run the demo."""
    parser = argparse.ArgumentParser(description="Choose loss and decoder on the yeast table.")
    parser.add_argument(
        "--metric", choices=[*SCORERS], default="macro-F1", help="what to choose by"
    )
    parser.add_argument("--quick", action="store_true", help="two losses, two folds")
    options = parser.parse_args()

    X_train, Y_train = load_yeast(subset="train", return_X_y=True)
    X_test, Y_test = load_yeast(subset="test", return_X_y=True)
    print(
        f"yeast: {len(X_train)} training and {len(X_test)} test rows, {X_train.shape[1]} features, "
        f"{Y_train.shape[1]} labels, {Y_train.sum(axis=1).mean():.1f} labels a row\n"
    )

    net = MultiLabelNetClassifier(random_state=0)
    model = Pipeline([("scale", StandardScaler()), ("net", net)])
    losses, n_folds = (QUICK_LOSSES, 2) if options.quick else (LOSSES, 3)
    print(f"Cross-validation of {len(losses)} losses x {len(DECODERS)} decoders, {n_folds} folds")
    table = cross_validate(model, X_train, Y_train, losses, n_folds)

    ascending = options.metric == "Hamming loss"
    table = table.sort_values(options.metric, ascending=ascending)
    print(f"\nBy cross-validation on the training rows, best {options.metric} first:")
    print(table.round(3).to_string(index=False))

    loss, decoder = table.iloc[0][["loss", "decoder"]]
    winner = clone(model).set_params(net__loss=loss, net__decoder=decoder)
    models = {
        f"{loss} + {decoder}": winner,
        "MLPClassifier": make_pipeline(
            StandardScaler(), MLPClassifier((256,), early_stopping=True, random_state=0)
        ),
        "random forest": RandomForestClassifier(300, n_jobs=2, random_state=0),
    }
    print("\nThe chosen pair on the test rows, beside scikit-learn with its fixed threshold 1/2:")
    print(on_test(models, X_train, Y_train, X_test, Y_test).round(3).to_string())


if __name__ == "__main__":
    main()
