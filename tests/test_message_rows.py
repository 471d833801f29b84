"""No message shows rows of data, of any length: messages end up in logs."""

import inspect
import itertools
import traceback
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import FunctionTransformer

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
    metrics,
)
from sklearn_mlloss.calibration import CALIBRATORS
from sklearn_mlloss.decoders import DECODERS
from sklearn_mlloss.losses import LOSSES
from sklearn_mlloss.networks import ENCODINGS

rng = np.random.default_rng(0)
Y = (rng.random((30, 3)) < 0.5).astype(int)
SCORES = rng.uniform(0.1, 0.9, Y.shape)
PLAIN = rng.normal(size=(30, 4))
LINEAR = OneVsRestClassifier(LogisticRegression())

# Every value is secret, in several forms.
X = np.where(rng.random((30, 4)) < 0.5, 123456.789, -123456.789)
weight = np.full(30, 7654.25)
text = np.where(Y == 1, "confidential", "secret")
SECRETS = ("123456", "7654", "confidential", "secret")
FORMS = {
    "array": X,
    "list": X.tolist(),
    "frame": pd.DataFrame(X),
    "sparse": sp.csr_array(X),
    "column": weight,
    "column list": weight.tolist(),
    "text": text,
    "dict": {"a": X, "b": X.tolist()},
    "pair": (X, X),
}

pytestmark = pytest.mark.filterwarnings("ignore")


def net(**params):
    defaults = dict(hidden_layer_sizes=(), max_epochs=1, early_stopping=False, random_state=0)
    return MultiLabelNetClassifier(**(defaults | params))


def decoded(**params):
    return DecodedClassifierCV(**(dict(estimator=LINEAR, decoder="global_threshold") | params))


def voting(**params):
    return SoftVotingClassifier(**(dict(estimators=[("a", LINEAR)]) | params))


def search(**params):
    defaults = dict(estimator=net(), losses=["bce"], decoders=["threshold"], cv=2)
    return LossDecoderSearchCV(**(defaults | params))


def messages_of(call):
    """Return all that a call warns of and that the traceback of its error has, if there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
            lines = []
        except Exception as error:
            lines = traceback.TracebackException.from_exception(error, lookup_lines=False)
            # Without lines of code, which have words of their own.
            lines = [line for line in lines.format() if not line.lstrip().startswith("File")]
    return "\n".join([*lines, *(str(warning.message) for warning in caught)])


def check(call, *what, most=0):
    """Check that a call shows at most so many values."""
    found = messages_of(call)
    assert sum(found.count(secret) for secret in SECRETS) <= most, (*what, found[:1000])
    assert len(found) < 3000, what


def names_of(function):
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "make, kind",
    [
        (net, MultiLabelNetClassifier),
        (decoded, DecodedClassifierCV),
        (voting, SoftVotingClassifier),
        (search, LossDecoderSearchCV),
        (MultiLabelLogisticRegressionCV, MultiLabelLogisticRegressionCV),
    ],
    ids=["net", "decoded", "voting", "search", "linear"],
)
def test_rows_in_place_of_a_parameter(make, kind, form):
    for name in names_of(kind):
        if form == "dict" and name == "param_grid":
            continue  # scikit-learn's own error, for a grid of rows
        check(lambda: make(**{name: FORMS[form]}).fit(PLAIN, Y), name)  # noqa: B023


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_place_of_a_parameter_of_a_part(form):
    for kinds, fit in [
        (LOSSES, lambda part: part.fit(Y)),
        (DECODERS, lambda part: part.fit(SCORES, Y).decode(SCORES)),
        (CALIBRATORS, lambda part: part.fit(SCORES, Y)),
        (ENCODINGS, lambda part: part.fit(PLAIN)),
    ]:
        for kind in kinds.values():
            for name in names_of(kind):
                check(lambda: fit(kind(**{name: FORMS[form]})), kind, name)  # noqa: B023


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [net, decoded, voting, search])
def test_rows_of_a_wrong_form(make, form):
    rows = FORMS[form]
    fitted = make().fit(PLAIN, Y)
    right = {"X": PLAIN, "y": Y}
    # The estimator of these two has messages of its own for X; of text one value is shown.
    others = make in (decoded, voting) or form == "text"
    for name in ("fit", "partial_fit", "score", "fit_decoder"):
        method = getattr(fitted, name, None)
        for argument in ("X", "y", "sample_weight", "groups", "decoder", "calibration", "classes"):
            if method is None or (argument == "X" and others):
                continue
            # One value of y that is none of an indicator.
            most = int(argument == "y")
            check(lambda: method(**(right | {argument: rows})), name, argument, most=most)  # noqa: B023
    if not others:
        check(lambda: fitted.predict(rows), "predict")
    if make in (net, decoded) and form != "text":
        check(lambda: fitted.decode(rows), "decode")
        check(lambda: fitted.decode(SCORES, rows), "decode with count")
        check(lambda: fitted.summary(rows), "summary")


@pytest.mark.parametrize("make", [net, search])
def test_complex_rows(make):
    check(lambda: make().fit(X.astype(complex), Y))
    check(lambda: make().fit(PLAIN, Y).predict(X.astype(complex)))


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_place_of_arguments_of_parts_and_metrics(form):
    rows = FORMS[form]
    for kind in (*DECODERS.values(), *CALIBRATORS.values()):
        for name in ("scores", "Y", "sample_weight"):
            check(lambda: kind().fit(**(dict(scores=SCORES, Y=Y) | {name: rows})), kind, name)  # noqa: B023
    functions = [getattr(metrics, name) for name in metrics.__all__]
    for function in filter(inspect.isfunction, functions):
        first, second, *rest = [*names_of(function), None, None]
        right = {first: Y, second: Y if "hat" in str(second) else SCORES}
        for name in (first, second, *rest[:-2]):
            check(lambda: function(**(right | {name: rows})), function, name)  # noqa: B023


@pytest.mark.parametrize("of", [np.asarray, pd.DataFrame, sp.csr_array])
def test_objects_that_memory_cannot_pickle(tmp_path, of):
    def loss(outputs, targets):
        return (outputs - targets).square().mean()

    def module(n_features, n_outputs):
        raise AssertionError("nothing is trained")

    table = of(np.abs(X))
    wrong = {
        "loss": loss,
        "module": module,
        "lr_schedule": lambda optimizer: None,
        "callbacks": [type("Local", (), {"on_epoch_end": None, "initialize": None})()],
        "encoding": FunctionTransformer(lambda X: 2 * X),
    }
    for (name, value), cv in itertools.product(wrong.items(), [None, 2]):
        params = {name: value, "memory": str(tmp_path), "cv": cv}
        if name == "module":
            params["hidden_layer_sizes"] = "auto"
        call = lambda: net(**params).fit(table, Y, weight)  # noqa: E731, B023
        check(call, name)
        with pytest.raises(
            ValueError, match=f"memory.*{name}=.*cannot be pickled: .*set memory="
        ) as e:
            call()
        assert len(str(e.value)) < 700 and e.value.__cause__ is None
    assert not list(tmp_path.rglob("output.pkl"))


def test_rows_do_not_reach_the_folder_of_memory_as_text(tmp_path):
    net(memory=str(tmp_path)).fit(X, Y, weight)
    texts = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert texts and not any(secret in text for text in texts for secret in SECRETS)
