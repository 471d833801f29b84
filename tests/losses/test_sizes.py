"""Many labels: time and memory grow with the number of labels, not with its square."""

import numpy as np
import pytest
import torch

from sklearn_mlloss.losses import LOSSES, Loss, SeparableLoss, TwoWayLoss, WithCount

N, L = 256, 983
NAMES = [name for name, cls in LOSSES.items() if not issubclass(cls, SeparableLoss)]
# Its pairs do not factorise: it holds one number each, rows x present x absent labels.
PAIRWISE = {"pairwise_logistic"}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    Y = (rng.random((N, L)) < 19 / L).astype(np.float32)
    Y[0] = 0
    return Y, rng.normal(0, 2, (N, L + 2)).astype(np.float32)


def saved_sizes(loss: Loss, outputs, targets):
    """Return value, gradient, and the sizes of the tensors that the backward pass keeps."""
    sizes = []

    def note(tensor):
        sizes.append(max(tensor.numel(), tensor.untyped_storage().nbytes() // 8))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = loss.objective(outputs, targets)
        value.mean().backward()
    return value.detach(), outputs.grad, sizes


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_losses_of_many_labels(name, masked, data):
    Y, s = data
    loss = LOSSES[name]().fit(Y)
    outputs = torch.tensor(s[:, : loss.n_outputs_], requires_grad=True)
    mask = torch.tensor(np.random.default_rng(1).random((N, L)) < 0.9).float() if masked else None
    value = loss.objective(outputs, torch.tensor(Y), mask)
    value.mean().backward()
    assert value.isfinite().all() and outputs.grad.isfinite().all()
    assert outputs.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [*sorted(set(NAMES) - PAIRWISE), "two_way 1", "lsep with count"])
def test_nothing_of_the_size_of_pairs_is_kept(name, data):
    Y, s = data
    special = {"two_way 1": TwoWayLoss(1, 1), "lsep with count": WithCount("lsep")}
    loss = (special.get(name) or LOSSES[name]()).fit(Y)
    outputs = torch.tensor(s[:, : loss.n_outputs_], requires_grad=True)
    _, _, sizes = saved_sizes(loss, outputs, torch.tensor(Y))
    assert sizes and max(sizes) <= 2 * N * (L + 2)


@pytest.mark.parametrize("name", sorted(PAIRWISE))
def test_pairs_are_those_of_the_rarer_polarity(name, data):
    Y, s = data
    most = int(Y.sum(1).max())
    for targets in (Y, 1 - Y):  # few present, or few absent
        loss = LOSSES[name]().fit(targets)
        outputs = torch.tensor(s[:, :L], requires_grad=True)
        _, _, sizes = saved_sizes(loss, outputs, torch.tensor(targets))
        assert max(sizes) <= N * L * (most + 1) < N * L * L / 20


@pytest.mark.parametrize("name", sorted(PAIRWISE))
def test_one_full_row_does_not_make_pairs_of_all_labels(name):
    """A row with all labels has no pair at all: it must not blow up those of the others."""
    n, n_labels = 8, 300
    Y = np.zeros((n, n_labels), np.float32)
    Y[:, :3] = 1
    Y[1], Y[2] = 1, 0
    loss = LOSSES[name]().fit(Y)
    outputs = torch.zeros(n, n_labels, requires_grad=True)
    _, _, sizes = saved_sizes(loss, outputs, torch.tensor(Y))
    assert max(sizes) <= n * n_labels * n_labels / 20
