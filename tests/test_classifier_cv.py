"""One network per fold: out-of-fold scores, ensembles, and the decoder fitted on all rows."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import label_ranking_average_precision_score, log_loss
from sklearn.model_selection import KFold

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._decision.decision import reserve
from sklearn_mlloss.calibration import CALIBRATORS
from sklearn_mlloss.decoders import AtLeastOne, Decoder, GlobalThreshold, LabelSetDecoder
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
]

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(150, 3)) > 0.5).astype(int)


def make(**params):
    """Return a small classifier with three folds."""
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=8, batch_size=32, learning_rate=0.02,
                    n_iter_no_change=3, random_state=0, device="cpu", cv=3)  # fmt: skip
    return MultiLabelNetClassifier(**(defaults | params))


def test_out_of_fold_scores_are_of_the_net_that_was_not_trained_on_the_row():
    net = make(store_cv_results=True, early_stopping=False).fit(X, Y)
    folds = list(MultilabelStratifiedKFold(3, random_state=net._seeds(0)[2]).split(Y, Y))
    for (_, test), part in zip(folds, net.nets_, strict=True):
        scores, _ = part.scores(X[test].astype(np.float32), "cpu")
        np.testing.assert_allclose(net.oof_scores_[test], scores, atol=1e-7)
    assert np.isfinite(net.oof_scores_).all()


@pytest.mark.parametrize("loss", ["bce", "factorized"])
@pytest.mark.parametrize("monitor", ["loss", label_ranking_average_precision_score])
def test_out_of_fold_scores_are_of_the_epoch_that_the_other_folds_chose(loss, monitor):
    params = dict(loss=loss, max_epochs=60, monitor=monitor, linear_part=False)
    net = make(**params, store_cv_results=True).fit(X, Y)
    best = [np.flatnonzero(history["is_best"])[-1] + 1 for history in net.history_]
    assert len({*best}) > 1
    folds = list(MultilabelStratifiedKFold(3, random_state=net._seeds(0)[2]).split(Y, Y))
    for k, (_, test) in enumerate(folds):
        epoch = int(np.median(np.delete(best, k)))
        epoch = min(epoch, len(net.history_[k]["epoch"]))
        stopped = make(**(params | dict(max_epochs=epoch, n_iter_no_change=100)), cv=folds)
        # Only the fold in question matters; it must not go back to an epoch of its own choice.
        stopped.monitor = Rising()
        part = stopped.set_params(random_state=0).fit(X, Y).nets_[k]
        scores, _ = part.scores(X[test].astype(np.float32), "cpu")
        np.testing.assert_allclose(net.oof_scores_[test], scores, atol=1e-6)


class Rising:
    """A monitor for which each epoch is better than the one before."""

    def __init__(self):
        self.calls = 0

    def __call__(self, Y, scores):
        self.calls += 1
        return self.calls


def test_out_of_fold_scores_of_noise_are_not_better_than_the_label_frequencies():
    generator = np.random.default_rng(1)
    noise, labels = generator.normal(size=(300, 8)), generator.random((300, 4)) < 0.4
    net = make(cv=5, max_epochs=60, n_iter_no_change=10, store_cv_results=True)
    scores = net.fit(noise, labels.astype(int)).oof_scores_
    share = labels.mean(axis=0)
    entropy = -np.mean(share * np.log(share) + (1 - share) * np.log1p(-share))
    assert log_loss(labels.ravel(), scores.ravel()) > entropy


@pytest.mark.parametrize("loss", ["bce", "factorized"])
def test_a_row_that_is_in_several_test_parts_has_the_mean_of_their_scores(loss):
    splits = [([*range(50, 150)], [*range(50)]), ([*range(30), *range(60, 150)], [*range(30, 60)])]
    net = make(loss=loss, cv=splits, store_cv_results=True, early_stopping=False).fit(X, Y)
    parts = [part.scores(net._check_X(X), "cpu")[0] for part in net.nets_]
    for rows, expected in ((slice(30), parts[0]), (slice(50, 60), parts[1])):
        np.testing.assert_allclose(net.oof_scores_[rows], expected[rows], atol=1e-7)
    both = (parts[0] + parts[1])[30:50] / 2
    np.testing.assert_allclose(net.oof_scores_[30:50], both, atol=1e-7)
    assert np.isnan(net.oof_scores_[60:]).all()


def test_out_of_fold_scores_are_those_of_the_present_nets_or_none():
    net = make(store_cv_results=True).fit(X, Y)
    assert not hasattr(net.partial_fit(X, Y), "oof_scores_")


def test_repeats_split_in_another_way_each_time():
    net = make(repeats=2, store_cv_results=True, early_stopping=False).fit(X, Y)
    seed = net._seeds(0)[2]
    expected = np.zeros(Y.shape)
    for repeat in range(2):
        folds = MultilabelStratifiedKFold(3, random_state=seed + repeat).split(Y, Y)
        for (_, test), part in zip(folds, net.nets_[3 * repeat :], strict=False):
            expected[test] += part.scores(X[test].astype(np.float32), "cpu")[0] / 2
    np.testing.assert_allclose(net.oof_scores_, expected, atol=1e-7)


def test_a_changed_label_does_not_change_the_out_of_fold_score_of_its_row():
    splits = list(KFold(3).split(X))
    given = dict(cv=splits, store_cv_results=True, early_stopping=False)
    a = make(**given).fit(X, Y)
    test = splits[0][1]
    other = Y.copy()
    other[test] = 1 - other[test]
    b = make(**given).fit(X, other)
    np.testing.assert_array_equal(a.oof_scores_[test], b.oof_scores_[test])
    rest = splits[1][1]
    assert np.abs(a.oof_scores_[rest] - b.oof_scores_[rest]).max() > 1e-3


def test_an_ensemble_averages_probabilities():
    net = make().fit(X, Y)
    parts = [part.scores(net._check_X(X), "cpu")[0] for part in net.nets_]
    np.testing.assert_array_equal(net.predict_proba(X), np.mean(parts, axis=0))
    assert len(net.history_) == 3 and net.n_iter_ == max(len(h["epoch"]) for h in net.history_)


@pytest.mark.parametrize("ensemble", [True, False])
def test_one_decoder_is_fitted_on_all_out_of_fold_scores(ensemble):
    net = make(decoder="global_threshold", ensemble=ensemble, store_cv_results=True).fit(X, Y)
    expected = GlobalThreshold().fit(net.oof_scores_, Y)
    assert net.decoder_.threshold_ == expected.threshold_


def test_the_last_net_of_all_rows_makes_the_median_of_the_best_epochs():
    folds = make().fit(X, Y)
    best = [dict(net.callbacks_)["early_stopping"].best_epoch_ for net in folds.nets_]
    alone = make(ensemble=False).fit(X, Y)
    assert len(alone.nets_) == 1
    assert alone.n_iter_ == int(np.median(best))
    assert "valid_loss" not in alone.history_


@pytest.mark.parametrize("calibration", CALIBRATORS)
@pytest.mark.parametrize("params", [dict(), dict(cv=None), dict(ensemble=False)], ids=str)
def test_calibration_comes_before_the_decoder(calibration, params):
    net = make(
        calibration=calibration, decoder="global_threshold", linear_part=False, **params
    ).fit(X, Y)
    proba = net.predict_proba(X)
    assert 0 < proba.min() and proba.max() < 1
    np.testing.assert_array_equal(net.predict(X), proba >= net.decoder_.threshold_)
    raw, _ = net._raw_scores(net._check_X(X))
    np.testing.assert_array_equal(proba, net.calibrator_.transform(raw))


def test_calibration_alone_holds_rows_out():
    net = make(cv=None, early_stopping=False, calibration="sigmoid").fit(X, Y)
    assert net.predict(X).shape == Y.shape


def test_decoder_and_calibrator_can_be_refitted():
    net = make(cv=None, calibration="sigmoid").fit(X, Y)
    before = net.predict_proba(X)
    net.fit_decoder(X, Y, calibration=None)
    assert net.calibrator_ is None and net.calibration == "sigmoid"
    np.testing.assert_array_equal(net.predict_proba(X), net._raw_scores(net._check_X(X))[0])
    net.fit_decoder(X, Y, "global_threshold", "temperature")
    assert np.abs(net.predict_proba(X) - before).max() > 0
    again = net.predict_proba(X)
    net.fit_decoder(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), again)


@pytest.mark.parametrize("params", [dict(), dict(cv=None), dict(ensemble=False)], ids=str)
@pytest.mark.parametrize("decoder", ["label_set", "gfm", AtLeastOne("label_set")], ids=str)
def test_label_sets_are_those_of_all_rows(decoder, params):
    """Also of the rows that trained the network, which show sets that the others may lack."""
    own = np.random.default_rng(0)
    partly = np.where(own.random(Y.shape) < 0.05, np.nan, Y)
    weight = own.uniform(0, 2, len(X)) * (np.arange(len(X)) % 7 > 0)
    net = make(decoder=decoder, max_epochs=2, linear_part=False, **params).fit(X, partly, weight)
    inner = getattr(net.decoder_, "decoder_", net.decoder_)
    expected = LabelSetDecoder().fit(np.zeros(Y.shape), partly, weight)
    np.testing.assert_array_equal(inner.label_sets_, expected.label_sets_)
    np.testing.assert_allclose(inner.log_prior_, expected.log_prior_)
    assert (net.decoder_.n_labels_, inner.n_labels_) == (Y.shape[1],) * 2
    # No training rows are held: rows given later are all that there are.
    net.fit_decoder(X[:20], Y[:20])
    inner = getattr(net.decoder_, "decoder_", net.decoder_)
    np.testing.assert_array_equal(
        inner.label_sets_, LabelSetDecoder().fit(np.zeros((20, Y.shape[1])), Y[:20]).label_sets_
    )


def test_label_sets_with_weights_of_labels():
    weight = np.random.default_rng(0).uniform(0.5, 2, Y.shape)
    weight[:10, 0] = 0  # not observed, so that these rows show no set
    net = make(decoder="label_set", cv=None, max_epochs=2).fit(X, Y, weight)
    expected = LabelSetDecoder().fit(np.zeros(Y[10:].shape), Y[10:], weight[10:].mean(axis=1))
    np.testing.assert_array_equal(net.decoder_.label_sets_, expected.label_sets_)
    np.testing.assert_allclose(net.decoder_.log_prior_, expected.log_prior_)


def test_folds_in_two_processes_give_the_same():
    one, two = make(dropout=0.3).fit(X, Y), make(dropout=0.3, n_jobs=2).fit(X, Y)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


@pytest.mark.parametrize(
    "loss, y",
    [("factorized", Y), ("softmax_ce", Y), ("bce", Y[:, 0]), ("bce", Y.argmax(1)), ("lsep", Y)],
    ids=["count", "softmax", "binary", "multiclass", "ranking"],
)
@pytest.mark.parametrize("ensemble", [True, False])
def test_all_kinds_of_targets(loss, y, ensemble):
    net = make(loss=loss, ensemble=ensemble, max_epochs=3).fit(X, y)
    assert net.predict(X).shape == y.shape
    assert net.predict_proba(X).shape[0] == len(X)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    clone(net).fit(sp.csr_array(X), y)


def test_given_splits_count_the_rows_that_were_passed():
    """Rows without anything to learn from are left out, and do not move the others' numbers."""
    splits = list(KFold(3).split(X))
    weight = np.ones(len(X))
    weight[[0, 3, 60]] = 0
    net = make(cv=splits, store_cv_results=True).fit(X, Y, weight)
    assert np.isnan(net.oof_scores_[[0, 3, 60]]).all()
    kept = np.flatnonzero(weight)
    place = np.cumsum(weight > 0) - 1
    fewer = [tuple(place[part[weight[part] > 0]] for part in fold) for fold in splits]
    other = make(cv=fewer, store_cv_results=True).fit(X[kept], Y[kept])
    np.testing.assert_allclose(net.oof_scores_[kept], other.oof_scores_, atol=1e-6)


@pytest.mark.parametrize("listed", [False, True])
def test_splits_may_be_masks(listed):
    weight = np.ones(len(X))
    weight[[0, 3, 60]] = 0
    splits = list(KFold(3).split(X))
    masks = [tuple(np.isin(np.arange(len(X)), part) for part in fold) for fold in splits]
    if listed:
        masks = [tuple(mask.tolist() for mask in fold) for fold in masks]
    net = make(cv=masks, store_cv_results=True).fit(X, Y, weight)
    expected = make(cv=splits, store_cv_results=True).fit(X, Y, weight)
    np.testing.assert_array_equal(net.oof_scores_, expected.oof_scores_)


def test_missing_labels_and_weights_of_labels():
    partly = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
    partly[:5] = np.nan
    net = make(decoder="per_label_threshold", store_cv_results=True).fit(X, partly)
    nothing = np.isnan(partly).all(axis=1)
    np.testing.assert_array_equal(np.isnan(net.oof_scores_).any(axis=1), nothing)
    make(decoder="global_threshold").fit(X, Y, rng.uniform(0.5, 2, Y.shape))


@pytest.mark.parametrize("ensemble", [True, False])
def test_partial_fit_continues_with_all_nets(ensemble):
    net = make(ensemble=ensemble).fit(X, Y)
    before = [part.scores(net._check_X(X), "cpu")[0] for part in net.nets_]
    made = [len(part.history) for part in net.nets_]
    net.partial_fit(X, Y)
    for part, scores, n_epochs in zip(net.nets_, before, made, strict=True):
        assert np.abs(part.scores(net._check_X(X), "cpu")[0] - scores).max() > 1e-4
        assert len(part.history) == n_epochs + 1


def test_a_failing_pass_leaves_all_nets_as_they_were(monkeypatch):
    net = make().fit(X, Y)
    before, counts = net.predict_proba(X), [part.criterion_.loss.label_count_ for part in net.nets_]
    last = net.nets_[-1]
    monkeypatch.setattr(last, "run_single_epoch", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        net.partial_fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), before)
    for part, count in zip(net.nets_, counts, strict=True):
        np.testing.assert_array_equal(part.criterion_.loss.label_count_, count)


def test_warm_start_and_folds_exclude_each_other():
    with pytest.raises(ValueError, match="warm_start=True works with cv=None"):
        make(warm_start=True).fit(X, Y)


class Untouched(Decoder):
    """Records the rows that are passed to it."""

    requires_fit = True
    untouched_rows = True

    def _fit(self, scores, Y, sample_weight, count):
        self.n_rows_ = len(scores)

    def _decode(self, scores, count):
        return scores >= 0.5


@pytest.mark.parametrize("params", [dict(), dict(cv=None), dict(ensemble=False)], ids=str)
def test_risk_control_gets_reserved_rows(params, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "sklearn_mlloss._decision.fit_rows.reserve",
        lambda *args, **params: seen.append(reserve(*args, **params)) or seen[-1],
    )
    net = make(decoder=Untouched(), calibration="sigmoid", store_cv_results=True, **params)
    net.fit(X, Y)
    rest, reserved = seen[0]
    # A fifth, as for other classifiers; `validation_fraction` is for early stopping.
    assert net.decoder_.n_rows_ == len(reserved) == 30
    assert len(rest) == 120
    if net.cv is not None:
        np.testing.assert_array_equal(np.isnan(net.oof_scores_).all(axis=1).nonzero()[0], reserved)


def test_risk_control_gets_reserved_rows_when_the_decision_is_refitted():
    net = make(cv=None).fit(X, Y)
    assert net.fit_decoder(X, Y, Untouched()).decoder_.n_rows_ == len(X)
    assert net.fit_decoder(X, Y, calibration="sigmoid").decoder_.n_rows_ == len(X) // 5


@pytest.mark.parametrize("decoder", ["expected_fbeta", "threshold"])
def test_decoders_that_need_probabilities_warn_where_there_are_none(decoder):
    given = dict(decoder=decoder, cv=None, max_epochs=2, linear_part=False)
    with pytest.warns(UserWarning, match="takes scores for probabilities"):
        make(loss="lsep", **given).fit(X, Y)
    # Warnings are errors here: a calibration makes probabilities, and focal has them by its link.
    make(loss="lsep", calibration="sigmoid", **given).fit(X, Y)
    make(loss="focal", **given).fit(X, Y)


@pytest.mark.slow
def test_splits_of_a_generator_train_in_parallel():
    splits = list(KFold(2).split(X))
    expected = make(cv=splits).fit(X, Y).predict_proba(X)
    # Other processes get only the parameters that training reads.
    parallel = make(cv=(split for split in splits), n_jobs=2).fit(X, Y)
    np.testing.assert_array_equal(parallel.predict_proba(X), expected)
