"""
Demo: the recommended classifier, a search, and a report
========================================================

On a real data set: fits the classifier that the README recommends, selects the loss and the decoder
of a single network by cross-validation, compares both with scikit-learn's models on the official
test rows, says which to use, and writes a report for a colleague into one HTML file. Takes about a
minute on two cores.
"""

import argparse
import time
from importlib.util import find_spec

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import check_scoring
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import DecodedClassifierCV, LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import report
from sklearn_mlloss.metrics import f_measure, multilabel_scorers

OURS = "for_metric: networks, trees, linear model"
METRICS = {
    "macro-F1": "f1_macro",
    "micro-F1": "f1_micro",
    "samples-F1": "f1_samples",
    "subset accuracy": "subset_accuracy",
    "Hamming loss": "neg_hamming_loss",
    "LRAP": "label_ranking_average_precision",
    "log loss": "neg_log_loss",
}


def make_models(quick):
    """Return the classifiers that are compared, by name."""
    n_trees = 50 if quick else 300
    forest = RandomForestClassifier(n_trees, n_jobs=2, random_state=0)
    few = {"cv": 2, "max_epochs": 20} if quick else {}
    return {
        OURS: DecodedClassifierCV.for_metric("f1_macro", random_state=0, **few),
        "search: one network per fold": LossDecoderSearchCV(
            MultiLabelNetClassifier(random_state=0),
            losses=["bce", "focal", "zlpr", "tversky"][: 2 if quick else 4],
            decoders=["threshold", "per_label_threshold", "expected_fbeta"],
            scoring="f1_macro",
            cv=2 if quick else 5,
            random_state=0,
        ),
        "random forest": forest,
        "random forest + per-label thresholds": DecodedClassifierCV(
            forest, "per_label_threshold", cv=2 if quick else 5, random_state=0
        ),
        "MLPClassifier": make_pipeline(
            StandardScaler(), MLPClassifier((256,), early_stopping=True, random_state=0)
        ),
    }


def scores_on(models, X, Y):
    """Return a table with each metric per model."""
    scorers = {key: multilabel_scorers()[key] for key in METRICS.values()}
    rows = {}
    for name, model in models.items():
        scores = check_scoring(model, scorers)(model, X, Y)  # one prediction for all metrics
        rows[name] = {title: abs(scores[key]) for title, key in METRICS.items()}
    return pd.DataFrame(rows).T


def conclusion(models, table, X, Y, n_bootstrap=200):
    """Return in words which model to use, by the macro-F1 on bootstrap samples of rows."""
    Y, macro_f1 = np.asarray(Y), table["macro-F1"]
    best, second = macro_f1.nlargest(2).index
    draws = np.random.default_rng(0).integers(len(Y), size=(n_bootstrap, len(Y)))
    first_labels, second_labels = (np.asarray(models[name].predict(X)) for name in (best, second))
    differences = [
        f_measure(Y[rows], first_labels[rows], average="macro")
        - f_measure(Y[rows], second_labels[rows], average="macro")
        for rows in draws
    ]
    low, high = np.quantile(differences, [0.025, 0.975])
    chance = "within chance of it" if low <= 0 else "significantly behind"
    plain = macro_f1[["random forest", "MLPClassifier"]].idxmax()
    return (
        f"Use {best!r}: its macro-F1 is {macro_f1[best]:.3f}, where {plain} with a threshold of "
        f"1/2 has {macro_f1[plain]:.3f}.\nThe runner-up, {second!r}, is {chance}: "
        f"{macro_f1[best] - macro_f1[second]:.3f} less, 95 % interval {low:.3f} to {high:.3f}."
    )


def main():
    """Run the demo."""
    parser = argparse.ArgumentParser(description="Compare classifiers on yeast.")
    parser.add_argument("--quick", action="store_true", help="fewer folds, epochs and trees")
    parser.add_argument("--report", default="demo.html", help="where to save the report")
    options = parser.parse_args()

    # Columns and labels have names.
    X, Y = load_yeast(subset="train", as_frame=True, return_X_y=True)
    X_test, Y_test = load_yeast(subset="test", as_frame=True, return_X_y=True)
    print(
        f"yeast: {len(X)} training and {len(X_test)} test rows, {X.shape[1]} features, "
        f"{Y.shape[1]} labels, {Y.to_numpy().sum(axis=1).mean():.1f} labels per row\n"
    )
    models, seconds = make_models(options.quick), {}
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(X, Y)
        seconds[name] = time.perf_counter() - start
        print(f"fitted {name} in {seconds[name]:.1f} s", flush=True)
    best, search = models[OURS], models["search: one network per fold"]

    print(f"\nThe search, by macro-F1 over folds of the training rows:\n\n{search.summary()}\n")
    print(f"The thresholds of {OURS!r}, fitted on out-of-fold rows:\n")
    thresholds = pd.Series(best.decoder_.thresholds_, index=best.label_names_)
    print(thresholds.round(2).to_frame("threshold").T.to_string(index=False), "\n")
    print("Predicted labels of the first test rows:")
    print(*best.predict_labels(X_test[:3]), sep="\n")

    print("\nOn the test rows:\n")
    table = scores_on(models, X_test, Y_test)
    print(table.round(3).assign(seconds=pd.Series(seconds).round(1)).to_string(), "\n")
    if find_spec("matplotlib"):
        path = report(best, X_test, Y_test, options.report, X_train=X, y_train=Y, n_repeats=0)
        print(f"Report for a colleague, with all labels, scores and mistakes: {path}\n")
    print(conclusion(models, table, X_test, Y_test))


if __name__ == "__main__":
    main()
