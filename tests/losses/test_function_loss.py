"""Torch losses and plain functions as losses, and how `get_loss` finds one."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

from sklearn_mlloss.losses import (
    LOSSES,
    BinaryCrossEntropy,
    Criterion,
    FocalLoss,
    FunctionLoss,
    Loss,
    get_loss,
)

Y = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0], [1, 0, 1]], dtype=float)
TARGETS = torch.tensor(Y)
OUTPUTS = torch.tensor(np.random.default_rng(0).normal(0, 2, Y.shape))
MASK = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0]]).double()
WEIGHT = torch.tensor([0.5, 2.0, 0.0, 1.0, 1.5]).double()
BCE = BinaryCrossEntropy().fit(Y)


def elementwise(outputs, targets):
    return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")


def a_row(outputs, targets):
    return elementwise(outputs, targets).sum(-1)


def scalar(outputs, targets):
    return elementwise(outputs, targets).mean()


class Scaled(nn.Module):
    """A loss with something to learn, and without `reduction`."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, outputs, targets):
        return elementwise(self.scale * outputs, targets)


ELEMENTWISE = {
    "function": elementwise,
    "lambda": lambda o, t: elementwise(o, t),
    "torch function": elementwise,
    "class": nn.BCEWithLogitsLoss,
    "instance": nn.BCEWithLogitsLoss(reduction="sum"),
}


@pytest.mark.parametrize("func", ELEMENTWISE.values(), ids=ELEMENTWISE)
def test_one_value_per_label(func):
    loss = FunctionLoss(func).fit(Y)
    for mask in (None, MASK):
        torch.testing.assert_close(
            loss.objective(OUTPUTS, TARGETS, mask), BCE.objective(OUTPUTS, TARGETS, mask)
        )
    torch.testing.assert_close(
        Criterion(loss)(OUTPUTS, torch.where(MASK > 0, TARGETS, torch.nan), WEIGHT),
        Criterion(BCE)(OUTPUTS, TARGETS, WEIGHT, MASK),
    )
    label_weight = MASK * 3
    torch.testing.assert_close(
        Criterion(loss)(OUTPUTS, TARGETS, label_weight),
        Criterion(BCE)(OUTPUTS, TARGETS, label_weight),
    )
    packed = loss.objective(OUTPUTS.expand(2, 5, 3), TARGETS.expand(2, 5, 3))
    assert packed.shape == (2, 5)


def test_the_users_module_is_left_alone():
    module = nn.BCEWithLogitsLoss(reduction="sum")
    loss = FunctionLoss(module).fit(Y)
    loss.objective(OUTPUTS, TARGETS)
    assert module.reduction == "sum"
    assert loss.func is module
    assert loss.module is not module and loss.module.reduction == "none"

    scaled = Scaled()
    loss = FunctionLoss(scaled).fit(Y)
    Criterion(loss)(OUTPUTS, TARGETS).backward()
    assert scaled.scale.grad is None and loss.module.scale.grad is not None


def test_module_parameters_are_kept():
    weight = torch.tensor([1.0, 2.0, 5.0]).double()
    loss = FunctionLoss(nn.BCEWithLogitsLoss(pos_weight=weight)).fit(Y)
    expected = BinaryCrossEntropy(weight.numpy()).fit(Y)
    torch.testing.assert_close(
        loss.objective(OUTPUTS, TARGETS), expected.objective(OUTPUTS, TARGETS)
    )


ROWS = {
    "function": (a_row, lambda: BCE.objective(OUTPUTS, TARGETS) * 3),
    "soft margin class": (
        nn.MultiLabelSoftMarginLoss,
        lambda: BCE.objective(OUTPUTS, TARGETS),
    ),
    "cross-entropy": (
        nn.CrossEntropyLoss(),
        lambda: F.cross_entropy(OUTPUTS, TARGETS, reduction="none"),
    ),
}


@pytest.mark.parametrize("func, expected", ROWS.values(), ids=ROWS)
def test_one_value_per_row(func, expected):
    loss = FunctionLoss(func).fit(Y)
    values = loss.objective(OUTPUTS, TARGETS)
    assert values.shape == (5,)
    torch.testing.assert_close(values, expected())
    torch.testing.assert_close(
        Criterion(loss)(OUTPUTS, TARGETS, WEIGHT), (WEIGHT * expected()).mean()
    )
    with pytest.raises(ValueError, match="one value per row and label"):
        Criterion(loss)(OUTPUTS, torch.where(MASK > 0, TARGETS, torch.nan))
    with pytest.raises(ValueError, match="one value per row and label"):
        Criterion(loss)(OUTPUTS, TARGETS, MASK)


def test_a_scalar():
    loss = FunctionLoss(scalar).fit(Y)
    torch.testing.assert_close(Criterion(loss)(OUTPUTS, TARGETS), scalar(OUTPUTS, TARGETS))
    assert loss.objective(OUTPUTS, TARGETS).shape == (5,)
    outputs = OUTPUTS.clone().requires_grad_()
    Criterion(loss)(outputs, TARGETS).backward()
    torch.testing.assert_close(outputs.grad, (OUTPUTS.sigmoid() - TARGETS) / 15)
    with pytest.raises(ValueError, match="scalar.*sample_weight"):
        Criterion(loss)(OUTPUTS, TARGETS, WEIGHT)
    with pytest.raises(ValueError, match=r"unobserved targets \(NaN\)"):
        Criterion(loss)(OUTPUTS, torch.where(MASK > 0, TARGETS, torch.nan))


@pytest.mark.parametrize(
    "func, error, match",
    [
        (lambda o, t: elementwise(o, t).mean(0), ValueError, r"got \(3,\)"),
        (lambda o, t: elementwise(o, t)[:, :2], ValueError, r"got \(5, 2\)"),
        (lambda o, t: elementwise(o, t).mean(-1, keepdim=True), ValueError, r"got \(5, 1\)"),
        (lambda o, t: elementwise(o, t).numpy(), TypeError, "torch tensor, got ndarray"),
        (lambda o, t: 1.0, TypeError, "torch tensor, got float"),
    ],
)
def test_wrong_results(func, error, match):
    with pytest.raises(error, match=match):
        FunctionLoss(func).fit(Y).objective(OUTPUTS, TARGETS)


@pytest.mark.parametrize("func", [3, None, "bce"])
def test_wrong_func(func):
    with pytest.raises(TypeError, match="func must be callable"):
        FunctionLoss(func).fit(Y)


# --- links


def test_sigmoid_link():
    loss = FunctionLoss(elementwise).fit(Y)
    torch.testing.assert_close(loss.link(OUTPUTS), BCE.link(OUTPUTS))
    np.testing.assert_allclose(loss.initial_bias(), BCE.initial_bias(), atol=1e-9)
    assert loss.default_decoder == "threshold"


def test_softmax_link():
    loss = FunctionLoss(nn.CrossEntropyLoss, link="softmax").fit(Y)
    np.testing.assert_allclose(loss.link(OUTPUTS), OUTPUTS.softmax(1), atol=1.1e-5)
    bias = torch.tensor(loss.initial_bias())
    np.testing.assert_allclose(bias.softmax(0), loss.prior_ / loss.prior_.sum())
    assert loss.default_decoder == "one_over_n"


@pytest.mark.parametrize("link", ["sigmoid", "softmax", "identity"])
@pytest.mark.parametrize("n_labels", [1, 2])
def test_links_of_few_labels(link, n_labels):
    loss = FunctionLoss(elementwise, link=link).fit(Y[:, :n_labels])
    scores = loss.link(OUTPUTS[:, :n_labels])
    assert ((scores > 0) & (scores < 1)).all()


def test_identity_link():
    loss = FunctionLoss(nn.MSELoss, link="identity").fit(Y)
    outputs = torch.tensor([[-1.0, 0.25, 3.0], [-2.0, 0.75, 2.0]])
    scores = loss.link(outputs)
    assert scores.dtype == torch.float64
    np.testing.assert_allclose(scores, [[0, 0.25, 1], [0, 0.75, 1]], atol=1e-5)
    assert ((scores > 0) & (scores < 1)).all()
    assert scores[0, 0] > scores[1, 0] and scores[0, 2] > scores[1, 2]
    np.testing.assert_allclose(loss.initial_bias(), Y.mean(0))


def half(outputs):
    return outputs.sigmoid() / 2


def test_callable_link():
    loss = FunctionLoss(elementwise, link=half).fit(Y)
    np.testing.assert_allclose(loss.link(OUTPUTS), OUTPUTS.sigmoid() / 2, atol=1.1e-5)
    assert loss.link(OUTPUTS.float()).dtype == torch.float64
    np.testing.assert_array_equal(loss.initial_bias(), np.zeros(3))
    assert loss.default_decoder == "threshold"
    with pytest.raises(ValueError, match=r"keep the shape \(5, 3\), got \(5, 1\)"):
        FunctionLoss(elementwise, link=lambda o: o[:, :1]).fit(Y).link(OUTPUTS)


@pytest.mark.parametrize("link", ["logit", None, 1])
def test_wrong_link(link):
    with pytest.raises(ValueError, match="link must be 'auto', one of"):
        FunctionLoss(elementwise, link=link).fit(Y)


# --- scikit-learn object


def test_params():
    loss = FunctionLoss(elementwise, link="softmax")
    assert loss.get_params() == {"func": elementwise, "link": "softmax"}
    assert loss.set_params(link="identity") is loss
    assert loss.get_params()["link"] == "identity"
    loss.set_params(func=a_row, link=half)
    assert loss.get_params() == {"func": a_row, "link": half}
    with pytest.raises(ValueError, match="Invalid parameter"):
        loss.set_params(gamma=1)
    assert "FunctionLoss" in repr(loss) and "a_row" in repr(loss)
    assert "softmax" in repr(FunctionLoss(elementwise, link="softmax"))


@pytest.mark.parametrize(
    "func", [elementwise, nn.BCEWithLogitsLoss, nn.BCEWithLogitsLoss(reduction="sum"), Scaled()]
)
@pytest.mark.parametrize("link", ["sigmoid", "softmax", half])
def test_copies(func, link):
    loss = FunctionLoss(func, link=link).fit(Y)
    value, scores = loss.objective(OUTPUTS, TARGETS), loss.link(OUTPUTS)
    again = clone(loss)
    assert not hasattr(again, "func_") and not hasattr(again, "n_labels_")
    for other in (again.fit(Y), pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert other.get_params()["link"] == link
        torch.testing.assert_close(other.objective(OUTPUTS, TARGETS), value)
        torch.testing.assert_close(other.link(OUTPUTS), scores)


def test_fit_again_takes_the_new_function():
    loss = FunctionLoss(elementwise).fit(Y)
    loss.set_params(func=a_row).fit(Y)
    torch.testing.assert_close(loss.objective(OUTPUTS, TARGETS), a_row(OUTPUTS, TARGETS))


def test_fit_again_forgets_what_was_trained():
    loss = FunctionLoss(Scaled()).fit(Y)
    with torch.no_grad():
        loss.module.scale.fill_(9.0)
    trained = loss.module
    assert loss.partial_fit(Y).module is trained
    assert loss.fit(Y).module.scale.item() == 2.0


# --- training


def test_learnable_parameters_reach_the_optimizer():
    assert list(Criterion(BCE).parameters()) == []
    assert list(Criterion(FunctionLoss(elementwise).fit(Y)).parameters()) == []
    for func in (Scaled, Scaled()):
        loss = FunctionLoss(func).fit(Y)
        criterion = Criterion(loss)
        (scale,) = criterion.parameters()
        assert scale is loss.module.scale
        before = scale.item()
        optimizer = torch.optim.SGD(criterion.parameters(), lr=0.1)
        criterion(OUTPUTS, TARGETS).backward()
        optimizer.step()
        assert scale.item() != before
        assert loss.objective(OUTPUTS, TARGETS).isfinite().all()
    # Moving the criterion moves what the loss computes with.
    criterion.to(torch.float32)
    assert loss.module.scale.dtype == torch.float32
    assert criterion(OUTPUTS.float(), TARGETS).dtype == torch.float32
    assert copy.deepcopy(criterion).loss.module.scale is not loss.module.scale


# --- get_loss


@pytest.mark.parametrize("name", LOSSES)
def test_get_loss_by_name_and_class(name):
    for spec in (name, LOSSES[name]):
        loss = get_loss(spec)
        assert type(loss) is LOSSES[name]
        assert repr(loss) == repr(LOSSES[name]())
    assert get_loss(name) is not get_loss(name)


def test_get_loss_keeps_an_instance():
    loss = FocalLoss(gamma=1)
    assert get_loss(loss) is loss


@pytest.mark.parametrize(
    "spec",
    [elementwise, lambda o, t: scalar(o, t), nn.BCEWithLogitsLoss, nn.BCEWithLogitsLoss()],
)
def test_get_loss_wraps(spec):
    loss = get_loss(spec)
    assert isinstance(loss, FunctionLoss) and isinstance(loss, Loss)
    assert loss.func is spec and loss.get_params()["link"] == "auto"


def test_get_loss_refuses():
    with pytest.raises(ValueError, match="must be one of abs_kl, .*zlpr, got 'cross'"):
        get_loss("cross")
    for spec in (None, 3, ["bce"], {"loss": "bce"}):
        with pytest.raises(TypeError, match="loss must be a name"):
            get_loss(spec)


def test_registry():
    for name, cls in LOSSES.items():
        assert issubclass(cls, Loss) and cls.__doc__ and name == name.lower()
    assert list(LOSSES) == sorted(LOSSES)
    assert len(set(LOSSES.values())) == len(LOSSES)
