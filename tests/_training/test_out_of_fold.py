"""Outputs that are kept after each epoch, and the epochs that other folds chose."""

import pytest
import torch

from sklearn_mlloss._training.callbacks import OutputsByEpoch
from sklearn_mlloss._training.fit import epochs_of_others


def recorded(n_epochs):
    kept = OutputsByEpoch()
    for epoch in range(1, n_epochs + 1):
        kept.record([torch.full((2, 3), float(epoch)), torch.full((1, 3), float(epoch))])
    return kept


def test_all_epochs_are_kept_if_they_are_small():
    kept = recorded(50)
    assert kept.n_epochs == 50
    for epoch in (1, 7, 50):
        assert kept.at(epoch).shape == (3, 3)
        assert (kept.at(epoch) == epoch).all()


def test_an_epoch_beyond_the_last_is_the_last():
    assert (recorded(5).at(9) == 5).all()


def test_kept_outputs_are_bounded(monkeypatch):
    monkeypatch.setattr(OutputsByEpoch, "most_bytes", 20 * 36)
    kept = recorded(500)
    assert len(kept._outputs) <= 20
    for epoch in (1, 100, 499):
        found = kept.at(epoch).unique().item()
        assert abs(found - epoch) <= 32


def test_a_few_epochs_are_kept_whatever_their_size(monkeypatch):
    monkeypatch.setattr(OutputsByEpoch, "most_bytes", 1)
    assert len(recorded(100)._outputs) >= OutputsByEpoch.fewest // 2


@pytest.mark.parametrize(
    ("best", "expected"),
    [([4], [4]), ([4, 9], [9, 4]), ([1, 5, 20], [12, 10, 3]), ([3, 4, 5, 6], [5, 5, 4, 4])],
)
def test_each_fold_has_the_median_of_the_others(best, expected):
    assert epochs_of_others(best) == expected
