"""Ensembles predict few rows as a stack, with the results of their networks one by one."""

import copy
import gc
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.fast import stack

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.normal(size=(240, 6)).round(1)
HOLES = np.where(rng.random(X.shape) < 0.1, np.nan, X)
MIXED = pd.DataFrame(HOLES, columns=list("uvwxyz")).assign(kind=pd.Categorical(list("abc") * 80))
BINARY = (X > 0.5).astype(float)
Y = (X @ rng.normal(size=(6, 4)) + rng.normal(size=(240, 4)) > 0.5).astype(int)

# Tables, parameters, and whether the networks can be stacked.
CASES = {
    "default": (X, {}, True),
    "plain": (X, {"encoding": None, "linear_part": False}, True),
    "missing values": (HOLES, {"encoding": "standard"}, True),
    "categories": (MIXED, {}, True),
    "binary columns": (BINARY, {}, True),
    "many labels": (X, {"n_labels": 20}, True),
    "count": (X, {"loss": "factorized", "activation": "gelu"}, True),
    "two layers, double": (X, {"hidden_layer_sizes": (8, 8), "precision": "float64"}, True),
    "quantiles": (X, {"encoding": "quantile"}, False),
    "batch normalisation": (X, {"normalization": "batch"}, False),
}


def fit(X, n_labels=4, **params):
    defaults = dict(cv=2, max_epochs=2, hidden_layer_sizes=(24,), device="cpu", random_state=0)
    targets = np.tile(Y, (1, -(-n_labels // 4)))[:, :n_labels]
    return MultiLabelNetClassifier(**(defaults | params)).fit(X, targets)


def modules(model):
    return [net.module_ for net in model.nets_]


def one_by_one(model, X):
    parts = [net.scores(model._check_X(X), "cpu")[0] for net in model.nets_]
    return np.mean(parts, axis=0)


@pytest.mark.parametrize("name", CASES)
def test_a_stack_predicts_as_its_networks_do(name):
    X, params, can_be_stacked = CASES[name]
    model = fit(X, **params)
    made = stack.stack_of(modules(model))
    assert (made is not None) == can_be_stacked
    for n in (1, 17):
        np.testing.assert_allclose(
            model.predict_proba(X[:n]), one_by_one(model, X)[:n], rtol=0, atol=1e-7
        )
    if name == "count":
        np.testing.assert_allclose(
            model.predict_count(X[:3]), model.predict_count(X)[:3], rtol=1e-6
        )


def test_an_ensemble_on_sparse_rows_predicts_one_by_one():
    thin = sp.random_array((240, 100), density=0.05, random_state=0, format="csr")
    model = fit(thin)
    np.testing.assert_array_equal(model.predict_proba(thin[:3]), one_by_one(model, thin[:3]))


def test_networks_with_other_layers_are_not_stacked():
    first, second = fit(X), fit(X, hidden_layer_sizes=(12,))
    assert stack.stack_of([*modules(first), *modules(second)]) is None
    assert stack.stack_of([*modules(first), torch.nn.Linear(2, 2)]) is None
    assert stack.stack_of([*modules(first), *modules(fit(X, linear_part=False))]) is None


def test_a_stack_is_made_once_for_the_same_weights():
    model = fit(X)
    made = stack.stack_of(modules(model))
    model.predict(X[:3])
    assert stack.stack_of(modules(model)) is made
    before = model.predict_proba(X[:3])
    model.partial_fit(X, Y)
    after = model.predict_proba(X[:3])
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after, one_by_one(model, X[:3]), rtol=0, atol=1e-7)
    # Weights that moved to another place, as from a device.
    for module in modules(model):
        module.layers[0].weight.data = module.layers[0].weight.data * 2
    np.testing.assert_allclose(
        model.predict_proba(X[:3]), one_by_one(model, X[:3]), rtol=0, atol=1e-7
    )


def encoding(module):
    for buffer in module.encoding.buffers():
        if buffer.is_floating_point():
            buffer.mul_(1.5)


def linear_bias(module):
    module.linear.bias.add_(1)


def activation(module):
    module.layers[1] = torch.nn.Tanh()


def hook_of_a_layer(module):
    module.layers[-1].register_forward_hook(lambda layer, inputs, outputs: outputs + 1)


def hook_of_an_activation(module):
    module.layers[1].register_forward_hook(lambda layer, inputs, outputs: outputs + 1)


def hook_of_the_network(module):
    module.register_forward_hook(lambda module, inputs, outputs: outputs + 1)


CHANGES = (
    encoding,
    linear_bias,
    activation,
    hook_of_a_layer,
    hook_of_an_activation,
    hook_of_the_network,
)


@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_a_network_by_the_user_show_in_predictions_of_few_rows(change):
    model = fit(X)
    for module in modules(model):  # so that the hidden units matter
        torch.nn.init.constant_(module.layers[-1].weight, 0.1)
    before = model.predict_proba(X[:3])
    change(modules(model)[1])
    after = model.predict_proba(X[:3])
    assert np.abs(after - before).max() > 1e-5
    np.testing.assert_allclose(after, one_by_one(model, X)[:3], rtol=0, atol=1e-7)


def test_a_stack_is_no_part_of_the_model():
    model = fit(X)
    before = pickle.dumps(model)
    model.predict(X[:1])
    assert pickle.dumps(model) == before
    copied, n_stacks = copy.deepcopy(model), len(stack._STACKS)
    copied.predict(X[:1])
    assert len(stack._STACKS) == n_stacks + 1
    del copied
    gc.collect()
    assert len(stack._STACKS) == n_stacks
