"""
Quickstart
==========

Fit a model with the focal loss in a few lines, plot its predictions, and replace the decoder on the
same network without retraining.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import f1_score, hamming_loss

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast

# %%
# 2417 genes with 103 features each; a gene has several of 14 functions. We use the official split.
X_train, Y_train = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)

# %%
# The loss defines its own link to probabilities: with the focal loss, the sigmoid of the outputs
# would be too close to 1/2. X needs no scaler.
model = MultiLabelNetClassifier("focal", random_state=0).fit(X_train, Y_train)
print("encoding of the inputs:", model.encoding_, "because", model.encoding_reason_)

proba = model.predict_proba(X_test)
Y_hat = model.predict(X_test)
print("mean probability of the first labels:", proba.mean(axis=0)[:4].round(2))
print("frequency of the first labels:       ", Y_test.mean(axis=0)[:4].round(2))

# %%
# The first 30 test genes. The shade is the probability, a frame is a predicted label, with a
# probability of at least 1/2, and a dot is a true label. A frame with a dot is a true positive, a
# dot alone a false negative, and a frame alone a false positive.
genes = np.arange(30)
labels = np.argsort(-Y_train.mean(axis=0))  # the most frequent first
figure, axis = plt.subplots(figsize=(10, 4.8), layout="constrained")
shades = {"cmap": "Blues", "vmin": 0, "vmax": 1, "alpha": 0.8, "aspect": "auto"}
image = axis.imshow(proba[np.ix_(genes, labels)].T, **shades)
for marks, style in (
    (Y_hat, {"marker": "s", "s": 170, "facecolor": "none", "label": "predicted"}),
    (Y_test, {"marker": "o", "s": 22, "color": "#D55E00", "label": "true"}),
):
    row, column = np.nonzero(marks[np.ix_(genes, labels)])
    axis.scatter(row, column, edgecolor="black" if marks is Y_hat else "white", **style)
axis.set_yticks(range(len(labels)), [f"label {label}" for label in labels])
axis.set_xticks(genes[::5])
axis.set_xlabel("test gene")
figure.colorbar(image, label="predicted probability", pad=0.01)
figure.legend(loc="outside upper center", ncols=2, frameon=False)
plt.show()


# %%
# A threshold of 1/2 on the probability is optimal for the Hamming loss, but not for an F-measure.
# For that, replace the decoder of the fitted model by one with thresholds fitted on held-out rows.
# Half of the test rows are used for fitting, and both decoders are evaluated on the other half.
def report(name, Y_hat):
    """Print two metrics with different optimal decoders."""
    Y = Y_test[450:]
    f1 = f1_score(Y, Y_hat, average="macro", zero_division=0)
    print(f"{name:<20} Hamming loss {hamming_loss(Y, Y_hat):.3f}   macro-F1 {f1:.3f}")


report("threshold 1/2", model.predict(X_test[450:]))
model.fit_decoder(X_test[:450], Y_test[:450], decoder="per_label_threshold")
report("per-label thresholds", model.predict(X_test[450:]))
