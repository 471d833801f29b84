"""The classifier: every parameter acts, and training keeps what it promises."""

import inspect
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler, PrintLog
from torch import nn

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._data.features import check_rows
from sklearn_mlloss._decision.cross_fit import hold_out
from sklearn_mlloss._training.build import build_net
from sklearn_mlloss._training.fast.loop import FusedTraining
from sklearn_mlloss._training.net import TableNet
from sklearn_mlloss._training.optimizers import OPTIMIZERS
from sklearn_mlloss.decoders import CumulativeCut, FixedThreshold, GlobalThreshold, TopK
from sklearn_mlloss.losses import AsymmetricLoss, FocalLoss, FunctionLoss, Loss, SeparableLoss
from sklearn_mlloss.networks import ENCODINGS
from sklearn_mlloss.streaming import Streaming

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
pytestmark = pytest.mark.filterwarnings("ignore:.*labels have too few positives")

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(120, 3)) > 0.5).astype(int)
NAN = np.nan


def make(**params):
    """Return a small classifier that makes all its epochs."""
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=5, batch_size=32, learning_rate=0.02,
                    early_stopping=False, random_state=0, device="cpu")  # fmt: skip
    return MultiLabelNetClassifier(**{**defaults, **params})


def keeping_inputs(**params):
    """Return one that leaves no inputs out: their number changes nothing that is drawn."""
    return make(input_dropout=0, **params)


def early(**params):
    return make(**{**dict(early_stopping=True, max_epochs=200, n_iter_no_change=5), **params})


def proba(net):
    return net.predict_proba(X)


def differ(a, b):
    return (proba(a) != proba(b)).any()


# ------------------------------------------------------------------ every parameter acts


def layers(net, kind):
    return [layer for layer in net.net_.module_.modules() if isinstance(layer, kind)]


def effect_of_loss():
    a, b = make().fit(X, Y), make(loss="focal").fit(X, Y)
    assert isinstance(b.loss_, FocalLoss) and differ(a, b)
    assert make(loss=FocalLoss(gamma=1)).fit(X, Y).loss_.gamma == 1
    for function in (nn.BCEWithLogitsLoss, nn.BCEWithLogitsLoss(),
                     nn.functional.binary_cross_entropy_with_logits):  # fmt: skip
        np.testing.assert_allclose(proba(make(loss=function).fit(X, Y)), proba(a), atol=1e-5)


def effect_of_decoder():
    a = make().fit(X, Y)
    assert isinstance(a.decoder_, FixedThreshold)
    b = make(decoder=TopK(2)).fit(X, Y)
    assert (b.predict(X).sum(1) == 2).all() and not differ(a, b)
    c = make(decoder="global_threshold").fit(X, Y)
    np.testing.assert_array_equal(c.predict(X), proba(c) >= c.decoder_.threshold_)


def effect_of_encoding():
    nets = {name: keeping_inputs(encoding=name).fit(X, Y) for name in (None, "auto", *ENCODINGS)}
    assert nets[None].encoding_ is None and nets[None].net_.module_.encoding is None
    for name, kind in ENCODINGS.items():
        assert type(nets[name].encoding_) is kind and nets[name].encoding_reason_ == "as given"
        expected = keeping_inputs(encoding=None).fit(encoded(nets[name], X), Y)
        np.testing.assert_allclose(
            proba(nets[name]), expected.predict_proba(encoded(nets[name], X)), rtol=1e-5
        )
        assert differ(nets[name], nets[None])
    assert not differ(nets["auto"], nets["piecewise_linear"])
    assert nets["auto"].encoding_reason_ == "4 dense columns give 32 outputs"
    scaled = keeping_inputs(encoding=StandardScaler()).fit(X, Y)
    np.testing.assert_allclose(proba(scaled), proba(nets["standard"]), rtol=1e-4)


def encoded(net, X):
    return net.encoding_.module()(torch.tensor(X, dtype=torch.float32)).numpy()


def effect_of_categorical_features():
    colors = np.array(["red", "green", "blue"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    frame = pd.DataFrame({"x": X[:, 1], "color": pd.Categorical(colors)})
    net = keeping_inputs(encoding=None).fit(frame, Y)
    assert net.is_categorical_.tolist() == [False, True]
    assert [list(own) for own in net.categories_] == [["blue", "green", "red"]]
    hot = frame[["x"]].join(pd.get_dummies(frame["color"]))
    expected = keeping_inputs(encoding=None).fit(hot, Y).predict_proba(hot)
    np.testing.assert_array_equal(net.predict_proba(frame), expected)
    for given in ([1], [False, True], ["color"]):
        named = keeping_inputs(encoding=None, categorical_features=given).fit(
            frame.astype(object), Y
        )
        np.testing.assert_array_equal(named.predict_proba(frame), expected)
    frame["color"] = frame["color"].cat.codes
    number = keeping_inputs(encoding=None).fit(frame, Y)
    assert number.is_categorical_ is None and not number.categories_
    assert (number.predict_proba(frame) != expected).any()
    frame["color"] = frame["color"].astype("category")
    coded = keeping_inputs(encoding=None, categorical_features=None).fit(frame, Y)
    np.testing.assert_array_equal(coded.predict_proba(frame), number.predict_proba(frame))


def linear_layers(net):
    return [part for part in net.module_.modules() if isinstance(part, nn.Linear)]


def effect_of_hidden_layer_sizes():
    linear = layers(make(hidden_layer_sizes=[7, 5]).fit(X, Y), nn.Linear)
    assert [layer.out_features for layer in linear] == [7, 5, 3]
    assert len(layers(make(hidden_layer_sizes=()).fit(X, Y), nn.Linear)) == 1
    params = dict(hidden_layer_sizes="auto", max_epochs=1, dropout="auto")
    for n, sizes in ((100, [256, 3]), (4000, [256, 3]), (4001, [256, 256, 3])):
        rows = np.arange(n) % len(X)
        net = make(**params).fit(X[rows], Y[rows])
        assert [layer.out_features for layer in layers(net, nn.Linear)] == sizes
    # Folds have what one fit of all rows has.
    folds = make(**params, cv=3, early_stopping=True).fit(X[rows], Y[rows])
    assert [len(linear_layers(part)) for part in folds.nets_] == [3, 3, 3]
    # A warm start keeps the sizes, independent of "auto" for these rows.
    for sizes, n in (("auto", 4000), ((8,), 63_000)):
        net = make(**{**params, "hidden_layer_sizes": sizes}, warm_start=True)
        some, more = (np.arange(m) % len(X) for m in (n, n + 2000))
        before = [str(part) for part in net.fit(X[some], Y[some]).net_.module_.layers]
        after = [str(part) for part in net.fit(X[more], Y[more]).net_.module_.layers]
        assert before == after and len(net.history_["epoch"]) == 2


def effect_of_activation():
    assert layers(make(activation="tanh").fit(X, Y), nn.Tanh)
    assert layers(make().fit(X, Y), nn.ReLU)


def effect_of_dropout():
    net = keeping_inputs(dropout=0.4, mixup=0).fit(X, Y)
    assert [layer.p for layer in layers(net, nn.Dropout)] == [0.4]
    assert not layers(keeping_inputs(dropout=0).fit(X, Y), nn.Dropout)
    np.testing.assert_array_equal(proba(net), proba(net))
    assert differ(net, keeping_inputs(dropout=0.2, mixup=0).fit(X, Y))
    for n, rate in ((100, 0.5), (4000, 0.5), (10_000, 0.1875), (40_000, 0.0625)):
        rows = np.arange(n) % len(X)
        net = keeping_inputs(dropout="auto", hidden_layer_sizes=(64,), max_epochs=1).fit(
            X[rows], Y[rows]
        )
        assert [layer.p for layer in layers(net, nn.Dropout)] == [rate]
    for sizes, rate in (((300, 32), 0.25), ((16, 64), 0.125), ((8,), 0.0625)):
        net = keeping_inputs(dropout="auto", hidden_layer_sizes=sizes, max_epochs=1).fit(X, Y)
        assert [layer.p for layer in layers(net, nn.Dropout)] == [rate] * len(sizes)
    keeping_inputs(dropout="auto", hidden_layer_sizes=(), max_epochs=1).fit(X, Y)
    # Many rows, or few units, need none; inputs and mixtures follow.
    many = np.arange(70_000) % len(X)
    for sizes, rows in (((64,), many), ((2,), np.arange(len(X)))):
        net = MultiLabelNetClassifier(hidden_layer_sizes=sizes, max_epochs=1, random_state=0,
                                      early_stopping=False).fit(X[rows], Y[rows])  # fmt: skip
        assert not layers(net, nn.Dropout) and net.net_.module_.mixup is None


def effect_of_input_dropout():
    net = make(dropout=0, input_dropout=0.4).fit(X, Y)
    assert net.net_.module_.input_dropout.p == 0.4
    np.testing.assert_array_equal(proba(net), proba(net))
    assert differ(net, make(dropout=0, input_dropout=0.2).fit(X, Y))
    for dropout, columns, rate in ((0.5, 64, 80), (0.5, 300, 80), (0.5, 16, 20), (0.2, 64, 32)):
        net = make(dropout=dropout, input_dropout="auto", max_epochs=1)
        net.fit(np.resize(X, (len(X), columns)), Y)
        assert net.net_.module_.input_dropout.p == rate / 256
    for sizes, dropout in (((8,), 0), ((), "auto")):
        net = make(dropout=dropout, input_dropout="auto", hidden_layer_sizes=sizes, max_epochs=1)
        assert net.fit(X, Y).net_.module_.input_dropout is None


def effect_of_mixup():
    net = make(dropout=0, mixup=1.0).fit(X, Y)
    assert net.net_.module_.mixup.alpha == 1.0
    np.testing.assert_array_equal(proba(net), proba(net))
    assert differ(net, make(dropout=0).fit(X, Y))
    for dropout, alpha in ((0.5, 0.2), (0.25, 0.1)):
        net = make(dropout=dropout, mixup="auto", max_epochs=1).fit(X, Y)
        assert net.net_.module_.mixup.alpha == alpha
    for sizes, dropout in (((8,), 0), ((), "auto")):
        net = make(dropout=dropout, mixup="auto", hidden_layer_sizes=sizes, max_epochs=1)
        assert net.fit(X, Y).net_.module_.mixup is None


def effect_of_linear_part():
    net = early(linear_part=True).fit(X, Y)
    assert net.net_.module_.linear.weight.shape == (4 + 4 * 4, 3)
    assert "best of 5 folds" in net.summary()
    assert differ(net, early(linear_part=False).fit(X, Y))
    for params in (dict(early_stopping=True), dict(early_stopping=False)):
        auto = make(**params).fit(X, Y)
        assert (auto.net_.module_.linear is not None) == params["early_stopping"]
    assert "none without early stopping" in auto.summary()


def effect_of_normalization():
    assert layers(make(normalization="batch").fit(X, Y), nn.BatchNorm1d)
    assert layers(make(normalization="layer").fit(X, Y), nn.LayerNorm)


def effect_of_module():
    net = MultiLabelNetClassifier(module=nn.Linear, max_epochs=1, early_stopping=False,
                                  encoding=None, device="cpu")  # fmt: skip
    assert isinstance(net.fit(X, Y).net_.module_, nn.Linear)
    net.set_params(encoding="piecewise_linear").fit(X, Y)
    assert isinstance(net.net_.module_.network, nn.Linear)
    assert net.net_.module_.network.in_features == net.encoding_.n_outputs_ == 32


def effect_of_optimizer():
    assert isinstance(make(optimizer="sgd").fit(X, Y).net_.optimizer_, torch.optim.SGD)


def effect_of_learning_rate():
    assert make(learning_rate=0.07).fit(X, Y).net_.optimizer_.param_groups[0]["lr"] == 0.07
    still, moved = make(learning_rate=1e-30, weight_decay=0), make(learning_rate=0.1)
    assert np.ptp(still.fit(X, Y).history_["train_loss"]) < 0.1
    assert moved.fit(X, Y).history_["train_loss"][-1] < still.history_["train_loss"][-1] - 0.1


def effect_of_weight_decay():
    def size(weight_decay, optimizer):
        net = make(weight_decay=weight_decay, optimizer=optimizer, dropout=0, max_epochs=20)
        return sum(
            float(p.detach().square().sum()) for p in net.fit(X, Y).net_.module_.parameters()
        )

    assert size(5, "adamw") < 0.5 * size(0, "adamw")
    assert size(0.5, "sgd") < 0.9 * size(0, "sgd")


def effect_of_optimizer_params():
    net = make(optimizer="sgd", optimizer_params={"momentum": 0.5}).fit(X, Y)
    assert net.net_.optimizer_.param_groups[0]["momentum"] == 0.5
    assert differ(net, make(optimizer="sgd").fit(X, Y))


def effect_of_lr_schedule():
    net = make(lr_schedule="cosine", learning_rate=1.0, max_epochs=4).fit(X, Y)
    expected = [(1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)]
    assert net.history_["learning_rate"] == pytest.approx(expected)
    halved = make(
        lr_schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5), learning_rate=1.0
    ).fit(X, Y)
    assert halved.history_["learning_rate"] == pytest.approx([1, 0.5, 0.25, 0.125, 0.0625])
    assert "learning_rate" not in make().fit(X, Y).history_


def effect_of_batch_size():
    sizes = []

    class Sizes(Callback):
        def on_batch_begin(self, net, batch, **kwargs):
            sizes.append(len(batch[0]))

    make(batch_size=50, callbacks=[Sizes()], max_epochs=1).fit(X, Y)
    assert sizes == [40, 40, 40]
    sizes.clear()
    make(batch_size="auto", callbacks=[Sizes()], max_epochs=1).fit(X, Y)
    assert sizes == [30] * 4
    sizes.clear()
    make(batch_size="auto", callbacks=[Sizes()], max_epochs=1).fit(
        np.tile(X, (20, 1)), np.tile(Y, (20, 1))
    )
    assert max(sizes) in range(100, 129)


def effect_of_max_epochs():
    net = make(max_epochs=7).fit(X, Y)
    assert net.n_iter_ == 7 == len(net.history_["train_loss"])
    assert net.history_["epoch"] == list(range(1, 8))


def effect_of_early_stopping():
    net = early().fit(X, Y)
    assert net.n_iter_ < 200 and len(net.history_["valid_loss"]) == net.n_iter_
    assert "valid_loss" not in make().fit(X, Y).history_


def held_out(**params):
    seen = []

    def monitor(targets, scores):
        seen.append((targets, scores))
        return 0.0

    net = early(monitor=monitor, **params).fit(X, Y)
    return net, seen


def effect_of_validation_fraction():
    for fraction in (0.1, 0.4):
        assert len(held_out(validation_fraction=fraction)[1][0][0]) == round(fraction * 120)
    rows = []

    def metric(Y, Y_hat):
        rows.append(len(Y))
        return 0.0

    make(decoder=GlobalThreshold(metric), validation_fraction=0.25).fit(X, Y)
    # A metric is tried on all rows before training.
    assert rows[:3] == [120] * 3 and set(rows[3:]) == {30}


def effect_of_n_iter_no_change():
    for patience in (3, 6):
        net, seen = held_out(n_iter_no_change=patience)
        assert net.n_iter_ == len(seen) == 1 + patience


def effect_of_monitor():
    net = early(monitor=label_ranking_average_precision_score).fit(X, Y)
    best = max(net.history_["valid_score"])
    assert 0.5 < best <= 1 and len(net.history_["valid_score"]) == net.n_iter_
    assert "valid_score" not in early().fit(X, Y).history_


def effect_of_device():
    net = make(device="cpu").fit(X, Y)
    assert {p.device.type for p in net.net_.module_.parameters()} == {"cpu"}
    with pytest.raises(ValueError, match="device"):
        make(device="gpu").fit(X, Y)


def effect_of_precision():
    def dtypes(net):
        return {p.dtype for p in net.net_.module_.parameters()}

    assert dtypes(make().fit(X, Y)) == {torch.float32}
    half, single = make(precision="bf16").fit(X, Y), make().fit(X, Y)
    assert dtypes(half) == {torch.float32}
    assert 0 < abs(proba(half) - proba(single)).max() < 0.05
    double = make(precision="float64").fit(X, Y)
    assert dtypes(double) == {torch.float64}
    # A change of a millionth of a millionth is seen.
    shift = double.predict_proba(X + 1e-12) - proba(double)
    assert 0 < np.abs(shift).max() < 1e-10


def effect_of_random_state():
    assert not differ(make().fit(X, Y), make().fit(X, Y))
    assert differ(make().fit(X, Y), make(random_state=1).fit(X, Y))
    assert differ(make(random_state=None).fit(X, Y), make(random_state=None).fit(X, Y))


def effect_of_warm_start():
    net = make(warm_start=True).fit(X, Y).fit(X, Y)
    assert net.n_iter_ == 10
    assert make().fit(X, Y).fit(X, Y).n_iter_ == 5


def effect_of_callbacks():
    calls = []

    class Count(Callback):
        def on_epoch_end(self, net, **kwargs):
            calls.append(1)

    make(callbacks=[Count]).fit(X, Y)
    assert len(calls) == 5


def effect_of_net_params():
    lines = []
    make(verbose=True, net_params={"callbacks__print_log__sink": lines.append}).fit(X, Y)
    assert len(lines) == 5 + 2  # with a head of two lines
    with pytest.raises(ValueError, match="got \\['max_epochs'\\]"):
        make(net_params={"max_epochs": 3}).fit(X, Y)
    with pytest.raises((TypeError, ValueError), match="nonsense"):
        make(net_params={"nonsense": 3}).fit(X, Y)


def effect_of_calibration():
    a, b = make(decoder="global_threshold"), make(decoder="global_threshold", calibration="sigmoid")
    assert a.fit(X, Y).calibrator_ is None
    scores = b.fit(X, Y)._raw_scores(b._check_X(X))[0]
    np.testing.assert_array_equal(proba(a), scores)
    np.testing.assert_array_equal(proba(b), b.calibrator_.transform(scores))
    assert differ(a, b)


def effect_of_cv():
    assert len(make().fit(X, Y).nets_) == 1
    assert len(make(cv=3).fit(X, Y).nets_) == 3


def effect_of_repeats():
    assert len(make(cv=3, repeats=2).fit(X, Y).nets_) == 6


def effect_of_ensemble():
    assert len(make(cv=3, ensemble=False).fit(X, Y).nets_) == 1


def effect_of_store_cv_results():
    assert make(cv=3, store_cv_results=True).fit(X, Y).oof_scores_.shape == Y.shape
    assert not hasattr(make(cv=3).fit(X, Y), "oof_scores_")


def effect_of_n_jobs():
    started = []
    with mock.patch("sklearn_mlloss._data.parallel.Parallel", side_effect=lambda n_jobs, **_: (
        started.append(n_jobs) or Parallel(n_jobs=None)
    )):  # fmt: skip
        make(cv=3, n_jobs=2).fit(X, Y)
    assert started == [2]


def effect_of_memory(tmp_path):
    with mock.patch("sklearn_mlloss._training.fit.build_net", side_effect=build_net) as built:
        first = make(memory=str(tmp_path)).fit(X, Y)
        make(memory=str(tmp_path)).fit(X, Y)
        assert built.call_count == 1
        make().fit(X, Y)
        assert built.call_count == 2
    assert first.net_ is not make(memory=str(tmp_path)).fit(X, Y).net_


def effect_of_streaming():
    # One buffer has all rows, in another order.
    params = dict(batch_size=len(X), precision="float64", dropout=0.0, linear_part=False)
    streamed = make(**params, streaming=Streaming()).fit(X, Y)
    np.testing.assert_allclose(
        streamed.predict_proba(X), make(**params).fit(X, Y).predict_proba(X), atol=1e-9
    )


def effect_of_verbose(capsys):
    make().fit(X, Y)
    assert capsys.readouterr().out == ""
    make(verbose=1).fit(X, Y)
    out = capsys.readouterr().out
    assert "train_loss" in out and len(out.strip().splitlines()) == 7
    make(verbose=1, cv=2, ensemble=False, max_epochs=1, memory=None).fit(X, Y)
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        name for name in ("fold 1/2", "fold 2/2", "all rows") for _ in range(3)
    ]


EFFECTS = {
    name.removeprefix("effect_of_"): function
    for name, function in list(globals().items())
    if name.startswith("effect_of_")
}
PARAMETERS = list(inspect.signature(MultiLabelNetClassifier).parameters)


def test_each_parameter_has_a_tested_effect():
    assert set(EFFECTS) == set(PARAMETERS)


@quiet
@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_does_what_it_says(name, capsys, tmp_path):
    effect = EFFECTS[name]
    wanted = {"capsys": capsys, "tmp_path": tmp_path}
    effect(*(wanted[argument] for argument in inspect.signature(effect).parameters))


OUT_OF_RANGE = {
    "loss": ["focale", 5, None],
    "decoder": ["treshold", 5, None],
    "encoding": ["standart", 5, StandardScaler, FocalLoss(), ["quantile"], True],
    "categorical_features": ["dtype", 5, [0.5], [4], [-1], [True], ["a"], [[0]], [None, "a"], {}],
    "hidden_layer_sizes": [5, (0,), (2.5,), "ab", (-1,), None],
    "activation": ["rely", None, 5, ["relu"]],
    "dropout": [1, -0.1, "a", None, NAN, "automatic"],
    "normalization": ["group", 5, ["batch"]],
    "input_dropout": [1, -0.1, "a", None, NAN, "automatic"],
    "mixup": [-0.1, "a", None, NAN, float("inf"), "automatic"],
    "linear_part": [1, "yes", None, "automatic"],
    "module": ["mlp", 5, nn.Linear(4, 3)],
    "optimizer": ["adm", 5, None],
    "learning_rate": [0, -1, "auto", NAN],
    "weight_decay": [-1, "a", None, NAN],
    "optimizer_params": [{"momentun": 1}, {"lr": 1}, 5, "ab"],
    "lr_schedule": ["cos", 5],
    "batch_size": [0, -1, 2.5, "all", None],
    "max_epochs": [0, 2.5, "a", None],
    "early_stopping": ["yes", 1, None],
    "validation_fraction": [0, 1, -0.1, 30, "a", None, NAN],
    "n_iter_no_change": [0, 2.5, None],
    "monitor": ["f1", 5, None],
    "device": ["gpu", "cuda:99", None, 5.5],
    "precision": ["float16", None, np.float32, ["float32"]],
    "random_state": ["a", -1, 2.5],
    "calibration": ["platt", 5],
    "cv": [1, "five", 0],
    "repeats": [0, 1.5, None, 2],
    "ensemble": ["yes", 1, None],
    "store_cv_results": ["yes", 1, None],
    "memory": [5],
    "n_jobs": ["all", 2.5, 0],
    "warm_start": ["yes", 1, None],
    "callbacks": [5, [5], "print"],
    "net_params": [{"max_epochs": 1}, {"nonsense": 1}, 5],
    "streaming": [100, "yes", True, {"buffer_rows": 100}],
    "verbose": [-1, "a", None],
}


def test_each_parameter_has_values_out_of_range():
    assert set(OUT_OF_RANGE) == set(PARAMETERS)


@pytest.mark.parametrize(
    "name, value", [(name, value) for name, values in OUT_OF_RANGE.items() for value in values]
)
def test_out_of_range_values_name_the_parameter(name, value):
    params = {name: value}
    if name == "validation_fraction":
        params["early_stopping"] = True
    if name == "n_jobs":
        params["cv"] = 2
    if name == "module":
        params["hidden_layer_sizes"] = "auto"
    with pytest.raises((TypeError, ValueError), match=name):
        make(**params).fit(X, Y)


def test_nothing_is_checked_or_changed_by_the_constructor():
    for name, values in OUT_OF_RANGE.items():
        for value in values:
            assert getattr(MultiLabelNetClassifier(**{name: value}), name) is value


# ------------------------------------------------------------------ randomness


@quiet
@pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(3)])
@pytest.mark.parametrize("params", [dict(dropout=0.5), dict(decoder="global_threshold")])
def test_global_generators_are_left_alone(random_state, params):
    np.random.seed(1)
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    net = early(random_state=random_state, max_epochs=3, **params).fit(X, Y)
    net.predict(X)
    net.partial_fit(X, Y)
    net.fit_decoder(X, Y, "global_threshold")
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@quiet
@pytest.mark.parametrize(
    "params",
    [
        dict(dropout=0.5),
        dict(early_stopping=True),
        dict(decoder="per_label_threshold"),
        dict(random_state=np.random.RandomState(3)),
    ],
)
def test_same_seed_same_bits(params):
    first = clone(make(**params)).fit(X, Y)
    np.random.rand(5), torch.rand(5)
    second = clone(make(**params)).fit(X, Y)
    np.testing.assert_array_equal(proba(first), proba(second))
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    assert first.history_ == second.history_
    again = pickle.loads(pickle.dumps(first)).partial_fit(X, Y)
    np.testing.assert_array_equal(proba(again), proba(second.partial_fit(X, Y)))


def test_epochs_and_fits_have_different_orders_of_rows():
    seen = []

    class Orders(Callback):
        def on_batch_begin(self, net, batch, **kwargs):
            seen[-1].append(float(batch[0][0, 0]))

        def on_epoch_begin(self, net, **kwargs):
            seen.append([])

    net = make(callbacks=[Orders()], max_epochs=2).partial_fit(X, Y).partial_fit(X, Y)
    assert seen[0] != seen[1]
    seen.clear()
    net.fit(X, Y)
    assert seen[0] != seen[1]


# ------------------------------------------------------------------ early stopping


def test_best_weights_are_restored():
    seen = []

    def monitor(targets, scores):
        seen.append((targets, scores))
        return label_ranking_average_precision_score(targets, scores)

    # After training, outputs would be mixed with those of a linear part.
    net = early(monitor=monitor, learning_rate=0.1, linear_part=False).fit(X, Y)
    values = net.history_["valid_score"]
    best = max(range(len(values)), key=lambda i: (values[i] > max(values) * (1 - 1e-4), -i))
    assert best < net.n_iter_ - 1
    held, last = seen[best][1], seen[-1][1]

    def distance(scores):
        return np.abs(scores[:, None] - proba(net)[None]).max(2).min(1).max()

    assert distance(held) < 1e-6 < distance(last)


def test_history_marks_the_epochs_with_the_best_weights_so_far():
    params = dict(learning_rate=0.1, max_epochs=10, linear_part=False)
    net = early(**params, warm_start=True).fit(X, Y)
    curve, best = net.history_["valid_loss"], 1e9
    for value, is_best in zip(curve, net.history_["is_best"], strict=True):
        assert is_best == (value < best - 1e-4 * best)
        best = value if is_best else best
    assert 1 < sum(net.history_["is_best"]) < len(curve)
    rule = dict(net.net_.callbacks_)["early_stopping"]
    assert np.flatnonzero(net.history_["is_best"])[-1] + 1 == rule.best_epoch_
    # A second training has a first epoch of its own; passes without held-out rows have no best.
    again = net.fit(X, Y).history_["is_best"]
    assert again[: len(curve) + 1] == [*clone(net).fit(X, Y).history_["is_best"], True]
    assert net.partial_fit(X, Y).history_["is_best"] == [*again, False]
    assert "is_best" not in make().fit(X, Y).history_


def test_validation_loss_of_the_final_weights_is_the_smallest():
    # A linear part is fitted to all rows, see tests/_training/test_linear.py.
    params = dict(learning_rate=0.1, dropout=0.0, linear_part=False)
    net = early(**params, hidden_layer_sizes=(32,)).fit(X, Y)
    curve = net.history_["valid_loss"]
    _, seen = held_out(n_iter_no_change=1)  # the same rows, by the same seed
    targets = seen[0][0]
    # Held-out rows are found by the targets that the scores of some rows go with.
    rows, _ = check_rows(net._check_X(X), net._targets, Y, None)
    rows = rows[hold_out(rows.Y, net.validation_fraction, net._seeds(0)[2])[1]]
    np.testing.assert_array_equal(rows.Y, targets)
    p = net.predict_proba(rows.X)
    loss = -np.where(targets > 0, np.log(p), np.log1p(-p)).mean()
    assert loss == pytest.approx(min(curve), rel=2e-4)
    assert curve[-1] > min(curve) * 1.001


def test_hold_out_is_deterministic_and_stratified():
    rare = Y.copy()
    rare[:, 0] = 0
    rare[:20, 0] = 1
    seen = []
    for _ in range(2):
        early(max_epochs=2, n_iter_no_change=1, validation_fraction=0.2,
              monitor=lambda y, p: seen.append(y) or 0.0).fit(X, rare)  # fmt: skip
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_allclose(seen[0].sum(0), 0.2 * rare.sum(0), atol=1.01)
    assert seen[0][:, 0].sum() == 4


@pytest.mark.parametrize("schedule", [None, "plateau"])
def test_infinite_patience_makes_all_epochs_and_keeps_the_best(schedule):
    params = dict(max_epochs=12, learning_rate=1.0, early_stopping=True, lr_schedule=schedule,
                  linear_part=False)  # fmt: skip
    endless = make(**params, n_iter_no_change=np.inf).fit(X, Y)
    assert endless.n_iter_ == 12 and not endless.history_["is_best"][-1]
    np.testing.assert_array_equal(
        endless.predict_proba(X), make(**params, n_iter_no_change=12).fit(X, Y).predict_proba(X)
    )
    for wrong in (-np.inf, np.nan, 2.0, True):
        with pytest.raises((TypeError, ValueError), match="n_iter_no_change must be an integer"):
            make(n_iter_no_change=wrong).fit(X, Y)


def test_rows_for_a_decoder_are_held_out_without_early_stopping():
    seen = []

    def metric(Y, Y_hat):
        seen.append(len(Y))
        return 0.0

    net = make(decoder=GlobalThreshold(metric), validation_fraction=0.25).fit(X, Y)
    # It is tried on all rows before training.
    assert seen[:3] == [120] * 3 and set(seen[3:]) == {30} and net.n_iter_ == 5
    assert "valid_loss" not in net.history_
    assert net.loss_.label_count_.tolist() == [90] * 3


def test_convergence_warning_only_if_the_fit_still_improves():
    with pytest.warns(ConvergenceWarning, match="max_epochs=3"):
        early(max_epochs=3, linear_part=False).fit(X, Y)
    early().fit(X, Y)
    make(max_epochs=2).fit(X, Y)  # not detected without held-out rows


def test_patience_that_ends_with_the_last_epoch_does_not_warn():
    early(monitor=lambda y, p: 0.0, n_iter_no_change=4, max_epochs=5).fit(X, Y)


@quiet
@pytest.mark.parametrize("params", [dict(), dict(decoder="global_threshold")])
def test_too_few_rows_to_hold_out(params):
    for early_stopping in [True] + [False] * bool(params):
        with pytest.raises(ValueError, match="n_samples=1.*early_stopping=False"):
            make(early_stopping=early_stopping, **params).fit(X[:1], [[0, 1]])
    with pytest.warns(UserWarning, match="label"):
        make().fit(X[:1], [[0, 1]])


# ------------------------------------------------------------------ bias and weights


@pytest.mark.parametrize("loss", ["bce", "focal", "asymmetric", "brier", "zlpr", "abs_kl", "mse"])
def test_output_bias_starts_at_the_priors(loss):
    net = make(loss=loss, learning_rate=1e-30, weight_decay=0, max_epochs=1, optimizer="sgd",
               precision="float64")  # fmt: skip
    net.fit(np.zeros_like(X), Y)
    linear = layers(net, nn.Linear)[-1]
    with torch.no_grad():
        scores = net.loss_.link(linear.bias[None, :])
    np.testing.assert_allclose(scores[0], Y.mean(0), atol=2e-4)


def test_mean_probability_before_training_is_the_label_frequency():
    net = make(
        encoding=None, hidden_layer_sizes=(), learning_rate=1e-30, weight_decay=0, max_epochs=1
    )
    net.fit(1e-6 * X, Y)
    np.testing.assert_allclose(net.predict_proba(1e-6 * X).mean(0), Y.mean(0), atol=1e-4)
    weight = np.where(Y[:, 0] == 1, 3.0, 1.0)
    net.fit(1e-6 * X, Y, weight)
    expected = np.average(Y, axis=0, weights=weight)
    np.testing.assert_allclose(net.predict_proba(1e-6 * X).mean(0), expected, atol=1e-4)


CONFIGS = [
    dict(),
    dict(early_stopping=True),
    dict(decoder="global_threshold", dropout=0.3),
    dict(loss="softmax_ce"),
]


@quiet
@pytest.mark.parametrize("params", CONFIGS)
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_weight_zero_equals_leaving_the_row_out(params, kind):
    weight = rng.uniform(0.5, 2, size=120) * (np.arange(120) % 3 > 0)
    keep = weight > 0
    a = make(**params).fit(kind(X), Y, weight)
    b = make(**params).fit(kind(X[keep]), Y[keep], weight[keep])
    np.testing.assert_array_equal(proba(a), proba(b))
    np.testing.assert_array_equal(a.predict(X), b.predict(X))


@quiet
@pytest.mark.parametrize("params", CONFIGS)
def test_contradicting_rows_of_weight_zero_change_nothing(params):
    a = make(**params).fit(X, Y)
    weight = np.repeat([1.0, 0.0], 120)
    b = make(**params).fit(np.vstack([X, X]), np.vstack([Y, 1 - Y]), weight)
    np.testing.assert_array_equal(proba(a), proba(b))
    c = make(**params).fit(np.vstack([X, X]), np.vstack([Y, 1 - Y]))
    assert differ(a, c)


def test_weights_matter_by_their_ratio_only():
    weight = rng.uniform(0.5, 2, size=120)
    a, b = make().fit(X, Y, weight), make().fit(X, Y, 1000 * weight)
    np.testing.assert_allclose(proba(a), proba(b), atol=1e-5)
    assert differ(a, make().fit(X, Y))
    np.testing.assert_array_equal(proba(make().fit(X, Y, np.ones(120))), proba(make().fit(X, Y)))


def test_weights_of_single_labels():
    rows = rng.uniform(0.5, 2, size=120)
    a = make(precision="float64").fit(X, Y, rows)
    b = make(precision="float64").fit(X, Y, np.repeat(rows[:, None], 3, 1))
    np.testing.assert_allclose(proba(a), proba(b), atol=1e-10)
    weight = np.ones((120, 3))
    weight[:, 1] = np.where(Y[:, 1] == 1, 20, 1)
    linear = make(encoding=None, hidden_layer_sizes=(), max_epochs=60)
    c, plain = (clone(linear).fit(X, Y, w) for w in (weight, None))
    shift = proba(c).mean(0) - proba(plain).mean(0)
    assert shift[1] > 0.2 and np.abs(shift[[0, 2]]).max() < 0.05


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("early_stopping", [False, True])
@quiet
def test_an_entry_of_weight_zero_equals_one_that_was_not_observed(optimizer, early_stopping):
    hidden = rng.random(Y.shape) < [0.6, 0.2, 0]
    weight = rng.uniform(0.5, 2, size=Y.shape)
    params = dict(
        optimizer=optimizer, learning_rate=0.5 if optimizer == "sgd" else 0.02, max_epochs=10,
        early_stopping=early_stopping, precision="float64",
    )  # fmt: skip
    a = make(**params).fit(X, Y, np.where(hidden, 0, weight))
    b = make(**params).fit(X, np.where(hidden, NAN, Y), weight)
    # Targets that are not observed are stored in float32.
    np.testing.assert_allclose(proba(a), proba(b), atol=1e-6)


@pytest.mark.parametrize("loss", ["bce", "focal", "brier", "asymmetric"])
def test_hiding_entries_leaves_the_mean_probability_where_it_was(loss):
    n = 1500
    Z = np.random.default_rng(2).normal(size=(n, 3))
    P = 1 / (1 + np.exp(-(Z @ np.array([[1.0, -1, 0.5], [0.5, 1, 0], [0, 0.5, 1]]) - 0.7)))
    labels = (np.random.default_rng(3).random(P.shape) < P).astype(float)
    hidden = labels.copy()
    hidden[np.random.default_rng(4).random(n) < 0.5, 1] = NAN
    params = dict(loss=loss, hidden_layer_sizes=(), dropout=0, max_epochs=30, batch_size=64)
    full = make(**params).fit(Z, labels).predict_proba(Z).mean(0)
    part = make(**params).fit(Z, hidden).predict_proba(Z).mean(0)
    np.testing.assert_allclose(part, full, atol=0.03)
    zeros = make(**params).fit(Z, np.nan_to_num(hidden)).predict_proba(Z).mean(0)
    assert zeros[1] < full[1] - 0.1


@pytest.mark.parametrize("loss", ["zlpr", "softmax_ce", "factorized"])
def test_losses_that_are_no_sum_refuse_weights_of_labels(loss):
    with pytest.raises(ValueError, match="sample_weight.*not a sum over labels"):
        make(loss=loss).fit(X, Y, np.ones(Y.shape))


@pytest.mark.parametrize(
    "weight, words",
    [
        (-np.ones(120), "sample_weight must be non-negative, got a minimum of -1"),
        (np.full(120, NAN), "sample_weight contains NaN"),
        (np.ones(119), "sample_weight must have shape \\(120,\\)"),
        (np.ones((120, 2)), "sample_weight must have shape"),
        (np.ones((3, 120)), "sample_weight must have shape"),
        (np.zeros(120), "no row is left"),
        (["a"] * 120, "could not convert"),
    ],
)
def test_wrong_weights(weight, words):
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=words):
            getattr(make(), method)(X, Y, sample_weight=weight)
    net = make().fit(X, Y)
    with pytest.raises(ValueError, match=words):
        net.fit_decoder(X, Y, "global_threshold", sample_weight=weight)


def test_weights_of_labels_need_an_indicator():
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        make().fit(X, Y[:, 0], np.ones((120, 2)))


class HardLoss(Loss):
    """A custom loss for targets of 0 and 1 only."""

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return nn.functional.softplus((1 - 2 * targets) * outputs).mean(-1)

    def link(self, outputs):
        return outputs.double().sigmoid()

    def initial_bias(self):
        return np.zeros(self.n_labels_)


def test_soft_targets_need_a_loss_that_accepts_them():
    soft = Y * 0.9
    with pytest.raises(ValueError, match="values between 0 and 1, which HardLoss does not accept"):
        make(loss=HardLoss()).fit(X, soft)
    net = make(loss=HardLoss()).fit(X, Y)
    with pytest.raises(ValueError, match="HardLoss does not accept"):
        net.partial_fit(X, soft)
    assert net.score(X, Y) > 0


# ------------------------------------------------------------------ partial_fit


def test_partial_fit_improves_from_call_to_call():
    net = make(hidden_layer_sizes=(16,))
    for _ in range(15):
        net.partial_fit(X, Y)
    losses = net.history_["train_loss"]
    assert net.n_iter_ == len(losses) == 15 and losses[-1] < 0.8 * losses[0]
    assert net.loss_.label_count_.tolist() == [15 * 120] * 3
    assert (net.predict(X) == Y).mean() > 0.8


def test_partial_fit_goes_on_after_fit():
    net = make(dropout=0).fit(X, Y)
    before = net.history_["train_loss"][-1]
    net.partial_fit(X, Y)
    assert net.n_iter_ == 6 and net.history_["train_loss"][-1] < before


def test_partial_fit_of_classes():
    y = np.array(["a", "b", "c"])[Y.argmax(1)]
    first = y != "c"
    net = make().partial_fit(X[first], y[first], classes=["a", "b", "c"])
    assert net.classes_.tolist() == ["a", "b", "c"]
    net.partial_fit(X, y)
    assert proba(net).shape == (120, 3)
    with pytest.raises(ValueError, match="d.*not among"):
        net.partial_fit(X, np.where(y == "c", "d", y))
    with pytest.raises(ValueError, match="other labels than in the last fit"):
        net.partial_fit(X, y, classes=["a", "b"])
    with pytest.raises(ValueError, match="not among"):
        make().partial_fit(X, y, classes=["a", "b"])


def test_partial_fit_of_other_labels_is_refused():
    net = make().partial_fit(X, Y)
    with pytest.raises(ValueError, match="3 columns"):
        net.partial_fit(X, Y[:, :2])
    with pytest.raises(ValueError, match="3 features"):
        net.partial_fit(X[:, :3], Y)


@pytest.mark.parametrize("decoder", ["global_threshold", "per_label_threshold", "cardinality"])
def test_decoder_that_requires_fit_waits_for_fit_decoder(decoder):
    net = make(decoder=decoder).partial_fit(X, Y)
    scores = proba(net)
    for call in (lambda: net.predict(X), lambda: net.decode(scores)):
        with pytest.raises(NotFittedError, match="fit_decoder"):
            call()
    net.fit_decoder(X, Y)
    assert net.predict(X).shape == Y.shape
    net.partial_fit(X, Y).predict(X)
    np.testing.assert_array_equal(make().partial_fit(X, Y).predict_proba(X), scores)


# ------------------------------------------------------------------ fit_decoder and decode


def test_fit_decoder_touches_nothing_but_the_decision():
    net = make(decoder="threshold").fit(X, Y)
    weights, params, scores = net.net_.weights()["module"], net.get_params(), proba(net)
    given = GlobalThreshold()
    assert net.fit_decoder(X, Y, given) is net
    assert net.decoder_ is not given and not hasattr(given, "threshold_")
    expected = GlobalThreshold().fit(scores, Y)
    assert net.decoder_.threshold_ == expected.threshold_
    np.testing.assert_array_equal(net.predict(X), expected.decode(scores))
    now = net.net_.weights()["module"]
    assert now.keys() == weights.keys() and all(torch.equal(now[k], weights[k]) for k in weights)
    assert net.get_params() == params
    np.testing.assert_array_equal(proba(net), scores)


def test_fit_decoder_again_with_other_rows():
    net = make(decoder="global_threshold").fit(X, Y)
    first = net.decoder_.threshold_
    net.fit_decoder(X, np.ones_like(Y))
    assert isinstance(net.decoder_, GlobalThreshold) and net.decoder_.threshold_ != first
    assert net.predict(X).all()
    weight = (np.arange(120) % 2).astype(float)
    net.fit_decoder(X, Y, sample_weight=weight)
    assert net.decoder_.threshold_ == GlobalThreshold().fit(proba(net)[1::2], Y[1::2]).threshold_


def test_fit_decoder_by_name_and_by_nan():
    hidden = np.where(rng.random(Y.shape) < 0.3, NAN, Y)
    net = make().fit(X, Y).fit_decoder(X, hidden, "global_threshold")
    assert net.decoder_.threshold_ == GlobalThreshold().fit(proba(net), hidden).threshold_
    with pytest.raises(ValueError, match="treshold"):
        net.fit_decoder(X, Y, "treshold")
    with pytest.raises(ValueError, match="largest score"):
        make().fit(X, Y.argmax(1)).fit_decoder(X, Y.argmax(1), "top_k")


@quiet
@pytest.mark.parametrize("y", [Y, sp.csr_array(Y), Y[:, 0], np.array(list("abc"))[Y.argmax(1)]],
                         ids=["dense", "sparse", "binary", "multiclass"])  # fmt: skip
@pytest.mark.parametrize("loss", ["bce", "softmax_ce"])
def test_decoding_probabilities_is_predicting(y, loss):
    for decoder in (
        ["auto"] if getattr(y, "dtype", None).kind == "U" else ["auto", "global_threshold"]
    ):
        net = early(loss=loss, decoder=decoder, max_epochs=5).fit(X, y)
        expected, labels = net.predict(X), net.decode(net.predict_proba(X))
        assert type(labels) is type(expected) and labels.dtype == expected.dtype
        if sp.issparse(labels):
            expected, labels = expected.toarray(), labels.toarray()
        np.testing.assert_array_equal(labels, expected)


def test_decode_with_a_predicted_count():
    net = make(loss="factorized").fit(X, Y)
    count = net.predict_count(X)
    assert count.shape == (len(X),)
    np.testing.assert_allclose(proba(net).sum(axis=1), count, atol=0.1)
    np.testing.assert_array_equal(net.decode(proba(net), count), net.predict(X))
    with pytest.raises(ValueError, match="count"):
        net.decode(proba(net))


def test_a_loss_without_a_count_says_so():
    with pytest.raises(ValueError, match="BinaryCrossEntropy does not predict a count"):
        make().fit(X, Y).predict_count(X)


def test_decode_checks_what_it_gets():
    net = make().fit(X, Y)
    with pytest.raises(ValueError, match="proba must have 3 columns, got 2"):
        net.decode(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="proba contains NaN"):
        net.decode(np.full((2, 3), NAN))


# ------------------------------------------------------------------ warm_start


@quiet
def test_warm_start_goes_on_from_the_weights():
    net = make(warm_start=True, max_epochs=10).fit(X, Y)
    first = net.history_["train_loss"]
    net.fit(X, Y)
    assert net.n_iter_ == 20 and net.history_["train_loss"][:10] == first
    assert net.history_["train_loss"][10] < first[0] * 0.9
    # Another loss with as many outputs starts from the same weights.
    net.set_params(loss="focal", learning_rate=1e-30, weight_decay=0, max_epochs=1)
    bias = layers(net, nn.Linear)[-1].bias.detach().clone()
    net.fit(X, Y)
    assert torch.equal(layers(net, nn.Linear)[-1].bias, bias)
    assert isinstance(net.loss_, FocalLoss)


@pytest.mark.parametrize(
    "params",
    [
        dict(hidden_layer_sizes=(9,)),
        dict(hidden_layer_sizes=(8, 8)),
        dict(loss="factorized"),
        dict(normalization="batch"),
    ],
)
def test_warm_start_with_other_layers_is_refused(params):
    net = make(warm_start=True).fit(X, Y)
    scores = proba(net)
    with pytest.raises(ValueError, match="warm_start=True.*other layers"):
        net.set_params(**params).fit(X, Y)
    np.testing.assert_array_equal(proba(net), scores)


def test_warm_start_with_other_labels_is_refused():
    net = make(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="other labels.*3 labels then, 2 labels now"):
        net.fit(X, Y[:, :2])
    with pytest.raises(ValueError, match="3 features"):
        net.fit(X[:, :3], Y)


# ------------------------------------------------------------------ callbacks


class Notes(Callback):
    def __init__(self, notes=None):
        self.notes = notes

    def on_train_begin(self, net, **kwargs):
        LOG.append("train_begin")

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        LOG.append("epoch_begin")

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        LOG.append("batch_begin" if training else "valid_begin")

    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert all(p.grad is not None for _, p in named_parameters)
        LOG.append("grad")

    def on_batch_end(self, net, batch=None, training=None, loss=None, y_pred=None, **kwargs):
        assert math.isfinite(loss.detach()) and y_pred.shape == (len(batch[0]), 3)
        LOG.append("batch_end" if training else "valid_end")

    def on_epoch_end(self, net, **kwargs):
        LOG.append("epoch_end")

    def on_train_end(self, net, **kwargs):
        LOG.append("train_end")


LOG = []


@quiet
@pytest.mark.parametrize("given", [Notes(), Notes, ("mine", Notes()), ("mine", Notes)])
def test_callbacks_are_notified_as_skorch_documents(given):
    LOG.clear()
    net = early(max_epochs=2, callbacks=[given], batch_size=54).fit(X, Y)
    batch = ["batch_begin", "grad", "batch_end"]
    epoch = ["epoch_begin", *batch * 2, "valid_begin", "valid_end", "epoch_end"]
    assert LOG == ["train_begin", *epoch * 2, "train_end"]
    assert len(net.net_.history[0, "batches"]) == 3


def test_callbacks_of_the_user_are_not_written_to():
    notes = []
    mine = Notes(notes)
    callbacks = [mine, ("log", PrintLog(sink=lambda line: None))]
    before = dict(vars(mine)), list(callbacks), dict(vars(callbacks[1][1]))
    net = make(callbacks=callbacks).fit(X, Y)
    assert vars(mine) == before[0] and mine.notes is notes and callbacks == before[1]
    assert vars(callbacks[1][1]).keys() == before[2].keys()
    assert net.callbacks is callbacks


def test_subclasses_of_skorchs_log_are_notified_of_batches():
    seen = []

    class Log(PrintLog):
        def on_batch_end(self, net, **kwargs):
            seen.append(1)

    make(callbacks=[Log(sink=lambda line: None)], max_epochs=1).fit(X, Y)
    assert len(seen) == 4


def test_a_callback_of_skorch_ends_training():
    stopper = EarlyStopping("train_loss", patience=3, threshold=10.0, threshold_mode="abs",
                            sink=lambda line: None)  # fmt: skip
    net = make(max_epochs=50, callbacks=[stopper]).fit(X, Y)
    assert net.n_iter_ < 10


class StopWithin(Callback):
    """Ends training within the second epoch."""

    def on_train_begin(self, net, **kwargs):
        self.batches_ = 0

    def on_batch_end(self, net, **kwargs):
        self.batches_ += 1
        if self.batches_ == 6:
            raise KeyboardInterrupt


def test_a_callback_may_end_training_within_an_epoch():
    net = make(max_epochs=50, callbacks=[StopWithin()], batch_size=30).fit(X, Y)
    assert len(net.history_["train_loss"]) in (1, 2)
    assert math.isfinite(net.history_["train_loss"][0])


@pytest.mark.parametrize("moment", ["on_train_begin", "on_epoch_begin", "on_batch_end"])
def test_a_callback_that_ends_training_before_an_epoch_is_named(moment):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    callback = type("Impatient", (Callback,), {moment: stop})()
    with pytest.raises(ValueError, match="callbacks ended training before its first epoch"):
        make(callbacks=[callback]).fit(X, Y)


@pytest.mark.parametrize("callbacks", [None, [Notes()]])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_interrupt_is_not_swallowed(monkeypatch, callbacks, method):
    net = make(callbacks=callbacks).fit(X, Y)
    scores, n_iter = proba(net), net.n_iter_
    fresh = make(callbacks=callbacks)
    # The one serves with callbacks, the other without.
    step, fused_step, calls = TableNet.train_step_single, FusedTraining._backward, []

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) % 3 == 0:
            raise KeyboardInterrupt
        return (step if isinstance(self, TableNet) else fused_step)(self, *args, **kwargs)

    monkeypatch.setattr(TableNet, "train_step_single", interrupted)
    monkeypatch.setattr(FusedTraining, "_backward", interrupted)
    for one in (net, fresh):
        with pytest.raises(KeyboardInterrupt):
            getattr(one, method)(X, Y)
    monkeypatch.undo()
    np.testing.assert_array_equal(proba(net), scores)
    assert net.n_iter_ == n_iter == len(net.history_["train_loss"])
    assert not [name for name in vars(fresh) if name.endswith("_")]


# ------------------------------------------------------------------ custom networks


def custom(**params):
    params = dict(max_epochs=20, learning_rate=0.02, early_stopping=False, random_state=0,
                  device="cpu") | params  # fmt: skip
    return MultiLabelNetClassifier(**params)


def two_layers(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 12), nn.Tanh(), nn.Linear(12, n_outputs))


@pytest.mark.parametrize("loss", ["bce", "factorized"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_custom_network(loss, precision):
    net = custom(module=two_layers, loss=loss, precision=precision).fit(X, Y)
    assert isinstance(net.net_.module_, nn.Sequential) and (net.predict(X) == Y).mean() > 0.75
    again = custom(module=two_layers, loss=loss, precision=precision).fit(X, Y)
    np.testing.assert_array_equal(proba(net), proba(again))
    loaded = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(proba(loaded), proba(net))


@pytest.mark.parametrize(
    "module",
    [
        lambda n, k: nn.Linear(n, k + 1),
        lambda n, k: nn.Sequential(nn.Linear(n, k), nn.Flatten(0)),
        lambda n, k: nn.Sequential(nn.Linear(n, k), nn.Unflatten(1, (k, 1))),
    ],
)
def test_wrong_shape_of_outputs(module):
    with pytest.raises(ValueError, match="module must return a tensor of shape \\(n, 3\\)"):
        custom(module=module).fit(X, Y)


@pytest.mark.parametrize(
    "params",
    [dict(hidden_layer_sizes=(5,)), dict(activation="tanh"), dict(dropout=0.3),
     dict(normalization="batch")],
)  # fmt: skip
def test_custom_network_conflicts_with_parameters_of_the_built_in_one(params):
    with pytest.raises(ValueError, match=f"{next(iter(params))} describes.*module=.*leave it at"):
        custom(module=two_layers, **params).fit(X, Y)


# ------------------------------------------------------------------ optimisers and schedules

RATES = dict(
    adadelta=1.0, adagrad=0.01, adam=0.001, adamw=0.001, nadam=0.002, rmsprop=0.01, sgd=0.001
)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_by_name_and_by_class(name):
    nets = [
        make(optimizer=optimizer, learning_rate=None, weight_decay=0, dropout=0.0).fit(X, Y)
        for optimizer in (name, OPTIMIZERS[name])
    ]
    assert not differ(*nets)
    (group,) = nets[0].net_.optimizer_.param_groups
    assert group["lr"] == RATES[name] and group["weight_decay"] == 0
    losses = nets[0].history_["train_loss"]
    assert min(losses[1:]) < losses[0]


def test_lbfgs():
    net = make(optimizer=torch.optim.LBFGS, learning_rate=None, weight_decay=0, batch_size=120,
               hidden_layer_sizes=(), max_epochs=5).fit(X, Y)  # fmt: skip
    assert net.net_.optimizer_.param_groups[0]["lr"] == 1
    losses = net.history_["train_loss"]
    assert losses[-1] < 0.6 * losses[0]
    with pytest.raises(ValueError, match="weight_decay must be 0: LBFGS"):
        make(optimizer=torch.optim.LBFGS).fit(X, Y)


@quiet
def test_plateau_lowers_the_rate():
    net = early(lr_schedule="plateau", monitor=lambda y, p: 0.0, n_iter_no_change=12, max_epochs=40,
                optimizer="sgd", learning_rate=1e-6).fit(X, Y)  # fmt: skip
    expected = [1e-6] * 6 + [3e-7] * 5 + [9e-8] * 2
    assert net.history_["learning_rate"] == pytest.approx(expected)
    # Without held-out rows the training loss is watched.
    net = make(lr_schedule="plateau", n_iter_no_change=3, max_epochs=12, learning_rate=1e-6,
               optimizer="sgd", dropout=0).fit(X, Y)  # fmt: skip
    assert net.history_["learning_rate"][:4] == pytest.approx([1e-6] * 3 + [3e-7])


def test_learning_rate_of_a_schedule_is_that_of_the_epoch():
    net = make(lr_schedule=lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.1), learning_rate=1.0,
               optimizer="sgd", max_epochs=5, weight_decay=0).fit(X, Y)  # fmt: skip
    assert net.history_["learning_rate"] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


# ------------------------------------------------------------------ devices


def test_asking_for_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="device='cuda'.*no CUDA device.*device='auto'"):
            getattr(make(device="cuda"), method)(X, Y)
    make(device="auto").fit(X, Y)


def test_a_model_fitted_elsewhere_predicts_on_the_cpu_with_a_warning(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    net = make(decoder="global_threshold").fit(X, Y)
    scores, labels = proba(net), net.predict(X)
    loaded = pickle.loads(pickle.dumps(net.set_params(device="cuda")))
    for name, expected in (("predict_proba", scores), ("predict", labels)):
        with pytest.warns(UserWarning, match="device='cuda'.*predicting on the CPU"):
            np.testing.assert_array_equal(getattr(loaded, name)(X), expected)


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.cuda
@cuda
@quiet
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("loss", ["bce", "asymmetric", "factorized"])
def test_cuda_fits_predicts_and_gives_memory_back(kind, loss):
    # The first products of matrices take memory for good.
    early(device="cuda", loss=loss, max_epochs=1).fit(kind(X), Y).predict(kind(X))
    before = torch.cuda.memory_allocated()
    net = early(device="cuda", loss=loss, max_epochs=10).fit(kind(X), Y)
    assert {p.device.type for p in net.net_.module_.parameters()} == {"cpu"}
    on_cuda = proba(net)
    assert torch.cuda.memory_allocated() == before
    loaded = pickle.loads(pickle.dumps(net)).set_params(device="cpu")
    np.testing.assert_allclose(proba(loaded), on_cuda, atol=1e-3)
    net.partial_fit(kind(X), Y)
    assert net.n_iter_ == len(net.history_["train_loss"])
    state = torch.cuda.get_rng_state()
    net.fit(kind(X), Y)
    assert torch.equal(torch.cuda.get_rng_state(), state)


# ------------------------------------------------------------------ calibration


@pytest.fixture(scope="module")
def known():
    """Rows with the conditional probabilities of their labels."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(4000, 3))
    logits = X @ np.array([[2.0, -1.5, 1.0], [1.0, 1.0, -2.0], [-0.5, 2.0, 0.5]]) + [0.5, -1, -2]
    P = 1 / (1 + np.exp(-logits))
    return X, (rng.random(P.shape) < P).astype(int), P


def calibration_error(scores, P):
    """Return the expected calibration error against the known probabilities."""
    place = np.minimum((10 * scores).astype(int), 9).ravel()
    gap = np.bincount(place, (scores - P).ravel(), minlength=10)
    return np.abs(gap).sum() / scores.size


def calibrated(known, loss):
    X, Y, P = known
    net = MultiLabelNetClassifier(
        loss, hidden_layer_sizes=(), max_epochs=40, learning_rate=0.02, batch_size=200,
        early_stopping=False, weight_decay=0, random_state=0, device="cpu",
    ).fit(X[:2000], Y[:2000])  # fmt: skip
    with torch.no_grad():
        outputs = net.net_.module_(torch.tensor(X[2000:], dtype=torch.float32))
    raw = outputs.double().sigmoid().numpy()
    return calibration_error(net.predict_proba(X[2000:]), P[2000:]), calibration_error(
        raw, P[2000:]
    )


@pytest.fixture(scope="module")
def error_of_bce(known):
    error, raw = calibrated(known, "bce")
    assert error == pytest.approx(raw, abs=1e-4)
    return error


@pytest.mark.parametrize(
    "loss", [FocalLoss(gamma=2), AsymmetricLoss(1, 2, clip=0), "abs_kl"], ids=repr
)
def test_probabilities_are_calibrated_for_every_loss(known, error_of_bce, loss):
    error, raw = calibrated(known, loss)
    assert error_of_bce < 0.03
    assert error < error_of_bce + 0.02
    assert raw > 0.05


# ------------------------------------------------------------------ what a review found


def test_a_column_of_weights_is_one_weight_per_row():
    weight = np.linspace(0.5, 2, len(X))
    one = make(loss="zlpr").fit(X, Y[:, :1], weight)
    np.testing.assert_array_equal(
        proba(make(loss="zlpr").fit(X, Y[:, :1], weight[:, None])), proba(one)
    )


def test_calls_of_partial_fit_weigh_against_each_other():
    nets = [
        make(optimizer="sgd").partial_fit(X, Y, sample_weight=np.full(len(X), w)) for w in (1, 5)
    ]
    assert np.abs(proba(nets[0]) - proba(nets[1])).max() > 1e-3
    np.testing.assert_allclose(nets[1].loss_.label_count_, 5 * len(X))


@quiet
@pytest.mark.parametrize("random_state", [0, None])
def test_a_warm_start_keeps_its_held_out_rows(random_state, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "sklearn_mlloss._decision.fit_rows.hold_out",
        lambda *a: seen.append(hold_out(*a)) or seen[-1],
    )
    net = make(early_stopping=True, warm_start=True, random_state=random_state)
    net.fit(X, Y).fit(X, Y)
    np.testing.assert_array_equal(seen[0][1], seen[1][1])


def test_columns_of_y_in_another_order_are_refused():
    frame = pd.DataFrame(Y, columns=["a", "b", "c"])
    net = make().partial_fit(X, frame)
    for learn in (net.partial_fit, net.fit_decoder, net.set_params(warm_start=True).fit):
        with pytest.raises(ValueError, match="\\['a', 'b', 'c'\\]"):
            learn(X, frame[["c", "b", "a"]])
    net.partial_fit(X, Y)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_schedule_leaves_the_learning_rate_as_it_was(schedule):
    net = make(lr_schedule=schedule, max_epochs=8, learning_rate=0.05).fit(X, Y)
    before = proba(net)
    net.partial_fit(X, Y)
    assert net.net_.optimizer_.param_groups[0]["lr"] == 0.05
    assert np.abs(proba(net) - before).max() > 1e-4


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_double_precision_beside_callbacks(optimizer):
    net = make(optimizer=optimizer, precision="float64", max_epochs=2, callbacks=[LRScheduler()])
    assert np.isfinite(net.fit(X, Y).partial_fit(X, Y).predict_proba(X)).all()


def test_a_schedule_beside_a_scheduler_among_the_callbacks():
    net = make(lr_schedule="cosine", callbacks=[LRScheduler()], max_epochs=3)
    net.fit(X, Y).partial_fit(X, Y)
    net = clone(net).partial_fit(X, Y).partial_fit(X, Y)
    assert len(net.history_["epoch"]) == 2


def test_no_advice_to_train_longer_where_it_got_worse():
    """A validation loss that has risen for long is no sign of too few epochs."""
    noise = np.random.default_rng(0).integers(0, 2, Y.shape)
    net = make(encoding=None, early_stopping=True, max_epochs=19, learning_rate=0.1,
               linear_part=False)  # fmt: skip
    valid = net.fit(X, noise).history_["valid_loss"]
    assert np.argmin(valid) < 10, "the example is to get worse"


@pytest.mark.parametrize(
    "decoder, problem",
    [
        (TopK(9), "k must be"),
        (FixedThreshold([0.1, 0.2]), "threshold has"),
        (CumulativeCut(2), "mass"),
    ],
)
def test_a_fixed_decoder_is_tried_before_training(decoder, problem, monkeypatch):
    net = make().fit(X, Y)
    with pytest.raises(ValueError, match=problem):
        net.fit_decoder(X, Y, decoder)
    net.predict(X)
    monkeypatch.setattr("sklearn_mlloss.classifier.train_net", lambda *a: pytest.fail("trained"))
    with pytest.raises(ValueError, match=problem):
        make(decoder=decoder).fit(X, Y)


@pytest.mark.parametrize("decoder", ["argmax", TopK(1), "one_over_n", "cumulative", "at_least_one"])
def test_rules_that_compare_labels_warn_of_a_single_one(decoder):
    with pytest.warns(UserWarning, match="there is only one"):
        make(decoder=decoder).fit(X, Y[:, 0])


def test_fit_works_in_every_mode_of_autograd():
    expected = proba(make().fit(X, Y))
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            net = make().fit(X, Y)
            inside = proba(net)
        np.testing.assert_array_equal(inside, expected)
        net.partial_fit(X, Y)


def test_fits_in_threads_do_not_disturb_each_other():
    expected = proba(make(dropout=0.5).fit(X, Y))
    state = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        nets = list(pool.map(lambda _: make(dropout=0.5).fit(X, Y), range(8)))
    for net in nets:
        np.testing.assert_array_equal(proba(net), expected)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("scale", [1e12, 1e20])
def test_far_rows_have_finite_log_odds(scale):
    net = make().fit(X, Y)
    assert 0 < net.predict_proba(scale * X).min() <= net.predict_proba(scale * X).max() < 1
    assert np.isfinite(net.decision_function(scale * X)).all()


def test_outputs_that_overflow_are_an_error():
    net = make(encoding=None).fit(X, Y)
    with torch.no_grad():
        net.net_.module_.layers[-1].weight.mul_(1e9)
    with pytest.raises(ValueError, match="not finite for some rows"):
        net.predict(1e35 * np.sign(X))


@pytest.mark.parametrize(
    "loss, link",
    [(torch.nn.MSELoss, "identity"), (torch.nn.CrossEntropyLoss(), "softmax"),
     (torch.nn.BCEWithLogitsLoss, "sigmoid")],
)  # fmt: skip
def test_torch_losses_get_their_link(loss, link):
    explicit = make(loss=FunctionLoss(loss, link=link)).fit(X, Y)
    np.testing.assert_array_equal(proba(make(loss=loss).fit(X, Y)), proba(explicit))


@pytest.mark.parametrize("loss", [torch.nn.BCELoss, torch.nn.MultiLabelMarginLoss()])
def test_torch_losses_that_cannot_serve_are_refused(loss):
    with pytest.raises(ValueError, match="use "):
        make(loss=loss).fit(X, Y)


class OwnConstructor(SeparableLoss):
    """A custom loss whose constructor lacks the parameters of the base class."""

    def __init__(self, slope=1.0):
        self.slope = slope

    def positive(self, s):
        return torch.nn.functional.softplus(-self.slope * s)

    def negative(self, s):
        return torch.nn.functional.softplus(self.slope * s)


def test_a_loss_with_a_custom_constructor():
    make(loss=OwnConstructor(2.0)).fit(X, Y).predict(X)


@quiet
def test_skorchs_checkpoint_finds_the_best_epoch(tmp_path):
    checkpoint = Checkpoint(dirname=tmp_path)
    make(early_stopping=True, callbacks=[checkpoint]).fit(X, Y)
    assert (tmp_path / "params.pt").exists()


@pytest.mark.parametrize("y", [pd.DataFrame(index=range(120)), sp.csr_array((120, 0))])
def test_no_columns(y):
    with pytest.raises(ValueError, match="no columns"):
        make().fit(X, y)
