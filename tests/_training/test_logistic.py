"""The solver of penalised logistic regressions."""

import numpy as np
import pytest
import torch

from sklearn_mlloss._training import logistic
from sklearn_mlloss._training.logistic import PENALTIES, fit_logistic

RNG = np.random.default_rng(0)


class Dense:
    """Inputs as a dense matrix."""

    def __init__(self, Z):
        self.Z = torch.as_tensor(Z)
        self.mean, self.variance = self.Z.mean(dim=0), self.Z.var(dim=0, correction=0)

    def times(self, matrix):
        return self.Z @ matrix

    def transposed_times(self, matrix):
        return self.Z.t() @ matrix


def draw(n, p, n_labels, strength=1.5, offset=0.0):
    Z = RNG.normal(size=(n, p))
    signal = strength * Z @ RNG.normal(size=(p, n_labels)) / p**0.5
    Y = (RNG.random((n, n_labels)) < 1 / (1 + np.exp(1 - signal))).astype(float)
    return Z + offset, Y


def fit(Z, Y, weight=None, k=3, tested=None, trained=None, n_trials=None):
    weight = np.ones(Y.shape) if weight is None else weight
    if tested is None:
        tested = np.arange(len(Y))[:, None] % k == np.arange(k)
    trained = ~tested if trained is None else trained
    tensors = (torch.as_tensor(part) for part in (Y, weight, trained, tested))
    return fit_logistic(Dense(Z), *tensors, n_trials or tested.shape[1])


def log_odds(result, Z):
    return (torch.as_tensor(Z) @ result.weight + result.bias + result.prior).numpy()


def gradient(result, Z, Y, weight=1.0):
    """Return the gradient by coefficients and intercepts, per row."""
    residual = weight * (1 / (1 + np.exp(-log_odds(result, Z))) - Y)
    by_weight = Z.T @ residual + result.penalty * result.weight.numpy()
    return np.vstack([by_weight, residual.sum(axis=0)]) / len(Y)


@pytest.mark.parametrize(
    ("n", "p", "n_labels"), [(200, 5, 4), (150, 8, 1), (60, 150, 3), (1500, 3, 2)]
)
def test_the_gradient_vanishes(n, p, n_labels):
    Z, Y = draw(n, p, n_labels)
    result = fit(Z, Y)
    assert result.penalty in PENALTIES
    assert result.weight.shape == (p, n_labels) and result.out_of_fold.shape == Y.shape
    # At the label priors the largest is about .1.
    assert abs(gradient(result, Z, Y)).max() < 5e-3


def test_weights_count():
    Z, Y = draw(200, 5, 3)
    weight = RNG.random(Y.shape) * 2
    weight[RNG.random(Y.shape) < 0.3] = 0
    result = fit(Z, Y, weight)
    assert abs(gradient(result, Z, Y, weight)).max() < 5e-3
    assert abs(gradient(result, Z, Y)).max() > 0.02
    wrong = np.where(weight > 0, Y, 1 - Y)
    assert (fit(Z, wrong, weight).weight == result.weight).all()


def test_a_row_of_weight_zero_is_predicted_and_has_no_influence():
    Z, Y = draw(90, 4, 2)
    weight = np.ones(Y.shape)
    weight[:30] = 0
    result = fit(Z, Y, weight)
    other = fit(Z, np.vstack([1 - Y[:30], Y[30:]]), weight)
    assert (other.weight == result.weight).all()
    assert torch.isfinite(result.out_of_fold).all()


def test_constant_columns_get_no_weight():
    Z, Y = draw(200, 4, 2)
    constant = np.hstack([np.full((200, 1), 3.0), Z, np.zeros((200, 2))])
    result, expected = fit(constant, Y), fit(Z, Y)
    torch.testing.assert_close(result.weight[1:5], expected.weight, atol=1e-6, rtol=0)
    assert result.weight[[0, 5, 6]].abs().max() < 1e-9
    np.testing.assert_allclose(log_odds(result, constant), log_odds(expected, Z), atol=1e-6)


def test_equal_columns_share_a_weight():
    Z, Y = draw(200, 4, 2)
    twice = np.hstack([Z, Z])
    result = fit(twice, Y)
    torch.testing.assert_close(result.weight[:4], result.weight[4:])
    assert abs(gradient(result, twice, Y)).max() < 5e-3


def test_constant_labels_keep_finite_log_odds():
    Z, Y = draw(100, 3, 3)
    Y[:, 0], Y[:, 1] = 0, 1
    result = fit(Z, Y)
    assert all(torch.isfinite(part).all() for part in result[:-1])
    probability = 1 / (1 + np.exp(-log_odds(result, Z)))
    assert probability[:, 0].max() < 0.02 and probability[:, 1].min() > 0.98


def test_offsets_do_not_matter():
    Z, Y = draw(200, 4, 2)
    result, far = fit(Z, Y), fit(Z + 1e6, Y)
    assert far.penalty == result.penalty
    np.testing.assert_allclose(log_odds(far, Z + 1e6), log_odds(result, Z), atol=1e-6)


def test_labels_are_independent_but_for_the_penalty(monkeypatch):
    Z, Y = draw(200, 4, 3)
    together = fit(Z, Y)
    # One label at a time.
    monkeypatch.setattr(logistic, "OUTPUTS", 1)
    apart = fit(Z, Y)
    assert apart.penalty == together.penalty
    for one, other in zip(apart[:-1], together[:-1], strict=True):
        torch.testing.assert_close(one, other, atol=0.03, rtol=0)


def test_what_each_fit_is_trained_and_tested_on():
    Z, Y = draw(120, 4, 2)
    rows = np.arange(120)
    # Rows 80 to 119 serve no split, 0 to 39 are tested twice.
    trained = np.stack([(rows >= 40) & (rows < 80)] * 2, axis=1)
    tested = np.stack([rows < 40] * 2, axis=1)
    result = fit(Z, Y, trained=trained, tested=tested)
    assert (torch.isfinite(result.out_of_fold).all(dim=1).numpy() == (rows < 40)).all()
    assert (torch.isfinite(result.out_of_fold_prior).all(dim=1).numpy() == (rows < 40)).all()
    rate = (Y[40:80].sum(axis=0) + 0.5) / 41
    np.testing.assert_allclose(result.out_of_fold_prior[0], np.log(rate / (1 - rate)))
    changed = np.vstack([Y[:80], 1 - Y[80:]])
    other = fit(Z, changed, trained=trained, tested=tested)
    assert other.penalty == result.penalty
    np.testing.assert_allclose(other.out_of_fold[:40], result.out_of_fold[:40], atol=0.05)
    assert abs(log_odds(other, Z) - log_odds(result, Z)).max() > 0.3


def test_the_first_splits_choose_the_penalty():
    Z, Y = draw(300, 6, 2, strength=4)
    tested = np.arange(300)[:, None] % 3 == np.arange(3)
    # Rows of the second split have the opposite labels, and train no model.
    Y[tested[:, 1]] = 1 - Y[tested[:, 1]]
    trained = ~tested & ~tested[:, 1:2]
    alone = fit(Z, Y, tested=tested[:, :1], trained=trained[:, :1])
    assert fit(Z, Y, tested=tested, trained=trained, n_trials=1).penalty == alone.penalty
    assert fit(Z, Y, tested=tested, trained=trained).penalty > alone.penalty
