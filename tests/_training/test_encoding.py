"""Encodings within the classifier: the rows they are fitted on, and their effects."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import TruncatedSVD
from sklearn.kernel_approximation import RBFSampler
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from torch import nn

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._data.rows import Rows
from sklearn_mlloss._training import net as net_file
from sklearn_mlloss._training import outputs as outputs_file
from sklearn_mlloss._training.encoding import fit_encoder
from sklearn_mlloss._training.fast.loop import FusedTraining
from sklearn_mlloss.networks import (
    ENCODINGS,
    MLP,
    IdentityEncoding,
    PiecewiseLinearEncoding,
    StandardEncoding,
)

NAMES = sorted(ENCODINGS)
rng = np.random.default_rng(0)
X = rng.normal(size=(140, 5)) * [1, 100, 0.01, 1, 1] + [0, 50, 0, 0, 0]
X[:, 4] = np.exp(2 * X[:, 4])
Y = (X @ (rng.normal(size=(5, 3)) / [[1], [100], [0.01], [1], [9]]) > 0.4).astype(int)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make(**params):
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=4, batch_size=32, learning_rate=0.02,
                    random_state=0, device="cpu", early_stopping=False)  # fmt: skip
    return MultiLabelNetClassifier(**{**defaults, **params})


class Spy(PiecewiseLinearEncoding):
    """Records the rows it was fitted on."""

    seen = []

    def _fit(self, columns):
        Spy.seen.append((np.array(columns.X[:]), columns.weight))
        return super()._fit(columns)


class Shift(TransformerMixin, BaseEstimator):
    """Records the rows it was fitted on, and how often and on how many it was run."""

    fitted, run = [], []

    def fit(self, X, y=None, sample_weight=None):
        self.shift_ = np.average(X, axis=0, weights=sample_weight)
        Shift.fitted.append((X, y, sample_weight))
        return self

    def transform(self, X):
        Shift.run.append(len(X))
        return (X - self.shift_) / [1, 100, 0.01, 1, 9]


@pytest.fixture(autouse=True)
def forget():
    for notes in (Spy.seen, Shift.fitted, Shift.run):
        notes.clear()


# ------------------------------------------------------------------ which rows it learns from


@pytest.mark.parametrize("encoding", [Spy(), Shift()])
def test_encodings_are_not_fitted_on_held_out_rows(encoding):
    def rows():
        return [len(x) for x, *_ in Spy.seen + Shift.fitted]

    make(encoding=encoding).fit(X, Y)
    assert rows() == [140]
    make(encoding=encoding, early_stopping=True, validation_fraction=0.25).fit(X, Y)
    assert rows()[1:] == [105]
    make(encoding=encoding, decoder="global_threshold", validation_fraction=0.5).fit(X, Y)
    assert rows()[2:] == [70]


@pytest.mark.parametrize("encoding", [Spy(), Shift()])
@pytest.mark.parametrize("ensemble", [True, False])
def test_each_fold_fits_its_encoding(encoding, ensemble):
    folds = [(np.arange(0, 90), np.arange(90, 140)), (np.arange(50, 140), np.arange(50))]
    net = make(encoding=encoding, cv=folds, ensemble=ensemble).fit(X, Y)
    found = [x for x, *_ in Spy.seen + Shift.fitted]
    for x, (train, _) in zip(found, folds, strict=False):
        np.testing.assert_allclose(x, X[train].astype(np.float32))
    assert [len(x) for x in found[2:]] == ([] if ensemble else [140])
    assert len({id(each.encoder_.fitted) for each in net.nets_}) == len(net.nets_)
    assert net.encoding_ is net.net_.encoder_.fitted


def test_weights_of_zero_and_rows_without_targets_are_left_out():
    weight = np.arange(140) % 3.0
    make(encoding=Spy()).fit(X, Y, weight)
    partly = np.where((np.arange(140) % 2 == 0)[:, None], Y, np.nan)
    make(encoding=Spy()).fit(X, partly)
    (one, its_weight), (other, none) = Spy.seen
    np.testing.assert_allclose(one, X[weight > 0].astype(np.float32))
    np.testing.assert_allclose(its_weight, weight[weight > 0] / weight[weight > 0].mean())
    np.testing.assert_allclose(other, X[::2].astype(np.float32))
    assert none is None


def test_weights_are_averaged_over_observed_entries():
    weight = rng.integers(1, 4, Y.shape) * 1.0
    weight[::4, 0] = 0
    make(encoding=Spy()).fit(X, Y, weight)
    expected = weight.sum(1) / (weight > 0).sum(1)
    np.testing.assert_allclose(Spy.seen[0][1], expected / expected.mean())
    make(encoding=Shift()).fit(X, Y, weight)
    passed = Shift.fitted[0][2]
    np.testing.assert_allclose(passed / passed.mean(), expected / expected.mean())


@pytest.mark.parametrize("name", ["auto", *NAMES])
def test_a_weight_is_a_repetition(name):
    weight = rng.integers(0, 4, 140)
    params = dict(encoding=name, dropout=0, batch_size=1000, precision="float64", max_epochs=20)
    one = make(**params).fit(X, Y, weight)
    many = make(**params).fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0))
    np.testing.assert_allclose(one.predict_proba(X), many.predict_proba(X), rtol=1e-9)


# ------------------------------------------------------------------ going on


@pytest.mark.parametrize("encoding", [Spy(), Shift()])
def test_the_first_encoding_is_kept(encoding):
    net = make(encoding=encoding, warm_start=True).fit(X, Y)
    kept, shown = net.encoding_, net.predict_proba(X)
    net.set_params(encoding="quantile").fit(2 * X[:90], Y[:90])
    net.partial_fit(X[:3], Y[:3])
    assert net.encoding_ is kept and len(Spy.seen + Shift.fitted) == 1
    assert (net.predict_proba(X) != shown).any()
    net.set_params(warm_start=False).fit(X, Y)
    assert type(net.encoding_) is ENCODINGS["quantile"]


def test_partial_fit_fits_the_encoding_in_the_first_call():
    net = make(encoding=Spy()).partial_fit(X[:100], Y[:100]).partial_fit(X[100:], Y[100:])
    assert [len(x) for x, _ in Spy.seen] == [100]
    assert np.isfinite(net.predict_proba(X)).all()


def test_partial_fit_does_not_choose_by_a_handful_of_rows():
    net = make().partial_fit(X[:49], Y[:49]).partial_fit(X, Y)
    assert type(net.encoding_) is IdentityEncoding and "first 49 rows" in net.encoding_reason_
    assert isinstance(make().partial_fit(X[:50], Y[:50]).encoding_, PiecewiseLinearEncoding)
    assert make(encoding="standard").partial_fit(X[:9], Y[:9]).encoding_ is not None


# ------------------------------------------------------------------ as a part of the network


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_without_autograd_the_same(monkeypatch, name, precision):
    epochs = []

    class Counted(FusedTraining):
        def epoch(self, batches):
            epochs.append(len(batches))
            return super().epoch(batches)

    monkeypatch.setattr(net_file, "FusedTraining", Counted)
    params = dict(encoding=name, dropout=0, early_stopping=True, precision=precision)
    fast = make(**params).fit(X, Y)
    assert len(epochs) == 4
    monkeypatch.setattr(net_file, "can_fuse", lambda *parts: False)
    slow = make(**params).fit(X, Y)
    assert len(epochs) == 4
    tolerance = 1e-4 if precision == "float32" else 1e-9
    states = zip(*(net.net_.module_.state_dict().values() for net in (fast, slow)), strict=True)
    for ours, theirs in states:
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance / 100)
    for curve in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(fast.history_[curve], slow.history_[curve], rtol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_takes_rows_as_they_are(name):
    net = make(encoding=name).fit(X, Y)
    module = net.net_.module_.eval()
    assert type(module) is MLP and not list(module.encoding.parameters())
    assert any(key.startswith("encoding.") for key in module.state_dict())
    with torch.no_grad():
        scores = module(torch.tensor(X, dtype=torch.float32)).sigmoid().numpy()
    np.testing.assert_allclose(net.predict_proba(X), scores, atol=1e-4)


@pytest.mark.parametrize("encoding", [*NAMES, PiecewiseLinearEncoding(n_bins=3), Shift()])
@pytest.mark.parametrize("module", [None, nn.Linear, MLP])
def test_pickles_and_predicts_the_same(encoding, module):
    network = {} if module is None else dict(hidden_layer_sizes="auto", module=module)
    net = make(encoding=encoding, **network).fit(X, Y)
    loaded = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(loaded.predict_proba(X), net.predict_proba(X))
    np.testing.assert_array_equal(
        loaded.partial_fit(X, Y).predict_proba(X), net.partial_fit(X, Y).predict_proba(X)
    )
    # A row does not depend on its neighbours.
    np.testing.assert_array_equal(net.predict_proba(X[:12]), net.predict_proba(X)[:12])


def test_custom_networks_get_encoded_rows():
    widths = []

    def factory(n_features, n_outputs):
        widths.append(n_features)
        return nn.Linear(n_features, n_outputs)

    net = make(module=factory, hidden_layer_sizes="auto", encoding="piecewise_linear").fit(X, Y)
    assert widths == [40] and isinstance(net.net_.module_.network, nn.Linear)
    weight = net.net_.module_.network.weight
    assert weight.shape == (3, 40)
    plain = make(module=factory, hidden_layer_sizes="auto", encoding=None).fit(X, Y)
    assert isinstance(plain.net_.module_, nn.Linear)


@pytest.mark.parametrize("name", NAMES)
def test_precision_is_that_of_the_weights(name):
    net = make(encoding=name, precision="float64").fit(X, Y)
    floating = [b for b in net.net_.module_.buffers() if b.is_floating_point()]
    assert {buffer.dtype for buffer in floating} == {torch.float64}
    assert np.abs(net.predict_proba(X + 1e-10) - net.predict_proba(X)).max() < 1e-6


def test_identity_is_no_encoding_except_for_missing_values():
    net = make(encoding=IdentityEncoding()).fit(X, Y)
    assert isinstance(net.encoding_, IdentityEncoding)
    expected = make(encoding=None).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(net.predict_proba(X), expected)
    sparse = make(encoding=IdentityEncoding()).fit(sp.csr_array(X), Y)
    assert sparse.net_.module_.encoding is None


# ------------------------------------------------------------------ forms of X


@pytest.mark.parametrize("name", ["quantile", "piecewise_linear"])
@pytest.mark.parametrize("share", [0.1, 0.7])
def test_sparse_rows_are_encoded_as_dense_ones(name, share):
    dense = np.where(rng.random(X.shape) < share, X, 0).astype(np.float32)
    # A linear part centres dense columns, and so rounds otherwise.
    params = dict(encoding=name, early_stopping=True, linear_part=False)
    nets = [make(**params).fit(kind(dense), Y) for kind in (np.asarray, sp.csr_array)]
    expected = nets[0].predict_proba(dense)
    np.testing.assert_array_equal(nets[1].predict_proba(sp.csr_array(dense)), expected)
    np.testing.assert_array_equal(nets[1].predict_proba(dense), expected)


def test_thin_rows_stay_sparse_without_encoding():
    thin = sp.csr_array(np.where(rng.random((140, 30)) < 0.1, 1.0, 0))
    net = make().fit(thin, Y)
    assert net.encoding_ is None and net.encoding_reason_ == "all values are 0 or 1"


def test_frames():
    frame = pd.DataFrame(X, columns=list("abcde"))
    for encoding in ("auto", Shift()):
        net = make(encoding=encoding).fit(frame, Y)
        expected = make(encoding=encoding).fit(X, Y).predict_proba(X)
        np.testing.assert_array_equal(net.predict_proba(frame), expected)


# ------------------------------------------------------------------ transformers


def test_a_transformer_is_a_step_before_the_network(monkeypatch):
    given = Shift()
    net = make(encoding=given, early_stopping=True).fit(X, Y)
    assert not hasattr(given, "shift_") and isinstance(net.encoding_, Shift)
    # One row for the width, and the two tables.
    assert Shift.run == [1, 126, 14]
    Shift.run.clear()
    monkeypatch.setattr(outputs_file, "PREDICT_ROWS", 60)
    proba = net.predict_proba(X)
    # The last 20 rows are filled up.
    assert Shift.run[:2] == [60, 60] and len(Shift.run) == 3 and Shift.run[2] in (32, 60)
    monkeypatch.undo()
    np.testing.assert_allclose(net.predict_proba(X), proba, rtol=1e-5)
    assert net.n_features_in_ == 5
    with pytest.raises(ValueError, match="features"):
        net.predict(X[:, :3])


def test_a_transformer_equals_a_pipeline():
    inside = make(encoding=StandardScaler()).fit(X, Y)
    before = make_pipeline(StandardScaler(), make(encoding=None)).fit(X.astype(np.float32), Y)
    expected = before.predict_proba(X.astype(np.float32))
    np.testing.assert_allclose(inside.predict_proba(X), expected, rtol=1e-5)


def test_a_transformer_may_change_the_number_of_columns_and_take_sparse_rows():
    sparse = sp.random_array((140, 50), density=0.1, format="csr", rng=np.random.default_rng(0))
    net = make(encoding=TruncatedSVD(3, random_state=0), early_stopping=True, cv=2)
    net.fit(sparse, Y)
    assert net.net_.module_.layers[0].in_features == 3 and net.n_features_in_ == 50
    assert net.predict(sparse).shape == Y.shape
    net.partial_fit(sparse, Y)


def test_rows_of_zeros_that_fill_blocks_are_not_shown_to_transformers():
    positive = np.abs(X) + 0.1
    net = make(encoding=FunctionTransformer(np.log)).fit(positive, Y)
    assert np.isfinite(net.predict_proba(positive[:3])).all()


@pytest.mark.parametrize(
    "function, problem",
    [
        (lambda X: np.where(X > 0, X, np.nan), "must return finite numbers"),
        (lambda X: X[:1].repeat(3, axis=0), "one row per row.*got shape \\(3, 5\\)"),
        (lambda X: X[:, 0], "one row per row"),
        (lambda X: None, "one row per row"),
        (lambda X: X[:, :0], "one row per row"),
        (lambda X: X[:, : 1 + len(X) % 2], "one row per row"),
        (lambda X: X.astype(str), "must return finite numbers"),
        (sp.csr_array, "returned a sparse matrix: let it return a dense one"),
    ],
)
def test_wrong_results_of_a_transformer(function, problem):
    net = make(encoding=FunctionTransformer(function))
    with pytest.raises(ValueError, match=f"(?s)encoding=FunctionTransformer.*{problem}"):
        net.fit(X, Y)
    assert not [name for name in vars(net) if name.endswith("_")]


def test_advice_for_a_sparse_encoder():
    with pytest.raises(ValueError, match="sparse_output=False"):
        make(encoding=OneHotEncoder(handle_unknown="ignore")).fit(np.round(X[:, :1]), Y)
    net = make(encoding=OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    assert net.fit(np.round(X[:, :1]), Y).predict(X[:, :1]).shape == Y.shape


# ------------------------------------------------------------------ parameters


def test_parameters_of_a_named_encoding():
    net = make(encoding="piecewise_linear").set_params(encoding__n_bins=3)
    assert isinstance(net.encoding, PiecewiseLinearEncoding) and net.encoding.n_bins == 3
    net.set_params(encoding__n_quantiles=9, encoding="quantile")
    assert net.get_params()["encoding__n_quantiles"] == 9
    assert clone(net).encoding.n_quantiles == 9
    net.set_params(encoding=StandardScaler(), encoding__with_mean=False)
    assert net.encoding.with_mean is False
    with pytest.raises(ValueError, match="encoding='auto' has no parameters.*piecewise_linear"):
        make().set_params(encoding__n_bins=3)
    with pytest.raises(ValueError, match="n_bins"):
        make(encoding="standard").set_params(encoding__n_bins=3)


def test_parameters_are_not_modified():
    encoding = PiecewiseLinearEncoding(n_bins=4)
    net = make(encoding=encoding).fit(X, Y)
    assert not hasattr(encoding, "edges_") and net.encoding_.n_bins == 4
    assert "encoding_" not in vars(clone(net))
    assert type(make(encoding=StandardEncoding).fit(X, Y).encoding_) is StandardEncoding


def test_grid_search_over_encodings():
    grid = [
        {"encoding": [None, "standard", StandardScaler()]},
        {"encoding": ["piecewise_linear"], "encoding__n_bins": [2, 8]},
    ]
    search = GridSearchCV(make(max_epochs=15), grid, scoring="f1_macro", cv=2, error_score="raise")
    scores = search.fit(X, Y).cv_results_["mean_test_score"]
    assert len(set(scores)) >= 4 and scores[0] < scores.max()


def test_raw_columns_of_any_size_are_learned_out_of_the_box():
    params = dict(hidden_layer_sizes=(32,), max_epochs=40, random_state=0, device="cpu",
                  early_stopping=False, learning_rate=0.01)  # fmt: skip
    right = {
        name: (MultiLabelNetClassifier(encoding=name, **params).fit(X, Y).predict(X) == Y).mean()
        for name in (None, "auto")
    }
    assert right["auto"] > 0.95 > right[None]


def test_encoder_of_rows_without_an_encoding():
    rows = Rows(X, Y, None)
    encoder = fit_encoder(None, rows, seed=0)
    assert encoder.module(torch.float32) is None and encoder.transform(rows) is rows
    assert encoder.n_inputs == encoder.n_outputs == 5


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("encoding", [*NAMES, Shift()])
def test_encoding_on_a_gpu(encoding):
    params = dict(encoding=encoding, dropout=0, precision="float64", early_stopping=True)
    there, here = (make(device=device, **params).fit(X, Y) for device in ("cuda", "cpu"))
    assert {buffer.device.type for buffer in there.net_.module_.buffers()} <= {"cpu"}
    np.testing.assert_allclose(there.predict_proba(X), here.predict_proba(X), rtol=1e-6)


def test_random_transformers_follow_the_random_state():
    def proba():
        encoding = make_pipeline(RBFSampler(n_components=9), StandardScaler())
        return make(encoding=encoding, random_state=0).fit(X, Y).predict_proba(X)

    np.random.seed(3)
    before = np.random.get_state()[1].copy(), np.random.get_state()[2]
    np.testing.assert_array_equal(proba(), proba())
    after = np.random.get_state()
    np.testing.assert_array_equal(after[1], before[0])
    assert after[2] == before[1]


def test_an_encoding_of_a_custom_network_is_kept():
    class Squared(torch.nn.Module):
        def forward(self, X):
            return X**2

    def factory(n_features, n_outputs):
        return MLP(n_features, n_outputs, (8,), encoding=Squared())

    net = make(module=factory, encoding="standard", hidden_layer_sizes="auto", dropout="auto")
    module = net.fit(X, Y).net_.module_
    assert type(module.network.encoding) is Squared and module.encoding is not None


@pytest.mark.parametrize("dense", [True, False])
def test_a_value_beyond_columns_of_0_and_1_does_not_explode(dense):
    rng = np.random.default_rng(0)
    X = (rng.random((300, 6)) < (0.3 if dense else 0.2)).astype(np.float32)
    Y = np.column_stack([X[:, 0], X[:, 1] * X[:, 2], rng.random(300) < 0.4]).astype(int)
    net = make(max_epochs=20).fit(X if dense else sp.csr_array(X), Y)
    row, far = X[:1].copy(), X[:1].copy()
    row[0, 0], far[0, 0] = 2, 1000
    if dense:
        np.testing.assert_array_equal(net.predict_proba(far), net.predict_proba(row))
    else:  # there is no encoding that could end it
        assert net.encoding_ is None


def test_first_rows_of_a_stream_are_no_limit():
    X = np.zeros((10, 4), dtype=np.float32)
    net = make(max_epochs=1).partial_fit(X, np.eye(10, 3, dtype=int))
    assert not net.encoding_.clip
