"""
Demo: select a loss and a decoder
=================================

Cross-validates losses and decoders on a real data set, reports which candidates are good, selects
the best, and compares it with scikit-learn's models on the official test rows. Takes about a minute
on two cores. Saves a figure of the search if matplotlib is installed.
"""

import argparse
import time
from importlib.util import find_spec

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    hamming_loss,
    label_ranking_average_precision_score,
    make_scorer,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import DecodedClassifierCV, LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import LossComparisonDisplay

QUICK_LOSSES = ["bce", "zlpr", "tversky"]


def f1(average):
    """Return a scorer for an F-measure."""
    return make_scorer(f1_score, average=average, zero_division=0)


SCORERS = {
    "macro-F1": f1("macro"),
    "micro-F1": f1("micro"),
    "samples-F1": f1("samples"),
    "subset accuracy": make_scorer(accuracy_score),
    "Hamming loss": make_scorer(hamming_loss, greater_is_better=False),
    "LRAP": make_scorer(label_ranking_average_precision_score, response_method="predict_proba"),
}


def best_per_metric(search):
    """Return a table with the best candidate per metric."""
    rows = []
    for metric in SCORERS:
        table = search.compare(metric)
        first = table.iloc[0]
        ties = (~table["verdict"].isin(["best", "worse", "failed"])).sum()
        rows.append(
            {
                "metric": metric,
                "best loss": first["loss"],
                # Probabilities do not depend on the decoder.
                "best decoder": "any" if metric == "LRAP" else first["decoder"],
                "score": abs(first["score"]),
                "not significantly worse": f"{ties} of {len(table) - 1}",
            }
        )
    return pd.DataFrame(rows)


def on_test(models, X_train, Y_train, X_test, Y_test):
    """Return a table with each metric on the test rows per model."""
    rows = {}
    for name, model in models.items():
        start = time.perf_counter()
        if isinstance(model, LossDecoderSearchCV):
            seconds = model.refit_time_  # the search has already trained it on all training rows
        else:
            model.fit(X_train, Y_train)
            seconds = time.perf_counter() - start
        Y_hat, proba = model.predict(X_test), model.predict_proba(X_test)
        if isinstance(proba, list):
            # A random forest returns one array per label.
            proba = pd.DataFrame({i: p[:, 1] for i, p in enumerate(proba)}).to_numpy()
        rows[name] = {
            "macro-F1": f1_score(Y_test, Y_hat, average="macro", zero_division=0),
            "micro-F1": f1_score(Y_test, Y_hat, average="micro", zero_division=0),
            "samples-F1": f1_score(Y_test, Y_hat, average="samples", zero_division=0),
            "subset accuracy": accuracy_score(Y_test, Y_hat),
            "Hamming loss": hamming_loss(Y_test, Y_hat),
            "LRAP": label_ranking_average_precision_score(Y_test, proba),
            "seconds to fit": seconds,
        }
    return pd.DataFrame(rows).T


def main():
    """Run the demo."""
    parser = argparse.ArgumentParser(description="Select a loss and a decoder on yeast.")
    parser.add_argument(
        "--metric", choices=[*SCORERS], default="macro-F1", help="metric to select by"
    )
    parser.add_argument("--quick", action="store_true", help="three losses, two folds")
    parser.add_argument("--plot", default="demo.png", help="where to save the figure")
    options = parser.parse_args()

    X_train, Y_train = load_yeast(subset="train", return_X_y=True)
    X_test, Y_test = load_yeast(subset="test", return_X_y=True)
    print(
        f"yeast: {len(X_train)} training and {len(X_test)} test rows, {X_train.shape[1]} features, "
        f"{Y_train.shape[1]} labels, {Y_train.sum(axis=1).mean():.1f} labels per row\n"
    )

    n_folds, n_trees = (2, 50) if options.quick else (5, 300)
    search = LossDecoderSearchCV(
        MultiLabelNetClassifier(),
        losses=QUICK_LOSSES if options.quick else "default",
        scoring=SCORERS,
        refit=options.metric,
        cv=n_folds,
        n_jobs=None if options.quick else 2,  # starting processes takes seconds
        random_state=0,
        verbose=1,
    )
    start = time.perf_counter()
    search.fit(X_train, Y_train)
    print(f"The search took {time.perf_counter() - start:.0f} s.\n")

    print(f"Mean {options.metric} over {n_folds} folds, best first:\n\n{search.summary()}\n")
    if find_spec("matplotlib"):
        display = LossComparisonDisplay.from_search(search)
        display.figure_.savefig(options.plot, dpi=100)
        print(f"Figure of all candidates: {options.plot}\n")

    print("The best candidate depends on the metric:\n")
    print(best_per_metric(search).round(3).to_string(index=False))

    forest = RandomForestClassifier(n_trees, n_jobs=2, random_state=0)
    decoder = search.best_params_["decoder"]
    models = {
        f"{search.best_loss_} + {search.best_decoder_}": search,
        "MLPClassifier": make_pipeline(
            StandardScaler(), MLPClassifier((256,), early_stopping=True, random_state=0)
        ),
        "random forest": forest,
        f"random forest + {search.best_decoder_}": DecodedClassifierCV(
            forest, decoder, cv=n_folds, random_state=0
        ),
    }
    print(
        "\nOn the test rows: the selected loss and decoder, trained on all training rows; "
        "scikit-learn's models\nwith a threshold of 1/2; and the random forest with the selected "
        "decoder, fitted on out-of-fold scores:\n"
    )
    print(on_test(models, X_train, Y_train, X_test, Y_test).round(3).to_string())


if __name__ == "__main__":
    main()
