"""
Losses, their gradients and their links
=======================================

What each separable loss does to one logit: its value and slope where the label is present and
where it is absent, and the probability that its link reads off the logit, against the sigmoid.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from sklearn_mlloss.losses import LOSSES, SeparableLoss

# %%
# One label, present in every second row: the statistics that some losses use.
Y = np.array([[0.0], [1.0]])
names = [name for name, loss in LOSSES.items() if issubclass(loss, SeparableLoss)]
logits = torch.linspace(-6, 6, 601, dtype=torch.float64).unsqueeze(1)


def value_and_slope(loss, target):
    """Return the loss of each logit, and its derivative."""
    s = logits.clone().requires_grad_()
    value = loss.objective(s, torch.full_like(s, target))
    (slope,) = torch.autograd.grad(value.sum(), s)
    return value.detach().numpy(), slope[:, 0].numpy()


# %%
# The upper panel of each pair has the loss (solid) and its slope (dotted) where the label is
# present and where it is absent. A slope near 0 means that such an entry no longer trains: the
# focal loss lets go of what is right; hill, brier and asymmetric also of an absent label with a
# large logit, which may be a wrong label.
#
# The lower panel has the link, and the sigmoid in grey. Where they part, ``sigmoid(s) >= 0.5``
# decides at another probability than 1/2.
columns = 4
rows = -(-len(names) // columns)
figure = plt.figure(figsize=(12, 3.1 * rows), layout="constrained")
grid = figure.subfigures(rows, columns, hspace=0.03)
for cell, name in zip(grid.flat, names, strict=False):
    upper, lower = cell.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
    loss = LOSSES[name]().fit(Y)
    for target, colour, word in ((1.0, "#0072B2", "present"), (0.0, "#D55E00", "absent")):
        value, slope = value_and_slope(loss, target)
        upper.plot(logits, value, color=colour, label=f"loss, {word}")
        upper.plot(logits, slope, color=colour, linestyle=":", label=f"slope, {word}")
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
