"""The multi-layer perceptron."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from sklearn_mlloss.networks import ACTIVATIONS, MLP, NORMALIZATIONS, Mixup


@pytest.mark.parametrize("sizes", [(), (4,), (4, 3), [5, 5, 5]])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_shapes_of_layers_and_outputs(sizes, n_outputs):
    net = MLP(6, n_outputs, hidden_layer_sizes=sizes)
    widths = [6, *sizes, n_outputs]
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(
        zip(widths[:-1], widths[1:], strict=True)
    )
    assert net(torch.zeros(5, 6)).shape == (5, n_outputs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    net = MLP(2, 3, hidden_layer_sizes=(4, 4), activation=name)
    assert [type(layer) for layer in net.layers] == [
        nn.Linear, ACTIVATIONS[name], nn.Linear, ACTIVATIONS[name], nn.Linear,
    ]  # fmt: skip
    X = torch.randn(7, 2)
    hidden = net.layers[1](net.layers[0](X))
    hidden = net.layers[3](net.layers[2](hidden))
    torch.testing.assert_close(net(X), net.layers[4](hidden))
    net(X).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_activations_differ_from_each_other():
    x = torch.linspace(-3, 3, 13)
    values = {name: tuple(cls()(x).tolist()) for name, cls in ACTIVATIONS.items()}
    assert len(set(values.values())) == len(ACTIVATIONS)
    assert values["identity"] == tuple(x.tolist())


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalization_comes_before_each_activation(name):
    net = MLP(2, 3, hidden_layer_sizes=(4, 5), normalization=name, dropout=0.5)
    one = [nn.Linear, NORMALIZATIONS[name], nn.ReLU, nn.Dropout]
    assert [type(layer) for layer in net.layers] == [*one, *one, nn.Linear]
    normal = net.layers[1](net.layers[0](torch.randn(50, 2)))
    axis = 0 if name == "batch" else 1
    torch.testing.assert_close(normal.mean(axis), torch.zeros_like(normal.mean(axis)), atol=1e-5,
                               rtol=0)  # fmt: skip


def test_dropout_acts_on_hidden_units_in_training_only():
    net = MLP(2, 3, hidden_layer_sizes=(64,), dropout=0.5)
    assert [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)] == [0.5]
    X = torch.randn(4, 2)
    assert (net(X) != net(X)).any()
    net.eval()
    assert (net(X) == net(X)).all()
    assert not any(isinstance(layer, nn.Dropout) for layer in MLP(2, 3, (64,)).modules())
    assert not any(isinstance(layer, nn.Dropout) for layer in MLP(2, 3, (), dropout=0.5).modules())


def test_an_encoding_comes_before_the_layers():
    class Twice(nn.Module):
        def forward(self, X):
            return torch.cat([X, 3 * X], dim=-1)

    net = MLP(4, 3, hidden_layer_sizes=(5,), encoding=Twice())
    X = torch.randn(7, 2)
    torch.testing.assert_close(net(X), net.layers(torch.cat([X, 3 * X], dim=-1)))
    assert MLP(2, 3).encoding is None


def test_inputs_are_dropped_after_the_encoding_in_training_only():
    net = MLP(64, 3, hidden_layer_sizes=(), input_dropout=0.5, encoding=nn.Tanh())
    X = torch.randn(4, 64)
    seen = []
    net.layers.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    net(X)
    kept = seen[0] != 0
    assert 0 < kept.sum() < kept.numel()
    torch.testing.assert_close(seen[0][kept], 2 * X.tanh()[kept])
    net.eval()(X)
    torch.testing.assert_close(seen[1], X.tanh())
    assert MLP(2, 3).input_dropout is None and MLP(2, 3).mixup is None


def criterion(outputs, targets, weight=None):
    values = (outputs - targets).square().mean(dim=1)
    return values.mean() if weight is None else (weight * values).mean()


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_and_losses_are_mixed_alike(weighted):
    torch.manual_seed(0)
    mixup = Mixup(1.0)
    X, Y = torch.randn(9, 4, dtype=torch.float64), torch.rand(9, 2, dtype=torch.float64)
    weight = torch.rand(9, dtype=torch.float64) if weighted else None
    mixed = mixup(X)
    share, partners = mixup.share, mixup.partners
    assert 0 < share < 1 and sorted(partners.tolist()) == list(range(9))
    for i in range(9):
        torch.testing.assert_close(mixed[i], share * X[i] + (1 - share) * X[partners[i]])
    outputs = mixed[:, :2]
    by_hand = np.mean([
        part * float((outputs[i] - Y[j]).square().mean()) * (1 if weight is None else weight[j])
        for i in range(9)
        for part, j in ((share, i), (1 - share, partners[i]))
    ]) * 2  # fmt: skip
    assert float(mixup.loss(criterion, outputs, Y, weight)) == pytest.approx(by_hand, rel=1e-12)


def test_mixing_the_loss_of_cross_entropy_is_mixing_its_targets():
    torch.manual_seed(1)
    mixup, bce = Mixup(0.4), nn.functional.binary_cross_entropy_with_logits
    outputs, Y = mixup(torch.randn(8, 3)), torch.randint(0, 2, (8, 3)).float()
    found = mixup.loss(lambda z, y, w: bce(z, y), outputs, Y)
    torch.testing.assert_close(found, bce(outputs, torch.lerp(Y[mixup.partners], Y, mixup.share)))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_have_a_beta_distribution(alpha):
    torch.manual_seed(0)
    mixup, shares = Mixup(alpha), []
    for _ in range(500):
        mixup(torch.zeros(2, 1))
        shares.append(mixup.share)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_mixup_is_for_training_only():
    net = MLP(2, 3, mixup=1.0)
    X = torch.randn(4, 2)
    assert (net(X) != net(X)).any()
    net.eval()
    assert (net(X) == net(X)).all()


def test_alpha_is_shown_and_must_be_above_0():
    assert str(Mixup(0.2)) == "Mixup(alpha=0.2)"
    for alpha in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="alpha must be a finite number > 0, got"):
            Mixup(alpha)


def test_mixup_needs_a_mixed_batch_for_its_loss():
    with pytest.raises(RuntimeError, match="no batch has been mixed"):
        Mixup(1.0).loss(nn.functional.binary_cross_entropy_with_logits, *torch.zeros(2, 3, 1))
