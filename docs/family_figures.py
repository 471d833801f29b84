"""Draw the figures of the pages of losses and decoders: python docs/family_figures.py."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn_mlloss.decoders import get_decoder
from sklearn_mlloss.losses import Criterion, get_loss

IMAGES = Path(__file__).parent / "images"
PRESENT, ABSENT, GREY = "#0072B2", "#D55E00", "0.7"
# No label, the first, the second, both.
SETS = matplotlib.colors.ListedColormap(["#f2f2f2", "#8ecae6", "#fbb77a", "#7a5195"])

# Losses of one logit, by page.
SEPARABLE = {
    "losses_cross_entropy": ["bce", "poly1", "ldam", "distribution_balanced"],
    "losses_focal": ["focal", "asymmetric", "asymmetric_polynomial", "hill", "splc"],
    "losses_distance": [
        "brier",
        "mse",
        "abs_kl",
        "hinge",
        "squared_hinge",
        "exponential",
        "cloglog",
    ],
}
# Losses of several logits. A batch is one row with a present and an absent label, or for soft
# F-measures one label that is present in the first row and absent in the second.
ROW, LABEL = np.array([[1.0, 0.0]]), np.array([[1.0], [0.0]])
JOINT = {
    "losses_softmax": (ROW, ["softmax_ce", "factorized", "poisson_softmax"]),
    "losses_sets": (
        ROW,
        ["zlpr", "balanced_bce", "lsep", "two_way", "bp_mll", "multilabel_margin"],
    ),
    "losses_measures": (LABEL, ["soft_fbeta", "sigmoid_f1", "tversky"]),
}
# Decoders without anything to fit, or fitted on the rows below.
DECODERS = {
    "decoders_thresholds": [
        "threshold",
        "global_threshold",
        "per_label_threshold",
        "cost",
    ],
    "decoders_rows": ["top_k", "cardinality", "cumulative", "threshold_function"],
    "decoders_expected": ["expected_fbeta", "expected_jaccard", "label_set", "gfm"],
}


def save(figure, name):
    """Write a figure to the folder of images."""
    figure.savefig(IMAGES / f"{name}.png", dpi=90)
    plt.close(figure)
    print(f"docs/images/{name}.png")


def value_and_slope(loss, s, target):
    """Return the loss of each logit and its derivative."""
    s = s.clone().requires_grad_()
    value = loss.objective(s, torch.full_like(s, target))
    (slope,) = torch.autograd.grad(value.sum(), s)
    return value.detach().numpy(), slope[:, 0].numpy()


def draw_separable(name, losses):
    """Draw loss, derivative and link as functions of the logit."""
    s = torch.linspace(-6, 6, 401, dtype=torch.float64).unsqueeze(1)
    columns = 3 if len(losses) == 5 else 4
    rows = -(-len(losses) // columns)
    figure = plt.figure(figsize=(10, 3.2 * rows + 0.4), layout="constrained")
    cells = figure.subfigures(rows, columns, squeeze=False).flat
    for cell, key in zip(cells, losses, strict=False):
        upper, lower = cell.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
        loss = get_loss(key).fit(LABEL)
        for target, colour, word in (
            (1.0, PRESENT, "present"),
            (0.0, ABSENT, "absent"),
        ):
            value, slope = value_and_slope(loss, s, target)
            upper.plot(s, value, color=colour, label=f"loss, {word}")
            upper.plot(s, slope, ":", color=colour, label=f"derivative, {word}")
        upper.set(ylim=(-2.2, 5), yticks=[-2, 0, 2, 4])
        upper.set_title(key, fontweight="bold", fontsize="medium")
        lower.plot(s, s.sigmoid(), color=GREY, label="sigmoid")
        lower.plot(s, loss.link(s), color="black", label="link")
        lower.set(xlim=(-6, 6), ylim=(-0.05, 1.05), yticks=[0, 0.5, 1], xlabel="logit")
    handles = upper.get_legend_handles_labels()[0]
    handles += lower.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, frameon=False)
    save(figure, name)


def surface(loss, Y, grid):
    """Return the loss, and the direction of descent, at each pair of logits."""
    criterion = Criterion(loss)
    value = np.empty((len(grid), len(grid)))
    step = np.empty((2, len(grid), len(grid)))
    for i, absent in enumerate(grid):
        for j, present in enumerate(grid):
            s = torch.tensor([present, absent]).reshape(Y.shape).requires_grad_()
            rest = torch.zeros(len(Y), loss.n_outputs_ - Y.shape[1], dtype=s.dtype)
            result = criterion(torch.hstack([s, rest]), torch.tensor(Y))
            value[i, j] = result.item()
            step[:, i, j] = -torch.autograd.grad(result, s)[0].flatten().numpy()
    return value, step


def draw_joint(name, Y, losses):
    """Draw the loss as a function of two logits, with the direction of descent."""
    grid = np.linspace(-4, 4, 33)
    columns = min(3, len(losses))
    rows = -(-len(losses) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(10, 3.2 * rows + 0.2),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    if Y is ROW:
        names = ("logit of the present label", "logit of the absent label")
    else:
        names = ("logit of the row with the label", "logit of the row without")
    for ax, key in zip(axes.flat, losses, strict=True):
        value, step = surface(get_loss(key).fit(Y), Y, grid)
        ax.contourf(grid, grid, value, 14, cmap="viridis")
        places = slice(2, None, 4)
        arrows = step[:, places, places]
        length = np.hypot(*arrows).max()
        ax.quiver(
            grid[places], grid[places], *(arrows / length), color="white", scale=14
        )
        ax.set_title(key, fontweight="bold", fontsize="medium")
        ax.set_aspect("equal")
    for ax in axes[-1]:
        ax.set_xlabel(names[0])
    for ax in axes[:, 0]:
        ax.set_ylabel(names[1])
    save(figure, name)


def draw_decoders(name, decoders):
    """Draw which labels are predicted at each pair of scores."""
    rng = np.random.default_rng(0)
    scores = rng.beta(1, 1.5, size=(2000, 2))
    # The second label is present rather with the first than without.
    Y = (rng.random(scores.shape) < scores).astype(float)
    Y[:, 1] = np.where(rng.random(len(Y)) < 0.4, Y[:, 0], Y[:, 1])
    grid = np.linspace(0.0025, 0.9975, 200)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    figure, axes = plt.subplots(
        1,
        len(decoders),
        figsize=(10, 3.4),
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for ax, key in zip(axes, decoders, strict=True):
        decoder = get_decoder(key)
        if key == "cost":
            decoder.set_params(fp_cost=1, fn_cost=3)
        decoder.fit(scores, Y)
        chosen = decoder.decode(points) @ [1, 2]
        ax.pcolormesh(
            grid, grid, chosen.reshape(200, 200), cmap=SETS, vmin=-0.5, vmax=3.5
        )
        ax.set_title(key, fontweight="bold", fontsize="medium")
        ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal")
        ax.set_xlabel("score of label 1")
    axes[0].set_ylabel("score of label 2")
    names = ("no label", "label 1", "label 2", "both")
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=SETS(i), label=label)
        for i, label in enumerate(names)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    save(figure, name)


if __name__ == "__main__":
    for page, losses in SEPARABLE.items():
        draw_separable(page, losses)
    for page, (Y, losses) in JOINT.items():
        draw_joint(page, Y, losses)
    for page, decoders in DECODERS.items():
        draw_decoders(page, decoders)
