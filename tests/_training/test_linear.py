"""The linear part of the network: fits, what training sees of them, and predictions."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.special import logit
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import label_ranking_average_precision_score

from sklearn_mlloss import MultiLabelNetClassifier, classifier
from sklearn_mlloss._data.rows import Rows, RowView
from sklearn_mlloss._decision.decision import HeldOut
from sklearn_mlloss._training import fit as fit_file
from sklearn_mlloss._training import linear as linear_file
from sklearn_mlloss._training import logistic
from sklearn_mlloss._training import net as net_file
from sklearn_mlloss._training.linear import deviations_of, fit_linear, fit_model
from sklearn_mlloss.losses import LOSSES, Criterion
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold
from sklearn_mlloss.networks.linear import LinearPart, UnitEncoding

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
N, L = 240, 3
X = rng.normal(size=(N, 6))
W = rng.normal(size=(6, L)) * 2
Y = (X @ W + rng.logistic(size=(N, L)) > [0.5, 1, 1.5]).astype(np.uint8)
CPU = torch.device("cpu")


def make(**params):
    defaults = dict(max_epochs=6, batch_size=32, hidden_layer_sizes=(8,), random_state=0,
                    device="cpu")  # fmt: skip
    return MultiLabelNetClassifier(**defaults | params)


def rows_of(X, Y=Y, weight=None):
    return Rows(X, Y, weight)


def fit(X, Y=Y, weight=None, n_folds=4):
    fold = np.arange(X.shape[0]) % n_folds
    return *fit_fold(rows_of(X, Y, weight), fold), fold


def fit_fold(rows, fold):
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(fold.max() + 1)]
    return fit_model(rows, None, UnitEncoding(), folds, len(folds), CPU)


@pytest.fixture
def exact(monkeypatch):
    """Fit to convergence."""
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-12)
    monkeypatch.setattr(logistic, "MOST_STEPS", 1000)


def log_odds(Y):
    share = (Y.sum(axis=0) + 0.5) / (len(Y) + 1)
    return np.log(share / (1 - share))


# ------------------------------------------------------------------ the encoding


def test_units_of_columns():
    table = np.column_stack([X[:, 0] * 7 + 1e4, X[:, 1] > 1.5, np.where(X[:, 2] > 1, 5, 3)])
    encoding = UnitEncoding(n_bins=0).fit(table)
    encoded = encoding.module(torch.float64)(torch.tensor(table)).numpy()
    assert abs(encoded.mean(axis=0)).max() < 1e-6
    # Numbers have variance 1; two values are one unit apart.
    assert encoded[:, 0].std() == pytest.approx(1, rel=0.02)
    np.testing.assert_allclose(np.ptp(encoded[:, 1:], axis=0), 1)
    far = encoding.module()(torch.tensor([[1e9, 50.0, -50.0]]))
    assert far.abs().max() <= 4


def test_a_scale_or_a_shift_of_columns_makes_no_difference():
    results = [
        make().fit(table, Y).predict_proba(table) for table in (X, 1e3 * X + 7, -X[:, ::1] * 0.01)
    ]
    np.testing.assert_allclose(results[1], results[0], rtol=1e-3)


def test_bins_of_columns_with_more_than_two_values():
    table = np.column_stack([X[:, 0], X[:, 1] > 0, np.ones(N)])
    encoding = UnitEncoding(n_bins=4).fit(table)
    assert [len(edges) for edges in encoding.edges_] == [5, 0, 0]
    assert encoding.n_outputs_ == 3 + 4
    encoded = encoding.module(torch.float64)(torch.tensor(table))
    assert encoded.shape == (N, 7) and encoded[:, 3:].min() == 0 and encoded[:, 3:].max() == 0.5
    thin = sp.csr_array(np.where(rng.random((N, 9)) < 0.1, 2.0, 0))
    assert UnitEncoding().fit(thin).n_outputs_ == 9


def test_a_sparse_matrix_is_not_centred_unless_it_is_dense():
    thin = np.where(rng.random((N, 9)) < 0.1, rng.normal(size=(N, 9)), 0)
    full = np.where(rng.random((N, 9)) < 0.8, rng.normal(size=(N, 9)), 0)
    assert (UnitEncoding().fit(sp.csr_array(thin)).center_ == 0).all()
    for table in (full, sp.csr_array(full)):
        np.testing.assert_allclose(UnitEncoding().fit(table).center_, full.mean(axis=0), rtol=1e-9)


# ------------------------------------------------------------------ the fit


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_logistic_regressions_of_scikit_learn(kind, exact):
    table = np.where(rng.random((N, 12)) < 0.2, rng.normal(size=(N, 12)), 0)
    labels = (table @ rng.normal(size=(12, L)) * 3 + rng.logistic(size=(N, L)) > 1).astype(int)
    encoding, found, fold = fit(kind(table), labels)
    inputs = encoding(torch.tensor(table)).numpy()
    for label in range(L):
        reference = LogisticRegression(C=1 / found.penalty, tol=1e-8, max_iter=1000)
        reference.fit(inputs, labels[:, label])
        np.testing.assert_allclose(found.weight[:, label], reference.coef_[0], atol=1e-3)
        expected = reference.decision_function(inputs) - log_odds(labels)[label]
        deviations = inputs @ found.weight[:, label].numpy() + found.bias[label].numpy()
        np.testing.assert_allclose(deviations, expected, atol=1e-3)
        for k in range(4):
            train = fold != k
            reference.fit(inputs[train], labels[train, label])
            expected = reference.decision_function(inputs[~train])
            expected = expected - log_odds(labels[train])[label]
            got = found.out_of_fold[~train, label]
            np.testing.assert_allclose(got, expected, atol=1e-3)


def test_weights_are_repeated_rows(exact):
    weight = rng.integers(0, 3, size=N).astype(float)
    encoding, found, fold = fit(X, weight=weight)
    repeated = np.repeat(np.arange(N), weight.astype(int))
    _, expected = fit_fold(rows_of(X[repeated], Y[repeated]), fold[repeated])
    assert found.penalty == expected.penalty
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-3)


def test_unobserved_entries_count_for_nothing(exact):
    missing = np.where(rng.random(Y.shape) < 0.3, np.nan, Y)
    encoding, found, _ = fit(X, missing)
    inputs = encoding(torch.tensor(X)).numpy()
    for label in range(L):
        seen = ~np.isnan(missing[:, label])
        reference = LogisticRegression(C=1 / found.penalty, tol=1e-8, max_iter=1000)
        reference.fit(inputs[seen], Y[seen, label])
        np.testing.assert_allclose(found.weight[:, label], reference.coef_[0], atol=1e-3)


def test_strong_and_weak_penalties_where_they_belong():
    noise = rng.integers(0, 2, size=(N, L)).astype(np.uint8)
    clear = (X @ W > 0).astype(np.uint8)
    assert fit(X, noise)[1].penalty >= 300
    assert fit(X, clear)[1].penalty <= 1
    assert abs(fit(X, noise)[1].out_of_fold).max() < 1


@pytest.mark.parametrize("table", [
    np.ones((N, 4)),
    np.hstack([X, X, 1e-9 * X]),
    np.hstack([X, np.where(np.arange(N)[:, None] == 5, 1e12, 0)]),
    rng.normal(size=(N, 900)),
    1e8 + X,
], ids=["constant", "collinear", "outlier", "wide", "offset"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*so far from 0")
def test_columns_of_all_kinds(table):
    found = fit(table)[1]
    assert all(torch.isfinite(part).all() for part in found[:3])
    assert np.isfinite(make().fit(table, Y).predict_proba(table)).all()


def test_labels_that_hardly_vary():
    rare = np.zeros_like(Y)
    rare[3, 0] = 1
    rare[:, 1] = 1
    found = fit(X, rare)[1]
    assert all(torch.isfinite(part).all() for part in found[:3])
    assert abs(found.out_of_fold[:, 1:]).max() < 2


def test_many_rows_are_encoded_block_by_block(monkeypatch):
    expected = fit(X)[1]
    monkeypatch.setattr(linear_file, "ENCODED", 1)
    monkeypatch.setattr(linear_file, "BLOCK", 300)
    found = fit(X)[1]
    for ours, theirs in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_labels_are_fitted_some_at_a_time(monkeypatch):
    expected = fit(X)[1]
    monkeypatch.setattr(logistic, "OUTPUTS", 1)
    found = fit(X)[1]
    # Steps end when those of all labels do.
    assert found.penalty == expected.penalty
    np.testing.assert_allclose(found.out_of_fold, expected.out_of_fold, atol=0.05)


# ------------------------------------------------------------------ what training sees


def test_training_rows_are_seen_by_models_without_their_fold():
    params = make().get_params()
    view = rows_of(RowView(X, np.arange(N)))
    estimator = MultiLabelNetClassifier(**params)
    found = fit_linear(estimator, view, None, 0, CPU)
    inside = deviations_of(found.part, view.X)
    loss = [
        float(Criterion(LOSSES["bce"]().fit(Y))(d + torch.tensor(log_odds(Y)), torch.tensor(Y)))
        for d in (found.known, inside)
    ]
    assert loss[0] > loss[1]


def test_the_decision_is_fitted_on_scores_that_are_not_optimistic():
    """A linear part that has seen the held-out rows would make their scores too good."""
    wide = rng.normal(size=(120, 200))
    noise = rng.integers(0, 2, size=(120, 2))
    net = make(calibration="temperature", validation_fraction=0.4, max_epochs=3).fit(wide, noise)
    assert net.net_.held_out_deviations_ is None
    # Noise: the calibrator draws probabilities to the label priors.
    assert abs(net.predict_proba(wide) - noise.mean(axis=0)).max() < 0.3


@pytest.mark.parametrize("sparse", [False, True])
def test_held_out_scores_are_those_of_early_stopping(monkeypatch, sparse):
    table = np.where(rng.random((N, 30)) < 0.1, 1.0, 0) if sparse else X
    labels = (table[:, :L] > 0).astype(int)
    scored = []

    class Seen(HeldOut):
        def __init__(self, scores, Y, *args, **kwargs):
            scored.append(-np.log(np.where(Y == 1, scores, 1 - scores)).mean())
            super().__init__(scores, Y, *args, **kwargs)

    monkeypatch.setattr(classifier, "HeldOut", Seen)
    net = make(decoder="global_threshold").fit(sp.csr_array(table) if sparse else table, labels)
    assert scored[0] == pytest.approx(net.net_.check_.loss, rel=1e-3)
    assert scored[0] <= min(net.history_["valid_loss"]) + 1e-4


@pytest.mark.parametrize("params", [
    dict(),
    dict(loss="factorized"),
    dict(mixup=0.4, dropout=0.5),
    dict(optimizer="sgd", learning_rate=0.1),
    dict(encoding="quantile", normalization="layer"),
    dict(precision="float64", loss="soft_fbeta"),
], ids=str)  # fmt: skip
def test_the_engines_agree(monkeypatch, params):
    if "mixup" not in params:
        params = dict(dropout=0, mixup=0, input_dropout=0) | params
    monkeypatch.setattr(linear_file, "SHARES", (1.0,))
    fast = make(**params).fit(X, Y)
    monkeypatch.setattr(net_file, "can_fuse", lambda *parts: False)
    slow = make(**params).fit(X, Y)
    if "dropout" in params and params["dropout"] == 0:
        np.testing.assert_allclose(fast.predict_proba(X), slow.predict_proba(X), atol=2e-4)
        valid = slow.history_["valid_loss"]
        np.testing.assert_allclose(fast.history_["valid_loss"], valid, rtol=1e-3)
    assert slow.net_.module_.linear.known is None
    for net in (fast, slow):
        assert (net.net_.module_.linear.share != 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_uses_it(name):
    generator = np.random.default_rng(7)
    new = generator.normal(size=(500, 6))
    labels = (new @ W + generator.logistic(size=(500, L)) > [0.5, 1, 1.5]).astype(int)
    params = dict(loss=name, max_epochs=30, learning_rate=0.003)
    with_part, without = (make(**params, linear_part=part).fit(X, Y) for part in (True, False))
    assert with_part.net_.module_.linear is not None
    lrap = [
        label_ranking_average_precision_score(labels, net.predict_proba(new))
        for net in (with_part, without)
    ]
    assert lrap[0] > lrap[1] - 0.01


def test_outputs_beyond_the_labels_have_no_part():
    part = LinearPart(torch.nn.Identity(), torch.ones(6, L), torch.zeros(L))
    outputs = part.added(torch.zeros(2, L + 1), torch.ones(2, L), alpha=1.0)
    assert outputs.tolist() == [[1, 1, 1, 0]] * 2


# ------------------------------------------------------------------ mixtures


def outputs_of(net, table):
    with torch.inference_mode():
        return torch.cat([block[:real] for block, real in net.outputs(table, "cpu")])


def mixed(monkeypatch, shares, **params):
    monkeypatch.setattr(linear_file, "SHARES", shares)
    return make(dropout=0, **params).fit(X, Y).net_


@pytest.mark.parametrize("loss", ["bce", "factorized", "hinge"])
def test_a_mixture_of_the_network_and_the_linear_part(monkeypatch, loss):
    net, alone, half = (mixed(monkeypatch, (share,), loss=loss) for share in (1.0, 0.0, 0.5))
    assert [one.network_share_ for one in (net, alone, half)] == [1, 0, 0.5]
    new = np.random.default_rng(5).normal(size=(40, X.shape[1])).astype("f")
    expected = outputs_of(net, new) / 2 + outputs_of(alone, new) / 2
    torch.testing.assert_close(outputs_of(half, new), expected, atol=1e-5, rtol=1e-4)
    # Alone, it is a share of the log-odds, around the outputs for the label priors.
    deviations = deviations_of(alone.linear_part(), new)
    shares = (outputs_of(alone, new) - torch.tensor(alone.criterion_.loss.initial_bias()))[:, :L]
    shares = shares / deviations
    assert shares.std() < 1e-3
    assert any(abs(shares.mean() - alpha) < 1e-3 for alpha in linear_file.ALPHAS)


def test_held_out_rows_choose_the_mixture(monkeypatch):
    shares = linear_file.SHARES
    losses = {share: mixed(monkeypatch, (share,)).check_.loss for share in shares}
    net = mixed(monkeypatch, shares)
    assert len(set(losses.values())) > 1
    assert net.check_.loss == min(losses.values()) == losses[net.network_share_]


@pytest.mark.filterwarnings("ignore:.*nothing beyond the label priors")
def test_out_of_fold_scores_have_the_share_that_the_other_folds_chose(monkeypatch):
    monkeypatch.setattr(fit_file, "second_plan", lambda *args: None)
    noise = np.random.default_rng(3).integers(0, 2, size=Y.shape)
    folds = list(MultilabelStratifiedKFold(4, random_state=0).split(noise, noise))
    fits = {}
    for shares in ((1.0,), (0.0,), linear_file.SHARES):
        monkeypatch.setattr(linear_file, "SHARES", shares)
        net = make(cv=folds, dropout=0, store_cv_results=True)
        fits[shares] = net.fit(X, noise)
    chosen = [net.network_share_ for net in fits[linear_file.SHARES].nets_]
    assert len({*chosen}) > 1
    outputs = [logit(fits[shares].oof_scores_) for shares in ((1.0,), (0.0,))]
    for k, (_, rows) in enumerate(folds):
        share = np.median(np.delete(chosen, k))
        expected = share * outputs[0][rows] + (1 - share) * outputs[1][rows]
        found = logit(fits[linear_file.SHARES].oof_scores_)[rows]
        np.testing.assert_allclose(found, expected, atol=1e-3)


# ------------------------------------------------------------------ forms of X


def test_containers():
    thin = np.where(rng.random((N, 30)) < 0.1, 1.0, 0)
    labels = (thin[:, :L] + thin[:, L : 2 * L] > 0).astype(int)
    params = dict(dropout=0, input_dropout=0, mixup=0)
    expected = make(**params).fit(thin, labels).predict_proba(thin)
    net = make(**params).fit(sp.csr_matrix(thin), labels)
    for table in (thin, sp.csr_array(thin)):
        np.testing.assert_allclose(net.predict_proba(table), expected, rtol=1e-4)
    outputs = net.net_.module_(torch.tensor(thin, dtype=torch.float32))
    np.testing.assert_allclose(net.loss_.link(outputs.detach()), net.predict_proba(thin), rtol=1e-5)


def test_a_model_of_dense_rows_predicts_sparse_ones():
    table = np.where(rng.random((N, 30)) < 0.1, rng.normal(size=(N, 30)) + 1, 0)
    net = make(encoding=None).fit(table, Y)
    expected = net.predict_proba(table)
    np.testing.assert_allclose(net.predict_proba(sp.csr_array(table)), expected, rtol=1e-4)


def test_categories_and_missing_values():
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    frame["c"] = pd.Categorical(np.where(X[:, 2] > 0, "high", "low"))
    frame.loc[::7, "a"] = np.nan
    frame.loc[::9, "c"] = None
    net = make().fit(frame, Y)
    assert net.net_.module_.linear is not None
    frame["c"] = frame["c"].cat.add_categories("new")
    frame.loc[:5, "c"] = "new"
    assert np.isfinite(net.predict_proba(frame)).all()


def test_one_class_per_row_and_two_classes():
    classes = (X @ W).argmax(axis=1)
    for y in (classes, Y[:, 0], Y[:, :1]):
        with_part, without = (make(linear_part=part).fit(X, y) for part in (True, False))
        assert with_part.score(X, y) > without.score(X, y)


# ------------------------------------------------------------------ when there is none


@pytest.mark.parametrize("params, reason", [
    (dict(linear_part=False), "none, as given"),
    (dict(early_stopping=False), "none without early stopping"),
    (dict(module=torch.nn.Linear, hidden_layer_sizes="auto"), "none in a custom module"),
], ids=str)  # fmt: skip
def test_why_there_is_none(params, reason):
    net = make(**params).fit(X, Y)
    assert net.net_.linear_part() is None and net.net_.linear_reason_ == reason
    assert reason in net.summary()


def test_not_for_few_rows_or_too_many(monkeypatch):
    few = make(linear_part=True, early_stopping=False).fit(X[:9], Y[:9])
    assert few.net_.linear_reason_ == "none: 9 rows are too few"
    monkeypatch.setattr(linear_file, "MOST_PRODUCTS", 10)
    auto, given = (make(linear_part=part).fit(X, Y) for part in ("auto", True))
    assert "would take too long" in auto.summary() and given.net_.linear_part() is not None


def test_partial_fit_has_none_at_first_and_keeps_that_of_a_fit():
    net = make().partial_fit(X, Y)
    assert net.net_.linear_part() is None
    net = make().fit(X, Y)
    before = {k: v.clone() for k, v in net.net_.module_.linear.state_dict().items()}
    net.partial_fit(X[:50], Y[:50])
    after = net.net_.module_.linear.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before if k != "share")
    assert not torch.equal(after["share"], before["share"])


def test_a_warm_start_fits_it_again():
    net = make(warm_start=True, max_epochs=2).fit(X, Y)
    share = net.net_.module_.linear.share.clone()
    net.fit(X[:150], Y[:150])
    assert len(net.history_["epoch"]) == 4
    assert not torch.equal(net.net_.module_.linear.share, share)
    for changed in (False, "auto"):
        net.set_params(linear_part=changed).fit(X, Y)
        assert (net.net_.linear_part() is None) == (changed is False)


def test_folds_and_pickles():
    net = make(cv=3, store_cv_results=True).fit(X, Y)
    assert all(one.linear_part() is not None for one in net.nets_)
    assert all(one.held_out_deviations_ is None for one in net.nets_)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    refitted = make(cv=3, ensemble=False).fit(X, Y)
    assert refitted.net_.linear_part() is not None


def test_a_linear_truth_is_learned_as_well_as_by_a_logistic_regression():
    generator = np.random.default_rng(1)
    table = generator.normal(size=(1200, 60))
    margin = table[:, :5] @ generator.normal(size=(5, 4)) * 2 - 1
    labels = (margin + generator.logistic(size=margin.shape) > 0).astype(int)
    train, test = slice(400), slice(400, None)

    def loss(proba):
        return -np.log(np.where(labels[test] == 1, proba, 1 - proba)).mean()

    net, without = (
        MultiLabelNetClassifier(random_state=0, linear_part=part).fit(table[train], labels[train])
        for part in ("auto", False)
    )
    reference = np.column_stack([
        LogisticRegression(C=C, max_iter=1000).fit(table[train], y).predict_proba(table[test])[:, 1]
        for y in labels[train].T
        for C in [0.1]
    ])  # fmt: skip
    assert loss(net.predict_proba(table[test])) < loss(reference) + 0.005
    assert loss(net.predict_proba(table[test])) < loss(without.predict_proba(table[test])) - 0.02


def test_large_steps_of_sgd_do_no_harm():
    params = dict(optimizer="sgd", optimizer_params={"momentum": 0.9}, weight_decay=5e-4)
    net = make(**params, learning_rate=0.5, max_epochs=20).fit(X, Y)
    alpha = net.net_.module_.linear.alpha()
    assert net.net_.module_.linear.pace == 1 and abs(alpha).max() < 5
    assert min(net.history_["valid_loss"]) < net.net_.check_.constant_loss
    assert make().fit(X, Y).net_.module_.linear.pace == 10
    # The shares stay what they are for another optimiser.
    net = make(warm_start=True, max_epochs=1).fit(X, Y)
    before = net.net_.module_.linear.alpha().detach().clone()
    net.set_params(optimizer="sgd", learning_rate=1e-9).fit(X, Y)
    torch.testing.assert_close(net.net_.module_.linear.alpha().detach(), before)


def test_a_table_of_noise_still_warns():
    noise = np.random.default_rng(3).integers(0, 2, size=Y.shape)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        net = make(max_epochs=60).fit(X, noise)
    check = net.net_.check_
    told = any("nothing beyond the label priors" in str(one.message) for one in caught)
    assert told or check.loss < check.constant_loss


def test_a_transformer_and_a_calibration():
    net = make(encoding=PCA(2), calibration="temperature").fit(X, Y)
    assert net.net_.module_.linear.weight.shape[0] == net.net_.module_.linear.encoding(
        torch.zeros(1, 2)
    ).shape[1]  # fmt: skip
    assert np.isfinite(net.predict_proba(X)).all()
