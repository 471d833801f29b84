"""Callbacks of scikit-learn 1.9: reports of a fit, which do not change the fit."""

import importlib.util
import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import Callback
from torch.optim.lr_scheduler import LambdaLR

from sklearn_mlloss import (
    DecodedClassifierCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
    _sklearn,
)
from sklearn_mlloss._data import progress

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
]

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(120, 3)) > 0.5).astype(int)
TREE = DecisionTreeClassifier(max_depth=2, random_state=0)


@pytest.fixture(autouse=True)
def needs_callbacks(request):
    if request.function is not test_old_versions_have_no_callbacks:
        pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")


def make(**params):
    defaults = dict(hidden_layer_sizes=(8,), learning_rate=0.03, max_epochs=6, random_state=0)
    return MultiLabelNetClassifier(**{**defaults, **params})


def make_recorder(path, fails=False, **attributes):
    """Return a callback that writes to a file, which other processes can do without this module."""

    class Recorder:
        def setup(self, estimator, context):
            self.note("setup", context)

        def on_fit_task_begin(self, estimator, context):
            self.note("begin", context)

        def on_fit_task_end(self, estimator, context):
            if fails:
                raise RuntimeError("cannot report")
            self.note("end", context)

        def teardown(self, estimator, context):
            self.note("teardown", context)

        def note(self, event, context):
            line = event, tuple(self.numbers(context)), context.task_name, context.max_subtasks
            with open(path, "a") as file:
                file.write(f"{line!r}\n")

        def numbers(self, context):
            """Return the numbers of the tasks that lead to one."""
            above = [] if context.parent is None else self.numbers(context.parent)
            return [*above, context.task_id]

    recorder = Recorder()
    recorder.path = path
    vars(recorder).update(attributes)
    return recorder


def lines_of(recorder):
    return [eval(line) for line in recorder.path.read_text().splitlines()]


def tree(recorder):
    """Return name and number of children of each task; each has begun once, and ended then."""
    lines = lines_of(recorder)
    events = [line[0] for line in lines]
    assert events.count("setup") == 1 and events[0] == "setup"
    assert events.count("teardown") == 1 and events[-1] == "teardown"
    begun = {line[1]: line[2:] for line in lines if line[0] == "begin"}
    ended = {line[1]: line[2:] for line in lines if line[0] == "end"}
    assert begun == ended and len(begun) + len(ended) + 2 == len(lines)
    for path, (name, most) in begun.items():
        start, end = (lines.index((event, path, name, most)) for event in ("begin", "end"))
        parts = [other for other in begun if other[:-1] == path]
        assert all(other[-1] in range(most) for other in parts)
        for line in lines:
            if line[1] in parts:
                assert start < lines.index(line) < end
    return begun


class Keeper:
    """Keeps the arguments at the end of each task."""

    def __init__(self, stop_at=None):
        self.kept = []
        self.stop_at = stop_at

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.kept.append((context.task_name, X, y, metadata, fitted_estimator))
        return context.task_id == self.stop_at

    def teardown(self, estimator, context):
        pass


@pytest.fixture
def recorder(tmp_path):
    return make_recorder(tmp_path / "reports")


# ------------------------------------------------------------------ the tree


@pytest.mark.parametrize("params", [{}, {"early_stopping": False}, {"decoder": "global_threshold"}])
def test_epochs_are_parts_of_a_fit(recorder, params):
    net = make(**params).set_callbacks(recorder).fit(X, Y)
    found = tree(recorder)
    assert found.pop((0,)) == ("fit", 6)
    assert found == {(0, epoch): ("epoch", 0) for epoch in range(6)} and net.n_iter_ == 6


def test_early_stopping_ends_all_that_has_begun(recorder):
    net = make(max_epochs=500, n_iter_no_change=2, learning_rate=0.1)
    net.set_callbacks(recorder).fit(X, Y)
    found = tree(recorder)
    assert found.pop((0,)) == ("fit", 500)
    assert 2 < len(found) == net.n_iter_ < 500


def test_a_divergence_ends_all_that_has_begun(recorder):
    def rises(optimizer):
        return LambdaLR(optimizer, lambda epoch: 1 if epoch < 3 else 1e38)

    keeper = Keeper()
    net = make(max_epochs=9, optimizer="sgd", lr_schedule=rises)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        net.set_callbacks(recorder, keeper).fit(X, Y)
    assert set(tree(recorder)) == {(0,), (0, 0), (0, 1), (0, 2), (0, 3)} and net.n_iter_ == 3
    assert all(np.isfinite(kept[-1].predict_proba(X)).all() for kept in keeper.kept)


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ensemble", [True, False])
def test_folds_are_parts_of_a_fit(recorder, n_jobs, ensemble):
    net = make(cv=3, ensemble=ensemble, n_jobs=n_jobs, max_epochs=3)
    net.set_callbacks(recorder).fit(X, Y)
    found = tree(recorder)
    assert found[0,] == ("fit", 3 + (not ensemble))
    assert [found[0, k] for k in range(3)] == [(f"fold {k}/3", 3) for k in (1, 2, 3)]
    assert all(found[0, k, epoch] == ("epoch", 0) for k in range(3) for epoch in range(3))
    if ensemble:
        assert len(found) == 1 + 3 * 4
    else:
        name, most = found[0, 3]
        assert name == "all rows" and len(found) == 1 + 3 * 4 + 1 + most and most == net.n_iter_


def test_folds_of_a_splitter_are_counted(recorder):
    make(cv=KFold(4), max_epochs=1).set_callbacks(recorder).fit(X, Y)
    assert tree(recorder)[0,] == ("fit", 4)


def test_a_callback_of_skorch_may_end_an_epoch_in_the_middle(recorder):
    class Stop(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

    make(callbacks=[Stop()]).set_callbacks(recorder).fit(X, Y)
    assert set(tree(recorder)) == {(0,), (0, 0), (0, 1), (0, 2)}


def test_cached_trainings_have_no_epochs(recorder, tmp_path):
    params = dict(memory=str(tmp_path / "memory"), cv=3, ensemble=False)
    plain = make(**params).fit(X, Y)
    kept = make(**params).set_callbacks(recorder).fit(X, Y)
    assert set(tree(recorder)) == {(0,), (0, 3)}  # in between, the folds are recalled as one
    np.testing.assert_array_equal(kept.predict_proba(X), plain.predict_proba(X))
    again = make_recorder(tmp_path / "again")
    make(**{**params, "cv": None}).set_callbacks(again).fit(X, Y)
    assert len(tree(again)) == 7
    again = make_recorder(tmp_path / "third")
    make(**{**params, "cv": None}).set_callbacks(again).fit(X, Y)
    assert set(tree(again)) == {(0,)}


def test_partial_fit_reports_nothing(recorder):
    make().set_callbacks(recorder).partial_fit(X, Y)
    assert not recorder.path.exists()


# ------------------------------------------------------------------ fits within a fit


@pytest.fixture
def nested(tmp_path):
    """Return a callback that also follows the fits of parts."""
    return make_recorder(tmp_path / "reports", max_propagation_depth=None)


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ensemble", [True, False])
def test_folds_of_any_classifier(nested, n_jobs, ensemble):
    clf = DecodedClassifierCV(TREE, cv=3, ensemble=ensemble, n_jobs=n_jobs, random_state=0)
    clf.set_callbacks(nested).fit(X, Y)
    found = tree(nested)
    assert found.pop((0,)) == ("fit", 3 + (not ensemble))
    names = ["fold 1/3", "fold 2/3", "fold 3/3", "all rows"][: len(found)]
    assert found == {(0, number): (name, 0) for number, name in enumerate(names)}
    assert len(found) == 3 + (not ensemble)


def test_epochs_of_networks_within_folds(nested):
    net = make(max_epochs=2, linear_part=False)
    DecodedClassifierCV(net, cv=2, random_state=0).set_callbacks(nested).fit(X, Y)
    found = tree(nested)
    # The fit of the network is the fold, and has its number.
    assert {path for path in found if len(path) == 3} == {
        (0, fold, epoch) for fold in (0, 1) for epoch in (0, 1)
    }


def members():
    net = make(cv=2, max_epochs=2, linear_part=False, decoder="threshold")
    trees = DecodedClassifierCV(TREE, "threshold", cv=2, ensemble=True, random_state=0)
    return [("net", net), ("trees", trees), ("tree", TREE)]


@pytest.mark.parametrize("depth", [0, None])
def test_members_are_parts_of_a_vote(tmp_path, depth):
    recorder = make_recorder(tmp_path / "reports", max_propagation_depth=depth)
    vote = SoftVotingClassifier(members()).set_callbacks(recorder).fit(X, Y)
    found = tree(recorder)
    assert found[0,] == ("fit", 3) and found[0, 2] == ("tree", 0)
    if depth == 0:
        assert [found[0, number][0] for number in range(3)] == ["net", "trees", "tree"]
        assert len(found) == 4
    else:
        assert [found[0, 0, fold][0] for fold in (0, 1)] == ["fold 1/2", "fold 2/2"]
        assert [found[0, 1, fold][0] for fold in (0, 1)] == ["fold 1/2", "fold 2/2"]
        assert found[0, 0, 1, 1] == ("epoch", 0) and len(found) == 4 + 4 + 4
    plain = SoftVotingClassifier(members()).fit(X, Y)
    np.testing.assert_array_equal(vote.predict_proba(X), plain.predict_proba(X))


def test_a_decision_for_a_vote(nested):
    clf = DecodedClassifierCV(members()[:2], "threshold").set_callbacks(nested).fit(X, Y)
    found = tree(nested)
    assert found[0,] == ("fit", 1) and found[0, 0] == ("fit", 2)
    assert found[0, 0, 0, 1, 1] == ("epoch", 0)
    for part in (clf, clf.estimator_, *clf.estimator_.estimators_):
        assert not {"_parent_callback_ctx", "_callback_fit_ctx"} & set(vars(part))


def test_a_frozen_classifier_has_no_parts(nested):
    frozen = DecodedClassifierCV(clone(TREE).fit(X, Y), cv="prefit").set_callbacks(nested)
    frozen.fit(X, Y)
    assert tree(nested) == {(0,): ("fit", 0)}


def test_the_callback_gets_the_rows_and_the_fitted_classifier():
    keeper = Keeper()
    clf = DecodedClassifierCV(TREE, cv=2, random_state=0).set_callbacks(keeper).fit(X, Y)
    name, seen_X, seen_Y, _, fitted = keeper.kept[-1]
    assert name == "fit" and seen_X is X and seen_Y is Y
    np.testing.assert_array_equal(fitted.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize("kind", ["folds", "members"])
def test_a_failure_within_is_torn_down(tmp_path, kind):
    recorder = make_recorder(tmp_path / "reports", fails=True, max_propagation_depth=None)
    if kind == "folds":
        clf = DecodedClassifierCV(TREE, cv=2, random_state=0)
    else:
        clf = SoftVotingClassifier(members())
    before = dict(vars(clf.set_callbacks(recorder)))
    with pytest.raises(RuntimeError, match="cannot report"):
        clf.fit(X, Y)
    assert vars(clf) == before
    events = [line[0] for line in lines_of(recorder)]
    assert events.count("setup") == events.count("teardown") == 1 and events[-1] == "teardown"


# ------------------------------------------------------------------ reports


@pytest.mark.parametrize(
    "params",
    [
        {"early_stopping": False},
        {"early_stopping": False, "decoder": "global_threshold", "calibration": "sigmoid"},
        {"early_stopping": False, "decoder": "risk_control"},
        {"early_stopping": False, "callbacks": [Callback()], "device": "cpu"},
    ],
    ids=["plain", "calibrated", "reserved rows", "callbacks of skorch"],
)
def test_an_epoch_gives_the_estimator_as_if_it_were_the_last(params):
    keeper = Keeper()
    net = make(**params).set_callbacks(keeper).fit(X, Y)
    *epochs, last = [fitted for *_, fitted in keeper.kept]
    names = [name for name, *_ in keeper.kept]
    assert names == ["epoch"] * 6 + ["fit"]
    np.testing.assert_array_equal(last.predict_proba(X), net.predict_proba(X))
    for number, fitted in enumerate(epochs, 1):
        assert fitted.history_ == {name: curve[:number] for name, curve in net.history_.items()}
        assert fitted.n_iter_ == number
        # Like a fit of this number of epochs, independent of later training.
        alone = make(**{**params, "max_epochs": number}).fit(X, Y)
        # The weights lie elsewhere in memory, which the last digit may depend on.
        np.testing.assert_allclose(fitted.predict_proba(X), alone.predict_proba(X), rtol=1e-5)
        assert (fitted.predict(X) == alone.predict(X)).mean() > 0.99
    assert (epochs[0].predict_proba(X) != net.predict_proba(X)).any()


def test_epochs_of_early_stopping_have_both_losses():
    keeper = Keeper()
    net = make(monitor=lambda Y, scores: -((Y - scores) ** 2).mean()).set_callbacks(keeper)
    net.fit(X, Y)
    for fitted in [fitted for *_, fitted in keeper.kept]:
        assert set(fitted.history_) == {
            "epoch",
            "train_loss",
            "valid_loss",
            "valid_score",
            "is_best",
        }
        assert np.isfinite(list(fitted.history_.values())).all()


def test_rows_are_those_given_to_fit():
    keeper, weight = Keeper(), np.ones(120)
    make(max_epochs=2).set_callbacks(keeper).fit(X, Y, sample_weight=weight)
    for _, seen_X, seen_y, metadata, _ in keeper.kept:
        assert seen_X is X and seen_y is Y and metadata["sample_weight"] is weight


def test_folds_have_no_fitted_estimator():
    keeper = Keeper()
    make(cv=2, max_epochs=1).set_callbacks(keeper).fit(X, Y)
    of = {name: (seen_X, fitted) for name, seen_X, _, _, fitted in keeper.kept}
    assert of["epoch"] == of["fold 1/2"] == of["fold 2/2"] == (None, None)
    assert of["fit"][0] is X and of["fit"][1].predict(X).shape == Y.shape


@pytest.mark.parametrize("params", [{}, {"cv": 2}, {"early_stopping": False}])
def test_callbacks_change_nothing(params):
    expected = make(dropout=0.3, **params).fit(X, Y)
    found = make(dropout=0.3, **params).set_callbacks(Keeper()).fit(X, Y)
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    assert found.history_ == expected.history_


@pytest.mark.parametrize("params", [{}, {"cv": 2}, {"early_stopping": False}])
def test_a_callback_may_end_training(params):
    net = make(**params).set_callbacks(Keeper(stop_at=1)).fit(X, Y)
    assert net.n_iter_ == 2


def test_with_memory_it_may_not(tmp_path):
    # The next fit, without it, would find a network that has been trained for two epochs only.
    net = make(memory=str(tmp_path)).set_callbacks(Keeper(stop_at=1)).fit(X, Y)
    assert net.n_iter_ == 6


def test_scores_are_monitored():
    pytest.importorskip("pandas")
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring=["f1_micro", "roc_auc"])
    net = make(decoder="global_threshold", early_stopping=False).set_callbacks(monitor).fit(X, Y)
    table = monitor.get_logs().data_as_pandas
    assert list(table["task_name"]) == ["fit"] + ["epoch"] * 6
    assert table["roc_auc"][0] == table["roc_auc"][6] != table["roc_auc"][1]
    assert net.n_iter_ == 6


def test_progress_bar(capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    make(cv=2).set_callbacks(ProgressBar()).fit(X, Y)
    out = capsys.readouterr().out
    assert "MultiLabelNetClassifier - fold 2/2" in out and "100%" in out
    vote = SoftVotingClassifier(members())
    vote.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, Y)
    out = capsys.readouterr().out
    assert all(name in out for name in ("- net", "- fold 2/2", "- trees"))


# ------------------------------------------------------------------ the estimator itself


def test_callbacks_are_no_parameters_and_go_along_with_clones():
    keeper = Keeper()
    net = make().set_callbacks(keeper)
    assert net.get_params() == make().get_params()
    assert clone(net)._skl_callbacks == [keeper]
    net.fit(X, Y)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert len(again._skl_callbacks[0].kept) == 7
    assert not hasattr(net.set_callbacks(), "_skl_callbacks")


def test_nothing_of_a_fit_is_left():
    net = make().set_callbacks(Keeper()).fit(X, Y)
    assert set(vars(net)) == {*vars(make().fit(X, Y)), "_skl_callbacks"}
    assert net.net_.observers_ == ()


def test_a_fit_that_fails_is_torn_down_and_leaves_nothing(tmp_path):
    recorder = make_recorder(tmp_path / "reports", fails=True)
    net = make().set_callbacks(recorder)
    before = dict(vars(net))
    with pytest.raises(RuntimeError, match="cannot report"):
        net.fit(X, Y)
    assert vars(net) == before
    assert [line[0] for line in lines_of(recorder)] == ["setup", "begin", "begin", "teardown"]
    net.fit = None  # and what is wrong from the start has no callbacks at all
    with pytest.raises(ValueError, match="max_epochs"):
        MultiLabelNetClassifier.fit(net.set_params(max_epochs=0), X, Y)
    assert len(lines_of(recorder)) == 4


def test_without_callbacks_there_is_no_task():
    assert progress.begin_fit(make(), X, Y, None, 1, ordered=True) is None


def reloaded(module, monkeypatch):
    spec = importlib.util.spec_from_file_location(module.__name__, module.__file__)
    copy = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module.__name__, copy)
    spec.loader.exec_module(copy)
    return copy


def test_old_versions_have_no_callbacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    without, old = (reloaded(module, monkeypatch) for module in (_sklearn, progress))
    net = type("Net", (without.CallbackSupportMixin, MultiLabelNetClassifier), {})()
    shadowed = type("Net", (without.CallbackSupportMixin,), {})()
    with pytest.raises(AttributeError, match="scikit-learn 1.9"):
        net.set_callbacks(Keeper())
    assert not hasattr(shadowed, "set_callbacks")
    assert old.with_callbacks is not progress.with_callbacks
    with old.callbacks_torn_down(shadowed):
        pass
