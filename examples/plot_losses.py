"""
Loss functions, gradients and links
===================================

Each separable loss as a function of one logit: its value and derivative if the label is present and
if it is absent, and the probability that its link computes from the logit, compared with the
sigmoid.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from sklearn_mlloss.losses import LOSSES, SeparableLoss

# %%
# One label, present in every second row, for the label statistics that some losses use.
Y = np.array([[0.0], [1.0]])
names = [name for name, loss in LOSSES.items() if issubclass(loss, SeparableLoss)]
logits = torch.linspace(-6, 6, 601, dtype=torch.float64).unsqueeze(1)


def value_and_derivative(loss, target):
    """Return the loss of each logit and its derivative."""
    s = logits.clone().requires_grad_()
    value = loss.objective(s, torch.full_like(s, target))
    (slope,) = torch.autograd.grad(value.sum(), s)
    return value.detach().numpy(), slope[:, 0].numpy()


# %%
# The upper panel of each pair shows the loss (solid) and its derivative (dotted) if the label is
# present and if it is absent. A derivative near 0 means that such an entry no longer contributes to
# the training: the focal loss down-weights well-classified examples; hill, brier and asymmetric
# also down-weight absent labels with a large logit, which may be wrong labels.
#
# The lower panel shows the link, and the sigmoid in grey. Where they differ, ``sigmoid(s) >= 0.5``
# is not a threshold of 1/2 on the probability.
columns = 4
rows = -(-len(names) // columns)
figure = plt.figure(figsize=(12, 3.1 * rows), layout="constrained")
grid = figure.subfigures(rows, columns, hspace=0.03)
for cell, name in zip(grid.flat, names, strict=False):
    upper, lower = cell.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
    loss = LOSSES[name]().fit(Y)
    for target, colour, word in ((1.0, "#0072B2", "present"), (0.0, "#D55E00", "absent")):
        value, slope = value_and_derivative(loss, target)
        upper.plot(logits, value, color=colour, label=f"loss, {word}")
        upper.plot(logits, slope, color=colour, linestyle=":", label=f"derivative, {word}")
    upper.axhline(0, color="0.85", linewidth=0.8, zorder=0)
    upper.set(ylim=(-2.2, 5), yticks=[-2, 0, 2, 4])
    upper.set_title(name, fontweight="bold", fontsize="medium")
    lower.plot(logits, logits.sigmoid(), color="0.7", label="sigmoid")
    lower.plot(logits, loss.link(logits), color="black", label="link")
    lower.axhline(0.5, color="0.85", linewidth=0.8, zorder=0)
    lower.set(xlim=(-6, 6), xticks=[-5, 0, 5], ylim=(-0.05, 1.05), yticks=[0, 0.5, 1])
for cell in grid[-1]:
    cell.supxlabel("logit s", fontsize="medium")
handles = upper.get_legend_handles_labels()[0] + lower.get_legend_handles_labels()[0]
figure.legend(handles=handles, loc="outside upper center", ncols=6, frameon=False)
plt.show()
