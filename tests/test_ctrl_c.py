"""Ctrl-C during `fit`: real signals, at known and at random moments."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._training import guard
from sklearn_mlloss.members import MultiLabelLogisticRegressionCV
from sklearn_mlloss.persistence import load, save
from sklearn_mlloss.persistence.card import make_card
from sklearn_mlloss.streaming import Streaming

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0).astype(int)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
    pytest.mark.filterwarnings("ignore:.*still improved when max_epochs"),
    pytest.mark.filterwarnings("ignore:.*learned nothing beyond"),
    # Python ignores what is raised in a callback of a weak reference; the fit notices it.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def signals_arrive():
    """Handle SIGINT as Python does: processes in the background begin with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


class Monitor:
    """A metric that is called once per epoch of each network, and then may press Ctrl-C."""

    at: tuple[int, ...] = ()
    calls = 0

    @classmethod
    def arm(cls, *at):
        cls.at, cls.calls = at, 0


def monitor(Y, scores):
    Monitor.calls += 1
    for _ in range(Monitor.at.count(Monitor.calls)):
        press_ctrl_c()
    return -((Y - scores) ** 2).mean()


@pytest.fixture(autouse=True)
def disarmed():
    Monitor.arm()
    yield
    Monitor.arm()


def pressing_in_training(number):
    """Return a schedule that presses Ctrl-C after the third epoch of the training number ..."""
    trainings = []

    def step(epoch):
        if epoch == 3 and len(trainings) == number:
            press_ctrl_c()
        return 1.0

    def schedule(optimizer):
        trainings.append(1)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, step)

    return schedule


def make(**params):
    defaults = dict(
        hidden_layer_sizes=(4,), max_epochs=6, n_iter_no_change=np.inf, monitor=monitor,
        decoder="global_threshold", random_state=0, linear_part=False, device="cpu",
        encoding="standard", learning_rate=0.05,
    )  # fmt: skip
    return MultiLabelNetClassifier(**defaults | params)


def interrupted(model, match, y=Y, **params):
    """Fit a model, which an interrupt leaves usable."""
    with pytest.raises(KeyboardInterrupt) as caught:
        # It does not look at messages when KeyboardInterrupt is raised.
        with pytest.warns(ConvergenceWarning) as warned:
            model.fit(X, y, **params)
    assert caught.value.kept is model
    (message,) = (text for each in warned if "interrupted" in (text := str(each.message)))
    assert re.search(f"interrupted.* usable with {match}", message)
    assert model.predict(X).shape == y.shape and np.isfinite(model.predict_proba(X)).all()
    return model


def unchanged(model):
    """Fit a model, which an interrupt leaves as it was."""
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt) as caught:
        model.fit(X, Y)
    assert vars(model) == before and not hasattr(caught.value, "kept")


# ------------------------------------------------------------------ one network


def test_a_network_keeps_its_best_weights():
    Monitor.arm(4)
    net = interrupted(make(), "the best weights, those of epoch [1-4] of 4")
    assert net.n_iter_ == 4
    Monitor.arm()
    short = make(max_epochs=4).fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), short.predict_proba(X))
    assert net.history_ == short.history_
    assert net.decoder_.threshold_ == short.decoder_.threshold_


def test_without_early_stopping_it_keeps_the_present_weights():
    params = dict(early_stopping=False, lr_schedule=pressing_in_training(1))
    net = interrupted(make(**params), "the weights after 3 of at most 6 epochs")
    assert net.n_iter_ == 3


def test_before_the_end_of_the_first_epoch_nothing_is_kept():
    def module(n_features, n_outputs):
        layer = torch.nn.Linear(n_features, n_outputs)
        layer.register_forward_hook(lambda *args: Monitor.at and press_ctrl_c())
        return layer

    net = make(module=module, hidden_layer_sizes="auto", linear_part="auto")
    Monitor.arm(1000)
    unchanged(net)


def test_a_second_one_aborts():
    Monitor.arm(3, 3)
    unchanged(make())
    net = make()
    Monitor.arm()
    net.fit(X, Y)
    Monitor.arm(3, 3)
    unchanged(net)


def test_one_after_training_ends_lets_the_fit_end():
    net = make()
    whole = make().fit(X, Y)

    def press(*args, **kwargs):
        press_ctrl_c()
        return MultiLabelNetClassifier._learn_decision(net, *args, **kwargs)

    net._learn_decision = press
    interrupted(net, "all that was to be trained")
    np.testing.assert_array_equal(net.predict_proba(X), whole.predict_proba(X))


def test_a_warm_start_goes_on_after_an_interrupt():
    Monitor.arm(4)
    net = interrupted(make(warm_start=True), "the best weights, .* of 4")
    Monitor.arm(3)
    interrupted(net, "the best weights, .* of 3")
    assert net.n_iter_ == 7


def test_there_is_no_second_attempt(monkeypatch):
    def blind(Y, scores):  # the first epoch is the best
        return monitor(Y, scores) * 0

    monkeypatch.setattr(guard, "LEAST", 1.0)  # nothing is enough
    slow = dict(learning_rate=None, max_epochs=4, n_iter_no_change=3, monitor=blind)
    make(**slow).fit(X, Y)
    assert Monitor.calls == 8
    Monitor.arm(4)
    net = interrupted(make(**slow), "the best weights, those of epoch 1 of 4")
    assert Monitor.calls == 4 and "learned nothing" not in net.encoding_reason_
    Monitor.arm(6)
    net = interrupted(make(**slow), "the best weights, those of epoch 1 of [24]")
    assert Monitor.calls == 6 and "learned nothing" in net.encoding_reason_


def test_the_cache_holds_whole_trainings_only(tmp_path):
    for number, params in enumerate([dict(), dict(cv=3), dict(cv=3, ensemble=False)]):
        memory = str(tmp_path / str(number))
        whole = make(**params).fit(X, Y)
        n_calls = Monitor.calls
        for at in (3, 3, 15):
            Monitor.arm(at)
            if at < n_calls:
                net = make(memory=memory, **params)
                with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt):
                    warnings.simplefilter("ignore")
                    net.fit(X, Y)
        Monitor.arm()
        net = make(memory=memory, **params).fit(X, Y)
        np.testing.assert_array_equal(net.predict_proba(X), whole.predict_proba(X))
        n_calls, Monitor.calls = Monitor.calls, 0
        make(memory=memory, **params).fit(X, Y)
        assert n_calls > 0 == Monitor.calls


# ------------------------------------------------------------------ networks of folds


@pytest.mark.parametrize("params", [dict(), dict(repeats=2), dict(early_stopping=False)])
def test_finished_folds_form_the_ensemble(params):
    whole = make(cv=4, store_cv_results=True, **params).fit(X, Y)
    if "early_stopping" in params:  # which a monitor is for
        params = {**params, "lr_schedule": pressing_in_training(3)}
    else:
        Monitor.arm(15)
    n = 4 * params.get("repeats", 1)
    net = interrupted(make(cv=4, store_cv_results=True, **params), f"2 of {n} folds")
    assert len(net.nets_) == len(net.history_) == 2
    for part, other in zip(net.nets_, whole.nets_[:2], strict=True):
        for one, two in zip(part.module_.parameters(), other.module_.parameters(), strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=0)
    scored = ~np.isnan(net.oof_scores_).any(axis=1)
    assert 0.4 < scored.mean() < 0.6
    expected = clone(net.decoder_).fit(net.oof_scores_[scored], Y[scored])
    assert net.decoder_.threshold_ == expected.threshold_ != 0.5


def test_one_finished_fold_is_too_few():
    Monitor.arm(9)
    unchanged(make(cv=4))


@pytest.mark.parametrize("training, kept", [(3, 2), (4, 3)], ids=["a fold", "the last network"])
def test_folds_replace_the_network_of_all_rows(training, kept):
    what = f"the networks of {kept} of 3 folds instead of one of all rows"
    schedule = pressing_in_training(training)
    net = interrupted(make(cv=3, ensemble=False, lr_schedule=schedule), what)
    assert len(net.nets_) == kept


def test_rows_reserved_for_the_decoder():
    Monitor.arm(15)
    net = interrupted(make(cv=4, decoder="risk_control", calibration="sigmoid"), "2 of 4 folds")
    assert "RiskControl" in net.summary()


def test_folds_in_threads():
    Monitor.arm()
    net = make(cv=60, n_jobs=2, max_epochs=15)
    with joblib.parallel_config("threading"):
        # Until two folds are finished, however busy the machine is.
        found = (at_random_moment(net, X, Y, moment) for moment in (0.1, 0.4, 1.6, 6.4))
        assert next(each for each in found if each != "as it was") == "kept"


# ------------------------------------------------------------------ other classifiers


class Pressing(OneVsRestClassifier):
    """Presses Ctrl-C in a fit with this number."""

    at, count = 0, 0

    def fit(self, X, y, **params):
        Pressing.count += 1
        if Pressing.count == Pressing.at:
            press_ctrl_c()
        return super().fit(X, y, **params)


@pytest.fixture
def pressing(monkeypatch):
    monkeypatch.setattr(Pressing, "count", 0)
    monkeypatch.setattr(Pressing, "at", 0)
    return Pressing(LogisticRegression())


@pytest.mark.parametrize("ensemble, kept", [("auto", ""), (False, " instead of one model of all")])
@pytest.mark.parametrize("at, n", [(3, 2), (4, 3), (6, 5)])
def test_folds_of_any_classifier(pressing, ensemble, kept, at, n):
    if (ensemble, at) == ("auto", 6):
        return  # there is no sixth fit
    Pressing.at = at
    clf = DecodedClassifierCV(pressing, cv=5, ensemble=ensemble, random_state=0,
                              store_cv_results=True)  # fmt: skip
    interrupted(clf, f"{n} of 5 folds{kept}")
    assert len(clf.estimators_) == n
    assert 0.15 * n < (~np.isnan(clf.oof_scores_).any(axis=1)).mean() < 0.25 * n
    assert f"of {n} models" in clf.summary()


def test_members_on_the_same_folds(pressing):
    Pressing.at = 4
    members = [("bayes", OneVsRestClassifier(GaussianNB())), ("lr", pressing)]
    clf = DecodedClassifierCV(members, weights="learned", cv=5, random_state=0)
    interrupted(clf, "3 of 5 folds")
    assert clf.weights_.shape == (2,) and "bayes" in clf.summary()


def test_what_is_fitted_in_a_fold_is_dropped_at_once():
    """A network within a fold keeps nothing, and says nothing."""
    Monitor.arm(3)
    net = make()
    unchanged(DecodedClassifierCV(net, cv=3, random_state=0))
    assert Monitor.calls == 3
    Monitor.arm(15)
    clf = interrupted(DecodedClassifierCV(net, cv=3, random_state=0), "2 of 3 folds")
    assert Monitor.calls == 15 and len(clf.estimators_) == 2


@pytest.mark.parametrize("own_folds", [True, False])
def test_a_decision_for_what_its_estimator_keeps(own_folds):
    if own_folds:
        net, what = make(cv=4, store_cv_results=True, decoder="threshold"), "2 of 4 folds"
        clf = DecodedClassifierCV(net, "global_threshold", cv="oof", store_cv_results=True)
    else:  # a decision without anything to fit
        net, what = make(max_epochs=20, decoder="threshold"), "the best weights, .* of 15"
        clf = DecodedClassifierCV(net, "threshold")
    Monitor.arm(15)
    interrupted(clf, what)
    if own_folds:
        assert 0.4 < (~np.isnan(clf.oof_scores_).any(axis=1)).mean() < 0.6
        assert clf.decoder_.threshold_ != 0.5


def test_a_part_of_a_pipeline_is_not_the_pipeline():
    Monitor.arm(3)
    unchanged(DecodedClassifierCV(make_pipeline(StandardScaler(), make()), "threshold"))


def members(**params):
    net = make(cv=4, store_cv_results=True, decoder="threshold")
    bayes = DecodedClassifierCV(OneVsRestClassifier(GaussianNB()), "threshold", cv=3,
                                ensemble=True, store_cv_results=True, random_state=0)  # fmt: skip
    last = DecodedClassifierCV(Pressing(LogisticRegression()), "threshold", cv=3, ensemble=True,
                               store_cv_results=True, random_state=0)  # fmt: skip
    return SoftVotingClassifier([("bayes", bayes), ("net", net), ("last", last)], **params)


@pytest.mark.parametrize(
    "weights, expected", [(None, [1, 1]), ([1, 3, 6], [1, 3]), ("learned", None)]
)
@pytest.mark.parametrize("at", [15, 24])
def test_members_so_far_vote(weights, expected, at, pressing):
    if at == 15:  # within the third fold of the network
        Monitor.arm(at)
        what = r"2 of 3 members, bayes, net \(2 of 4 folds\)"
    else:
        Pressing.at = 1
        what = "2 of 3 members, bayes, net"
    clf = DecodedClassifierCV(members(weights=weights), "global_threshold", cv="oof")
    interrupted(clf, what)
    vote = clf.estimator_
    assert list(vote.named_estimators_) == ["bayes", "net", "last"]
    assert vote.named_estimators_.last == "drop"
    assert vote.named_estimators_.net is vote.estimators_[1] and len(vote.estimators_) == 2
    assert vote.weights_.sum() == pytest.approx(1) and vote.weights_.shape == (2,)
    if expected is not None:
        np.testing.assert_allclose(vote.weights_, np.divide(expected, np.sum(expected)))
    parts = [member.oof_scores_ for member in vote.estimators_]
    np.testing.assert_allclose(
        vote.oof_scores_, np.average(parts, axis=0, weights=vote.weights_), atol=1e-12
    )


def test_a_model_with_fewer_members_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(MultiLabelLogisticRegressionCV, "fit", lambda *args, **kw: press_ctrl_c())
    clf = DecodedClassifierCV.for_metric("f1_macro", cv=2, max_epochs=2, random_state=0)
    interrupted(clf, "2 of 3 members, net, trees")
    for model in (clf, clf.estimator_):
        save(model, tmp_path / "model.safetensors")
        again = load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert list(again.named_estimators_) == ["net", "trees", "linear"]
    assert again.named_estimators_.linear == "drop"
    parts = make_card(clf.estimator_, None, ())["parts"]
    assert "trees" in str(parts) and "linear" not in str(parts)


def test_a_vote_of_weight_0_is_none(pressing):
    Pressing.at = 1
    unchanged(members(weights=[0, 0, 1]))


def test_named_members_with_learned_weights_in_a_summary(pressing):
    Pressing.at = 1
    named = DecodedClassifierCV(members().estimators, weights="learned", cv="oof")
    interrupted(named, "2 of 3 members, bayes, net")
    assert named.weights_.shape == (2,)
    (shares,) = [line for line in named.summary().splitlines() if line.startswith("weights")]
    assert "bayes" in shares and "net" in shares and "last" not in shares


# ------------------------------------------------------------------ searches


def test_searches_stop():
    net = make()
    searches = [
        GridSearchCV(net, {"dropout": [0.0, 0.1]}, cv=2, error_score=0.0),
        LossDecoderSearchCV(net, losses=["bce", "focal"], decoders=["threshold"], cv=2),
        make_pipeline(StandardScaler(), net),
    ]
    for search in searches:
        Monitor.arm(3)
        with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt):
            warnings.simplefilter("ignore")
            search.fit(X, Y)
        assert Monitor.calls == 3
    assert not hasattr(searches[0], "cv_results_") and not hasattr(searches[1], "cv_results_")
    assert searches[2].predict(X).shape == Y.shape
    Monitor.arm(3)
    with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt):
        warnings.simplefilter("ignore")
        cross_val_score(net, X, Y, cv=2, error_score=0.0)
    assert Monitor.calls == 3


@pytest.mark.filterwarnings("error")
def test_a_search_says_nothing_of_what_it_drops():
    Monitor.arm(3)
    unchanged(LossDecoderSearchCV(make(), losses=["bce"], decoders=["threshold"], cv=2))


# ------------------------------------------------------------------ random moments


def settings():
    """Return what a fit must leave as it was, in this process."""
    return (
        signal.getsignal(signal.SIGINT), torch.get_num_threads(), torch.get_default_dtype(),
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(),
    )  # fmt: skip


def at_random_moment(model, X, y, moment, presses=1):
    """Fit a model and press Ctrl-C at a moment; return what has become of it."""
    before, state = dict(vars(model)), settings()
    sent, threads = threading.Event(), threading.active_count()

    def press():
        for number in range(presses):
            time.sleep(0.002 * (number > 0))
            sent.set()
            os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(moment, press)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        error = None
        try:
            timer.start()
            model.fit(X, y)
            timer.cancel()
            timer.join()
        except KeyboardInterrupt as caught:
            error = caught
        for _ in range(2):  # one that came late
            try:
                timer.join()
            except KeyboardInterrupt:
                pass
    for _ in range(1000):  # threads see that they are to stop
        if threading.active_count() <= threads:
            break
        time.sleep(0.01)
    assert threading.active_count() <= threads and settings() == state
    if not sent.is_set():
        return "complete"
    assert error is not None, "the interrupt was lost"
    said = [str(each.message) for each in warned if "interrupted" in str(each.message)]
    if vars(model) == before:
        assert not said
        return "as it was"
    assert model.predict(X).shape == y.shape and np.isfinite(model.predict_proba(X)).all()
    assert model.summary()
    assert len(said) <= 1
    return "kept" if said else "complete"


SLOW = {
    "net": lambda: make(max_epochs=10**6, monitor="loss"),
    "net without early stopping": lambda: make(
        max_epochs=10**6, early_stopping=False, monitor="loss"
    ),
    "net by shards": lambda: make(
        max_epochs=10**6, monitor="loss", streaming=Streaming(buffer_rows=30, sample_rows=60)
    ),
    "folds": lambda: make(max_epochs=10, cv=60, monitor="loss"),
}


@pytest.mark.parametrize("name", SLOW)
def test_at_any_moment_it_is_as_it_was_or_usable(name):
    start = time.perf_counter()
    SLOW[name]().set_params(max_epochs=1).fit(X, Y)
    # Of these moments a part is before there is anything to keep.
    longest = (time.perf_counter() - start) * (0.5 if name == "folds" else 3)
    found = [
        at_random_moment(SLOW[name](), X, Y, moment)
        for moment in np.random.default_rng(1).uniform(0, longest, size=10)
    ]
    assert "complete" not in found and "kept" in found


def test_at_any_moment_of_the_recommended_way():
    def build():
        return DecodedClassifierCV.for_metric("f1_macro", cv=3, max_epochs=3, random_state=0)

    build().fit(X, Y)
    start = time.perf_counter()
    build().fit(X, Y)
    seconds = time.perf_counter() - start
    found = [
        at_random_moment(build(), X, Y, moment, presses=1 + (number % 3 == 0))
        for number, moment in enumerate(np.random.default_rng(2).uniform(0, seconds, size=9))
    ]
    assert set(found) - {"complete"}


SCRIPT = """
import sys
import numpy as np
from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.persistence import save

X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, :2] > 0).astype(int)
net = MultiLabelNetClassifier(max_epochs=10**6, n_iter_no_change=np.inf, verbose=1)
try:
    net.fit(X, Y)
except KeyboardInterrupt:
    save(net, sys.argv[1])
    sys.exit(7)
"""


def test_a_process_that_is_interrupted_saves_a_usable_model(tmp_path):
    path = tmp_path / "model.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-uc", SCRIPT, str(path)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    for _ in range(6):  # the table of losses, with three epochs or more
        assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 7 and "usable with the best weights" in errors, errors
    assert load(path).predict(X).shape == (len(X), 2)
