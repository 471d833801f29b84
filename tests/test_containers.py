"""Containers are read alike by every estimator, metric and display, or refused before training."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.inspection import (
    CalibrationDisplay,
    ConfusionMatrixDisplay,
    LabelCountDisplay,
    LabelReportDisplay,
    PrecisionRecallDisplay,
    ThresholdDisplay,
    report,
)
from sklearn_mlloss.metrics import (
    hamming_loss,
    multilabel_report,
    multilabel_scorers,
    subset_accuracy,
)
from sklearn_mlloss.model_selection import MultilabelStratifiedGroupKFold, MultilabelStratifiedKFold

N = 40
rng = np.random.default_rng(0)
X = rng.integers(-4, 5, size=(N, 3)).astype(float)
Y = (X @ rng.normal(size=(3, 2)) + rng.normal(size=(N, 2)) > 0).astype(int)
P = rng.random(Y.shape)
HOLES = np.zeros(X.shape, dtype=bool)
HOLES[::5, 0] = True
NAMES, LABELS = ["a", "b", "c"], ["p", "q"]
TREE = DecisionTreeClassifier(max_depth=2, random_state=0)


def net(**params):
    defaults = dict(hidden_layer_sizes=(2,), max_epochs=1, early_stopping=False, random_state=0)
    return MultiLabelNetClassifier(**(defaults | params))


def decoded(estimator=TREE):
    return DecodedClassifierCV(estimator, "threshold", cv=2, random_state=0)


def vote(estimator=TREE):
    return SoftVotingClassifier([("tree", estimator)])


def search(estimator=None):
    return LossDecoderSearchCV(estimator or net(), ["bce"], ["threshold"], cv=2, random_state=0)


def linear():
    return MultiLabelLogisticRegressionCV(cv=2, random_state=0)


EVERY = pytest.mark.parametrize("make", [net, decoded, vote, search, linear])


def objects(rows):
    array = np.empty(len(rows), dtype=object)
    array[:] = list(rows)
    return array


def arrow(values, names):
    pa = pytest.importorskip("pyarrow")
    return pa.table(dict(zip(names, values.T, strict=True)))


# ------------------------------------------------------------------ X


@EVERY
@pytest.mark.parametrize(
    "form",
    [
        lambda: np.ma.array(X, mask=HOLES),
        lambda: list(np.ma.array(X, mask=HOLES)),
        lambda: pd.DataFrame(np.ma.array(X, mask=HOLES)).astype("Int64"),
    ],
    ids=["mask", "masked rows", "Int64"],
)
def test_masked_and_null_values_of_X_are_missing(make, form):
    wanted = make().fit(np.where(HOLES, np.nan, X), Y).predict_proba(np.where(HOLES, np.nan, X))
    model = make().fit(form(), Y)
    np.testing.assert_array_equal(model.predict_proba(form()), wanted)
    assert 0 <= model.score(form(), Y) <= 1
    if make is not search:
        assert not np.array_equal(model.predict_proba(X), wanted)


@EVERY
def test_rows_of_arrow_can_be_chosen(make):
    model = make().fit(arrow(X, NAMES).to_batches()[0], Y)
    assert model.feature_names_in_.tolist() == NAMES
    wanted = make().fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(arrow(X, NAMES)), wanted)


def malformed(indices, shape):
    rows = sp.csr_array(np.ones(shape))
    rows.indices = np.full_like(rows.indices, indices)
    return rows


@EVERY
@pytest.mark.parametrize("method", ["fit", "predict", "score"])
def test_sparse_rows_with_columns_beyond_the_shape_are_refused(make, method):
    model = make() if method == "fit" else make().fit(X, Y)
    arguments = (Y,) if method != "predict" else ()
    with pytest.raises(ValueError, match="X is a malformed csr_array: .*ind(ex|ices)"):
        getattr(model, method)(malformed(10**8, X.shape), *arguments)


@EVERY
@pytest.mark.parametrize(
    "given, message",
    [
        ((row for row in X), r"X must be array-like, got generator: give list\(X\)"),
        ({"a": X[:, 0]}, r"X must be array-like, got dict: give pandas.DataFrame\(X\)"),
        (None, "X must be array-like, got None"),
        (X + 1j, "Complex data not supported: X must hold real numbers"),
        (pd.DataFrame(X, columns=list("aab")), "X has several columns of the name 'a'"),
        (sp.coo_array(X[:, 0]), r"X must be 2-D, got a sparse array of shape \(40,\)"),
    ],
    ids=["generator", "dict", "None", "complex", "names", "1-D"],
)
def test_invalid_X_is_refused_before_training(make, given, message):
    class Untrained(DecisionTreeClassifier):
        def fit(self, X, y):
            raise AssertionError("trained")

    estimator = make() if make in (net, search, linear) else make(Untrained())
    with pytest.raises(ValueError, match=message):
        estimator.fit(given, Y)
    with pytest.raises(ValueError, match=message):
        make().fit(X, Y).predict(given)


@pytest.mark.parametrize("make", [decoded, vote])
def test_other_estimators_may_take_other_inputs(make):
    texts = ["x" * int(v + 5) for v in X[:, 0]]
    lengths = FunctionTransformer(lambda texts: np.array([[len(t)] for t in texts]))
    model = make(make_pipeline(lengths, TREE)).fit(texts, Y)
    wanted = make().fit([[len(t)] for t in texts], Y).predict_proba([[len(t)] for t in texts])
    np.testing.assert_array_equal(model.predict_proba(texts), wanted)


@pytest.mark.parametrize(
    "form", [lambda v: v.astype(object), lambda v: pd.DataFrame(v, dtype=object)]
)
def test_NA_among_objects(form):
    given = form(X)
    (given.iloc if hasattr(given, "iloc") else given)[0, 0] = pd.NA
    advice = (
        r"X.convert_dtypes\(\)" if hasattr(given, "iloc") else "numpy.nan in place of pandas.NA"
    )
    with pytest.raises(ValueError, match=f"column 0 of X is not numeric .*{advice}"):
        net().fit(given, Y)


def with_a_huge_integer(values):
    rows = values.tolist()
    rows[3][0] = 10**400
    return rows


@pytest.mark.parametrize(
    "form", [list, lambda v: np.array(v, dtype=object), lambda v: pd.DataFrame(v, dtype=object)]
)
def test_an_integer_beyond_float_is_named(form):
    huge, model = form(with_a_huge_integer(X)), net().fit(X, Y)
    for call in (lambda: net().fit(huge, Y), lambda: model.predict(huge)):
        with pytest.raises(ValueError, match="column 0 of X is not numeric .int too large"):
            call()
    with pytest.raises(ValueError, match="y must hold 0 and 1 .*got values such as inf"):
        net().fit(X, form(with_a_huge_integer(Y)))
    with pytest.raises(ValueError, match="sample_weight must be finite"):
        net().fit(X, Y, sample_weight=form(with_a_huge_integer(np.ones((N, 1)))))


# ------------------------------------------------------------------ y

FORMS = {
    "objects": lambda: Y.astype(object),
    "float16": lambda: Y.astype(np.float16),
    "rows in an array": lambda: objects(Y),
    "rows in a Series": lambda: pd.Series(Y.tolist()),
    "memoryview": lambda: memoryview(Y),
    "Int64": lambda: pd.DataFrame(Y, columns=LABELS, dtype="Int64"),
    "mixed frame": lambda: pd.DataFrame(Y, columns=LABELS).astype({"p": bool}),
    "sparse frame": lambda: pd.DataFrame(Y, columns=LABELS, dtype=pd.SparseDtype(int, 0)),
    "arrow": lambda: arrow(Y, LABELS),
}


@pytest.mark.parametrize(
    "make, form",
    [(make, form) for make in (net, decoded, vote, linear) for form in FORMS]
    + [(search, form) for form in ("objects", "Int64", "mixed frame")],
)
def test_forms_of_y_that_are_fitted_are_scored(make, form):
    form = FORMS[form]
    wanted, model = make().fit(X, Y), make().fit(X, form())
    np.testing.assert_array_equal(model.predict_proba(X), wanted.predict_proba(X))
    np.testing.assert_array_equal(np.asarray(model.predict(X)), wanted.predict(X))
    assert model.score(X, form()) == wanted.score(X, Y)
    if hasattr(model, "fit_decoder"):
        model.fit_decoder(X, form(), "global_threshold")
        wanted.fit_decoder(X, Y, "global_threshold")
        np.testing.assert_array_equal(np.asarray(model.predict(X)), wanted.predict(X))


@pytest.mark.parametrize("form", [sp.csr_array, sp.csr_matrix, sp.lil_array, sp.coo_matrix])
@pytest.mark.parametrize(
    "make", [net, lambda: decoded(net()), lambda: vote(net()), search], ids=range(4)
)
@pytest.mark.parametrize("n_labels", [1, 2])
def test_sparse_labels_are_predicted_as_such(make, form, n_labels):
    y = form(Y[:, :n_labels])
    clf = make().fit(X, y)
    found = clf.predict(X)
    assert sp.issparse(found) and isinstance(found, sp.sparray) == isinstance(y, sp.sparray)
    assert found.shape == (N, n_labels) and np.isfinite(clf.score(X, y))


@pytest.mark.parametrize("form", [sp.csr_array, sp.csr_matrix, sp.lil_array, sp.coo_matrix])
@pytest.mark.parametrize("make", [net, search])
def test_sparse_y(make, form):
    assert make().fit(X, form(Y)).score(X, form(Y)) == make().fit(X, Y).score(X, Y)
    assert sp.issparse(make().fit(X, form(Y)).predict(X))
    one = make().fit(X, form(Y[:, :1]))
    assert one.score(X, form(Y[:, :1])) == make().fit(X, Y[:, :1]).score(X, Y[:, :1])


@EVERY
def test_malformed_sparse_y(make):
    with pytest.raises(ValueError, match="y is a malformed csr_array: .*ind(ex|ices)"):
        make().fit(X, malformed(9, Y.shape))


def test_arrow_names_the_labels():
    assert net().fit(X, arrow(Y, LABELS)).label_names_.tolist() == LABELS


def test_masked_labels_are_not_observed():
    masked = np.ma.array(Y, mask=HOLES[:, :2])
    missing = np.where(HOLES[:, :2], np.nan, Y)
    np.testing.assert_array_equal(
        net().fit(X, masked).predict_proba(X), net().fit(X, missing).predict_proba(X)
    )
    assert hamming_loss(masked, Y) == hamming_loss(missing, Y)
    pd.testing.assert_frame_equal(multilabel_report(masked, P, Y), multilabel_report(missing, P, Y))
    fitted = net().fit(X, Y)
    assert fitted.score(X, masked) == subset_accuracy(missing, fitted.predict(X))


@EVERY
@pytest.mark.parametrize(
    "given, message",
    [
        ((row for row in Y), r"y must be array-like, got generator: give list\(y\)"),
        ({"p": Y[:, 0]}, r"y must be array-like, got dict: give pandas.DataFrame\(y\)"),
        ([{"p": 1}] * N, r"y has a dict for each row: give pandas.DataFrame\(y\)"),
        (np.zeros(N, dtype="V8"), "y must be array-like, got ndarray of records"),
        (Y[:, 0] + 1j, "Complex data not supported: y"),
        (np.ma.array(Y[:, 0], mask=HOLES[:, 0]), "Input y contains NaN"),
        (np.where(HOLES[:, 0], np.datetime64("NaT"), np.datetime64("2020")), "y contains NaN"),
        (pd.DataFrame(Y, columns=["p", "p"]), "y has several columns of the name 'p'"),
    ],
    ids=["generator", "dict", "dicts", "void", "complex", "mask", "NaT", "names"],
)
def test_invalid_y_is_refused(make, given, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X, given)


@EVERY
@pytest.mark.parametrize("y", [np.zeros(0, int), np.zeros(0, "U1"), pd.Series([], dtype=object)])
def test_no_rows(make, y):
    with pytest.raises(ValueError, match="y has no rows|0 sample"):
        make().fit(X[:0], y)


# ------------------------------------------------------------------ names of labels

NAMED = pd.DataFrame(Y, columns=LABELS)
REORDERED = NAMED[LABELS[::-1]]
ORDER = r"must have the columns \['p', 'q'\] of .* in that order, got \['q', 'p'\]"


@EVERY
def test_labels_in_another_order_are_not_scored(make):
    model = make().fit(X, NAMED)
    with pytest.raises(ValueError, match=f"y {ORDER}"):
        model.score(X, REORDERED)
    assert model.score(X, NAMED) == model.score(X, Y) == model.score(X, pd.DataFrame(Y))
    if hasattr(model, "fit_decoder"):
        with pytest.raises(ValueError, match=f"y {ORDER}"):
            model.fit_decoder(X, REORDERED)
    if hasattr(model, "label_names_"):
        with pytest.raises(ValueError, match=f"y {ORDER}"):
            DecodedClassifierCV(model, "global_threshold", cv="prefit").fit(X, REORDERED)


@pytest.mark.parametrize("scoring", ["f1_macro", "roc_auc"])
def test_a_search_with_a_metric_goes_by_names(scoring):
    model = search().set_params(scoring=scoring).fit(X, NAMED)
    with pytest.raises(ValueError, match=f"y {ORDER}"):
        model.score(X, REORDERED)


def test_metrics_and_scorers_go_by_names():
    with pytest.raises(ValueError, match=f"Y_hat {ORDER}"):
        hamming_loss(NAMED, REORDERED)
    with pytest.raises(ValueError, match=f"proba {ORDER}"):
        multilabel_report(NAMED, pd.DataFrame(P, columns=LABELS[::-1]), Y)
    assert hamming_loss(NAMED, Y) == hamming_loss(NAMED, pd.DataFrame(Y)) == 0
    for scorer in multilabel_scorers().values():
        with pytest.raises(ValueError, match=f"y {ORDER}"):
            scorer(NET_OF_NAMES, X, REORDERED)


NET_OF_NAMES = net().fit(X, NAMED)


DISPLAYS = [
    CalibrationDisplay, ConfusionMatrixDisplay, LabelCountDisplay, LabelReportDisplay,
    PrecisionRecallDisplay, ThresholdDisplay,
]  # fmt: skip


def test_the_report_goes_by_names(tmp_path):
    with pytest.raises(ValueError, match=f"y {ORDER}"):
        report(NET_OF_NAMES, X, REORDERED, tmp_path / "report.html")
    with pytest.raises(ValueError, match=f"y_train {ORDER}"):
        report(NET_OF_NAMES, X, NAMED, tmp_path / "report.html", X_train=X, y_train=REORDERED)


@pytest.mark.parametrize("display", DISPLAYS)
def test_displays_go_by_names(display):
    with pytest.raises(ValueError, match=f"y {ORDER}"):
        display.from_estimator(NET_OF_NAMES, X, REORDERED)
    with pytest.raises(ValueError, match=f"{ORDER}"):
        display.from_predictions(NAMED, pd.DataFrame(Y, columns=LABELS[::-1]))


# ------------------------------------------------------------------ groups, and what decides


@pytest.mark.parametrize(
    "groups, message",
    [
        (np.ma.array(np.arange(N) // 4, mask=HOLES[:, 0]), "groups contains NaN"),
        (pd.Series(np.arange(N) // 4, dtype="Int64").mask(HOLES[:, 0]), "groups contains NaN"),
        ((k for k in range(N)), r"groups must be an array .*, got generator: give list\(groups\)"),
        (np.zeros((N, 2)), r"groups must be 1-D, .* got shape \(40, 2\)"),
    ],
    ids=["mask", "NA", "generator", "2-D"],
)
@pytest.mark.parametrize(
    "take",
    [
        lambda groups: next(MultilabelStratifiedGroupKFold(2).split(X, Y, groups)),
        lambda groups: decoded().fit(X, Y, groups=groups),
        lambda groups: search().fit(X, Y, groups=groups),
    ],
    ids=["splitter", "decoded", "search"],
)
def test_groups_that_are_none(take, groups, message):
    with pytest.raises(ValueError, match=message):
        take(groups)


@pytest.mark.parametrize("form", [*FORMS.values(), lambda: sp.coo_array(Y)])
def test_forms_of_y_are_split_alike(form):
    folds = [list(MultilabelStratifiedKFold(2, random_state=0).split(X, y)) for y in (Y, form())]
    for wanted, found in zip(*folds, strict=True):
        np.testing.assert_array_equal(found[1], wanted[1])


def test_masked_probabilities_are_not_decided():
    with pytest.raises(ValueError, match="Input proba contains NaN"):
        NET_OF_NAMES.decode(np.ma.array(P, mask=HOLES[:, :2]))
