"""Contributions of columns to predictions of a network."""

import copy
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_mlloss import DecodedClassifierCV, LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._training import attribution
from sklearn_mlloss.inspection import explain

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
NUMBERS = rng.normal(size=(120, 3))
X = pd.DataFrame(NUMBERS, columns=["heat", "wind", "rain"], index=[f"day {i}" for i in range(120)])
X["site"] = pd.Categorical(rng.choice(["north", "south", "west"], 120))
X.loc[X.index[::6], "wind"] = np.nan
Y = pd.DataFrame(
    {
        "sea": (X["heat"] + (X["site"] == "north") > 0.4).astype(int),
        "hill": (X["rain"] > X["wind"].fillna(0)).astype(int),
    }
)


def net(**params):
    defaults = dict(
        max_epochs=5, hidden_layer_sizes=(8,), learning_rate=0.05, batch_size=32, device="cpu",
        linear_part=False, random_state=0,
    )  # fmt: skip
    return MultiLabelNetClassifier(**(defaults | params))


@pytest.fixture(scope="module")
def fitted():
    return net(linear_part=True, cv=2).fit(X, Y)


def check_sums(explanation, tolerance=1e-3):
    contributions = explanation.contributions
    difference = explanation.logits - explanation.baseline_logits
    size = np.abs(contributions).sum(axis=1).max(axis=0)
    assert (size > 0.1).all()
    assert (np.abs(contributions.sum(axis=1) - difference) <= tolerance * size).all()


CASES = {
    "bins, linear part, folds": dict(linear_part=True, cv=2),
    "standard": dict(encoding="standard"),
    "robust": dict(encoding="robust"),
    "quantile": dict(encoding="quantile"),
    "none": dict(encoding=None),
    "float64": dict(precision="float64"),
    "no layers": dict(hidden_layer_sizes=()),
    "two layers": dict(hidden_layer_sizes=(8, 8), activation="gelu", normalization="batch"),
    "mixup": dict(mixup=0.2, dropout=0.2, input_dropout=0.2),
    "focal": dict(loss="focal", cv=2),
    "asymmetric": dict(loss="asymmetric"),
    "zlpr": dict(loss="zlpr"),
    "softmax": dict(loss="softmax_ce"),
    "count": dict(loss="factorized", cv=2),
    "F-beta": dict(loss="soft_fbeta"),
}


@pytest.mark.parametrize("name", CASES)
def test_contributions_sum_to_the_difference_of_the_logits(name):
    table = X if name != "none" else X.fillna({"wind": 0})
    model = net(**CASES[name]).fit(table, Y)
    some, before = table[:4], table[40:42]
    explanation = explain(model, some, n_steps=1000, baseline=before)
    check_sums(explanation)
    np.testing.assert_allclose(explanation.logits, logit(model.predict_proba(some)), atol=1e-4)
    mean = logit(model.predict_proba(before)).mean(axis=0)
    np.testing.assert_allclose(explanation.baseline_logits, mean, atol=1e-4)
    check_sums(explain(model, some, n_steps=1000))
    # The default is good enough for a glance.
    check_sums(explain(model, some), tolerance=0.01)


def test_a_linear_model_is_explained_by_its_coefficients():
    model = net(hidden_layer_sizes=(), encoding="standard").fit(NUMBERS, Y)
    explanation = explain(model, NUMBERS[:5], n_steps=1)
    weight = model.net_.module_.layers[0].weight.detach().numpy()
    encoding = model.encoding_
    scaled = (NUMBERS[:5] - encoding.center_) * encoding.factor_
    np.testing.assert_allclose(
        explanation.contributions, scaled[:, :, None] * weight.T, rtol=1e-3, atol=1e-5
    )


class Product(nn.Module):
    """Two outputs: the product of the first two columns, and the last column."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, X):
        return self.scale * torch.stack([X[:, 0] * X[:, 1], X[:, 2]], dim=1)


@pytest.mark.parametrize("encoding", [None, "robust"])
def test_a_product_is_shared_by_its_factors(encoding):
    model = MultiLabelNetClassifier(
        module=Product, encoding=encoding, learning_rate=1e-9, max_epochs=1, device="cpu"
    ).fit(NUMBERS, Y)
    z = NUMBERS[:5]
    if encoding == "robust":
        z = model.encoding_.module(torch.float64)(torch.from_numpy(z)).numpy()
    half = z[:, 0] * z[:, 1] / 2
    explanation = explain(model, NUMBERS[:5])
    zero = np.zeros(5)
    first, second = explanation.contributions.transpose(2, 0, 1)
    np.testing.assert_allclose(first, np.column_stack([half, half, zero]), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(second, np.column_stack([zero, zero, z[:, 2]]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("column", "value"), [("heat", 2.5), ("wind", np.nan), ("site", "south")])
def test_a_single_changed_column_contributes_everything(fitted, column, value):
    baseline = X[1:2].assign(site="north")
    other = baseline.assign(**{column: [value]})
    explanation = explain(fitted, other, "hill", baseline=baseline, n_steps=500)
    contributions = explanation.to_frame()
    assert (contributions.drop(columns=column) == 0).all(axis=None)
    change = explanation.logits - explanation.baseline_logits
    assert contributions[column].item() == pytest.approx(change.item(), rel=0.01)
    assert abs(change.item()) > 1e-3


def test_one_label_and_all_labels(fitted):
    both = explain(fitted, X[:3])
    assert both.label_names == ["sea", "hill"] and both.contributions.shape == (3, 4, 2)
    frame = both.to_frame()
    assert frame.columns.tolist() == ["heat", "wind", "rain", "site"]
    assert frame.index.names == ["row", "label"] and frame.index[1] == ("day 0", "hill")
    for j, label in enumerate(["sea", "hill"]):
        one = explain(fitted, X[:3], label)
        assert one.label_names == [label]
        np.testing.assert_allclose(one.contributions[:, :, 0], both.contributions[:, :, j])
        np.testing.assert_allclose(one.to_frame(), frame.xs(label, level="label"))
        assert one.to_frame().index.tolist() == ["day 0", "day 1", "day 2"]
        np.testing.assert_array_equal(explain(fitted, X[:3], j).logits, one.logits)
    # What depends on heat, and on rain and wind.
    size = explain(fitted, X).contributions
    assert np.abs(size).mean(axis=0).argmax(axis=0).tolist() == [0, 2]


def test_the_calibrator_is_left_out():
    model = net(calibration="sigmoid", cv=2).fit(X, Y)
    plain = copy.copy(model)
    plain.calibrator_ = None
    explanation = explain(model, X[:3])
    np.testing.assert_allclose(explanation.logits, logit(plain.predict_proba(X[:3])), atol=1e-4)
    assert np.abs(explanation.logits - logit(model.predict_proba(X[:3]))).max() > 1e-2


def test_classes():
    kinds = np.array(["ant", "bee", "cat"])[NUMBERS.argmax(axis=1)]
    model = net(loss="softmax_ce").fit(NUMBERS, kinds)
    explanation = explain(model, NUMBERS[:6], n_steps=1000)
    check_sums(explanation)
    assert explanation.label_names == ["ant", "bee", "cat"]
    np.testing.assert_allclose(
        explanation.logits, model.decision_function(NUMBERS[:6]), rtol=1e-3, atol=1e-3
    )
    assert explain(model, NUMBERS[:1], "bee").label_names == ["bee"]
    two = net().fit(NUMBERS, kinds == "cat")
    positive, negative = (explain(two, NUMBERS[:6], label) for label in (True, False))
    np.testing.assert_array_equal(positive.contributions, -negative.contributions)
    np.testing.assert_allclose(
        positive.logits[:, 0], two.decision_function(NUMBERS[:6]), rtol=1e-3, atol=1e-4
    )
    assert explain(two, NUMBERS[:1]).label_names == [True]


def test_sparse_rows():
    counts = sp.random_array((120, 30), density=0.1, format="csr", rng=rng, dtype=np.float64)
    labels = (counts[:, :2].toarray() > 0).astype(int)
    model = net(linear_part=True).fit(counts, labels)
    explanation = explain(model, counts[:4], n_steps=128)
    check_sums(explanation)
    dense = explain(model, counts[:4].toarray(), n_steps=128)
    np.testing.assert_allclose(explanation.contributions, dense.contributions)
    # Words that are not there contribute nothing.
    assert (explanation.contributions[counts[:4].toarray() == 0] == 0).all()
    check_sums(explain(model, counts[:4], baseline=counts[10:13], n_steps=128))


def test_blocks_and_modes_of_torch_do_not_matter(fitted, monkeypatch):
    expected, proba = explain(fitted, X[:5], baseline=X[5:8]), fitted.predict_proba(X)
    monkeypatch.setattr(attribution, "BLOCK", 500)
    with torch.inference_mode():
        blocks = explain(fitted, X[:5], baseline=X[5:8])
    np.testing.assert_allclose(blocks.contributions, expected.contributions, rtol=1e-9)
    np.testing.assert_array_equal(fitted.predict_proba(X), proba)
    assert all(p.requires_grad for p in fitted.net_.module_.layers.parameters())
    same = explain(pickle.loads(pickle.dumps(fitted)), X[:5], baseline=X[5:8])
    np.testing.assert_allclose(same.contributions, expected.contributions, rtol=1e-9)


def test_sums_that_fail_are_reported(fitted):
    with pytest.warns(UserWarning, match=r"do not sum .* give more than n_steps=1\."):
        explain(fitted, X[:20], n_steps=1)
    hinge = net(loss="hinge").fit(X, Y)
    with pytest.warns(UserWarning, match="has a step, such as hinge"):
        explain(hinge, X[:20])


def test_wrong_arguments_are_refused(fitted):
    for wrong, error, message in (
        ({"n_steps": 0}, ValueError, "n_steps must be an integer >= 1"),
        ({"label": "seas"}, ValueError, "neither a name nor an index .* did you mean 'sea'"),
        ({"X": X[["heat"]]}, ValueError, "feature names|features"),
        ({"X": NUMBERS[0]}, ValueError, "2D"),
        ({"baseline": NUMBERS[0]}, ValueError, "baseline: Expected 2D array"),
        ({"baseline": X[["heat"]]}, ValueError, "feature names|features"),
        ({"baseline": pd.concat([X] * 9)}, ValueError, "baseline has 1080 rows.*at most 1000"),
    ):
        with pytest.raises(error, match=message):
            explain(**({"model": fitted, "X": X[:2]} | wrong))
    with pytest.raises(ValueError) as caught:
        explain(fitted, X[:2], baseline=X[["heat"]])
    assert "baseline" in caught.value.__notes__[0]


def test_other_models_are_refused(fitted):
    forest = RandomForestClassifier(2).fit(NUMBERS, Y)
    search = LossDecoderSearchCV(net(), ["bce"], ["threshold"], cv=2, random_state=0)
    piped = make_pipeline(StandardScaler(), net())
    for model, advice in (
        (forest, "permutation_importance, or SHAP"),
        (DecodedClassifierCV(forest), "permutation_importance, or SHAP"),
        (search.fit(NUMBERS, Y), "give its best_estimator_"),
        (piped.fit(NUMBERS, Y), "give its last step"),
        (MultiLabelNetClassifier, "permutation_importance"),
    ):
        with pytest.raises(TypeError, match=f"explain needs a fitted Multi.*{advice}"):
            explain(model, NUMBERS[:1])
    with pytest.raises(NotFittedError):
        explain(net(), NUMBERS[:1])
    scaled = net(encoding=StandardScaler()).fit(NUMBERS, Y)
    with pytest.raises(ValueError, match="is a transformer, which may mix"):
        explain(scaled, NUMBERS[:1])


def test_frames_need_pandas(fitted, monkeypatch):
    explanation = explain(fitted, X[:1])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="Explanation.to_frame returns a DataFrame"):
        explanation.to_frame()
