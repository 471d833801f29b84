"""Confusion matrices, co-occurrence and numbers of labels."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix
from sklearn.neighbors import KNeighborsClassifier

from sklearn_mlloss.inspection import (
    ConfusionMatrixDisplay,
    CooccurrenceDisplay,
    LabelCountDisplay,
    PrecisionRecallDisplay,
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def labels(n_rows=60, n_labels=4, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((n_rows, n_labels)) < np.linspace(0.7, 0.2, n_labels)).astype(float)


def texts(ax):
    return [text.get_text() for text in ax.texts]


# ------------------------------------------------------------------ confusion


def test_confusion_is_that_of_scikit_learn():
    Y, Y_hat = labels(), labels(seed=1)
    display = ConfusionMatrixDisplay.from_predictions(Y, Y_hat, label_names="abcd")
    order = np.argsort(-Y.sum(axis=0), kind="stable")
    np.testing.assert_array_equal(display.matrices, multilabel_confusion_matrix(Y, Y_hat)[order])
    assert display.label_names == ["abcd"[k] for k in order]
    (tn, fp), (fn, tp) = display.matrices[0]
    assert f"{tp}\n{tp / (tp + fn):.0%}" in texts(display.axes_[0])
    np.testing.assert_allclose(display.images_[0].get_array()[0], [tn / (tn + fp), fp / (tn + fp)])


def test_confusion_leaves_out_what_was_not_observed():
    Y, Y_hat = labels(), labels(seed=1)
    Y[::3, 2] = np.nan
    display = ConfusionMatrixDisplay.from_predictions(Y, Y_hat, labels=[2])
    seen = ~np.isnan(Y[:, 2])
    expected = confusion_matrix(Y[seen, 2], Y_hat[seen, 2])
    np.testing.assert_array_equal(display.matrices, [expected])


def test_confusion_without_positives():
    display = ConfusionMatrixDisplay.from_predictions([[0], [0]], [[0], [1]])
    assert display.matrices.tolist() == [[[1, 1], [0, 0]]]
    assert texts(display.axes_[0])[:4] == ["1\n50%", "1\n50%", "0", "0"]
    display.figure_.draw_without_rendering()


def test_confusion_of_many_labels_says_what_is_not_shown():
    Y = labels(n_labels=15)
    display = ConfusionMatrixDisplay.from_predictions(Y, Y)
    assert display.figure_.get_supxlabel().endswith("The 12 labels with the most positives of 15.")


# ------------------------------------------------------------------ co-occurrence


def test_shares_are_conditional_and_sorted_by_positives():
    Y = labels()
    Y[::5, 1] = np.nan
    display = CooccurrenceDisplay.from_labels(Y, label_names="abcd")
    order = np.argsort(-np.nansum(Y, axis=0), kind="stable")
    assert display.label_names == ["abcd"[k] for k in order]
    for i, row in enumerate(order):
        for j, column in enumerate(order):
            both = Y[(Y[:, row] == 1) & ~np.isnan(Y[:, column]), column]
            assert display.shares[i, j] == pytest.approx(both.mean())
    np.testing.assert_allclose(display.priors, np.nanmean(Y, axis=0)[order])
    drawn = display.image_.get_array()
    assert drawn.shape == (5, 4) and np.diag(drawn.mask).all()
    assert texts(display.ax_)[-1] == f"{100 * display.priors[-1]:.0f}"


def test_labels_without_positives_have_no_shares():
    display = CooccurrenceDisplay.from_labels([[1, 0], [1, 0]])
    assert np.isnan(display.shares[1]).all() and display.shares[0].tolist() == [1, 0]
    display.figure_.draw_without_rendering()


def test_many_labels_are_cut_and_the_figure_says_so():
    Y = labels(n_labels=40)
    display = CooccurrenceDisplay.from_labels(Y)
    assert display.ax_.get_xlabel().endswith("The 30 labels with the most positives of 40.")
    assert not texts(display.ax_)  # there is no room
    with pytest.raises(ValueError, match="max_labels must be an integer >= 1, got 0"):
        CooccurrenceDisplay.from_labels(Y, max_labels=0)


# ------------------------------------------------------------------ numbers of labels


def test_numbers_of_labels_are_counted():
    Y, Y_hat = labels(), labels(seed=1)
    Y[0] = np.nan  # nothing is known of it
    Y[1, 0] = np.nan
    display = LabelCountDisplay.from_predictions(Y, Y_hat)
    true, predicted = np.nansum(Y, axis=1), (Y_hat * ~np.isnan(Y)).sum(axis=1)
    for i in range(len(display.counts)):
        for j in range(len(display.counts)):
            expected = ((true == i) & (predicted == j))[1:].sum()
            assert display.counts[i, j] == expected
    assert display.n_observed == 59
    np.testing.assert_allclose(display.means, [true[1:].mean(), predicted[1:].mean()])
    np.testing.assert_allclose(display.image_.get_array() ** 2, display.counts.T)


def test_large_numbers_are_pooled_and_the_axis_says_so():
    Y = labels(n_labels=20)
    numbers = Y.sum(axis=1)  # 5 to 13
    display = LabelCountDisplay.from_predictions(Y, Y, max_cells=5)
    ticks = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert ticks == ["0–2", "3–5", "6–8", "9–11", "12–14"] and not display.is_cut
    expected = [((numbers // 3) == cell).sum() for cell in range(5)]
    np.testing.assert_array_equal(display.counts, np.diag(expected))
    Y = np.zeros((300, 40))
    Y[:, 0], Y[0] = 1, 1  # a single row with many
    display = LabelCountDisplay.from_predictions(Y, Y)
    assert display.width == 1 and display.is_cut and display.counts[12, 12] == 1
    assert display.ax_.get_xticklabels()[-1].get_text() == "≥12"
    one = LabelCountDisplay.from_predictions([[0]], [[0]])
    assert one.counts.tolist() == [[1, 0], [0, 0]] and not one.is_cut


# ------------------------------------------------------------------ all of them


def test_estimators():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    Y = (X > 0).astype(int)
    knn = KNeighborsClassifier().fit(X[:30], Y[:30])
    guess = knn.predict(X[30:])
    confusion = ConfusionMatrixDisplay.from_estimator(knn, X[30:], Y[30:], labels=[0, 1, 2])
    np.testing.assert_array_equal(confusion.matrices, multilabel_confusion_matrix(Y[30:], guess))
    counts = LabelCountDisplay.from_estimator(knn, X[30:], Y[30:])
    assert counts.means[1] == pytest.approx(guess.sum(axis=1).mean())
    together = CooccurrenceDisplay.from_estimator(knn, X[30:], Y[30:], label_names="abc")
    order = ["abc".index(name) for name in together.label_names]
    np.testing.assert_allclose(together.priors, guess.mean(axis=0)[order])
    # A 1-D prediction of a single label.
    one = KNeighborsClassifier().fit(X[:30], Y[:30, 0])
    single = ConfusionMatrixDisplay.from_estimator(one, X[30:], Y[30:, :1])
    np.testing.assert_array_equal(single.matrices[0], confusion.matrices[0])


@pytest.mark.parametrize(
    "draw",
    [
        lambda Y, ax: ConfusionMatrixDisplay.from_predictions(Y, Y, labels=[0], ax=ax).axes_[0],
        lambda Y, ax: CooccurrenceDisplay.from_labels(Y, ax=ax).ax_,
        lambda Y, ax: LabelCountDisplay.from_predictions(Y, Y, ax=ax).ax_,
    ],
)
def test_existing_axes_keep_everything_inside(draw):
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert draw(labels(), axes[0]) is axes[0] and not plt.get_fignums()
    figure.draw_without_rendering()
    box = axes[0].get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.y1 <= figure.bbox.y1


@pytest.mark.parametrize(
    "display, call",
    [
        (ConfusionMatrixDisplay, "from_predictions"),
        (CooccurrenceDisplay, "from_labels"),
        (LabelCountDisplay, "from_predictions"),
        (PrecisionRecallDisplay, "from_predictions"),
    ],
)
def test_without_matplotlib_the_error_names_the_extra(monkeypatch, display, call):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=rf'{display.__name__}.*"sklearn_mlloss\[plot\]"'):
        getattr(display, call)(*[[[0, 1]]] * (1 if call == "from_labels" else 2))
