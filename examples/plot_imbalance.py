"""
Class imbalance and rare labels: loss or decoder?
=================================================

Many losses are designed for rare labels. This example compares five of them and binary
cross-entropy, each with five decoders, on simulated data with known true probabilities, so that the
best attainable F1 is known as well.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.metrics import f1_score

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.decoders import get_decoder

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# Each of 20 labels depends on 15 normally distributed columns with its own coefficients:
# monotonically on one direction, and symmetrically on another; given the columns, labels are
# independent. With the chosen intercepts, label frequencies range from 30 % to 0.5 %: of 2000
# training rows, about 10 are positives of the rarest labels.
N_LABELS, N_COLUMNS = 20, 15
FREQUENCIES = np.geomspace(0.3, 0.005, N_LABELS)
world = np.random.default_rng(0)
ONE_SIDED, TWO_SIDED = world.normal(size=(2, N_COLUMNS, N_LABELS)) / np.sqrt(N_COLUMNS)


def slopes(X):
    """Return the part of the logits that depends on the row."""
    return 2 * X @ ONE_SIDED + np.abs(X @ TWO_SIDED)


reference = slopes(world.normal(size=(20_000, N_COLUMNS)))
INTERCEPTS = [
    brentq(lambda b, s=s, share=share: expit(s + b).mean() - share, -30, 30)
    for s, share in zip(reference.T, FREQUENCIES, strict=True)
]


def simulate(n_rows, seed):
    """Return columns, labels, and the true probabilities of the labels."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_rows, N_COLUMNS))
    P = expit(slopes(X) + INTERCEPTS)
    return X, (random.random(P.shape) < P).astype(int), P


X_test, Y_test, P_test = simulate(5_000 if SMALL else 20_000, seed=100)

# %%
# One training gives out-of-fold scores, on which each decoder is fitted. The whole experiment is
# repeated with new training rows; the test rows are the same.
losses = ["bce", "focal", "asymmetric", "ldam", "distribution_balanced", "balanced_bce"]
decoders = ["threshold", "global_threshold", "cardinality", "proportion", "per_label_threshold"]
n_repeats, n_rows = (1, 800) if SMALL else (3, 2000)

f1 = np.empty((n_repeats, len(losses), len(decoders), N_LABELS))
for repeat in range(n_repeats):
    X, Y, _ = simulate(n_rows, seed=repeat)
    for i, loss in enumerate(losses):
        model = MultiLabelNetClassifier(
            loss, "global_threshold", cv=3 if SMALL else 5, store_cv_results=True, random_state=0
        ).fit(X, Y)
        proba = model.predict_proba(X_test)
        for j, name in enumerate(decoders):
            decoder = get_decoder(name).fit(model.oof_scores_, Y)
            Y_hat = decoder.decode(proba)
            f1[repeat, i, j] = f1_score(Y_test, Y_hat, average=None, zero_division=0)

# %%
# The best attainable F1 uses the true probabilities, with optimal thresholds on the test rows.
ceiling = f1_score(
    Y_test, get_decoder("per_label_threshold").fit(P_test, Y_test).decode(P_test), average=None
)
macro = f1.mean(axis=3)
print(f"macro-F1 of the true probabilities: {ceiling.mean():.3f}")

# %%
# The decoder matters more than the loss. With a threshold of 1/2, hardly any rare label is
# predicted; balanced_bce is better there, because its scores overestimate the probabilities. With
# one threshold per label, none of the five losses gains much over binary cross-entropy, and
# balanced_bce is worse. Under 50 positives, all losses are far below the true probabilities: there
# are too few rows.
figure, (left, right) = plt.subplots(
    1, 2, figsize=(13, 5), layout="constrained", width_ratios=[1.15, 1]
)
mean = macro.mean(axis=0)
image = left.imshow(mean, cmap="viridis", aspect="auto")
for (i, j), value in np.ndenumerate(mean):
    text = f"{value:.3f}"
    if n_repeats > 1:
        text += f"\n± {macro[:, i, j].std(ddof=1) / np.sqrt(n_repeats):.3f}"
    dark = image.norm(value) < 0.6
    left.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
left.set_xticks(range(len(decoders)), [name.replace("_", "\n") for name in decoders])
left.set_yticks(range(len(losses)), losses)
left.set_title(f"macro-F1 (the true probabilities reach {ceiling.mean():.3f})", fontsize="medium")

expected = FREQUENCIES * n_rows
right.plot(expected, ceiling, color="black", label="true probabilities, best thresholds")
for loss, name, colour, marker in (
    ("bce", "per_label_threshold", "#0072B2", "o"),
    ("balanced_bce", "per_label_threshold", "#E69F00", "^"),
    ("balanced_bce", "threshold", "#E69F00", "v"),
    ("bce", "threshold", "#56B4E9", "s"),
):
    values = f1[:, losses.index(loss), decoders.index(name)].mean(axis=0)
    line = ":" if name == "threshold" else "-"
    right.plot(expected, values, line, color=colour, marker=marker, label=f"{loss}, {name}")
right.set(xscale="log", xlabel="expected positives in training", ylabel="F1 per label")
right.set(ylim=(-0.02, 1))
ticks = [n for n in (3, 10, 30, 100, 300) if n > expected.min() / 1.1]
right.set_xticks(ticks, ticks)
right.minorticks_off()
right.legend(frameon=False, loc="upper left")
right.spines[["top", "right"]].set_visible(False)
plt.show()
