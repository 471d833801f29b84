"""The interface of skorch: what the net of a classifier does, and what it refuses."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score
from skorch import NeuralNet
from skorch.exceptions import NotInitializedError
from torch import nn

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.losses import Criterion

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0).astype(int)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def two_layers(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 4), nn.Dropout(), nn.Linear(4, n_outputs))


def make(**params):
    defaults = dict(hidden_layer_sizes=(4,), max_epochs=2, random_state=0, device="cpu")
    if "module" in params:
        del defaults["hidden_layer_sizes"]
    return MultiLabelNetClassifier(**{**defaults, **params})


KINDS = {
    "built-in": {},
    "one output more": dict(loss="factorized"),
    "float64": dict(precision="float64"),
    "module": dict(module=two_layers),
    "transformer": dict(encoding=PCA(3)),
    "ensemble": dict(cv=2),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def fitted(kind):
    """Return a fitted classifier, and rows as its module takes them."""
    clf = make(**KINDS[kind]).fit(X, Y)
    rows = X if kind != "transformer" else clf.encoding_.transform(X.astype(np.float32))
    return clf, rows.astype(np.float32)


CONTAINERS = {
    "array": lambda X: X,
    "float64": lambda X: X.astype(float),
    "tensor": torch.from_numpy,
    "list": lambda X: X.tolist(),
    "frame": pd.DataFrame,
    "csr": sp.csr_array,
    "coo": sp.coo_matrix,
}


@kinds
def test_outputs_and_scores(kind):
    clf, rows = fitted(kind)
    net = clf.net_
    dtype = torch.float64 if kind == "float64" else torch.float32
    with torch.no_grad():
        outputs = net.module_(torch.as_tensor(rows, dtype=dtype))
        scores = net.criterion_.loss.link(outputs).numpy()
    for container, convert in CONTAINERS.items():
        given = convert(rows)
        torch.testing.assert_close(net.forward(given), outputs, msg=container)
        torch.testing.assert_close(net.infer(given).detach(), outputs, msg=container)
        assert sum(map(len, net.forward_iter(given))) == len(rows)
        np.testing.assert_allclose(net.predict_proba(given), scores, rtol=1e-5)
        np.testing.assert_array_equal(net.predict(given), scores >= 0.5)
    if kind != "ensemble":
        np.testing.assert_allclose(clf.predict_proba(X), scores, rtol=1e-5)
    assert net.score(rows, Y) == accuracy_score(Y, scores >= 0.5)


def test_exclusive_classes_have_one_label_each():
    y = Y[:, 0] + Y[:, 1]
    for loss in "bce", "softmax_ce":
        clf = make(loss=loss).fit(X, y)
        found = clf.net_.predict(X)
        np.testing.assert_array_equal(found.sum(axis=1), 1)
        np.testing.assert_array_equal(clf.classes_[found.argmax(axis=1)], clf.predict(X))
    binary = make(decoder="threshold").fit(X, Y[:, 0])
    np.testing.assert_array_equal(binary.net_.predict(X)[:, 0], binary.predict(X))


@kinds
def test_losses(kind):
    clf, rows = fitted(kind)
    net, weight = clf.net_, rng.random(90)
    outputs = net.forward(rows)
    criterion = Criterion(net.criterion_.loss)
    for targets in (Y, torch.from_numpy(Y), torch.from_numpy(Y).to(outputs.dtype)):
        found = net.get_loss(outputs, targets)
        torch.testing.assert_close(found, criterion(outputs, torch.as_tensor(targets)))
        assert net.get_loss(outputs, targets, training=True) == found
    weighted = net.get_loss(outputs, (torch.from_numpy(Y), torch.from_numpy(weight)))
    torch.testing.assert_close(
        weighted, criterion(outputs, torch.from_numpy(Y), torch.from_numpy(weight))
    )


@pytest.mark.parametrize("targets", [Y[:5], Y[:, 0], Y[:, :2], np.hstack([Y, Y])])
def test_targets_of_another_shape(targets):
    net = make().fit(X, Y).net_
    with pytest.raises(ValueError, match="y_true must be an indicator matrix of shape .90, 3."):
        net.get_loss(net.forward(X), targets)


def test_steps_by_hand():
    net = make(optimizer="sgd", learning_rate=0.1).fit(X, Y).net_
    batch = torch.as_tensor(X, dtype=torch.float32), torch.from_numpy(Y)
    before = net.validation_step(batch)["loss"]
    assert before == net.get_loss(net.forward(X), Y)
    for _ in range(20):
        net.train_step(batch)
    assert net.validation_step(batch)["loss"] < before


def test_dropout_without_mixtures():
    net = make(dropout=0.5, mixup=0.4, linear_part=False).fit(X, Y).net_
    torch.manual_seed(0)
    drawn = [net.forward(X, training=True) for _ in range(60)]
    assert not torch.equal(drawn[0], drawn[1]) and drawn[0].requires_grad
    # Mixtures would draw all rows to the middle.
    mean, outputs = torch.stack(drawn).mean(dim=0).detach(), net.forward(X)
    assert np.corrcoef(mean.ravel(), outputs.ravel())[0, 1] > 0.98
    assert not any(part.training for part in net.module_.modules())


def test_gradients_by_rows():
    net = make(encoding=None).fit(X, Y).net_
    rows = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    net.infer(rows).sum().backward()
    assert rows.grad.abs().sum() > 0


WRONG = {
    "columns": X[:, :3],
    "one row": X[0],
    "no rows": X[:0],
    "text": X.astype(str),
    "objects": pd.DataFrame({"a": ["x"] * 5, "b": 1, "c": 2, "d": 3}),
    "sparse": sp.csr_array(X[:, :2]),
    "tensor": torch.zeros(3, 4, 1),
}


@pytest.mark.parametrize("given", WRONG)
def test_rows_that_the_module_does_not_take(given):
    net = make().fit(X, Y).net_
    for method in (net.forward, net.predict, net.predict_proba):
        with pytest.raises(ValueError, match="net_ takes rows of 4 numbers.*methods of the cl"):
            method(WRONG[given])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda net: net.fit(X, Y), "fit or partial_fit of MultiLabelNetClassifier"),
        (lambda net: net.partial_fit(X, Y), "fit or partial_fit of MultiLabelNetClassifier"),
        (lambda net: clone(net).fit(X, Y), "fit or partial_fit of MultiLabelNetClassifier"),
        (lambda net: net.initialize(), "fit a clone of MultiLabelNetClassifier"),
        (lambda net: clone(net).initialize(), "fit a clone of MultiLabelNetClassifier"),
        (lambda net: net.trim_for_prediction(), "nothing to trim"),
    ],
)
def test_tasks_of_the_classifier_are_refused(call, words):
    clf = make().fit(X, Y)
    before = clf.predict_proba(X)
    with pytest.raises(NotImplementedError, match=words):
        call(clf.net_)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


@pytest.mark.parametrize("name", ["module", "module__input_dim", "criterion", "optimizer",
                                  "iterator_train__shuffle", "train_split"])  # fmt: skip
def test_parts_that_cannot_be_set(name):
    clf = make().fit(X, Y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=f"{name} of net_ cannot be set"):
        clf.net_.set_params(**{name: 3})
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_parameters_that_can_be_set():
    net = make(optimizer="sgd").fit(X, Y).net_
    net.set_params(lr=0.5, optimizer__momentum=0.3, verbose=1, batch_size=7)
    group = net.optimizer_.param_groups[0]
    assert (group["lr"], group["momentum"], net.verbose, net.batch_size) == (0.5, 0.3, 1, 7)
    assert net.get_params()["lr"] == 0.5


def test_a_clone_is_not_initialized():
    net = clone(make().fit(X, Y).net_)
    assert isinstance(net, NeuralNet) and not net.initialized_
    with pytest.raises(NotInitializedError):
        net.predict(X)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))]
)
def test_copies(copied):
    net = make().fit(X, Y).net_
    again = copied(net)
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert again.history == net.history and "MLP" in repr(again)


def test_saved_parameters(tmp_path):
    one, two = (make(random_state=seed, optimizer="adam").fit(X, Y) for seed in (0, 1))
    files = {f"f_{part}": str(tmp_path / part) for part in ("params", "criterion", "history")}
    one.net_.save_params(**files)
    two.net_.load_params(**files)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert two.net_.history == one.net_.history
    torch.save(one.net_.module_.state_dict(), tmp_path / "own")
    two.net_.load_params(f_params=tmp_path / "own")
