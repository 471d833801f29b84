"""The pictures of a search over losses and decoders."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import rankdata
from scipy.stats import t as student
from sklearn.datasets import make_multilabel_classification

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._search.report import compare
from sklearn_mlloss.decoders import Decoder
from sklearn_mlloss.inspection import LossComparisonDisplay


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def table(losses, decoders, scores, **others):
    """Return the table of `compare` for scores of shape (n_pairs, n_splits)."""
    pairs = [(loss, decoder) for loss in losses for decoder in decoders]
    times = len(scores) // len(pairs)
    columns = {
        "loss": [loss for loss, _ in pairs for _ in range(times)],
        **others,
        "calibration": others.get("calibration", [None] * len(scores)),
        "decoder": [decoder for _, decoder in pairs for _ in range(times)],
    }
    results = {f"param_{k}": np.ma.MaskedArray(v, dtype=object) for k, v in columns.items()}
    scores = np.asarray(scores, dtype=float)
    results |= {f"split{k}_test_score": column for k, column in enumerate(scores.T)}
    results["mean_test_score"] = mean = scores.mean(axis=1)
    results["rank_test_score"] = rankdata(-np.where(np.isnan(mean), -9, mean), method="min")
    results["error"] = np.where(np.isnan(mean), "ValueError: no", "").astype(object)
    return compare(results, "score", (80, 20), 0.01)


FOLDS = np.array([0.0, 0.02, -0.01, 0.01, 0.03])
NOISE = np.array([0.03, -0.04, 0.02, -0.01, 0.02])
NAN = np.full(5, np.nan)
FOUR = [0.40 + FOLDS, 0.45 + FOLDS + NOISE / 50, NAN, 0.46 + FOLDS + NOISE]
SMALL = table(["bce", "zlpr"], ["threshold", "gfm"], FOUR)


class Broken(Decoder):
    def _decode(self, scores, count):
        raise RuntimeError("cannot decide")


@pytest.fixture(scope="module")
def search():
    X, Y = make_multilabel_classification(90, n_classes=3, random_state=0)
    net = MultiLabelNetClassifier(
        hidden_layer_sizes=(8,), max_epochs=3, early_stopping=False, learning_rate=0.03
    )
    return LossDecoderSearchCV(
        net, ["bce", "zlpr"], {"half": "threshold", "one": "global_threshold", "bad": Broken()},
        scoring=["f1_macro", "roc_auc"], refit="f1_macro", cv=3, random_state=0,
    ).fit(X, Y)  # fmt: skip


def texts(ax):
    return {text.get_text() for text in ax.texts}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def names(ticks):
    return [text.get_text() for text in ticks]


# ------------------------------------------------------------------ heat map


def test_cells_are_the_scores_and_the_best_comes_first():
    display = LossComparisonDisplay(SMALL, metric_name="f1_macro").plot()
    assert display.losses_ == ["zlpr", "bce"] and display.decoders_ == ["gfm", "threshold"]
    mean = np.mean(FOUR, axis=1)
    expected = [[mean[3], np.nan], [mean[1], mean[0]]]
    np.testing.assert_allclose(display.scores_, expected)
    np.testing.assert_array_equal(display.image_.get_array().filled(np.nan), display.scores_)
    assert texts(display.ax_) == {f"{value:.3f}" for value in mean[[0, 1, 3]]}
    assert names(display.ax_.get_xticklabels()) == ["gfm", "threshold"]
    assert names(display.ax_.get_yticklabels()) == ["zlpr", "bce"]
    assert display.figure_.axes[1].get_ylabel() == "f1_macro"
    assert not display.ax_.get_title("left")
    assert display.dots_ is None


def test_best_failed_and_not_significantly_different_are_marked():
    display = LossComparisonDisplay(SMALL).plot()
    assert legend(display.figure_) == [
        "best", "not significantly different from the best", "failed",
    ]  # fmt: skip
    (frame,) = display.ax_.patches
    assert frame.get_xy() == (-0.5, -0.5)
    alike, failed = display.ax_.lines
    assert (alike.get_xdata().round(), alike.get_ydata().round()) == ([0], [1])
    assert (failed.get_xdata(), failed.get_ydata()) == ([1], [0])


def test_the_chosen_pair_is_marked_where_it_is_not_the_best():
    display = LossComparisonDisplay(SMALL, chosen=0).plot()
    assert legend(display.figure_)[:2] == ["best", "chosen"]
    assert display.ax_.patches[1].get_xy() == (0.5, 0.5)
    assert "chosen" not in legend(LossComparisonDisplay(SMALL, chosen=3).plot().figure_)
    dots = LossComparisonDisplay(SMALL, chosen=0).plot(kind="dots")
    assert "bce, threshold (chosen)" in names(dots.ax_.get_yticklabels())


def test_of_several_settings_a_cell_shows_the_best_and_the_title_says_so():
    scores = [0.4 + FOLDS, 0.5 + FOLDS, 0.6 + FOLDS, 0.3 + FOLDS]
    variants = {"loss__gamma": [1.0, 2.0, 1.0, 2.0], "calibration": [None, "beta"] * 2}
    found = table(["focal", "poly1"], ["threshold"], scores, **variants)
    display = LossComparisonDisplay(found).plot()
    np.testing.assert_allclose(display.scores_[:, 0], np.mean(scores, axis=1)[[2, 1]])
    title = "Each cell: its best gamma and calibration\nThe best of all: gamma=1, calibration=none"
    assert display.ax_.get_title("left") == title
    dots = LossComparisonDisplay(found).plot(kind="dots")
    assert names(dots.ax_.get_yticklabels()) == [
        "poly1, threshold, gamma=1",
        "focal, threshold, gamma=2, beta",
        "focal, threshold, gamma=1",
        "poly1, threshold, gamma=2, beta",
    ]


def test_a_hyperparameter_that_a_loss_lacks_is_not_shown():
    found = table(["bce", "focal"], ["threshold"], [0.4 + FOLDS, 0.3 + FOLDS])
    found = {"loss": found["loss"], "loss__gamma": np.array([None, 2.0], object)} | found
    display = LossComparisonDisplay(found).plot(kind="dots")
    assert names(display.ax_.get_yticklabels())[0] == "bce, threshold"


def test_one_low_outlier_does_not_use_up_the_colours():
    base = np.linspace(0.4, 0.5, 20)[:, None] + FOLDS
    found = table([f"loss {i}" for i in range(21)], ["threshold"], [*base, 0.01 + FOLDS])
    low, high = LossComparisonDisplay(found).plot().image_.get_clim()
    assert low == pytest.approx(0.41) and high == pytest.approx(0.51)


@pytest.mark.parametrize("kind", ["heatmap", "dots"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (30, 8)])
def test_names_do_not_run_into_each_other(kind, shape):
    rng = np.random.default_rng(0)
    losses = [f"a rather long name of loss {i}" for i in range(shape[0])]
    decoders = [f"Decoder(number={i}, and=more than fits)" for i in range(shape[1])]
    scores = 0.5 + 0.05 * rng.random((shape[0] * shape[1], 5))
    display = LossComparisonDisplay(table(losses, decoders, scores)).plot(kind=kind)
    display.figure_.draw_without_rendering()
    whole = display.figure_.bbox.padded(1)
    boxes = [tick.get_window_extent() for tick in display.ax_.get_yticklabels()]
    for box in boxes:
        assert whole.contains(box.x0, box.y0) and whole.contains(box.x1, box.y1)
    for above, below in zip(boxes, boxes[1:], strict=False):
        assert above.y0 >= below.y1
    label = display.ax_.xaxis.label.get_window_extent()
    assert not label.width or (label.x0 >= 0 and label.x1 <= whole.x1)
    if kind == "heatmap":
        cells = [text.get_window_extent() for text in display.ax_.texts]
        width = display.ax_.get_window_extent().width / shape[1]
        assert max(cell.width for cell in cells) < width
    key = display.figure_.legends[0].get_window_extent()
    assert key.x0 >= 0 and key.x1 <= whole.x1


# ------------------------------------------------------------------ dots


def test_dots_are_the_paired_differences_with_their_intervals():
    display = LossComparisonDisplay(SMALL, metric_name="f1_macro").plot(kind="dots")
    assert display.scores_ is None and display.image_ is None
    assert list(display.dots_) == ["best", "alike", "worse"]
    assert display.dots_["best"].get_xdata() == [0]
    difference = FOUR[1] - FOUR[3]
    assert display.dots_["alike"].get_xdata()[0] == pytest.approx(difference.mean())
    half = student.ppf(0.975, 4) * np.sqrt(difference.var(ddof=1) * (1 / 5 + 20 / 80))
    _, alike, _ = display.ax_.collections
    ((start, end),) = (segment[:, 0] for segment in alike.get_segments())
    np.testing.assert_allclose([start, end], difference.mean() + [-half, half])
    assert names(display.ax_.get_yticklabels()) == [
        "zlpr, gfm", "bce, gfm", "bce, threshold", "zlpr, threshold",
    ]  # fmt: skip
    assert legend(display.figure_)[-1] == "failed"
    assert display.ax_.get_xlabel().startswith("f1_macro: difference to the best")
    side = names(display.ax_.child_axes[0].get_yticklabels())
    assert side == ["0.474", "0.460", "0.410", ""]


def test_of_many_candidates_the_best_are_shown_and_the_title_says_so():
    rng = np.random.default_rng(0)
    found = table([str(i) for i in range(10)], list("abcd"), rng.random((40, 5)))
    display = LossComparisonDisplay(found).plot(kind="dots")
    assert display.ax_.get_title("left") == "The best 30 of 40 candidates"
    assert len(display.ax_.get_yticks()) == 30
    display.plot(kind="dots", max_pairs=3)
    assert len(display.ax_.get_yticks()) == 3


@pytest.mark.parametrize("kind", ["heatmap", "dots"])
def test_a_single_split_has_no_test(kind):
    found = table(["bce", "zlpr"], ["threshold"], [[0.4], [0.5]])
    display = LossComparisonDisplay(found, n_splits=1).plot(kind=kind)
    display.figure_.draw_without_rendering()
    assert legend(display.figure_) == (["best", "one split, no test"][: 1 + (kind == "dots")])


def test_two_splits_are_too_few():
    found = table(["bce", "zlpr"], ["threshold"], [[0.1, 0.3], [0.6, 0.7]])
    display = LossComparisonDisplay(found, n_splits=2).plot(kind="dots")
    assert legend(display.figure_) == ["best", "too few folds to judge"]
    assert display.dots_["few"].get_xdata() == pytest.approx([-0.45])


@pytest.mark.parametrize("kind", ["heatmap", "dots"])
def test_nothing_but_failures_is_drawn_without_warnings(kind):
    found = table(["bce", "zlpr"], ["threshold"], [NAN, NAN])
    display = LossComparisonDisplay(found).plot(kind=kind)
    display.figure_.draw_without_rendering()
    assert legend(display.figure_) == ["failed"]


# ------------------------------------------------------------------ searches


def test_a_search(search):
    display = LossComparisonDisplay.from_search(search)
    assert display.metric_name == "f1_macro" and display.n_splits == 3
    assert np.nanmax(display.scores_) == search.best_score_
    bad = display.decoders_.index("bad")
    assert np.isnan(display.scores_[:, bad]).all() and bad == 2
    other = LossComparisonDisplay.from_search(search, metric="roc_auc", kind="dots")
    assert other.metric_name == "roc_auc" and other.chosen is None
    mean = search.cv_results_["mean_test_roc_auc"]
    assert np.nanmax(other.table["score"]) == np.nanmax(mean)


def test_the_name_of_a_single_metric(search):
    X, Y = make_multilabel_classification(60, n_classes=2, random_state=0)
    single = LossDecoderSearchCV(
        search.estimator, ["bce"], ["threshold"], scoring="f1_micro", refit=False, cv=2
    ).fit(X, Y)
    assert LossComparisonDisplay.from_search(single).metric_name == "f1_micro"


@pytest.mark.parametrize("kind", ["heatmap", "dots"])
def test_existing_axes_are_used_and_nothing_global_changes(kind):
    before = dict(matplotlib.rcParams)
    ax = Figure(layout="constrained").subplots()
    display = LossComparisonDisplay(SMALL).plot(ax, kind=kind)
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert ax.get_legend() is not None and not plt.get_fignums()
    ax.figure.draw_without_rendering()
    key = ax.get_legend().get_window_extent()
    below = [ax.xaxis.label, *(ax.get_xticklabels() if kind == "dots" else [])]
    assert all(key.y1 <= text.get_window_extent().y0 + 1 for text in below if text.get_text())
    assert display.plot() is display
    assert display.ax_ is not ax
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "bars"}, "kind must be one of 'heatmap', 'dots', got 'bars'"),
        ({"max_pairs": 0}, "max_pairs must be an integer >= 1, got 0"),
        ({"metric": "nonsense"}, r"metric must be one of \['f1_macro', 'roc_auc'\]"),
        ({"search": object()}, "search must be a LossDecoderSearchCV, got <object"),
    ],
)
def test_bad_input_is_named(search, options, message):
    with pytest.raises(ValueError, match=message):
        LossComparisonDisplay.from_search(**({"search": search} | options))


def test_without_matplotlib_the_error_names_the_extra(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'LossComparisonDisplay.*"sklearn_mlloss\[plot\]"'):
        LossComparisonDisplay.from_search(search)
