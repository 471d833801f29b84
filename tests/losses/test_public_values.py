"""Where a trusted public implementation is right, the losses agree with what it returned."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_mlloss.losses import (
    AsymmetricLoss,
    BinaryCrossEntropy,
    FocalLoss,
    MultilabelMarginLoss,
)

RECORD = json.loads((Path(__file__).parent / "public" / "values.json").read_text(encoding="utf-8"))
LOGITS, TARGETS = (torch.tensor(RECORD[k], dtype=torch.float64) for k in ("logits", "targets"))

# Losses of single entries are compared with those of single entries.
ENTRIES = {
    "torch BCEWithLogitsLoss, pos_weight": BinaryCrossEntropy(RECORD["pos_weight"]),
    "torchvision sigmoid_focal_loss, 0.25, 2": FocalLoss(2, alpha=0.25),
    "torchvision sigmoid_focal_loss, none, 1.5": FocalLoss(1.5),
    "timm AsymmetricLossMultiLabel, 4, 1, 0.05": AsymmetricLoss(1, 4, 0.05),
    "timm AsymmetricLossMultiLabel, 2, 1, 0": AsymmetricLoss(1, 2, 0),
}
ROWS = {
    "torch MultiLabelSoftMarginLoss": BinaryCrossEntropy(),
    "torch MultiLabelMarginLoss": MultilabelMarginLoss(),
}


def test_every_frozen_value_is_compared():
    assert RECORD["values"].keys() == ENTRIES.keys() | ROWS.keys()


@pytest.mark.parametrize("name", ENTRIES)
def test_entries(name):
    loss = ENTRIES[name].fit(TARGETS.numpy())
    found = loss.mixture(LOGITS, TARGETS)
    # timm works in float32, and clamps probabilities at 1e-8, which these logits stay away from.
    rtol = 1e-5 if name.startswith("timm") else 1e-10
    np.testing.assert_allclose(found.numpy(), RECORD["values"][name], rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("name", ROWS)
def test_rows(name):
    found = ROWS[name].fit(TARGETS.numpy()).objective(LOGITS, TARGETS)
    np.testing.assert_allclose(found.numpy(), RECORD["values"][name], rtol=1e-10, atol=1e-12)
