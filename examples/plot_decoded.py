"""
Threshold tuning for random forests and gradient boosting
=========================================================

``DecodedClassifierCV`` adds calibrators and decoders to any scikit-learn classifier: here, to a
random forest and to gradient boosting with one model per label. No network is needed.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multioutput import MultiOutputClassifier

from sklearn_mlloss import DecodedClassifierCV
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.decoders import get_decoder

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
X, Y = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)
size = 100
if SMALL:
    X, Y, size = X[::3], Y[::3], 10
models = {
    "random forest": RandomForestClassifier(size, min_samples_leaf=3, random_state=0),
    "gradient boosting": MultiOutputClassifier(
        HistGradientBoostingClassifier(max_iter=size // 2, max_leaf_nodes=8, random_state=0)
    ),
}

# %%
# ``DecodedClassifierCV`` fits one random forest per fold, fits thresholds on all out-of-fold
# scores, and averages the random forests for predictions.
model = DecodedClassifierCV(models["random forest"], "per_label_threshold", cv=3, random_state=0)
Y_hat = model.fit(X, Y).predict(X_test)
print(f"macro-F1 {f1_score(Y_test, Y_hat, average='macro'):.3f}")

# %%
# To compare decoders, one training is enough: ``store_cv_results`` keeps the scores that decoders
# are fitted on.
decoders = [
    "threshold",
    "global_threshold",
    "per_label_threshold",
    "proportion",
    "cardinality",
    "expected_fbeta",
    "label_set",
]
measures = {
    "micro-F1": lambda Y, Y_hat: f1_score(Y, Y_hat, average="micro"),
    "macro-F1": lambda Y, Y_hat: f1_score(Y, Y_hat, average="macro", zero_division=0),
    "samples-F1": lambda Y, Y_hat: f1_score(Y, Y_hat, average="samples", zero_division=0),
    "subset accuracy": accuracy_score,
}
rows = ["plain predict", *decoders]
results = {}
for name, estimator in models.items():
    model = DecodedClassifierCV(estimator, cv=3, store_cv_results=True, random_state=0).fit(X, Y)
    proba = model.predict_proba(X_test)
    decisions = [clone(estimator).fit(X, Y).predict(X_test)]
    decisions += [get_decoder(d).fit(model.oof_scores_, Y).decode(proba) for d in decoders]
    results[name] = np.array(
        [[measure(Y_test, Y_hat) for measure in measures.values()] for Y_hat in decisions]
    )

# %%
# Each metric has its own best decoder: one threshold is good for micro-F1, one threshold per label
# is best for macro-F1, ``expected_fbeta`` for samples-F1, and ``label_set`` for subset accuracy.
# The best decoder for one metric may be worse than plain ``predict`` for another: with one
# threshold per label, subset accuracy is lower. And the decoder matters more than the model: the
# difference between the best decoders of the two models is small compared with the difference
# between plain ``predict`` and the best decoder.
figure, axes = plt.subplots(1, 4, figsize=(13, 4.2), layout="constrained", sharey=True)
styles = {"random forest": ("#009E73", "o"), "gradient boosting": ("#0072B2", "s")}
for k, (axis, measure) in enumerate(zip(axes, measures, strict=True)):
    for shift, (name, (colour, marker)) in zip((-0.14, 0.14), styles.items(), strict=True):
        values, height = results[name][:, k], np.arange(len(rows)) + shift
        axis.plot(values, height, marker, color=colour, markersize=7, label=name)
        axis.axvline(values[0], color=colour, linestyle=":", linewidth=1)
        best = values.argmax()
        axis.plot(values[best], height[best], "o", markersize=13, fillstyle="none", color=colour)
    axis.set(title=measure, ylim=(len(rows) - 0.5, -0.5))
    axis.margins(x=0.12)
    axis.grid(axis="y", color="0.93")
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_yticks(range(len(rows)), rows)
handles, names = axes[0].get_legend_handles_labels()
ring = plt.Line2D([], [], marker="o", markersize=12, fillstyle="none", linestyle="", color="0.3")
line = plt.Line2D([], [], linestyle=":", color="0.3")
figure.legend(
    [*handles, ring, line],
    [*names, "best decoder per model", "plain predict"],
    loc="outside upper center",
    ncols=4,
    frameon=False,
)
plt.show()
