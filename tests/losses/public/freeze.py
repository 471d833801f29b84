"""Freeze results of trusted public implementations, for tests without them.

    pip install torch torchvision timm
    python tests/losses/public/freeze.py

Writes values.json beside this file: inputs, and the loss of each entry or row.
"""

import json
from pathlib import Path

import timm
import torch
import torchvision
from timm.loss import AsymmetricLossMultiLabel
from torchvision.ops import sigmoid_focal_loss

N_ROWS, N_LABELS = 6, 5


def main():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(N_ROWS, N_LABELS, generator=generator, dtype=torch.float64)
    targets = (torch.rand(N_ROWS, N_LABELS, generator=generator) < 0.4).double()
    targets[0], targets[1] = 0, 1
    pos_weight = torch.tensor([0.5, 1.0, 2.0, 3.0, 10.0], dtype=torch.float64)
    # Label numbers in front, padded with -1, as this loss of torch wants them.
    numbers = torch.full((N_ROWS, N_LABELS), -1)
    for i, row in enumerate(targets):
        present = row.nonzero()[:, 0]
        numbers[i, : len(present)] = present

    def asymmetric(gamma_neg, gamma_pos, clip):
        loss = AsymmetricLossMultiLabel(gamma_neg, gamma_pos, clip)
        # It sums over all it is given: one entry at a time.
        return [
            [loss(s.view(1, 1), y.view(1, 1)).item() for s, y in zip(*row, strict=True)]
            for row in zip(logits, targets, strict=True)
        ]

    values = {
        "torch BCEWithLogitsLoss, pos_weight": torch.nn.BCEWithLogitsLoss(
            reduction="none", pos_weight=pos_weight
        )(logits, targets).tolist(),
        "torch MultiLabelSoftMarginLoss": torch.nn.MultiLabelSoftMarginLoss(reduction="none")(
            logits, targets
        ).tolist(),
        "torch MultiLabelMarginLoss": torch.nn.MultiLabelMarginLoss(reduction="none")(
            logits, numbers
        ).tolist(),
        "torchvision sigmoid_focal_loss, 0.25, 2": sigmoid_focal_loss(
            logits, targets, alpha=0.25, gamma=2
        ).tolist(),
        "torchvision sigmoid_focal_loss, none, 1.5": sigmoid_focal_loss(
            logits, targets, alpha=-1, gamma=1.5
        ).tolist(),
        "timm AsymmetricLossMultiLabel, 4, 1, 0.05": asymmetric(4, 1, 0.05),
        "timm AsymmetricLossMultiLabel, 2, 1, 0": asymmetric(2, 1, 0),
    }
    record = {
        "made with": {m.__name__: m.__version__ for m in (torch, torchvision, timm)},
        "logits": logits.tolist(),
        "targets": targets.tolist(),
        "pos_weight": pos_weight.tolist(),
        "values": values,
    }
    path = Path(__file__).with_name("values.json")
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
