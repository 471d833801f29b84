"""Every form in which classifiers return scores, for the reader and for all that use it."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_mlloss import DecodedClassifierCV, SoftVotingClassifier
from sklearn_mlloss._data.scores import class_matrix, label_matrix
from sklearn_mlloss.inspection._inputs import label_probabilities
from sklearn_mlloss.metrics import multilabel_scorers

rng = np.random.default_rng(0)
P = rng.uniform(0.05, 0.95, (40, 3))
Y = (P > 0.5).astype(int)


def both(column):
    return np.column_stack([1 - column, column])


# Each makes a form of probabilities (n, n_labels), and the classes_ that come with it.
MANY = {
    "array": lambda p: (p, [0, 1, 2]),
    "array, no classes": lambda p: (p, None),
    "array of pairs": lambda p: (np.stack([1 - p, p], axis=2), None),
    "array of single columns": lambda p: (p[:, :, None], None),
    "list": lambda p: ([both(c) for c in p.T], [np.arange(2)] * p.shape[1]),
    "list, no classes": lambda p: ([both(c) for c in p.T], None),
    "list, classes reversed": lambda p: ([both(1 - c) for c in p.T], [[1, 0]] * p.shape[1]),
    "tuple": lambda p: (tuple(both(c) for c in p.T), [np.arange(2)] * p.shape[1]),
    "list of sparse": lambda p: ([sp.csr_array(both(c)) for c in p.T], None),
    "list of frames": lambda p: ([pd.DataFrame(both(c)) for c in p.T], None),
    "list of single columns": lambda p: ([c[:, None] for c in p.T], None),
    "list of columns": lambda p: ([*p.T], None),
    "list of rows": lambda p: ([*p], None),
    "nested lists": lambda p: (p.tolist(), None),
    "objects": lambda p: (np.array([None, *map(both, p.T)], dtype=object)[1:], None),
    "csr matrix": lambda p: (sp.csr_matrix(p), None),
    "coo array": lambda p: (sp.coo_array(p), None),
    "list of lists": lambda p: (sp.lil_matrix(p), None),
    "frame": lambda p: (pd.DataFrame(p, columns=[f"label {k}" for k in range(p.shape[1])]), None),
    "float32": lambda p: (p.astype(np.float32), None),
}
ONE = {
    "pair": lambda p: (both(p[:, 0]), [0, 1]),
    "pair, no classes": lambda p: (both(p[:, 0]), None),
    "pair, number of the label": lambda p: (both(p[:, 0]), [0]),
    "pair, name of the label": lambda p: (both(p[:, 0]), ["rain"]),
    "pair, classes reversed": lambda p: (both(1 - p[:, 0]), [1, 0]),
    "pair, sparse": lambda p: (sp.csr_matrix(both(p[:, 0])), [0]),
    "pair, frame": lambda p: (pd.DataFrame(both(p[:, 0])), [False, True]),
    "list of a pair, flat classes": lambda p: ([both(p[:, 0])], [0, 1]),
    "column": lambda p: (p, [0, 1]),
    "column, number of the label": lambda p: (p, [0]),
    "1-D": lambda p: (p[:, 0], [0, 1]),
    "series": lambda p: (pd.Series(p[:, 0]), None),
    "list of numbers": lambda p: (p[:, 0].tolist(), None),
}
FORMS = [(f"{name}, {n} labels", form, n) for name, form in MANY.items() for n in (3, 2, 1)]
FORMS += [(f"{name}, one label", form, 1) for name, form in ONE.items()]
forms = pytest.mark.parametrize(
    "form, n_labels", [case[1:] for case in FORMS], ids=[case[0] for case in FORMS]
)


class Fake(ClassifierMixin, BaseEstimator):
    """Returns known probabilities in some form; X are the probabilities."""

    def __init__(self, form=None):
        self.form = form

    def fit(self, X, y):
        classes = self.form(np.asarray(X)[:5])[1]
        if classes is not None:
            self.classes_ = classes
        self.fitted_ = True
        return self

    def predict(self, X):
        return 1 * (np.asarray(X) > 0.5)

    def predict_proba(self, X):
        return self.form(np.asarray(X))[0]


class Decides(Fake):
    """Returns known decisions."""

    predict_proba = None

    def decision_function(self, X):
        return self.form(np.asarray(X))[0]


@forms
@pytest.mark.parametrize("n_rows", [40, 1])
def test_labels_in_each_form(form, n_labels, n_rows):
    given = P[:n_rows, :n_labels]
    values, classes = form(given)
    np.testing.assert_allclose(label_matrix(values, n_labels, classes), given, rtol=1e-6)


@forms
def test_estimators_scorers_and_displays_read_each_form(form, n_labels):
    X, y = P[:, :n_labels], Y[:, :n_labels]
    fake = Fake(form)
    for clf in (
        DecodedClassifierCV(fake, "threshold"),
        DecodedClassifierCV(fake, "global_threshold", cv=2, random_state=0),
        SoftVotingClassifier([("fake", fake)]),
    ):
        np.testing.assert_allclose(clf.fit(X, y).predict_proba(X), X, rtol=1e-6)
        assert clf.score(X, y) == 1
    fake.fit(X, y)
    exact = Fake(lambda p: (p, None)).fit(X, y)
    for name in ("neg_brier_score", "macro_average_precision", "subset_accuracy"):
        scorer = multilabel_scorers()[name]
        assert scorer(fake, X, y) == pytest.approx(scorer(exact, X, y), abs=1e-6)
    np.testing.assert_allclose(label_probabilities(fake, X, n_labels), X, rtol=1e-6)


SINGLE = [
    "array",
    "list of columns",
    "list of single columns",
    "nested lists",
    "csr matrix",
    "frame",
]


@pytest.mark.parametrize("n_labels", [3, 1])
@pytest.mark.parametrize("form", SINGLE)
def test_decision_functions_are_mapped_in_each_form(form, n_labels):
    X, y = 4 * P[:, :n_labels] - 2, Y[:, :n_labels]
    clf = DecodedClassifierCV(
        Decides(MANY[form]), "threshold", response_method="decision_function"
    ).fit(X, y)
    np.testing.assert_allclose(clf.decision_function(X), X, rtol=1e-5, atol=1e-6)
    scorer = multilabel_scorers()["macro_average_precision"]
    assert scorer(Decides(MANY[form]).fit(X, y), X, y) == 1


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("n_labels", [1, 3])
def test_a_label_that_was_constant_in_training_has_its_constant(constant, n_labels):
    columns = [np.ones((4, 1)), *map(both, P[:4, 1:n_labels].T)]
    classes = [np.array([constant]), *[np.arange(2)] * (n_labels - 1)]
    assert label_matrix(columns, n_labels, classes)[:, 0].tolist() == [constant] * 4
    assert label_matrix(columns[0], 1, classes[0])[:, 0].tolist() == [constant] * 4


def test_a_single_column_that_varies_is_that_of_the_positive_class():
    column = P[:4, :1]
    for classes in (None, [0], [1], [0, 1], ["rain"]):
        assert label_matrix(column, 1, classes).tolist() == column.tolist()
        own = None if classes is None else [classes]
        assert label_matrix([column], 1, own).tolist() == column.tolist()
    with pytest.raises(ValueError, match="Fake returned one column .* no classes_ to check"):
        label_matrix([np.ones((4, 1))], 1, None, "predict_proba of Fake")


@pytest.mark.parametrize(
    "values, n_labels, match",
    [
        (np.ones((4, 3)), 2, r"scores of shape \(4, 3\) for 2 labels: one column per label"),
        (np.ones((4, 3)), 1, r"scores of shape \(4, 3\) for .*1 label: one column"),
        (np.ones((4, 2, 3)), 2, r"scores of shape \(4, 3\) for each of them for 2 labels"),
        (np.ones((4, 3, 2)), 2, r"scores of shape \(4, 3, 2\) for 2 labels"),
        ([np.ones((4, 2))] * 3, 2, "3 arrays for 2 labels"),
        (np.ones(4), 2, r"scores of shape \(4,\) for 2 labels"),
        (0.5, 2, r"scores of shape \(\)"),
        ("text", 2, "it returned str that does not convert to numbers"),
        (None, 2, "NoneType that does not convert to numbers"),
    ],
    ids=str,
)
def test_what_is_no_matrix_of_labels_is_refused(values, n_labels, match):
    with pytest.raises(ValueError, match=match):
        label_matrix(values, n_labels, source="it")


CLASSES = np.array(["a", "b", "c"])


def test_classes_in_each_form():
    p = P / P.sum(axis=1, keepdims=True)
    for values in (p, sp.csr_matrix(p), pd.DataFrame(p), p.tolist(), [p], (p,)):
        np.testing.assert_array_equal(class_matrix(values, CLASSES, CLASSES), p)
    np.testing.assert_array_equal(class_matrix(p[:, ::-1], CLASSES[::-1], CLASSES), p)
    two = CLASSES[:2]
    for values in (P[:, 0], P[:, :1], both(P[:, 0]), [both(P[:, 0])], pd.Series(P[:, 0])):
        np.testing.assert_allclose(class_matrix(values, two, two), both(P[:, 0]))
    # A class that was not seen has 0, and the only one that was has 1.
    seen = class_matrix(both(P[:, 0]), ["a", "c"], CLASSES)
    assert not seen[:, 1].any() and seen[:, 2].tolist() == P[:, 0].tolist()
    assert class_matrix(np.ones((4, 1)), ["b"], CLASSES).tolist() == [[0, 1, 0]] * 4


def test_classes_given_back_as_text():
    flags = np.array([False, True])
    found = class_matrix(both(P[:, 0]), ["False", "True"], flags)
    np.testing.assert_array_equal(found, both(P[:, 0]))
    with pytest.raises(ValueError, match=r"it is of the classes \['no'\], which are not among"):
        class_matrix(np.ones((4, 1)), ["no"], flags, "it")


@pytest.mark.parametrize(
    "values, seen, match",
    [
        (P, None, "must have classes_"),
        ([P, P], CLASSES, "must return one array"),
        (np.ones((4, 3, 2)), CLASSES, "must return one array"),
        (np.ones((4, 6)), CLASSES, "returned 6 columns for 3 classes"),
    ],
    ids=["no classes", "list", "3-D", "columns"],
)
def test_what_is_no_matrix_of_classes_is_refused(values, seen, match):
    with pytest.raises(ValueError, match=match):
        class_matrix(values, seen, CLASSES, "it")


def test_masked_scores_are_missing():
    masked = np.ma.array([[0.2, 0.9], [0.4, 0.1]], mask=[[0, 1], [0, 0]])
    np.testing.assert_array_equal(label_matrix(masked, 2), [[0.2, np.nan], [0.4, 0.1]])
