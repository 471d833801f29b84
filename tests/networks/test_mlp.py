"""The multi-layer perceptron."""

import pytest
import torch
from torch import nn

from sklearn_mlloss.networks import ACTIVATIONS, MLP, NORMALIZATIONS


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
