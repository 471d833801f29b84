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
# Left: the loss (solid) and its slope (dotted) where the label is present (blue) and absent (red).
# A slope near 0 means that such an entry no longer trains. Right: the link (black) and the sigmoid
# (grey). Where they part, ``sigmoid(s) >= 0.5`` decides at another probability than 1/2.
columns = 3
rows = -(-len(names) // columns)
figure, axes = plt.subplots(
    rows, 2 * columns, figsize=(15, 2.1 * rows), layout="constrained", squeeze=False
)
for i, name in enumerate(names):
    loss = LOSSES[name]().fit(Y)
    left, right = axes[i // columns, 2 * (i % columns) : 2 * (i % columns) + 2]
    for target, colour in ((1.0, "tab:blue"), (0.0, "tab:red")):
        value, slope = value_and_slope(loss, target)
        left.plot(logits, value, color=colour)
        left.plot(logits, slope, color=colour, linestyle=":")
    left.set(title=name, xlim=(-6, 6), ylim=(-2.2, 5))
    right.plot(logits, logits.sigmoid(), color="0.7")
    right.plot(logits, loss.link(logits), color="black")
    right.axhline(0.5, color="0.85", linewidth=0.8, zorder=0)
    right.set(title="link", xlim=(-6, 6), ylim=(-0.03, 1.03))
for axis in axes.flat[2 * len(names) :]:
    axis.set_axis_off()
for axis in axes[-1]:
    axis.set_xlabel("logit s")
plt.show()
