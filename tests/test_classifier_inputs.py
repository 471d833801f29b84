"""What the classifier takes for X and y, gives back, and leaves alone when it fails."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.fast import sparse
from sklearn_mlloss._training.fast.loop import FusedTraining
from sklearn_mlloss.losses import LOSSES

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*takes scores for probabilities"),
]

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 4)).astype(np.float32)
Y = (X @ rng.normal(size=(4, 3)) > 0.2).astype(int)
NAN = np.nan


def make(**params):
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=4, batch_size=32, random_state=0,
                    learning_rate=0.02, decoder="threshold", device="cpu")  # fmt: skip
    return MultiLabelNetClassifier(**{**defaults, **params})


@pytest.fixture(scope="module")
def reference():
    return make().fit(X, Y)


# ------------------------------------------------------------------ forms of y

FORMS = {
    "bool": Y.astype(bool),
    "uint8": Y.astype(np.uint8),
    "int32": Y.astype(np.int32),
    "float32": Y.astype(np.float32),
    "float64": Y.astype(float),
    "csr_array": sp.csr_array(Y),
    "csc_array": sp.csc_array(Y),
    "coo_array": sp.coo_array(Y),
    "csr_matrix": sp.csr_matrix(Y),
    "csc_matrix": sp.csc_matrix(Y),
    "coo_matrix": sp.coo_matrix(Y.astype(np.int8)),
    "frame": pd.DataFrame(Y, columns=list("abc")),
    "Int64": pd.DataFrame(Y).astype("Int64"),
    "boolean": pd.DataFrame(Y.astype(bool)).astype("boolean"),
    "object": Y.astype(object),
    "list": Y.tolist(),
    "tuples": [tuple(row) for row in Y.tolist()],
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_an_indicator_trains_the_same(form, reference):
    y = FORMS[form]
    net = make().fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), reference.predict_proba(X))
    labels, expected = net.predict(X), reference.predict(X)
    if sp.issparse(y):
        assert isinstance(labels, sp.csr_array if isinstance(y, sp.sparray) else sp.csr_matrix)
        assert labels.dtype == y.dtype
        np.testing.assert_array_equal(labels.toarray(), expected)
    else:
        assert type(labels) is np.ndarray
        given = np.asarray(y).dtype if form not in ("Int64", "boolean", "object") else np.int64
        assert labels.dtype == given
        np.testing.assert_array_equal(labels, expected)
    names = list("abc") if form == "frame" else [0, 1, 2]
    assert net.label_names_.tolist() == names and net.n_labels_ == 3
    assert np.shape(net.classes_) == (3, 2)


MASKED = Y.astype(float)
MASKED[::3, 1] = NAN
MISSING = {
    "float64": MASKED,
    "float32": MASKED.astype(np.float32),
    "frame": pd.DataFrame(MASKED),
    "Int64": pd.DataFrame(MASKED).astype("Int64"),
    "boolean": pd.DataFrame(MASKED).astype("boolean"),
    "object": np.where(np.isnan(MASKED), None, Y.astype(object)),
    "list": [[None if np.isnan(v) else v for v in row] for row in MASKED.tolist()],
}


@pytest.mark.parametrize("form", MISSING)
def test_each_form_of_missing_entries_is_masked(form, reference):
    net = make().fit(X, MISSING[form])
    expected = make().fit(X, MASKED).predict_proba(X)
    np.testing.assert_array_equal(net.predict_proba(X), expected)
    assert (expected != reference.predict_proba(X)).any()
    assert set(np.unique(net.predict(X))) <= {0, 1}


def test_rows_without_any_entry_are_left_out(reference):
    more = np.vstack([Y.astype(float), np.full((7, 3), NAN)])
    net = make().fit(np.vstack([X, 5 * X[:7]]), more)
    np.testing.assert_array_equal(net.predict_proba(X), reference.predict_proba(X))


@pytest.mark.parametrize("loss", [name for name in LOSSES if LOSSES[name].accepts_soft_targets])
def test_soft_targets(loss):
    soft = Y * 0.8 + 0.1
    params = dict(loss=loss, decoder="threshold", linear_part=loss == "bce")
    net, hard = make(**params).fit(X, soft), make(**params).fit(X, Y)
    assert (net.predict_proba(X) != hard.predict_proba(X)).any()
    assert set(np.unique(net.predict(X))) <= {0, 1}


@pytest.mark.parametrize("y", [Y[:, :1], Y[:, :1].astype(bool), sp.csr_array(Y[:, :1])])
def test_one_label(y):
    net = make().fit(X, y)
    assert net.predict(X).shape == (80, 1) and net.predict_proba(X).shape == (80, 1)
    assert net.decision_function(X).shape == (80, 1)
    assert net.classes_.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "classes", [["no", "yes"], [0, 1], [-1, 1], [0, 2], [False, True], [0.0, 1.0]]
)
@pytest.mark.parametrize("wrap", [np.asarray, list, pd.Series])
def test_binary_vectors(classes, wrap):
    y = np.array(classes)[Y[:, 0]]
    net = make().fit(X, wrap(y))
    one = make().fit(X, Y[:, :1])
    assert net.classes_.tolist() == classes and net.n_labels_ == 1
    proba = net.predict_proba(X)
    np.testing.assert_array_equal(proba[:, 1:], one.predict_proba(X))
    np.testing.assert_allclose(proba.sum(1), 1, rtol=0, atol=1e-15)
    labels = net.predict(X)
    assert labels.tolist() == np.array(classes)[one.predict(X)[:, 0]].tolist()
    if wrap is np.asarray:
        assert labels.dtype == y.dtype
    np.testing.assert_allclose(
        net.decision_function(X), np.log(proba[:, 1] / proba[:, 0]), atol=1e-12
    )


@pytest.mark.parametrize("loss", ["bce", "focal", "softmax_ce", "zlpr", "factorized"])
@pytest.mark.parametrize("classes", [["x", "y", "z"], [3, 5, 9]])
def test_multiclass_vectors(loss, classes):
    y = np.array(classes)[Y.argmax(1)]
    net = make(loss=loss, decoder="auto", max_epochs=15).fit(X, y)
    proba = net.predict_proba(X)
    assert proba.shape == (80, 3)
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-12)
    np.testing.assert_array_equal(net.predict(X), np.array(classes)[proba.argmax(1)])
    assert net.predict(X).dtype == y.dtype and net.score(X, y) > 0.6


def test_named_decoder_of_a_multiclass_y_is_reported_unused():
    with pytest.warns(UserWarning, match="decoder='top_k' is not used.*largest score"):
        make(decoder="top_k").fit(X, Y.argmax(1))


# ------------------------------------------------------------------ refused y


@pytest.mark.parametrize(
    "y, words",
    [
        ([{"a"}, {"b"}] * 40, "MultiLabelBinarizer"),
        ([("a",), ("b", "c")] * 40, "MultiLabelBinarizer"),
        ([[1], [0, 2]] * 40, "MultiLabelBinarizer"),
        (Y + 1, "0 and 1.*MultiOutputClassifier"),
        (2 * Y, "0 and 1"),
        (2 * Y - 1, "0 and 1"),
        (np.where(Y, "a", "b"), "0 and 1"),
        (Y * 1.5, "0 and 1"),
        (Y[:-1], "inconsistent numbers of samples"),
        (sp.csr_array(Y[:-1]), "inconsistent"),
        (Y[:-1, 0], "inconsistent"),
        (np.zeros((80, 2, 2)), "dimensions"),
        (None, "requires y"),
        (np.where(Y[:, 0], NAN, 1.0), "NaN"),
        (X[:, 0], "continuous"),
        (np.ones(80), "1 class"),
        (np.full((80, 3), NAN), "no row is left"),
    ],
    ids=str,
)
def test_refused_y(y, words):
    net = make()
    with pytest.raises(ValueError, match=words):
        net.fit(X, y)
    assert not [name for name in vars(net) if name.endswith("_")]


def test_constant_labels_are_fitted_with_a_warning():
    constant = Y.copy()
    constant[:, 0], constant[:, 2] = 0, 1
    with pytest.warns(UserWarning, match="2 label\\(s\\) have only positives or no positive.*0, 2"):
        net = make().fit(X, constant)
    proba = net.predict_proba(X)
    assert np.isfinite(proba).all() and proba[:, 0].max() < 0.5 < proba[:, 2].min()


# ------------------------------------------------------------------ X


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_array, sp.csr_matrix, sp.csc_matrix,
                                  sp.coo_array])  # fmt: skip
def test_sparse_X_trains_the_same(kind, reference):
    net = make().fit(kind(X), Y)
    np.testing.assert_array_equal(net.predict_proba(X), reference.predict_proba(X))
    np.testing.assert_array_equal(net.predict_proba(kind(X)), reference.predict_proba(X))
    assert net.n_features_in_ == 4


@pytest.mark.parametrize("convert", [np.float64, np.float32, np.asfortranarray, pd.DataFrame,
                                     np.ndarray.tolist])  # fmt: skip
def test_dense_X_trains_the_same(convert, reference):
    data = convert(X)
    net = make().fit(data, Y)
    np.testing.assert_array_equal(net.predict_proba(data), reference.predict_proba(X))


def test_integer_X():
    data = np.round(3 * X).astype(int)
    np.testing.assert_array_equal(
        make().fit(data, Y).predict_proba(data), make().fit(data * 1.0, Y).predict_proba(data)
    )


def test_feature_names_are_kept_and_checked():
    frame = pd.DataFrame(X, columns=list("abcd"))
    net = make().fit(frame, Y)
    assert net.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[list("dcba")])
    with pytest.raises(ValueError, match="3 features.*expecting 4"):
        make().fit(X, Y).predict(X[:, :3])


@pytest.mark.parametrize(
    "value, kind, words",
    [
        (NAN, sp.csr_array, "NaN and is sparse.*dense X only"),
        (np.inf, np.asarray, "infinity"),
        (np.inf, sp.csr_array, "infinity"),
    ],
)
def test_infinity_and_missing_values_of_sparse_rows_are_refused(value, kind, words, reference):
    bad = X.copy()
    bad[3, 2] = value
    with pytest.raises(ValueError, match=words):
        make().fit(kind(bad), Y)
    with pytest.raises(ValueError, match=words):
        reference.predict(kind(bad))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_read_only_memory_maps(tmp_path, precision, early_stopping, kind):
    # A warning of torch's would be an error here.
    params = dict(precision=precision, early_stopping=early_stopping, decoder="global_threshold")
    data = kind(X.astype(precision))
    weight = np.linspace(1, 2, 80)
    joblib.dump((data, Y, weight), tmp_path / "data")
    mapped, labels, mapped_weight = joblib.load(tmp_path / "data", mmap_mode="r")
    assert not labels.flags.writeable
    expected = make(**params).fit(data, Y, weight).predict_proba(X)
    net = make(**params).fit(mapped, labels, mapped_weight)
    np.testing.assert_array_equal(net.predict_proba(mapped), expected)
    net.partial_fit(mapped, labels, sample_weight=mapped_weight).fit_decoder(mapped, labels)


def test_sparse_X_is_never_dense_as_a_whole(monkeypatch):
    n = 5000
    big = sp.random_array((n, 30), density=0.1, rng=np.random.default_rng(0), format="csr")
    labels = np.asarray(big[:, :2].todense() > 0).astype(int)
    dense_rows = []
    for cls in (sp.csr_array, sp.csr_matrix):
        for name in ("toarray", "todense"):
            original = getattr(cls, name)

            def recorded(self, *args, original=original, **kwargs):
                dense_rows.append(self.shape[0])
                return original(self, *args, **kwargs)

            monkeypatch.setattr(cls, name, recorded)
    net = make(batch_size=500, max_epochs=1, decoder="global_threshold", validation_fraction=0.5)
    net.fit(big, labels).predict(big)
    net.predict_proba(big)
    assert not dense_rows
    with monkeypatch.context() as patch:
        patch.setattr(sparse, "SPARSE_SHARE", 0)  # as if it were not thin
        net.fit(big, labels).predict(big)
    assert max(dense_rows) < n <= sum(dense_rows)


# ------------------------------------------------------------------ predictions


@pytest.mark.parametrize("hidden", [(16,), (33,)], ids=str)
def test_neighbours_do_not_matter(hidden):
    net = make(hidden_layer_sizes=hidden, max_epochs=1).fit(X, (X[:, :2] > 0).astype(int))
    others = 10 * X
    others[7] = X[7]
    np.testing.assert_array_equal(net.predict_proba(X)[7], net.predict_proba(others)[7])


def test_the_place_of_a_row_shows_in_the_last_digits_at_most():
    """Kernels for an odd number of units add up in another order at the edge of a tile."""
    net = make(hidden_layer_sizes=(33,), max_epochs=1).fit(X, (X[:, :2] > 0).astype(int))
    together = net.predict_proba(X)
    alone = np.vstack([net.predict_proba(row[None]) for row in X])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-7)


@pytest.mark.parametrize("hidden", [(), (8,), (16, 16), (256,)], ids=str)
@pytest.mark.parametrize("loss", ["bce", "focal", "factorized", "softmax_ce"])
def test_a_row_is_predicted_alike_alone_and_among_others(hidden, loss):
    for n_labels in (1, 3, 14):
        Y = (X @ np.random.default_rng(1).normal(size=(4, n_labels)) > 0).astype(int)
        net = make(hidden_layer_sizes=hidden, loss=loss, max_epochs=1, early_stopping=False)
        together = net.fit(X, Y).predict_proba(np.vstack([X] * 14))
        for i in (0, 1, 5, 17, 42, 79):
            alone = net.predict_proba(X[i : i + 1])[0]
            np.testing.assert_array_equal(alone, together[i])
            np.testing.assert_array_equal(alone, together[13 * 80 + i])


def test_probabilities_stay_inside_the_open_interval():
    net = make(max_epochs=1).fit(X, Y)
    proba = net.predict_proba(np.vstack([1e4 * X, 1e6 * X, -1e6 * X]))
    assert 0 < proba.min() and proba.max() < 1
    far = np.vstack([1e4 * X, 1e6 * X])
    assert np.isfinite(net.decision_function(far)).all()
    assert np.isfinite(net.predict_log_proba(far)).all()


def test_log_odds_and_logarithm_belong_to_the_probabilities(reference):
    proba = reference.predict_proba(X)
    np.testing.assert_allclose(reference.predict_log_proba(X), np.log(proba))
    odds = reference.decision_function(X)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), proba)
    np.testing.assert_array_equal(reference.predict(X), proba >= 0.5)
    assert proba.dtype == odds.dtype == np.float64


@pytest.mark.parametrize("name", ["predict", "predict_proba", "decision_function", "decode"])
def test_unfitted(name):
    with pytest.raises(NotFittedError):
        getattr(make(), name)(X)
    with pytest.raises(NotFittedError):
        make().fit_decoder(X, Y)


# ------------------------------------------------------------------ what a fit keeps


@pytest.mark.parametrize(
    "params",
    [
        dict(),
        dict(early_stopping=False),
        dict(lr_schedule="plateau"),
        dict(decoder="cardinality"),
    ],
)
def test_a_fitted_model_holds_no_rows(params):
    def size(n):
        labels = (np.arange(n * 3).reshape(n, 3) * 7 % 5 > 2).astype(int)
        data = np.random.default_rng(0).normal(size=(n, 40)).astype(np.float32)
        net = make(max_epochs=2, **params).fit(data, labels, np.ones(n))
        return len(pickle.dumps(net))

    assert size(2000) - size(200) < 1000  # the rows would take 288 kB


def snapshot(net):
    return net.predict_proba(X), net.predict(X), pickle.dumps(net.history_), net.n_iter_


FAILURES = {
    "parameter": (dict(dropout=2), None, "dropout"),
    "optimizer": (dict(optimizer="adm"), None, "adm"),
    "loss": (dict(loss="focale"), None, "focale"),
    "decoder": (dict(decoder="treshold"), None, "treshold"),
    "device": (dict(device="gpu"), None, "device"),
    "net_params": (dict(net_params={"batch_size": 3}), None, "net_params.*batch_size"),
    "y": (dict(), Y + 1, "0 and 1"),
    "divergence": (
        dict(loss="mse", optimizer="sgd", learning_rate=1e30, max_epochs=50),
        None,
        "SquaredErrorLoss.* is (nan|inf).*epoch [0-9]+.*learning rate 1e\\+30",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_failing_fit_leaves_the_estimator_as_it_was(name, warm_start):
    params, y, words = FAILURES[name]
    net = make(warm_start=warm_start).set_params(**params)
    before = dict(vars(net))
    with pytest.raises(ValueError, match=words):
        net.fit(X, Y if y is None else y)
    assert vars(net) == before

    net = make(warm_start=warm_start).fit(X, Y)
    seen = snapshot(net)
    net.set_params(**params)
    with pytest.raises(ValueError, match=words):
        net.fit(X, Y if y is None else y)
    net.set_params(**make().get_params())
    for now, then in zip(snapshot(net), seen, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_failing_first_partial_fit_leaves_nothing():
    net = make(loss="mse", optimizer="sgd", learning_rate=1e30)
    with pytest.raises(ValueError, match="learning rate"):
        for _ in range(3):
            net.partial_fit(X, Y)
            assert np.isfinite(net.predict_proba(X)).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_failing_later_partial_fit_changes_nothing(optimizer, monkeypatch):
    net, twin = make(optimizer=optimizer), make(optimizer=optimizer)
    for _ in range(2):
        net.partial_fit(X, Y)
        twin.partial_fit(X, Y)
    seen, counts = snapshot(net), net.loss_.label_count_.copy()
    step, calls = FusedTraining._backward, []

    def failing(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return step(self, *args, **kwargs)

    monkeypatch.setattr(FusedTraining, "_backward", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        net.partial_fit(X, Y)
    monkeypatch.undo()
    for now, then in zip(snapshot(net), seen, strict=True):
        np.testing.assert_array_equal(now, then)
    # Neither the statistics of the loss nor the optimiser remember the failed rows.
    np.testing.assert_array_equal(net.loss_.label_count_, counts)
    np.testing.assert_array_equal(
        net.partial_fit(X, Y).predict_proba(X), twin.partial_fit(X, Y).predict_proba(X)
    )


def test_a_failing_fit_decoder_keeps_the_decision(reference):
    decoder = reference.decoder_
    with pytest.raises(ValueError, match="3 columns"):
        reference.fit_decoder(X, Y[:, :2], "global_threshold")
    assert reference.decoder_ is decoder


@pytest.mark.parametrize("kind", ["array", "frame", "int"])
def test_columns_far_from_zero_are_named(kind):
    far = np.column_stack([X[:, :2], 1.7e9 + np.arange(len(X))])
    if kind == "int":
        far = far.astype(np.int64)
    if kind == "frame":
        far = pd.DataFrame(far, columns=["a", "b", "time"])
    name = "time" if kind == "frame" else "2"
    with pytest.warns(UserWarning, match=f"1 column.*far from 0.*: {name}"):
        make().fit(far, Y)
    make(precision="float64").fit(far, Y)
    make().fit(np.asarray(far, dtype=np.float32), Y)


def test_scores_of_an_earlier_fit_are_gone():
    net = make(cv=2, store_cv_results=True, decoder="threshold").fit(X, Y)
    assert hasattr(net, "oof_scores_")
    assert not hasattr(net.set_params(cv=None, store_cv_results=False).fit(X, Y), "oof_scores_")


def test_subclasses_may_have_another_constructor():
    class Own(MultiLabelNetClassifier):
        def __init__(self, random_state, *, max_epochs=2, device="cpu"):
            super().__init__(random_state=random_state, max_epochs=max_epochs, device=device)

    assert Own(0).fit(X, Y).predict(X).shape == Y.shape
