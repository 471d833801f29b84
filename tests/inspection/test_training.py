"""The pictures of trainings."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.inspection import TrainingCurveDisplay
from sklearn_mlloss.losses import FocalLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_multilabel_classification(90, n_classes=3, random_state=0)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def history(train, valid=None, best=None, score=None):
    """Return the history of a network, with its last best epoch if there is one."""
    epochs = range(1, len(train) + 1)
    found = {"epoch": list(epochs), "train_loss": train}
    if valid is not None:
        found |= {"valid_loss": valid, "is_best": [epoch in (1, best) for epoch in epochs]}
    if score is not None:
        found["valid_score"] = score
    return found


TWO = [
    history([0.8, 0.6, 0.4, 0.3], [0.9, 0.8, 0.6, 0.7], best=3),
    history([0.6, 0.5, 0.4], [0.7, 0.4, 0.8], best=2),
]


def net(loss="bce", **params):
    defaults = dict(hidden_layer_sizes=(8,), learning_rate=0.1, max_epochs=6, n_iter_no_change=2,
                    random_state=0, device="cpu")  # fmt: skip
    return MultiLabelNetClassifier(loss, **(defaults | params))


def diverges(outputs, targets):
    return outputs.sum() * float("nan")


def needs_many(outputs, targets):
    """Be not finite where there are few rows."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets.float())
    return loss * (float("nan") if len(outputs) < 20 else 1)


@pytest.fixture(scope="module")
def search():
    cv = [(np.arange(75), np.arange(75, 90)), (np.arange(75, 90), np.arange(75))]
    losses = {"bce": "bce", "bad": diverges, "focal": "focal", "many": needs_many}
    with pytest.warns(FitFailedWarning):
        return LossDecoderSearchCV(
            make_pipeline(StandardScaler(), net(early_stopping=False, batch_size=75)), losses,
            ["threshold"], cv=cv, refit=False, error_score=0,
            param_grid={"multilabelnetclassifier__loss__gamma": [1.0, 2.5],
                        "multilabelnetclassifier__activation": ["relu"]},
        ).fit(X, Y)  # fmt: skip


def texts(panel):
    return [text.get_text() for text in panel.texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def inside(panel, values):
    low, high = panel.get_ylim()
    return (low <= np.asarray(values)) & (np.asarray(values) <= high)


# ------------------------------------------------------------------ what is drawn


def test_one_network():
    display = TrainingCurveDisplay([TWO[:1]], names=["bce"]).plot()
    (panel,) = display.axes_
    train, valid = display.train_[0], display.valid_[0]
    np.testing.assert_array_equal(train.get_xydata().T, [[1, 2, 3, 4], TWO[0]["train_loss"]])
    np.testing.assert_array_equal(valid.get_xydata().T, [[1, 2, 3, 4], TWO[0]["valid_loss"]])
    assert train.get_color() != valid.get_color()
    assert display.best_[0].get_xydata().tolist() == [[3, 0.6]]
    assert display.folds_ == [[]]
    assert panel.lines[:] == [train, valid, display.best_[0]]
    assert panel.get_title("left") == "bce" and texts(panel) == ["best epoch 3"]
    assert legend(display.figure_) == ["training", "validation", "best epoch"]
    assert display.figure_.get_supxlabel() == "epoch"
    assert display.figure_.get_supylabel() == "loss"


def test_several_folds_have_a_line_each_and_a_mean_as_far_as_all_of_them_go():
    display = TrainingCurveDisplay([TWO], names=["bce"]).plot()
    drawn = [line.get_xydata().T.tolist() for line in display.folds_[0]]
    expected = [[h["epoch"], h[key]] for key in ("train_loss", "valid_loss") for h in TWO]
    assert drawn == expected
    np.testing.assert_allclose(display.train_[0].get_xydata().T, [[1, 2, 3], [0.7, 0.55, 0.4]])
    np.testing.assert_allclose(display.valid_[0].get_xydata().T, [[1, 2, 3], [0.8, 0.6, 0.7]])
    assert display.best_[0].get_xydata().tolist() == [[3, 0.6], [2, 0.4]]
    assert texts(display.axes_[0]) == ["best epochs 2–3"]
    assert legend(display.figure_) == [
        "training, mean", "validation, mean", "single folds", "best epoch",
    ]  # fmt: skip


def test_without_early_stopping_there_is_neither_validation_nor_a_best_epoch():
    display = TrainingCurveDisplay([[history([3, 2, 1])], TWO], names="ab").plot()
    assert display.valid_[0] is None and display.best_[0] is None
    assert not texts(display.axes_[0])
    assert display.valid_[1] is not None and display.best_[1] is not None


def test_panels_have_separate_scales():
    large = history([900.0, 800, 700], [900.0, 850, 870], best=2)
    display = TrainingCurveDisplay([TWO, [large]], names="ab").plot()
    small, great = (panel.get_ylim() for panel in display.axes_)
    assert small[1] < 1 and great[0] > 600


def test_the_monitored_score_is_drawn_instead():
    watched = history([3, 2, 1], [3, 2, 1], best=2, score=[0.5, 0.7, 0.6])
    display = TrainingCurveDisplay([[watched]], names=["bce"])
    assert display.plot().best_[0].get_xydata().tolist() == [[2, 2]]
    display.plot(curve="score")
    assert display.train_ == [None]
    assert display.valid_[0].get_ydata().tolist() == watched["valid_score"]
    assert display.best_[0].get_xydata().tolist() == [[2, 0.7]]
    assert display.figure_.get_supylabel() == "validation score"
    with pytest.raises(
        ValueError, match="curve='score' needs networks trained with a custom monitor"
    ):
        TrainingCurveDisplay([TWO, [None]], names="ab").plot(curve="score")


def test_epochs_are_whole_numbers_and_a_single_one_is_seen():
    display = TrainingCurveDisplay([[history([0.5])]] * 2, names="ab").plot()
    assert display.train_[0].get_marker() == "o"
    ticks = display.axes_[0].get_xticks()
    assert len(ticks) and (ticks == np.round(ticks)).all()


def test_epochs_that_went_on_without_held_out_rows_leave_a_gap():
    longer = history([3, 2, 1, 1], [3.0, 2, np.nan, np.nan], best=2)
    display = TrainingCurveDisplay([[longer]], names=["bce"]).plot()
    display.figure_.draw_without_rendering()
    assert display.best_[0].get_xydata().tolist() == [[2, 2]]


# ------------------------------------------------------------------ limits


def test_huge_first_losses_are_cut_and_the_panel_says_so():
    valid = [2e4, *np.linspace(1, 0.5, 19), *np.linspace(0.5, 0.8, 10)]
    train = [1e4, *np.linspace(1, 0.2, 29)]
    display = TrainingCurveDisplay([[history(train, valid, best=20)]], names=["bce"]).plot()
    (panel,) = display.axes_
    assert inside(panel, train[1:]).all() and inside(panel, valid[1:]).all()
    assert panel.get_ylim()[1] < 2
    assert texts(panel)[0] == "up to 2e+04 ↑"


@pytest.mark.parametrize(
    "train, valid",
    [
        (np.geomspace(3, 0.1, 30), np.geomspace(3, 0.5, 30)),  # an ordinary training
        (np.linspace(1, 0.5, 30), np.r_[np.linspace(1, 0.5, 28), 40, 90]),  # late overfitting
        (np.r_[90, np.full(29, 1.0)], None),  # nothing below that would look flat
        (np.array([50.0, 1.0]), None),
    ],
)
def test_nothing_else_is_cut(train, valid):
    display = TrainingCurveDisplay([[history(train, valid, best=9)]], names=["bce"]).plot()
    (panel,) = display.axes_
    assert inside(panel, train).all() and (valid is None or inside(panel, valid).all())
    assert not any("up to" in text for text in texts(panel))


def test_best_epochs_are_never_cut():
    normal = [history(np.linspace(1, 0.2, 40), np.linspace(1, 0.4, 40), best=40)] * 9
    odd = history(np.linspace(1, 0.2, 3), [9.0, 30, 9], best=2)
    (panel,) = TrainingCurveDisplay([[*normal, odd]], names=["bce"]).plot().axes_
    assert inside(panel, 30)


# ------------------------------------------------------------------ failures and many panels


def test_failed_trainings_are_named():
    display = TrainingCurveDisplay(
        [TWO, [*TWO, None], [None, None]], names="abc", errors=["", "", "ValueError: it is nan"]
    ).plot()
    assert texts(display.axes_[1]) == ["best epochs 2–3, 1 fold failed"]
    assert texts(display.axes_[2]) == ["2 folds failed", "ValueError: it is nan"]
    assert not display.axes_[2].lines and display.folds_[2] == []
    assert len(display.axes_[1].lines) == len(display.axes_[0].lines)
    silent = TrainingCurveDisplay([[None]], names="a").plot()
    assert texts(silent.axes_[0]) == ["1 fold failed", "training failed"]


def test_nothing_but_failures_is_drawn_without_warnings():
    display = TrainingCurveDisplay([[None]] * 2, names="ab", errors=["no"] * 2).plot()
    display.figure_.draw_without_rendering()


def test_of_many_panels_the_first_are_shown_and_the_figure_says_so():
    names = [f"loss {i}" for i in range(13)]
    display = TrainingCurveDisplay([TWO] * 12 + [[None]], names=names).plot()
    assert [panel.get_title("left") for panel in display.axes_] == names[:12]
    label = "epoch\nThe first 12 of 13. Others failed: loss 12."
    assert display.figure_.get_supxlabel() == label
    display.plot(max_panels=2)
    assert len(display.axes_) == 2 == len(display.train_)
    assert display.plot(max_panels=13).figure_.get_supxlabel() == "epoch"


def test_large_and_small_losses_leave_the_note_free():
    large, small = (history([3 * x, 2 * x, x], [x, 2 * x, 3 * x], best=1) for x in (1e9, 1e-9))
    display = TrainingCurveDisplay([[large], [small]], names="ab").plot()
    display.figure_.draw_without_rendering()
    for panel in display.axes_:
        assert not panel.yaxis.get_offset_text().get_text()
        labels = [label.get_text() for label in panel.get_yticklabels()]
        assert len(set(labels)) == len(labels) > 2


@pytest.mark.parametrize("n_panels", [1, 2, 5, 12])
def test_texts_do_not_run_into_each_other(n_panels):
    names = [f"a_rather_long_loss, one={i}\nhidden_layer_sizes=(256, 128)" for i in range(20)]
    error = "ValueError: the train loss of " + "something_rather_long " * 20
    jumps = history([1e4, *np.linspace(1, 0.2, 199)], [1e4, *np.linspace(1, 0.2, 199)], best=190)
    folds = [jumps, history([1] * 9, [1] * 9, best=5)]
    panels = ([[None] * 2, [*folds, None], folds] * 4)[-n_panels:]
    display = TrainingCurveDisplay(
        [*panels, *[[None]] * 8], names=names[: n_panels + 8], errors=[error] * 20
    ).plot(max_panels=n_panels)
    figure = display.figure_
    figure.draw_without_rendering()
    every = [figure.legends[0], figure._supxlabel, figure._supylabel]
    for panel in display.axes_:
        every += [panel._left_title, *panel.texts, panel.xaxis, panel.yaxis]
    boxes = [artist.get_tightbbox() for artist in every]
    boxes = [box for box in boxes if box is not None]
    whole = figure.bbox.padded(1)
    for i, box in enumerate(boxes):
        assert whole.contains(box.x0, box.y0) and whole.contains(box.x1, box.y1)
        for other in boxes[:i]:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert width <= 1 or height <= 2


# ------------------------------------------------------------------ estimators


def test_an_estimator():
    fitted = net().fit(X, Y)
    display = TrainingCurveDisplay.from_estimator(fitted)
    assert display.names == ["bce"] and display.histories == [[fitted.history_]]
    assert display.train_[0].get_ydata().tolist() == fitted.history_["train_loss"]
    # The weights of the marked epoch are those that it has.
    epoch = dict(fitted.net_.callbacks_)["early_stopping"].best_epoch_
    assert display.best_[0].get_xdata() == [epoch]


def test_an_ensemble_in_a_pipeline():
    model = make_pipeline(StandardScaler(), net(FocalLoss(gamma=0.5), cv=3)).fit(X, Y)
    display = TrainingCurveDisplay.from_estimator(make_pipeline(model))
    assert display.names == ["FocalLoss(gamma=0.5)"]
    assert len(display.folds_[0]) == 6 and len(display.best_[0].get_xdata()) == 3
    assert TrainingCurveDisplay.from_estimator(model, name="mine").names == ["mine"]


def test_a_monitor_marks_its_best_epoch():
    fitted = net(monitor=label_ranking_average_precision_score).fit(X, Y)
    display = TrainingCurveDisplay.from_estimator(fitted, curve="score")
    (mark,) = display.best_[0].get_xydata()
    assert mark[1] >= max(fitted.history_["valid_score"]) * (1 - 1e-4)
    losses = TrainingCurveDisplay.from_estimator(fitted)
    assert losses.best_[0].get_xdata() == mark[0]


def test_functions_are_named_as_such():
    fitted = net(needs_many, early_stopping=False, batch_size=75, max_epochs=1).fit(X[:75], Y[:75])
    assert TrainingCurveDisplay.from_estimator(fitted).names == ["needs_many"]


# ------------------------------------------------------------------ searches


def test_a_search(search):
    display = TrainingCurveDisplay.from_search(search)
    # With one decoder there is a pair a setting: losses and gammas in the order of the training.
    names = ["bce", "bad", "focal, gamma=1", "focal, gamma=2.5", "many"]
    scores = dict(zip(names, search.cv_results_["mean_test_score"], strict=True))
    assert sorted(display.names) == sorted(names) and display.names[-1] == "bad"
    ordered = [scores[name] for name in display.names]
    assert ordered == sorted(ordered, reverse=True)
    of_name = dict(zip(display.names, display.histories, strict=True))
    assert [of_name[name] for name in names] == search.histories_
    assert of_name["bad"] == [None, None] and of_name["many"][1] is None
    errors = dict(zip(display.names, display.errors, strict=True))
    assert errors["bad"].startswith("ValueError: the train loss of FunctionLoss(func=<function div")
    assert errors["bad"].endswith("lower learning_rate, or scale X")
    assert "nan in epoch 1" in errors["many"] and errors["bce"] == ""
    panel = display.axes_[display.names.index("many")]
    assert texts(panel) == ["1 fold failed"]


def test_names_show_what_differs_between_settings_of_a_loss():
    grid = [
        {"max_epochs": [1, 2], "hidden_layer_sizes": [(256, 128, 64), (8,)]},
        {"dropout": [0.5]},
    ]
    search = LossDecoderSearchCV(
        net(early_stopping=False), ["bce"], ["threshold"], cv=2, refit=False, param_grid=grid
    ).fit(X, Y)
    names = TrainingCurveDisplay.from_search(search).names
    assert sorted(names) == [
        "bce\nhidden_layer_sizes=(256,\n128, 64), max_epochs=1",
        "bce\nhidden_layer_sizes=(256,\n128, 64), max_epochs=2",
        "bce\nhidden_layer_sizes=(8,)\nmax_epochs=1",
        "bce\nhidden_layer_sizes=(8,)\nmax_epochs=2",
        "bce, dropout=0.5",
    ]


def test_networks_of_an_estimator_with_folds_are_all_drawn():
    search = LossDecoderSearchCV(net(cv=2), ["bce"], ["threshold"], cv=2, refit=False).fit(X, Y)
    display = TrainingCurveDisplay.from_search(search)
    assert len(display.histories[0]) == 4 and len(display.folds_[0]) == 8


# ------------------------------------------------------------------ axes and errors


def test_existing_axes_have_the_note_on_hidden_panels_too():
    axes = Figure(layout="constrained").subplots(1, 2)
    TrainingCurveDisplay([TWO] * 3, names="abc").plot(axes, max_panels=2)
    assert axes[1].get_xlabel().replace("\n", " ") == "epoch The first 2 of 3."
    assert axes[0].get_xlabel() == "epoch"


def test_existing_axes_are_used_and_nothing_global_changes():
    before = dict(matplotlib.rcParams)
    axes = Figure(layout="constrained").subplots(1, 2)
    display = TrainingCurveDisplay([TWO], names=["bce"])
    assert display.plot(axes[1]) is display
    assert display.axes_.tolist() == [axes[1]] and display.figure_ is axes[1].figure
    assert (axes[1].get_xlabel(), axes[1].get_ylabel()) == ("epoch", "loss")
    assert axes[1].get_legend() is not None and not plt.get_fignums()
    assert display.plot().axes_[0] is not axes[1]
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(ValueError, match="one axes for each of the 3 panels, got 2.*fewer panels"):
        TrainingCurveDisplay([TWO] * 3, names="abc").plot(axes)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"curve": "accuracy"}, "curve must be one of 'loss', 'score', got 'accuracy'"),
        ({"max_panels": 0}, "max_panels must be an integer >= 1, got 0"),
        ({"search": net()}, r"search must be a LossDecoderSearchCV, got MultiLabelNetClass"),
    ],
)
def test_bad_input_is_named(search, options, message):
    with pytest.raises(ValueError, match=message):
        TrainingCurveDisplay.from_search(**({"search": search} | options))


def test_unfitted_and_other_estimators_are_refused(search):
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(net())
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(make_pipeline(net()))
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_search(LossDecoderSearchCV())
    for other in (LogisticRegression().fit(X, Y[:, 0]), search):
        with pytest.raises(ValueError, match="estimator must be a MultiLabelNetClassifier or a P"):
            TrainingCurveDisplay.from_estimator(other)


def test_without_matplotlib_the_error_names_the_extra(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'TrainingCurveDisplay.*"sklearn_mlloss\[plot\]"'):
        TrainingCurveDisplay.from_search(search)
    with pytest.raises(ImportError, match=r'TrainingCurveDisplay.*"sklearn_mlloss\[plot\]"'):
        TrainingCurveDisplay.from_estimator(net())
