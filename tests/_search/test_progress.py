"""The progress of a search: in print, and for callbacks of scikit-learn 1.9."""

import re
from collections import Counter
from unittest import mock

import joblib
import numpy as np
import pytest
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._search.report import Countdown
from sklearn_mlloss._search.training import FoldScores

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0.7).astype(int)
NET = MultiLabelNetClassifier(
    hidden_layer_sizes=(8,), max_epochs=3, linear_part=False, random_state=0, device="cpu"
)


def search(estimator=NET, losses=("bce", "focal"), **params):
    defaults = dict(decoders=["threshold"], cv=KFold(2), random_state=0)
    return LossDecoderSearchCV(estimator, losses, **(defaults | params))


# ------------------------------------------------------------------ in print


class Clock:
    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock():
    clock = Clock()
    with mock.patch("sklearn_mlloss._search.report.time", clock):
        yield clock


def train(countdown, clock, number, seconds, **params):
    clock.now += seconds
    countdown(number, FoldScores(None, None, seconds, **params))


def test_time_left_is_as_many_again_at_the_pace_so_far(clock, capsys):
    countdown = Countdown(["one", "two", "three"], n_more=1, n_jobs=None, each=True)
    train(countdown, clock, 0, 8)
    train(countdown, clock, 1, 4, error="ValueError: too bad")
    train(countdown, clock, 2, 120)
    assert capsys.readouterr().out.splitlines() == [
        "[1/3] one: 8.0 s; 8.0 s so far, about 24 s left",  # 2 trainings and 1 more
        "[2/3] two: ValueError: too bad; 12 s so far, about 12 s left",
        "[3/3] three: 2 min 00 s; 2 min 12 s so far, about 44 s left",
    ]
    countdown = Countdown(["one"], n_more=0, n_jobs=None, each=True)
    train(countdown, clock, 0, 8)
    assert capsys.readouterr().out == "[1/1] one: 8.0 s; 8.0 s so far\n"


def test_several_at_a_time(clock, capsys):
    names = [str(number) for number in range(6)]
    countdown = Countdown(names, n_more=1, n_jobs=2, each=True)
    clock.now += 10
    countdown(1, FoldScores(None, None, 10))
    countdown(0, FoldScores(None, None, 10))
    assert capsys.readouterr().out.splitlines() == [
        "[1/6] 1: 10 s; 10 s so far",  # another must be nearly over
        "[2/6] 0: 10 s; 10 s so far, about 30 s left",  # 4 by twos, and 1 more
    ]


def test_a_line_every_few_seconds(clock, capsys):
    names = [str(number) for number in range(8)]
    countdown = Countdown(names, n_more=0, n_jobs=None, each=False)
    for number in range(8):
        train(countdown, clock, number, 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["[3/8]", "[6/8]", "[8/8]"]


def test_verbose(capsys):
    search(verbose=0).fit(X, Y)
    assert capsys.readouterr().out == ""
    search(param_grid={"loss__gamma": [1, 2]}, verbose=2).fit(X, Y)
    first, *trained, decided, refitted, last = capsys.readouterr().out.splitlines()
    assert first == "Training 3 settings on 2 folds, 6 fits, to compare 3 candidates"
    names = ["bce", "focal, loss__gamma=1", "focal, loss__gamma=2"]
    of = [f"[{n}/6] {names[n // 2 - 1 + n % 2]}, fold {2 - n % 2}/2" for n in range(1, 7)]
    assert [line.split(":")[0] for line in trained] == of
    assert re.fullmatch(r".*: \d\.\d s; \d\.\d s so far, about \d\.\d s left", trained[0])
    assert decided == "Fitting and scoring the decisions of 3 candidates"
    assert re.fullmatch(r"Training .*, all rows", refitted) and last.startswith("Done in ")
    search(verbose=1, refit=False).fit(X, Y)
    first, *trained, decided, last = capsys.readouterr().out.splitlines()
    assert trained[-1].startswith("[4/4]") and "left" not in trained[-1]


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_lines_come_from_this_process(capsys, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        search(verbose=2).fit(X, Y)
    _, *trained, _, _, _ = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in trained] == [f"[{n}/4]" for n in range(1, 5)]
    names = {re.search("] (.*): ", line).group(1) for line in trained}
    assert names == {f"{loss}, fold {k}/2" for loss in ("bce", "focal") for k in (1, 2)}


def diverges(outputs, targets):
    return outputs.sum() * float("nan")


def test_failures_are_printed(capsys):
    with pytest.warns(FitFailedWarning):
        search(losses=["bce", diverges], verbose=2).fit(X, Y)
    out = capsys.readouterr().out
    assert re.search(
        r"\[3/4\] diverges, fold 1/2: ValueError: the train loss of .*; .* so far", out
    )


# ------------------------------------------------------------------ to callbacks


def make_recorder(path, **attributes):
    """Return a callback that writes to a file, which other processes can do without this module."""

    class Recorder:
        def setup(self, estimator, context):
            self.note("setup", context)

        def on_fit_task_begin(self, estimator, context):
            self.note("begin", context)

        def on_fit_task_end(self, estimator, context):
            self.note("end", context)

        def teardown(self, estimator, context):
            self.note("teardown", context)

        def note(self, event, context):
            line = event, tuple(self.names(context))
            with open(path, "a") as file:
                file.write(f"{line!r}\n")

        def names(self, context):
            above = [] if context.parent is None else self.names(context.parent)
            return [*above, context.source_task_name or context.task_name]

    recorder = Recorder()
    vars(recorder).update(attributes)
    return recorder


@pytest.fixture
def record(tmp_path):
    """Return a function that fits a search, and returns how often its callback had which event."""
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")

    def fit(searched, target=None, **attributes):
        (target or searched).set_callbacks(make_recorder(tmp_path / "events", **attributes))
        searched.fit(X, Y)
        lines = [eval(line) for line in (tmp_path / "events").read_text().splitlines()]
        begun = Counter(names for event, names in lines if event == "begin")
        ended = Counter(names for event, names in lines if event == "end")
        return begun, ended, Counter(event for event, _ in lines)

    return fit


TRAININGS = ["bce, fold 1/2", "bce, fold 2/2", "focal, fold 1/2", "focal, fold 2/2"]
EVERYWHERE = {"max_propagation_depth": None}
BACKENDS = ["sequential", "threading", pytest.param("loky", marks=pytest.mark.slow)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_epochs_are_parts_of_trainings(record, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        searched = search()
        begun, ended, events = record(searched, **EVERYWHERE)
    assert begun == ended and events["setup"] == events["teardown"] == 1
    trainings = [*TRAININGS, f"{searched.best_loss_}, all rows"]
    expected = {("fit",): 1} | {("fit", name): 1 for name in trainings}
    expected |= {("fit", name, "epoch"): 3 for name in trainings}
    assert begun == expected
    assert not hasattr(searched.best_estimator_, "_skl_callbacks")


def test_through_a_pipeline(record):
    inner = "fit-final-estimator", "epoch"
    searched = search(make_pipeline(StandardScaler(), NET), refit=False)
    begun, ended, _ = record(searched, **EVERYWHERE)
    assert begun == ended
    assert {names: n for names, n in begun.items() if names[-1] == "epoch"} == {
        ("fit", name, *inner): 3 for name in TRAININGS
    }


def test_a_callback_for_the_search_alone(record):
    begun, ended, _ = record(search(refit=False), max_propagation_depth=0)
    assert begun == ended == {("fit",): 1} | {("fit", name): 1 for name in TRAININGS}


def test_several_metrics_without_a_refit_end(record):
    begun, ended, _ = record(search(scoring=["f1_macro", "f1_micro"], refit=False))
    assert begun == ended == {("fit",): 1} | {("fit", name): 1 for name in TRAININGS}


def test_callbacks_of_the_net_get_tasks_of_the_search(record):
    net = MultiLabelNetClassifier(**NET.get_params())
    begun, ended, events = record(search(net, refit=False), target=net)
    assert begun == ended and events["setup"] == events["teardown"] == 4  # those of each net
    assert begun == {("fit", name): 1 for name in TRAININGS} | {
        ("fit", name, "epoch"): 3 for name in TRAININGS
    }


def test_a_training_that_fails_has_an_end(record):
    with pytest.warns(FitFailedWarning):
        begun, ended, _ = record(search(losses=["bce", diverges], refit=False))
    assert begun == ended and begun["fit", "diverges, fold 2/2"] == 1


def test_callbacks_change_nothing(record):
    searched = search()
    record(searched, **EVERYWHERE)
    expected = search().fit(X, Y)
    np.testing.assert_array_equal(searched.predict_proba(X), expected.predict_proba(X))
    assert searched.best_score_corrected_ == expected.best_score_corrected_
    assert set(vars(searched)) == {*vars(expected), "_skl_callbacks"}


def test_callbacks_of_the_search_are_not_for_its_net(record):
    net = MultiLabelNetClassifier(**NET.get_params())
    with pytest.raises(ValueError, match="Register them directly on the meta-estimator"):
        record(search(net), target=net, **EVERYWHERE)


def test_progress_bar(capsys, record):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    search(refit=False).set_callbacks(ProgressBar(max_propagation_depth=0)).fit(X, Y)
    out = capsys.readouterr().out
    assert "LossDecoderSearchCV - fit" in out and "100%" in out and "bce" not in out
