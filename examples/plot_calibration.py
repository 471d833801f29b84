"""
Probability calibration per loss
================================

If probabilities are calibrated, three in ten entries with a score of 0.3 are positive. The focal
loss gives calibrated probabilities with its own link, but not with the sigmoid. Losses that rank
the labels of a row, or share a total probability among them, do not give probabilities. A
calibrator fitted on out-of-fold scores corrects their scores.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.calibration import SigmoidCalibrator, TemperatureCalibrator
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import CalibrationDisplay
from sklearn_mlloss.metrics import expected_calibration_error, multilabel_log_loss

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# Each loss trains one network per fold. ``calibration="sigmoid"`` would do all of the following
# within ``fit``. Here, the steps are separate, so that several calibrators use the same training.
X, Y = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)


def train(loss):
    """Return a fitted model with its out-of-fold scores."""
    model = MultiLabelNetClassifier(
        loss,
        "global_threshold",
        hidden_layer_sizes=(32,) if SMALL else (256,),
        cv=3,
        store_cv_results=True,
        random_state=0,
    )
    return model.fit(X, Y)


losses = ["focal", "bce", "zlpr", "balanced_bce", "lsep", "softmax_ce"]
models = {loss: train(loss) for loss in losses}

# %%
# For each loss, compare the scores from ``predict_proba`` with calibrated ones: one slope and one
# intercept per label.
scores = {}
for loss, model in models.items():
    raw = model.predict_proba(X_test)
    calibrator = SigmoidCalibrator().fit(model.oof_scores_, Y)
    scores[loss] = {"predict_proba": raw, "calibrated": calibrator.transform(raw)}

# %%
# Other code applies the sigmoid to the outputs of a network that was trained with the focal loss.
with torch.inference_mode():
    rows = torch.tensor(X_test, dtype=torch.float32)
    outputs = [net.module_(rows).double() for net in models["focal"].nets_]
scores["focal"]["sigmoid of the outputs"] = np.mean([s.sigmoid().numpy() for s in outputs], axis=0)

# %%
# The reliability diagrams pool all labels. The sigmoid after the focal loss is far too close to
# 1/2, and the link of the loss corrects this without fitting anything. The scores of balanced_bce
# are too high for most entries, those of softmax_ce far too low, because they share a total of 1
# among the four labels of a row. After calibration, all are close to the diagonal and hardly differ
# in log loss.
figure, axes = plt.subplots(2, 3, figsize=(10, 7.4), layout="constrained")
for axis, (loss, sets) in zip(axes.flat, scores.items(), strict=True):
    flat = {name: proba.reshape(-1, 1) for name, proba in sets.items()}
    CalibrationDisplay.from_predictions(
        Y_test.reshape(-1, 1), flat, label_names=[loss], strategy="uniform", ax=axis
    )
    axis.label_outer()


def legend_above(figure, axes):
    """Merge the legends of all panels into one above the figure."""
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
    for axis in axes.flat:
        if axis.get_legend():
            axis.get_legend().remove()


legend_above(figure, axes)
plt.show()

for loss, sets in scores.items():
    for name, proba in sets.items():
        log_loss = multilabel_log_loss(Y_test, proba)
        error = expected_calibration_error(Y_test, proba)
        print(f"{loss:<13} {name:<23} log loss {log_loss:.3f}   calibration error {error:.3f}")

# %%
# One temperature for all labels does not correct shifted scores, and for softmax_ce, the shift
# differs between labels.
raw = scores["softmax_ce"]["predict_proba"]
temperature = TemperatureCalibrator().fit(models["softmax_ce"].oof_scores_, Y)
figure, axes = plt.subplots(2, 3, figsize=(10, 7.4), layout="constrained")
CalibrationDisplay.from_predictions(
    Y_test,
    {
        "softmax_ce": raw,
        '"sigmoid"': scores["softmax_ce"]["calibrated"],
        '"temperature"': temperature.transform(raw),
    },
    labels=[11, 1, 3, 5, 7, 9],
    label_names=[f"label {k}" for k in range(Y.shape[1])],
    n_bins=6,
    ax=axes,
)
for axis in axes.flat:
    axis.label_outer()
legend_above(figure, axes)
plt.show()
