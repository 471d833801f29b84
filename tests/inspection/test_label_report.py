"""The dot plot of a report."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn import metrics as sk
from sklearn.ensemble import RandomForestClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB

from sklearn_mlloss.inspection import LabelReportDisplay

pd = pytest.importorskip("pandas")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def table(n_rows=100, n_labels=4, seed=0):
    rng = np.random.default_rng(seed)
    proba = rng.random((n_rows, n_labels)) ** np.linspace(1, 3, n_labels)
    return (rng.random(proba.shape) < proba).astype(int), proba


def test_dots_are_the_metrics_of_scikit_learn():
    Y, proba = table()
    Y_hat = (proba > 0.5).astype(int)
    columns = ["precision", "recall", "f1", "average_precision", "roc_auc"]
    display = LabelReportDisplay.from_predictions(Y, Y_hat, proba, columns=columns)
    order = np.argsort(-Y.sum(axis=0), kind="stable")
    measures = [
        sk.precision_score,
        sk.recall_score,
        sk.f1_score,
        sk.average_precision_score,
        sk.roc_auc_score,
    ]
    for line, measure, column in zip(display.lines_, measures, columns, strict=True):
        guess = Y_hat if column in ("precision", "recall", "f1") else proba
        per_label = measure(Y, guess, average=None)
        micro = measure(Y.ravel(), guess.ravel())
        expected = [*per_label[order], micro, per_label.mean()]
        np.testing.assert_allclose(line.get_xdata(), expected, atol=1e-12)
        names = {"f1": "F1", "roc_auc": "ROC AUC"}
        assert line.get_label() == names.get(column, column.replace("_", " "))
    prior = Y.mean(axis=0)
    np.testing.assert_allclose(
        display.priors_.get_xdata(), [*prior[order], prior.mean(), prior.mean()]
    )
    heights = display.lines_[0].get_ydata()
    assert (np.diff(heights) > 0).all() and display.ax_.yaxis_inverted()


def test_labels_are_named_and_counted():
    Y, proba = table()
    frame = pd.DataFrame(Y, columns=list("abcd")).astype(float)
    frame.iloc[0, 0] = np.nan
    display = LabelReportDisplay.from_predictions(frame, proba > 0.5)
    positives = frame.sum().sort_values(ascending=False, kind="stable")
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert names == [*positives.index, "micro", "macro"]
    side = display.ax_.child_axes[0]
    assert [t.get_text() for t in side.get_yticklabels()] == [f"{n:g}" for n in positives]
    assert not display.ax_.get_title()
    named = LabelReportDisplay.from_predictions(Y, proba > 0.5, label_names=["w", "x", "y", "z"])
    assert set(named.report.index[:4]) == set("wxyz")


def test_of_many_labels_the_most_frequent_are_shown_and_the_title_says_so():
    Y, proba = table(n_labels=40)
    display = LabelReportDisplay.from_predictions(Y, proba > 0.5)
    assert display.ax_.get_title() == "The 30 labels with the most positives of 40"
    assert len(display.lines_[0].get_xdata()) == 32
    assert len(display.report) == 42
    display.plot(max_labels=5)
    names = [text.get_text() for text in display.ax_.get_yticklabels()][:5]
    assert names == [str(k) for k in np.argsort(-Y.sum(axis=0), kind="stable")[:5]]
    np.testing.assert_allclose(
        display.lines_[2].get_xdata()[-1], sk.f1_score(Y, proba > 0.5, average="macro")
    )


def test_undefined_metrics_have_no_dot():
    Y = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0]])
    Y_hat = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    display = LabelReportDisplay.from_predictions(Y, Y_hat)
    precision, recall, f1 = (line.get_xdata()[:3] for line in display.lines_)
    np.testing.assert_array_equal(precision, [1, np.nan, np.nan])
    np.testing.assert_array_equal(recall, [1, 0, np.nan])
    np.testing.assert_array_equal(f1, [1, 0, np.nan])
    (note,) = display.ax_.texts
    assert note.get_text() == "no positives" and note.get_position()[1] == 2
    display.figure_.canvas.draw()


def test_nothing_at_all_is_drawn_without_warnings():
    display = LabelReportDisplay.from_predictions(np.zeros((3, 2)), np.zeros((3, 2)))
    display.figure_.canvas.draw()


def test_a_single_label():
    display = LabelReportDisplay.from_predictions([[1], [0]], [[1], [1]], columns=["precision"])
    assert display.lines_[0].get_xdata().tolist() == [0.5, 0.5, 0.5]


def test_estimators():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    Y = pd.DataFrame((X[:, :2] > 0).astype(int), columns=["left", "right"])
    Y.loc[0, "left"] = 1 - Y.loc[0, "left"]
    forest = RandomForestClassifier(5, random_state=0).fit(X[:40], Y[:40])
    display = LabelReportDisplay.from_estimator(forest, X[40:], Y[40:], columns=["f1", "roc_auc"])
    assert set(display.report.index[:2]) == {"left", "right"}
    expected = sk.roc_auc_score(Y["right"][40:], forest.predict_proba(X[40:])[1][:, 1])
    assert display.report.loc["right", "roc_auc"] == pytest.approx(expected)
    one = RandomForestClassifier(5, random_state=0).fit(X[:40], Y["left"][:40])
    display = LabelReportDisplay.from_estimator(one, X[40:], Y[["left"]][40:], columns=["ece"])
    assert display.report.index[0] == "left"
    sparse = OneVsRestClassifier(GaussianNB()).fit(X[:40], Y[:40].to_numpy())
    display = LabelReportDisplay.from_estimator(sparse, X[40:], Y[40:])
    expected = sk.f1_score(Y["right"][40:], sparse.predict(X[40:])[:, 1])
    assert display.report.loc["right", "f1"] == pytest.approx(expected)


def test_existing_axes_are_used_and_nothing_global_changes():
    before = dict(matplotlib.rcParams)
    Y, proba = table()
    ax = Figure().subplots()
    display = LabelReportDisplay.from_predictions(Y, proba > 0.5, ax=ax)
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert ax.get_legend() is not None and not plt.get_fignums()
    assert display.plot() is display
    assert display.ax_ is not ax
    assert dict(matplotlib.rcParams) == before


def test_long_names_and_the_legend_are_inside_a_figure_without_a_layout():
    Y, proba = table()
    names = [f"the rather long $name of label {k}" for k in range(4)]
    figure = Figure()
    ax, other = figure.subplots(1, 2)
    LabelReportDisplay.from_predictions(Y, proba > 0.5, label_names=names, ax=ax)
    figure.draw_without_rendering()
    box = ax.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and not box.overlaps(other.get_tightbbox())
    assert ax.get_yticklabels()[0].get_text().startswith(r"the rather long \$name")
    # Axes that the user has placed stay there.
    placed = figure.add_axes((0.5, 0.5, 0.2, 0.2))
    LabelReportDisplay.from_predictions(Y, proba > 0.5, label_names=names, ax=placed)
    np.testing.assert_allclose(placed.get_position().bounds, (0.5, 0.5, 0.2, 0.2))


Y2 = [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"y_true": [0, 1]}, "y_true must be 2-D"),
        ({"y_pred": [[0.5, 1], [0, 0]]}, "y_pred must hold 0 or 1, got 0.5; give predicted labels"),
        ({"y_pred": [[1, 0]]}, r"y_pred must have the shape \(2, 2\)"),
        ({"y_prob": [[3, 1], [0, 0]]}, r"y_prob must hold probabilities in \[0, 1\], got 3"),
        ({"columns": ["log_loss"]}, "columns must be 1 to 6 of 'precision', .*got 'log_loss'"),
        ({"columns": "f1"}, "columns must be 1 to 6 of .*got 'f1'"),
        ({"columns": []}, r"columns must be 1 to 6 of .*got \[\]"),
        ({"columns": ["roc_auc"]}, "columns has 'roc_auc', which needs y_prob"),
        ({"max_labels": 0}, "max_labels must be an integer >= 1, got 0"),
        ({"label_names": "abc"}, "label_names must have one name for each of the 2 labels, got 3"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        LabelReportDisplay.from_predictions(**({"y_true": Y2, "y_pred": Y2} | options))


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'LabelReportDisplay.*"sklearn_mlloss\[plot\]"'):
        LabelReportDisplay.from_predictions(Y2, Y2)
