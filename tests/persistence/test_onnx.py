"""Exported graphs, run by onnxruntime, return what the classifiers do."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.calibration import CALIBRATORS, Calibrator
from sklearn_mlloss.decoders import (
    DECODERS,
    AtLeastOne,
    CostSensitiveThreshold,
    CumulativeCut,
    Decoder,
    ExpectedFBeta,
    ExpectedJaccard,
    FixedThreshold,
    GFMDecoder,
    HierarchyClosure,
    TopK,
)
from sklearn_mlloss.losses import (
    LOSSES,
    AsymmetricLoss,
    AsymmetricPolynomialLoss,
    BinaryCrossEntropy,
    FactorizedLoss,
    FocalLoss,
    SeparableLoss,
    SoftmaxCrossEntropy,
    WithCount,
)
from sklearn_mlloss.networks import ACTIVATIONS
from sklearn_mlloss.persistence import load, save, to_onnx

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS = 1000
X, Y = make_multilabel_classification(N_ROWS, n_features=8, n_classes=4, random_state=0)
X = X.astype(np.float32)
X[::7, 2] = np.nan
TRAIN = slice(300)


def net(loss="bce", decoder="threshold", **params):
    params = {"hidden_layer_sizes": (8,), "max_epochs": 2, "linear_part": False} | params
    return MultiLabelNetClassifier(loss, decoder, random_state=0, **params)


@pytest.fixture
def export(tmp_path):
    """Return a function that exports a model and runs it."""

    def run(model, **params):
        to_onnx(model, tmp_path / "model.onnx", **params)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(tmp_path / "model.onnx", options)

    return run


def outputs(session, feed):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def assert_equal(session, model, rows, feed=None, atol=1e-5):
    feed = {"X": rows} if feed is None else feed
    for n in (1, len(rows)):
        found = outputs(session, {name: values[:n] for name, values in feed.items()})
        some = rows[:n]
        expected = model.predict_proba(some)
        assert found["probabilities"].shape == expected.shape
        np.testing.assert_allclose(found["probabilities"], expected, rtol=0, atol=atol)
        np.testing.assert_array_equal(found["labels"], model.predict(some))
        if "count" in found:
            np.testing.assert_allclose(found["count"], model.predict_count(some), rtol=1e-5)
    return found


@pytest.mark.parametrize(
    "loss",
    [
        *LOSSES,
        AsymmetricLoss(1, 2, 0, detach_focus=True),
        AsymmetricPolynomialLoss(0.5, 1, 0.02, 0.5, -1, 0.3),
        BinaryCrossEntropy("balanced", tau=1, label_smoothing=0.1),
        FactorizedLoss("product_abs_kl", "clip"),
        FactorizedLoss("kl_poisson", "exp"),
        FocalLoss(0.5, alpha=0.25),
        SoftmaxCrossEntropy(background=True),
        WithCount("lsep"),
        WithCount("hill", head="categorical"),
        torch.nn.BCEWithLogitsLoss,
        torch.nn.CrossEntropyLoss,
        torch.nn.MSELoss,
    ],
    ids=str,
)
def test_losses(loss, export):
    model = net(loss, "auto").fit(X[TRAIN], Y[TRAIN])
    found = assert_equal(export(model), model, X)
    assert found["labels"].dtype == np.int64
    assert ("count" in found) == (
        model.loss_.count(torch.zeros(1, model.loss_.n_outputs_)) is not None
    )


@pytest.mark.parametrize("count", [-40.0, -2.0, 0.5, 3.9, 30.0])
def test_factorized_scores_at_extreme_counts(count, export):
    model = net("factorized", "auto").fit(X[TRAIN], Y[TRAIN])
    with torch.no_grad():
        model.net_.module_.layers[-1].bias[-1] = count
    assert_equal(export(model), model, X)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    "encoding", [None, "auto", "standard", "robust", "quantile", "piecewise_linear"]
)
def test_encodings(encoding, precision, export):
    rows = X.astype(precision) if encoding else np.nan_to_num(X).astype(precision)
    model = net(encoding=encoding, precision=precision).fit(rows[TRAIN], Y[TRAIN])
    far = np.concatenate([rows, 1e6 * rows[:5], -1e6 * rows[:5]]) if encoding else rows
    assert_equal(export(model), model, far, atol=1e-5 if precision == "float32" else 1e-12)


def test_columns_of_zeros_and_ones(export):
    rows = (np.nan_to_num(X) > np.nanmedian(X, axis=0) / 2).astype(np.float32)
    model = net().fit(rows[TRAIN], Y[TRAIN])
    assert_equal(export(model), model, rows)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "normalization, precision", [(None, "float32"), ("batch", "float32"), ("layer", "float64")]
)
def test_layers(activation, normalization, precision, export):
    rows = X.astype(precision)
    model = net(
        activation=activation, normalization=normalization, precision=precision,
        hidden_layer_sizes=(5, 4), mixup=0.1, input_dropout=0.1, dropout=0.1,
    ).fit(rows[TRAIN], Y[TRAIN])  # fmt: skip
    assert_equal(export(model), model, rows)


@pytest.mark.parametrize("loss", ["bce", "factorized"])
def test_linear_part_and_ensemble(loss, export):
    model = net(loss, "auto", linear_part=True, cv=3).fit(X[TRAIN], Y[TRAIN])
    assert model.net_.linear_part() is not None
    assert_equal(export(model), model, X)


@pytest.fixture(scope="module")
def wide():
    """Return rows and a net in float64, so that labels are equal to the last digit."""
    rows = X.astype(np.float64)
    return rows, net(WithCount("bce"), precision="float64").fit(rows[TRAIN], Y[TRAIN])


PARENTS = [-1, 0, 0, 2]
DECODER_OBJECTS = [
    AtLeastOne(FixedThreshold(0.9)),
    AtLeastOne("label_set"),
    CostSensitiveThreshold(fn_cost=[1, 2, 3, 4]),
    CumulativeCut(0.6),
    ExpectedFBeta(2, empty=1),
    ExpectedJaccard(empty=1),
    FixedThreshold([0.3, np.inf, -np.inf, 0.6]),
    GFMDecoder(beta=0.5, empty=1, dependence=1),
    HierarchyClosure(PARENTS),
    HierarchyClosure(PARENTS, "per_label_threshold"),
    TopK(2),
]


@pytest.mark.parametrize(
    "decoder", [*(name for name in DECODERS if name != "hierarchy"), *DECODER_OBJECTS], ids=str
)
@pytest.mark.parametrize("calibration", [None, "sigmoid"])
def test_decoders(decoder, calibration, wide, export):
    rows, model = wide
    model.fit_decoder(rows[300:700], Y[300:700], decoder, calibration)
    # Some thresholds are scores of rows that they were fitted on.
    assert_equal(export(model), model, np.delete(rows, slice(300, 700), axis=0))


@pytest.mark.parametrize("calibration", CALIBRATORS)
def test_calibrators(calibration, wide, export):
    rows, model = wide
    targets = Y[300:].astype(float)
    # One constant label, which keeps its scores, and one that falls back.
    targets[:, 0], targets[5:, 1] = 0, 0
    model.fit_decoder(rows[300:], targets, "global_threshold", calibration)
    assert_equal(export(model), model, rows, atol=1e-10)


def frame(n):
    rng = np.random.default_rng(0)
    columns = {
        "size": X[:n, 2],
        "color": rng.choice(["red", "green", "blue", None], n),
        "weight": X[:n, 1],
        "grade": rng.choice([3, 5, 7.3, np.nan], n),
        "count": rng.choice([0, 1, 2**24 + 1], n),
    }
    kinds = dict.fromkeys(["color", "grade", "count"], "category")
    return pd.DataFrame(columns).astype(kinds)


def feed_of(table):
    texts = table[["color"]].astype(object)
    return {
        "X": table[["size", "weight"]].to_numpy(np.float32),
        "color": texts.where(texts.notna(), "").to_numpy(object),
        "grade": table[["grade"]].to_numpy(np.float64),
        # The name of an output.
        "x4": table[["count"]].to_numpy(np.float64),
    }


def unseen(table):
    """Return rows of which some have categories that were not in training."""
    table = table.astype({"color": object, "grade": float, "count": float})
    table.loc[1:20, "color"], table.loc[10:30, "grade"], table.loc[25:40, "count"] = "pink", 99, -1
    return table


@pytest.mark.parametrize(
    "model",
    [net(), net(cv=2), DecodedClassifierCV(net(linear_part=True), cv=2)],
    ids=["net", "ensemble", "decoded"],
)
def test_categories(model, export):
    table = frame(400)
    # Of three rows only, so that some members do not know it.
    table["color"] = table["color"].cat.add_categories("rare")
    table.loc[[5, 9, 11], "color"] = "rare"
    session = export(model.fit(table, Y[:400]))
    rows = unseen(table)
    assert_equal(session, model, rows, feed_of(rows))
    inputs = json.loads(session.get_modelmeta().custom_metadata_map["inputs"])
    assert inputs[0] == {"name": "X", "columns": ["size", "weight"]}
    assert inputs[1]["categories"] == ["blue", "green", "rare", "red"]
    assert inputs[3] == {"name": "x4", "columns": ["count"], "categories": [0, 1, 2**24 + 1]}


def test_categories_alone(export):
    table = frame(300)[["grade", "color"]]
    model = net().fit(table, Y[TRAIN])
    feed = {name: values for name, values in feed_of(frame(300)).items() if name in table}
    assert_equal(export(model), model, table, feed)


def test_categories_by_number(export):
    codes = np.random.default_rng(0).integers(0, 5, (N_ROWS, 1)).astype(np.float32)
    rows = np.hstack([codes, X[:, :3]])
    model = net(categorical_features=[0]).fit(rows[TRAIN], Y[TRAIN])
    feed = {"X": rows[:, 1:], "x0": codes.astype(np.float64)}
    assert_equal(export(model), model, rows, feed)


def test_empty_string_may_be_a_category(export):
    table = pd.DataFrame({"a": np.array(["", "x", "y"] * 100, dtype=object)})
    model = net(categorical_features=["a"]).fit(table, Y[TRAIN])
    assert_equal(export(model), model, table, {"a": table.to_numpy()})


def test_columns_without_a_name(export):
    table = pd.DataFrame({"a": X[TRAIN, 0], "": pd.Categorical(np.array(list("xyz") * 100))})
    model = net().fit(table, Y[TRAIN])
    feed = {"X": X[TRAIN, :1], "x1": table[[""]].to_numpy(object)}
    assert_equal(export(model), model, table, feed)


def test_categories_beyond_float64_are_refused(tmp_path):
    table = pd.DataFrame({"id": pd.Categorical(np.array([2**60, 2**60 + 1, 5] * 100))})
    model = net().fit(table, Y[TRAIN])
    with pytest.raises(NotImplementedError, match="'id'.*float64.*1152921504606846977.*strings"):
        to_onnx(model, tmp_path / "model.onnx")


CLASSES = {
    "strings": np.array(["no", "maybe", "yes"])[Y[:, 0] + Y[:, 1]],
    "integers": Y[:, 0] + Y[:, 1] + 5,
    "two strings": np.array(["no", "yes"])[Y[:, 0]],
    "two integers": Y[:, 0],
    "two numbers": Y[:, 0] * 2.0,
    "two flags": Y[:, 0] > 0,
    "one label": Y[:, :1],
}


@pytest.mark.parametrize("y", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("kind", ["net", "decoded", "vote", "linear"])
def test_targets(y, kind, export):
    model = net("focal", "threshold" if y.ndim == 2 else "auto")
    if kind == "decoded":
        model = DecodedClassifierCV(model, cv=2, calibration="sigmoid")
    if kind == "vote":
        model = SoftVotingClassifier([("a", model), ("b", net("bce", "auto"))], weights=[1, 2])
    if kind == "linear":
        model = MultiLabelLogisticRegressionCV(cv=2, random_state=0)
    rows = X.astype(np.float64) if kind == "linear" else X
    model.fit(rows[TRAIN], y[TRAIN])
    found = assert_equal(export(model), model, rows)
    assert found["labels"].shape == y.shape


def test_members(export):
    rows = X.astype(np.float64)  # as the linear model takes them
    inner = SoftVotingClassifier(
        [("net", net(cv=2)), ("linear", MultiLabelLogisticRegressionCV(random_state=0))]
    )
    vote = SoftVotingClassifier([("inner", inner), ("net", net("focal"))]).fit(
        rows[TRAIN], Y[TRAIN]
    )
    assert_equal(export(vote), vote, rows)
    model = DecodedClassifierCV(FrozenEstimator(vote), "cardinality", calibration="beta")
    model.fit(rows[300:600], Y[300:600])
    assert_equal(export(model), model, rows)


def test_weights_of_members(export):
    members = [("bce", net()), ("zlpr", net("zlpr"))]
    model = DecodedClassifierCV(members, "max_gap", weights=[1, 3], cv=2).fit(X[TRAIN], Y[TRAIN])
    assert_equal(export(model), model, X)


def test_loaded_models(export, tmp_path):
    pytest.importorskip("safetensors")
    table = frame(300)
    model = net("factorized", "gfm", calibration="beta", cv=2).fit(table, Y[TRAIN])
    save(model, tmp_path / "model")
    assert_equal(export(load(tmp_path / "model")), model, table, feed_of(table))


def test_metadata(export):
    names = ["a", "b", "c", "d"]
    model = net("focal", "global_threshold", calibration="sigmoid")
    model.fit(pd.DataFrame(X[TRAIN]), pd.DataFrame(Y[TRAIN], columns=names))
    values = export(model).get_modelmeta().custom_metadata_map
    values = {name: json.loads(value) for name, value in values.items()}
    assert values["label_names"] == names
    assert values["decoder"] == "GlobalThreshold()" and values["loss"] == "FocalLoss()"
    assert values["calibration"] == "SigmoidCalibrator()"
    assert values["inputs"] == [{"name": "X", "columns": list(range(8))}]
    assert values["model"] == "MultiLabelNetClassifier" and values["version"]


class Above(Decoder):
    def _decode(self, scores, count):
        return scores > 0.5


class Same(Calibrator):
    def _fit(self, scores, Y, sample_weight):
        pass

    def _transform(self, scores):
        return scores


class NoSlope(SeparableLoss):
    def positive(self, s):
        return torch.nn.functional.softplus(-s)

    def negative(self, s):
        return torch.nn.functional.softplus(s)


class PerLabel(NoSlope):
    def positive(self, s):
        return torch.nn.functional.softplus(torch.linspace(-1, 1, 4, dtype=s.dtype) - s)


class WithEta(NoSlope):
    def eta(self, s):
        return s.sigmoid()


class Unknown(NoSlope):
    def eta(self, s):
        return torch.special.ndtr(s)


@pytest.mark.parametrize("loss", [NoSlope(), PerLabel(label_smoothing=0.1), WithEta()], ids=str)
def test_custom_losses(loss, export):
    rows = X.astype(np.float64)
    model = net(loss, precision="float64").fit(rows[TRAIN], Y[TRAIN])
    with torch.no_grad():
        model.net_.module_.layers[-1].weight *= 30
    assert_equal(export(model), model, rows, atol=2e-7)


def test_labels_may_be_left_out(export):
    model = net(decoder=Above()).fit(X[TRAIN], Y[TRAIN])
    with pytest.raises(NotImplementedError, match=r"decoder=Above\(\) .* labels=False"):
        export(model)
    found = outputs(export(model, labels=False), {"X": X})
    assert set(found) == {"probabilities"}
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), rtol=0, atol=1e-5)


class Linear(torch.nn.Linear):
    pass


@pytest.mark.parametrize(
    "model, message",
    [
        (net(Unknown()), r"loss=Unknown\(\) .*special_ndtr .* other functions of torch"),
        (net(calibration=Same()), r"calibration=Same\(\) .*CALIBRATORS"),
        (net(encoding=StandardScaler()), r"encoding=StandardScaler\(\) .* encoding='auto'"),
        (
            MultiLabelNetClassifier(module=Linear, max_epochs=2, random_state=0),
            r"module=.*module=None",
        ),
        (
            SoftVotingClassifier([("n", net()), ("t", ExtraTreesClassifier(3))]),
            r"ExtraTreesClassifier\(.* members must be",
        ),
        (
            DecodedClassifierCV(net(), cv=2, response_method="decision_function"),
            "response_method='decision_function' .* use 'auto'",
        ),
    ],
    ids=["loss", "calibration", "encoding", "module", "member", "response_method"],
)
def test_what_has_no_counterpart(model, message, export):
    rows = np.nan_to_num(X)
    model.fit(rows[TRAIN], Y[TRAIN])
    with pytest.raises(NotImplementedError, match=message):
        export(model)


def test_categories_of_several_kinds_are_refused(export):
    table = pd.DataFrame({"a": np.array(["x", 1, "y"] * 100, dtype=object)})
    model = net(categorical_features=["a"]).fit(table, Y[TRAIN])
    with pytest.raises(NotImplementedError, match="column 'a' .* make them strings"):
        export(model)


def test_classes_that_are_dates_are_refused(export):
    dates = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")[Y[TRAIN, 0]]
    model = net(decoder="auto").fit(X[TRAIN], dates)
    with pytest.raises(NotImplementedError, match="classes .* use strings or numbers"):
        export(model)
    assert set(outputs(export(model, labels=False), {"X": X})) == {"probabilities"}


def test_members_with_other_categories_are_refused(export):
    codes = np.hstack([X[:, :2], Y[:, :1]])[TRAIN]
    members = [("a", net(categorical_features=[2])), ("b", net())]
    model = SoftVotingClassifier(members).fit(codes, Y[TRAIN])
    with pytest.raises(NotImplementedError, match="different columns of categories"):
        export(model)


def test_members_that_saw_other_classes_are_refused(export):
    y = np.array(["a", "b", "a"] * 100)
    y[:3] = "c"
    folds = [(np.arange(3, 300), np.arange(3)), (np.arange(150), np.arange(150, 300))]
    model = DecodedClassifierCV(net(decoder="auto"), cv=folds, ensemble=True)
    with pytest.warns(UserWarning, match="class"):
        model.fit(X[:300], y)
    with pytest.raises(NotImplementedError, match="fewer classes"):
        export(model)


def test_defaults_of_torch_do_not_matter(export):
    model = net("focal").fit(X[TRAIN], Y[TRAIN])
    with torch.device("meta"), torch.inference_mode():
        session = export(model)
    assert_equal(session, model, X)


def test_unfitted_models(export):
    with pytest.raises(NotFittedError, match="MultiLabelNetClassifier"):
        export(net())
    with pytest.raises(NotFittedError, match="GlobalThreshold"):
        export(net(decoder="global_threshold").partial_fit(X, Y))


def test_other_objects(export):
    with pytest.raises(TypeError, match=r"got LossDecoderSearchCV\(\): .* best_estimator_"):
        export(LossDecoderSearchCV())
    with pytest.raises(TypeError, match="labels must be True or False"):
        export(net(), labels="yes")


def test_gfm_that_saw_empty_sets_only(wide, export):
    rows, model = wide
    decoder = GFMDecoder(empty=1)
    model.fit_decoder(rows[300:400], np.zeros_like(Y[300:400]), decoder, None)
    assert_equal(export(model), model, rows)


def test_missing_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_mlloss\[onnx\]'"):
        to_onnx(net(), tmp_path / "model.onnx")
