"""Which columns the outputs of encodings come from, and derivatives of links."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_mlloss._training.attribution import _slopes, _sources
from sklearn_mlloss.losses import LOSSES
from sklearn_mlloss.networks import ENCODINGS, IdentityEncoding, OneHotEncoding
from sklearn_mlloss.networks.layers import Mixed
from sklearn_mlloss.networks.linear import UnitEncoding

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5)).astype(np.float32)
X[:, 1] = X[:, 1] > 0  # one bin
X[:, 2] = 3  # no bin
X[::5, 3] = np.nan
CODES = rng.integers(0, 3, size=(60, 2)).astype(np.float32)
CODES[::7, 0] = np.nan
NUMBERS = [
    *(cls() for cls in ENCODINGS.values()),
    IdentityEncoding(clip=True),
    IdentityEncoding(binary=True),
    UnitEncoding(),
    UnitEncoding(n_bins=0),
]


def depends_on(module, rows):
    """Return for each output which columns change it, shape (n_columns, n_outputs)."""
    before = module(rows)
    changed = []
    for column in range(rows.shape[1]):
        others = rows.clone()
        others[:, column] = rows[torch.randperm(len(rows)), column]
        changed.append((module(others) != before).any(dim=0))
    return torch.stack(changed)


def check(module, rows):
    sources, dependent = _sources(module, rows.shape[1]), depends_on(module, rows)
    assert len(sources) == module(rows).shape[1]
    # No output changes with another column than the one it comes from.
    dependent[sources, torch.arange(len(sources))] = False
    assert not dependent.any()


@pytest.mark.parametrize("encoding", NUMBERS, ids=lambda e: repr(e))
def test_outputs_come_from_the_columns_that_change_them(encoding):
    module = encoding.fit(X).module()
    check(module, torch.from_numpy(X))
    assert depends_on(module, torch.from_numpy(X)).any()


def test_categories_beside_numbers():
    categories = OneHotEncoding().fit(CODES).module()
    check(categories, torch.from_numpy(CODES))
    assert _sources(categories, 2).tolist() == [0, 0, 0, 0, 1, 1, 1]
    numbers = UnitEncoding().fit(X).module()
    both = Mixed(numbers, categories, np.array([1, 0, 0, 1, 0, 0, 0], dtype=bool))
    rows = np.insert(X, [0, 2], CODES, axis=1)
    check(both, torch.from_numpy(rows))


def test_unknown_layers_are_refused():
    with pytest.raises(ValueError, match="the layer Linear, of which it is unknown"):
        _sources(nn.Linear(3, 2), 3)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_slopes_are_the_derivatives_of_the_log_odds(name, exclusive):
    loss = LOSSES[name]().fit((rng.random((60, 3)) < 0.4).astype(np.uint8))
    # Where no link has a kink.
    outputs = [torch.from_numpy(rng.uniform(-0.6, 0.6, (4, loss.n_outputs_))) for _ in range(2)]

    def log_odds(values):
        p = sum(loss.link(v) for v in values) / 2
        if exclusive:
            p = p / p.sum(dim=-1, keepdim=True)
        return torch.logit(p)

    slopes = _slopes([loss, loss], outputs, [2, 0], exclusive)
    for net, slope in enumerate(slopes):
        for k in range(loss.n_outputs_):
            step = [torch.zeros_like(values) for values in outputs]
            step[net][:, k] = 1e-4
            up, down = (
                log_odds([v + sign * s for v, s in zip(outputs, step, strict=True)])
                for sign in (1, -1)
            )
            expected = ((up - down) / 2e-4)[:, [2, 0]]
            torch.testing.assert_close(slope[:, :, k], expected, rtol=1e-4, atol=1e-6)
