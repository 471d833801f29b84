"""The report in one HTML file."""

import re
import sys
from base64 import b64decode
from html.parser import HTMLParser

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import metrics as sk
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from sklearn_mlloss import DecodedClassifierCV, metrics
from sklearn_mlloss.inspection import report
from sklearn_mlloss.inspection._report.intervals import METRICS, Interval, bootstrap
from sklearn_mlloss.inspection._report.sections import _judge, _verdict

pd = pytest.importorskip("pandas")

SECTIONS = [
    "summary", "data", "scores", "labels", "curves", "calibration", "confusion", "mistakes",
    "columns", "model",
]  # fmt: skip
VOID = {"meta", "img", "input", "br"}


class Reader(HTMLParser):
    """Checks that elements are closed, and collects texts, tables and references."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.references, self.ids = [], [], [], []
        self.section, self.texts, self.tables = "", {}, {}

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.references += [attrs[key] for key in ("src", "href") if key in attrs]
        if tag == "section":
            self.section = attrs["id"]
            self.texts[self.section], self.tables[self.section] = "", []
        if tag == "table":
            self.tables[self.section].append([])
        if tag == "tr":
            self.tables[self.section][-1].append([])
        if tag in ("td", "th"):
            self.tables[self.section][-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.section and not {"script", "style"} & set(self.open):
            self.texts[self.section] += data
            if {"td", "th"} & set(self.open):
                self.tables[self.section][-1][-1][-1] += data


def read(path):
    page, text = Reader(), path.read_text(encoding="utf-8")
    page.feed(text)
    page.close()
    assert not page.open
    page.text = text
    return page


def table_of_labels(page):
    head, *rows = page.tables["labels"][0]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def classifier(X, Y):
    return OneVsRestClassifier(LogisticRegression()).fit(X, Y)


QUICK = {"n_bootstrap": 20, "n_repeats": 0}


@pytest.fixture(scope="module")
def data():
    """A table with a category, gaps, a constant column, and names that are no HTML."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(240, 3))
    X = pd.DataFrame(signal, columns=["age", "<b>", "c"], index=[f"row-{k}" for k in range(240)])
    scores = signal @ rng.normal(size=(3, 4)) + rng.logistic(size=(240, 4))
    Y = (scores > [0, 0.5, 1, 5]).astype(int)
    names = ["<script>alert(1)</script>", "a & b", "$x$", "rare"]
    return X, pd.DataFrame(Y, columns=names, index=X.index)


@pytest.fixture(scope="module")
def model(data):
    X, Y = data
    clf = DecodedClassifierCV(
        OneVsRestClassifier(LogisticRegression()), decoder="per_label_threshold", cv=2,
        random_state=0,
    )  # fmt: skip
    with pytest.warns(UserWarning):  # too few positives of the rare label
        return clf.fit(X[:120], Y[:120])


@pytest.fixture(scope="module")
def whole(data, model, tmp_path_factory):
    """The page of a model with all sections, and with training rows of which one is a test row."""
    X, Y = (part[119:] for part in data)
    X = X.assign(constant=1.0, city=pd.Categorical(np.where(X["c"] > 0, "Rome", "Oslo")))
    X.iloc[::3, 1] = np.nan
    held_out = pd.DataFrame(X)

    class OnThree:
        """The model, for a table with more columns than it was fitted on."""

        decoder_, label_names_, classes_ = model.decoder_, model.label_names_, model.classes_

        def fit(self, X, y):
            return self

        def predict(self, X):
            return model.predict(X[["age", "<b>", "c"]].fillna(0))

        def predict_proba(self, X):
            return model.predict_proba(X[["age", "<b>", "c"]].fillna(0))

    y = Y.astype(float)
    y.iloc[5, 0] = np.nan
    y.iloc[7] = 0
    before = dict(matplotlib.rcParams)
    path = report(
        OnThree(), held_out, y, tmp_path_factory.mktemp("report") / "all.html",
        X_train=held_out.iloc[:30], y_train=y.iloc[:30], n_bootstrap=50, n_repeats=2,
        max_labels=2, n_mistakes=5, title="A <i>title</i>",
    )  # fmt: skip
    assert dict(matplotlib.rcParams) == before and not plt.get_fignums()
    return read(path), OnThree(), held_out, y


# ------------------------------------------------------------------ the page


def test_the_page_is_whole_and_needs_nothing_else(whole):
    page = whole[0]
    assert list(page.texts) == SECTIONS
    assert all(text.strip() for text in page.texts.values())
    assert not re.search("https?:", page.text)
    assert "link" not in page.tags and page.tags.count("script") == 1
    assert page.references
    for reference in page.references:
        if reference.startswith("#"):
            assert reference[1:] in SECTIONS
        else:
            assert reference.startswith("data:image/svg+xml;base64,")
            assert b"</svg>" in b64decode(reference.partition(",")[2])


def test_names_are_escaped(whole):
    page = whole[0]
    assert page.tags.count("script") == 1 and "i" not in page.tags
    assert "<script>alert(1)</script>" in table_of_labels(page)  # as text
    assert "<b>" in page.texts["columns"]
    assert "A &lt;i&gt;title&lt;/i&gt;" in page.text


def test_the_table_of_labels_is_that_of_multilabel_report(whole):
    page, model, X, y = whole
    proba, guess = model.predict_proba(X), model.predict(X)
    expected = metrics.multilabel_report(y, proba, guess, y.columns)
    table = table_of_labels(page)
    assert list(table) == expected.index[:-2][np.argsort(-y.sum(), kind="stable")].tolist()
    columns = {
        "positives": "support", "precision": "precision", "recall": "recall", "F1": "f1",
        "average precision": "average_precision", "calibration error": "ece",
    }  # fmt: skip
    for name, row in table.items():
        for ours, theirs in columns.items():
            value = expected.loc[name, theirs]
            text = "–" if np.isnan(value) else f"{value:.0f}" if ours == "positives" else (
                f"{value:.3f}"
            )  # fmt: skip
            assert row[ours] == text
        label = y.columns.get_loc(name)
        threshold = f"{model.decoder_.thresholds_[label]:.3f}"
        assert row["threshold"].removesuffix(" *") == threshold
        assert row["threshold"].endswith("*") == (label in model.decoder_.fallback_labels_)
        seen = y[name].notna()
        tn, fp, fn, tp = sk.confusion_matrix(y.loc[seen, name], guess[seen, label]).ravel()
        assert [int(row[key]) for key in ("TN", "FP", "FN", "TP")] == [tn, fp, fn, tp]


def test_scores_are_those_of_the_metrics(whole):
    page, model, X, y = whole
    head, *rows = page.tables["scores"][0]
    assert head[:4] == ["metric", "model", "logistic regression", "label priors"]
    proba, guess = model.predict_proba(X), model.predict(X)
    expected = [
        metrics.f_measure(y, guess, average="macro"),
        metrics.f_measure(y, guess, average="micro"),
        metrics.f_measure(y, guess, average="samples"),
        metrics.subset_accuracy(y, guess),
        metrics.hamming_loss(y, guess),
        metrics.macro_average_precision(y, proba),
        metrics.multilabel_log_loss(y, proba),
        metrics.multilabel_brier_score(y, proba),
    ]
    for row, value in zip(rows, expected, strict=True):
        assert row[1].startswith(f"{value:.3f}[")


def test_problems_are_named(whole):
    found = whole[0].texts["summary"]
    for text in (
        "common one: rare",
        "30 rows of 121 are in the training rows as well",
        "constant in these rows: constant",
        "1 label with fewer than 10 positives, whose metrics are mostly chance: rare",
        "of the labels were not observed (NaN)",
        "have no label",
    ):
        assert text in found


def test_the_worst_mistakes_are_the_rows_with_the_largest_log_loss(whole):
    page, model, X, y = whole
    loss = sk.log_loss  # of one row and label: -log of the probability of what is true
    proba = model.predict_proba(X)
    total = [
        sum(
            loss([true], [p], labels=[0, 1])
            for true, p in zip(row, ps, strict=True)
            if not np.isnan(true)
        )
        for row, ps in zip(y.to_numpy(), proba, strict=True)
    ]
    worst = np.argsort(-np.array(total), kind="stable")[:5]
    head, *rows = page.tables["mistakes"][0]
    assert [row[0] for row in rows] == X.index[worst].tolist()
    assert [row[1] for row in rows] == [f"{total[k]:.2f}" for k in worst]
    for row, k in zip(rows, worst, strict=True):
        for name in y.columns[y.iloc[k] == 1]:
            assert f"{name} ({proba[k, y.columns.get_loc(name)]:.2f})" in row[2]


def test_columns_are_ranked_and_what_is_left_out_is_said(whole):
    page = whole[0]
    overall, per_label = page.tables["columns"]
    assert overall[1][0] in ("age", "<b>", "c")
    assert [row[0] for row in per_label[1:]] == list(table_of_labels(page))[:2]
    for name in ("curves", "calibration", "confusion", "columns"):
        assert "The 2 labels with the most positives, of 4." in page.texts[name]


# ------------------------------------------------------------------ models and data


def test_a_model_of_another_package_with_lists_of_arrays(data, tmp_path):
    X, Y = (part.to_numpy() for part in data)
    forest = RandomForestClassifier(5, max_depth=3, random_state=0).fit(X[:120], Y[:120])
    path = report(forest, X[120:], Y[120:], tmp_path / "forest.html", max_labels=1, **QUICK)
    page = read(path)
    rows = table_of_labels(page)
    expected = sk.f1_score(Y[120:, 0], forest.predict(X[120:])[:, 0])
    assert rows["0"]["F1"] == f"{expected:.3f}" and "threshold" not in rows["0"]
    assert "5 folds of these rows" in page.texts["scores"]
    assert "n_repeats is 0" in page.texts["columns"]


def test_sparse_and_one_label(data, tmp_path):
    X, Y = data[0].to_numpy(), data[1].to_numpy()
    for y, names in ((Y, ["0", "1", "2", "3"]), (Y[:, :1], ["0"])):
        model = classifier(X[:120], y[:120])
        path = report(
            model, sp.csr_array(X[120:]), sp.csr_array(y[120:]), tmp_path / "r.html",
            max_labels=1, **QUICK,
        )  # fmt: skip
        page = read(path)
        assert sorted(table_of_labels(page)) == names
        assert ("Labels per row" in page.texts["data"]) == (len(names) > 1)


def test_classes(data, tmp_path):
    X = data[0].to_numpy()
    kinds = np.array(["red", "green", "blue"])[np.argmax(X + [0, 0.3, 0.6], axis=1)]
    model = LogisticRegression().fit(X[:120], kinds[:120])
    page = read(report(model, X[120:], kinds[120:], tmp_path / "r.html", max_labels=1, **QUICK))
    accuracy = model.score(X[120:], kinds[120:])
    assert page.tables["scores"][0][4][1].startswith(f"{accuracy:.3f}[")
    assert set(table_of_labels(page)) == {"red", "green", "blue"}
    two = kinds == "red"
    model = LogisticRegression().fit(X[:120], two[:120])
    page = read(report(model, X[120:], two[120:], tmp_path / "r.html", max_labels=1, **QUICK))
    expected = sk.f1_score(two[120:], model.predict(X[120:]))
    assert table_of_labels(page)["True"]["F1"] == f"{expected:.3f}"


def test_scores_that_are_no_probabilities_are_named(data, tmp_path):
    X, Y = (part.to_numpy() for part in data)
    model = make_pipeline(RidgeClassifier()).fit(X[:120], Y[:120])
    page = read(report(model, X[120:], Y[120:], tmp_path / "r.html", max_labels=1, **QUICK))
    assert "which are no probabilities" in page.texts["summary"]


def test_many_labels_are_all_in_the_table_and_few_in_plots(tmp_path):
    rng = np.random.default_rng(0)
    Y = (rng.random((60, 40)) < 0.1).astype(int)

    class Stub:
        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return 0.8 * Y + 0.1

        def predict(self, X):
            return Y

    path = report(
        Stub(), np.zeros((60, 1)), Y, tmp_path / "r.html", baselines=False, max_labels=2, **QUICK
    )
    page = read(path)
    assert len(table_of_labels(page)) == 40
    assert page.tags.count("img") == 2 + 3 * 2
    assert "The 2 labels with the most positives, of 40." in page.texts["curves"]
    assert "The 30 labels with the most positives, of 40." in page.texts["data"]
    assert "baselines is False" in page.texts["scores"]


def test_labels_that_are_constant_or_unknown(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 2))
    Y = np.zeros((40, 4))
    Y[:, 0], Y[:, 1], Y[::2, 2], Y[:, 3] = 1, np.nan, 1, X[:, 0] > 0

    class Stub:
        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return np.tile([0.9, 0.5, 0.5, 0.2], (len(X), 1))

        def predict(self, X):
            return (self.predict_proba(X) >= 0.5).astype(int)

    page = read(report(Stub(), X, Y, tmp_path / "r.html", max_labels=1, **QUICK))
    found = page.texts["summary"]
    assert "1 label without positives among these rows" in found and "never predicted" in found
    assert "1 label present in all observed rows: 0" in found
    assert table_of_labels(page)["1"]["recall"] == "–"


def test_columns_of_dates_and_labels_without_positives(data, tmp_path):
    X, Y = data[0].to_numpy(), np.zeros((240, 2))
    table = pd.DataFrame({"when": pd.date_range("2026-01-01", periods=240), "a": X[:, 0]})

    class Stub:
        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return np.column_stack([np.full(len(X), 0.2), X["a"] > 0])

        def predict(self, X):
            return (self.predict_proba(X) >= 0.5).astype(int)

    path = report(Stub(), table, Y, tmp_path / "r.html", max_labels=1, n_bootstrap=2, n_repeats=1)
    page = read(path)
    assert "and the logistic regression leave out: when." in page.texts["summary"]
    assert "2 labels without positives among these rows" in page.texts["summary"]
    assert page.tables["columns"][1][1] == ["0", "none"]


# ------------------------------------------------------------------ scores and intervals


def test_the_bootstrap_weighs_rows_like_the_metrics():
    rng = np.random.default_rng(0)
    proba = np.round(rng.random((50, 3)), 1)  # with ties
    Y = (rng.random((50, 3)) < proba).astype(float)
    Y[::7, 1], Y[3] = np.nan, np.nan
    guess = (proba > 0.4).astype(float)
    seed = np.random.RandomState(0)
    scores, differences = bootstrap(
        Y, {"a": (proba, guess), "b": (1 - proba, 1 - guess)}, 200, 0.9, seed, "a"
    )
    seed = np.random.RandomState(0)
    samples = []
    for _ in range(200):
        weight = np.bincount(seed.randint(50, size=50), minlength=50)
        samples.append(
            [
                metrics.f_measure(Y, guess, average="macro", sample_weight=weight),
                metrics.f_measure(Y, guess, sample_weight=weight),
                metrics.f_measure(Y, guess, average="samples", sample_weight=weight),
                metrics.subset_accuracy(Y, guess, sample_weight=weight),
                metrics.hamming_loss(Y, guess, sample_weight=weight),
                metrics.macro_average_precision(Y, proba, sample_weight=weight),
                metrics.multilabel_log_loss(Y, proba, sample_weight=weight),
                metrics.multilabel_brier_score(Y, proba, sample_weight=weight),
            ]
        )
    expected = np.quantile(samples, [0.05, 0.95], axis=0)
    np.testing.assert_allclose([[s.low, s.high] for s in scores["a"]], expected.T)
    for k in range(len(METRICS)):
        difference = scores["a"][k].value - scores["b"][k].value
        assert differences["b"][k].value == pytest.approx(difference)
        assert differences["b"][k].low <= difference <= differences["b"][k].high


def test_a_better_model_is_called_better(data, tmp_path):
    X = data[0].to_numpy()
    Y = (X**2 > 0.5).astype(int)  # which no linear model finds

    class Knows:
        def fit(self, X, y):
            return self

        def predict(self, X):
            return (X**2 > 0.5).astype(int)

        def predict_proba(self, X):
            return 0.8 * self.predict(X) + 0.1

    page = read(report(Knows(), X, Y, tmp_path / "r.html", max_labels=1, **QUICK))
    better = (
        "Compared to logistic regression cross-validated on these rows, the model is better in all "
        "metrics."
    )
    assert better in page.texts["summary"]
    kinds = [Interval(0.1, 0.05, 0.2), Interval(-0.1, -0.2, 0.05), Interval(-0.1, -0.2, -0.05)]
    differences = [*kinds, *[Interval(0.0, -0.1, 0.1)] * 5]
    assert _verdict("X", differences) == (
        "Compared to X, the model is better in macro F1; worse in samples F1; not significantly "
        "different in micro F1, subset accuracy, Hamming loss, macro average precision, log loss, "
        "Brier score."
    )
    assert _judge(Interval(0.1, 0.05, 0.2), greater_is_better=False) == "worse"


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "options, message",
    [
        ({"y": [[0, 1]]}, "X and y must have as many rows, got 2 and 1"),
        ({"y": [[0, 0.5], [1, 0]]}, "y must hold 0, 1, or NaN where not observed, got 0.5"),
        ({"X_train": [[1.0]]}, "X_train is given without y_train: give both, or none of them"),
        ({"label_names": ["a"]}, "label_names must have one name for each of the 2 labels, got 1"),
        ({"max_labels": 0}, "max_labels must be an integer >= 1, got 0"),
        ({"n_bootstrap": -1}, "n_bootstrap must be an integer >= 0, got -1"),
        ({"confidence": 2}, "confidence must be a number in"),
        ({"path": "no/such/folder/r.html"}, "path must be in a folder that exists"),
    ],
)
def test_bad_input_is_named(options, message, tmp_path):
    X, Y = [[0.0], [1.0]], [[0, 1], [1, 0]]
    model = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        report(model, **({"X": X, "y": Y, "path": tmp_path / "r.html"} | options))
    assert not list(tmp_path.iterdir())


def test_a_model_without_scores_is_refused(tmp_path):
    with pytest.raises(TypeError, match="model must be a classifier with fit and predict_proba or"):
        report(object(), [[0.0]], [[0]], tmp_path / "r.html")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'report needs.*"sklearn_mlloss\[plot\]"'):
        report(None, None, None)
