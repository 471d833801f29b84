"""Messages for mistakes: the parameter, what was given, and what to do."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._data.messages import did_you_mean
from sklearn_mlloss.calibration import CALIBRATORS, get_calibrator
from sklearn_mlloss.decoders import (
    DECODERS,
    AtLeastOne,
    FixedThreshold,
    GlobalThreshold,
    HierarchyClosure,
    PerLabelThreshold,
    get_decoder,
)
from sklearn_mlloss.inspection import LabelReportDisplay
from sklearn_mlloss.losses import LOSSES, Criterion, FocalLoss, get_loss
from sklearn_mlloss.metrics import hamming_loss
from sklearn_mlloss.networks import ENCODINGS, get_encoding

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 3))
Y = (X @ rng.normal(size=(3, 3)) + rng.normal(size=(80, 3)) > 0).astype(int)
LINEAR = OneVsRestClassifier(LogisticRegression())

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def net(**params):
    defaults = dict(hidden_layer_sizes=(4,), max_epochs=2, random_state=0, device="cpu")
    return MultiLabelNetClassifier(**(defaults | params))


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    "given, meant",
    [("Focl", "focal"), ("FOCAL", "focal"), ("soft-fbeta", "soft_fbeta"), ("bcee", "bce")],
)
def test_near_misses(given, meant):
    assert did_you_mean(given, LOSSES) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize("given", ["", "something else", None, 3, ["focal"]])
def test_no_near_miss(given):
    assert did_you_mean(given, LOSSES) == ""


@pytest.mark.parametrize(
    "get, names",
    [
        (get_loss, LOSSES),
        (get_decoder, DECODERS),
        (get_calibrator, CALIBRATORS),
        (get_encoding, ENCODINGS),
    ],
    ids=["loss", "decoder", "calibration", "encoding"],
)
def test_every_name_of_a_registry_is_found_again(get, names):
    for name in names:
        with pytest.raises(ValueError, match=f"did you mean '{name}'"):
            get(name.upper())


@pytest.mark.parametrize(
    "params, meant",
    [
        (dict(loss="focl"), "focal"),
        (dict(decoder="treshold"), "threshold"),
        (dict(calibration="sigmod"), "sigmoid"),
        (dict(encoding="standart"), "standard"),
        (dict(activation="rely"), "relu"),
        (dict(normalization="btach"), "batch"),
        (dict(optimizer="adamW"), "adamw"),
        (dict(lr_schedule="cosin"), "cosine"),
        (dict(precision="flaot32"), "float32"),
        (dict(optimizer_params={"beta": (0.9, 0.99)}), "betas"),
        (dict(decoder=GlobalThreshold(average="marco")), "macro"),
    ],
)
def test_names_of_a_net_that_are_nearly_right(params, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        net(**params).fit(X, Y)


@pytest.mark.parametrize("scoring", ["f1macro", ["f1_macro", "f1_mikro"], ("f1_samples", "jacard")])
def test_scorers_that_are_nearly_right(scoring):
    with pytest.raises(ValueError, match="scoring must name scorers .*did you mean '(f1|jac)"):
        LossDecoderSearchCV(net(), ["bce"], ["threshold"], scoring=scoring, cv=2).fit(X, Y)


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    "params, message",
    [
        (dict(hidden_layer_sizes=(True,)), r"sequence of ints >= 1, .*got \(True,\)"),
        (dict(hidden_layer_sizes=100), r"such as \(256,\) for one layer, got 100"),
        (dict(batch_size="Auto"), "batch_size must be 'auto' or an integer >= 1, got 'Auto'"),
        (dict(optimizer=torch.nn.Linear), "optimizer must be a name or a torch optimizer class"),
        (dict(random_state="a"), "random_state must be None, an int .*got 'a'"),
        (dict(random_state=-1), "random_state must be None, an int .*got -1"),
        (dict(random_state=1.5), "random_state must be None, an int .*got 1.5"),
        (dict(random_state=np.random.default_rng(0)), "random_state .* got Generator"),
        (dict(n_jobs=0), "n_jobs must be None, an int >= 1, or -1 for all cores, got 0"),
        (dict(n_jobs="all"), "n_jobs must be .*got 'all'"),
        (dict(n_jobs=2.5), "n_jobs must be .*got 2.5"),
        (dict(cv=[]), r"cv must have a fold at least, got \[\]"),
        (dict(cv=b"x"), "cv must be an int, a splitter or an iterable .*got b'x'"),
        (
            dict(device=2**70),
            "device must be 'auto' or the name .*got an integer of 71 bits",
        ),
        (
            dict(lr_schedule=np.ones(2)),
            "lr_schedule must be None, .*got ndarray of shape",
        ),
        (dict(lr_schedule=pd.NA), "lr_schedule must be None, 'cosine', .*got <NA>"),
        (
            dict(categorical_features=[[0, 1], [2]]),
            "categorical_features must be .*list of 2 items",
        ),
        (dict(monitor=np.ones(2)), "monitor must be 'loss' or a function .*got ndarray of shape"),
        (dict(monitor=pd.NA), "monitor must be 'loss' or a function .*got <NA>"),
        (dict(monitor=lambda Y, scores: "a"), "monitor returned 'a' for the 8 held-out rows"),
        (dict(monitor=lambda Y, scores: None), "monitor returned None for the 8 held-out rows"),
        (dict(monitor=lambda Y, scores: [1, 2]), r"monitor returned \[1, 2\] for the 8"),
    ],
)
def test_parameters_of_a_net(params, message):
    clf = net(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize(
    "optimizer, given, message",
    [
        (
            "sgd",
            {"nesterov": "yes", "momentum": 1},
            r"\['nesterov'\] must be True or False, got 'y",
        ),
        ("sgd", {"maximize": 1}, r"\['maximize'\] must be True or False, got 1"),
        ("sgd", {"momentum": "0.9"}, r"\['momentum'\] must be a finite number, got '0.9'"),
        ("sgd", {"momentum": True}, r"\['momentum'\] must be a finite number, got True"),
        ("rmsprop", {"centered": "yes"}, r"\['centered'\] must be True or False, got 'yes'"),
        ("adamw", {"amsgrad": "no"}, r"\['amsgrad'\] must be True or False, got 'no'"),
        ("adamw", {"betas": 0.9}, r"\['betas'\] must be 2 numbers, got 0.9"),
        ("adamw", {"betas": (0.9,)}, r"\['betas'\] must be 2 numbers, got \(0.9,\)"),
        ("adamw", {"betas": ("a", "b")}, r"\['betas'\] must be 2 numbers"),
        ("adamw", {"fused": "yes"}, r"\['fused'\] must be None, True or False, got 'yes'"),
        ("adamw", {"betas": (0.9, 2)}, "AdamW refuses .*Invalid beta parameter at index 1"),
        ("adamw", {"eps": -1}, "AdamW refuses .*'eps': -1.*Invalid epsilon"),
        ("sgd", {"nesterov": True}, "SGD refuses .*Nesterov momentum requires a momentum"),
    ],
)
def test_parameters_of_an_optimizer(optimizer, given, message):
    with pytest.raises(ValueError, match=f"(optimizer_params)?{message}"):
        net(optimizer=optimizer, optimizer_params=given).fit(X, Y)


def test_parameters_of_an_optimizer_that_are_right():
    given = {"momentum": 0.9, "nesterov": True, "dampening": 0, "foreach": None, "fused": False}
    net(optimizer="sgd", optimizer_params=given).fit(X, Y)
    net(optimizer_params={"betas": [0.8, 0.9], "amsgrad": True, "eps": 1}).fit(X, Y)


def test_a_schedule_that_needs_more_than_the_optimizer():
    message = "lr_schedule must be a function of the optimizer alone.*lambda optimizer.*step_size"
    with pytest.raises(TypeError, match=message):
        net(lr_schedule=torch.optim.lr_scheduler.StepLR).fit(X, Y)


@pytest.mark.parametrize(
    "params, error, message",
    [
        (dict(n_jobs=0), ValueError, "n_jobs must be .*got 0"),
        (dict(n_jobs="x"), ValueError, "n_jobs must be .*got 'x'"),
        (dict(random_state="x"), ValueError, "random_state must be .*got 'x'"),
        (dict(cv=[]), ValueError, r"cv must have a fold at least, got \[\]"),
        (dict(estimator=3), TypeError, "estimator must be a classifier of scikit-learn.*got 3"),
        (dict(estimator="rf"), TypeError, "estimator must be a classifier of .*got 'rf'"),
        (dict(estimator=LogisticRegression), TypeError, "RandomForestClassifier.*got <class"),
        (
            dict(estimator=LogisticRegression()),
            ValueError,
            r"LogisticRegression takes one label only, and y has 3: give estimator="
            r"OneVsRestClassifier\(LogisticRegression\(...\)\)",
        ),
    ],
)
def test_parameters_of_a_decoded_classifier(params, error, message):
    clf = DecodedClassifierCV(**(dict(estimator=LINEAR) | params))
    with pytest.raises(error, match=message):
        clf.fit(X, Y)


@pytest.mark.parametrize(
    "params, error, message",
    [
        (dict(n_jobs=0), ValueError, "n_jobs must be .*got 0"),
        (dict(param_grid=3), TypeError, "param_grid must be None, a dict or a list .*got 3"),
        (dict(cv=b"x"), ValueError, "cv must be an int, a splitter or an iterable .*got b'x'"),
        (dict(losses=3), TypeError, "losses must be a name, an object, a list or a dict, got 3"),
        (dict(random_state="x"), ValueError, "random_state must be .*got 'x'"),
    ],
)
def test_parameters_of_a_search(params, error, message):
    search = LossDecoderSearchCV(net(), **(dict(losses=["bce"], decoders=["threshold"]) | params))
    with pytest.raises(error, match=message):
        search.fit(X, Y)


# ------------------------------------------------------------------ X, y and weights

FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
HALVES = ["x", "y"] * 40


@pytest.mark.parametrize(
    "column",
    [
        np.array(HALVES, dtype=object),
        pd.date_range("2020", periods=80),
        pd.to_timedelta(range(80), unit="s"),
    ],
    ids=["strings", "dates", "durations"],
)
def test_columns_that_are_no_numbers_are_named(column):
    table = FRAME.assign(a=column, b=FRAME.b > 0)
    message = r"column 'a' of X is not numeric .*X\['a'\].astype\('category'\)"
    with pytest.raises(ValueError, match=message) as caught:
        net().fit(table, Y)
    assert "'b'" not in str(caught.value) and "'c'" not in str(caught.value)
    fitted = net().fit(FRAME, Y)
    with pytest.raises(ValueError, match=message):
        fitted.predict(table)


def test_categories_where_training_had_numbers_are_named():
    table = FRAME.assign(a=pd.Categorical(HALVES))
    with pytest.raises(ValueError, match="column 'a' of X is not numeric .*leave it out"):
        net().fit(FRAME, Y).predict(table)


def test_categories_that_are_numbers_are_numbers():
    table = FRAME.assign(a=pd.Categorical([1, 2] * 40))
    np.testing.assert_array_equal(net().fit(table, Y).predict(table).shape, Y.shape)


def test_strings_in_an_array():
    words = X.astype(object)
    words[0, 0] = "red"
    with pytest.raises(ValueError, match="column 0 of X is not numeric .*'red'.*categorical"):
        net().fit(words, Y)


def test_other_errors_of_X_are_those_of_scikit_learn():
    with pytest.raises(ValueError, match="^X has 2 features, but MultiLabelNetClassifier is exp"):
        net().fit(X, Y).predict(torch.tensor(X[:, :2]))
    with pytest.raises(ValueError, match="^Input X contains NaN"):
        net(encoding=None).fit(FRAME.mask(FRAME > 1), Y)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.clone().requires_grad_(),
        lambda tensor: tensor.bfloat16(),
        lambda tensor: tensor.to("meta"),
    ],
    ids=["with a gradient", "bfloat16", "elsewhere"],
)
def test_tensors_that_numpy_cannot_read(change):
    tensor = change(torch.tensor(X > 0).float())
    with pytest.raises(ValueError, match=r"X must be array-like, got Tensor .*X.detach\(\).cpu"):
        net().fit(tensor, Y)
    with pytest.raises(ValueError, match=r"y must be array-like, got Tensor .*y.detach\(\)"):
        net().fit(X, tensor)
    with pytest.raises(ValueError, match="scores must be a dense numeric array .*got Tensor"):
        PerLabelThreshold().fit(tensor, Y)
    with pytest.raises(ValueError, match="must be an array of numbers, got Tensor"):
        hamming_loss(Y, tensor)
    with pytest.raises(ValueError, match="sample_weight must be an array of numbers, got Tensor"):
        net().fit(X, Y, sample_weight=tensor[:, 0])


def test_tensors_on_the_cpu_are_arrays():
    wanted = net().fit(X, Y).predict_proba(X)
    found = net().fit(torch.tensor(X), torch.tensor(Y)).predict_proba(torch.tensor(X))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "weight, message",
    [
        ("balanced", "sample_weight must be an array of numbers, got 'balanced'"),
        ({0: 1.0}, "sample_weight must be an array of numbers, got {0: 1.0}"),
        (3, r"sample_weight must have shape \(80,\), .*got \(\)"),
        (np.ones((80, 3, 1)), r"sample_weight must have shape .*got \(80, 3, 1\)"),
        (np.full(80, np.inf), "sample_weight must be finite"),
    ],
    ids=["name", "classes", "number", "3-D", "infinite"],
)
def test_weights_of_a_net(weight, message):
    with pytest.raises(ValueError, match=message):
        net().fit(X, Y, sample_weight=weight)


def test_a_single_class_is_shown_as_python_shows_it():
    with pytest.raises(ValueError, match="y has only 1 class, 0: a classifier needs at least 2"):
        net().fit(X, np.zeros(80, dtype=int))


def test_arrays_where_torch_is_at_work():
    criterion = Criterion(FocalLoss().fit(Y))
    with pytest.raises(TypeError, match="outputs must be a torch tensor, got ndarray"):
        criterion(X, torch.tensor(Y))
    with pytest.raises(TypeError, match="targets must be a torch tensor, got ndarray"):
        criterion(torch.tensor(X), Y)


def test_a_report_of_what_predicts_nothing():
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="estimator must have predict, and int has none"):
        LabelReportDisplay.from_estimator(3, X, Y)


@pytest.mark.parametrize("kind", [AtLeastOne, lambda inner: HierarchyClosure([-1, 0, 0], inner)])
@pytest.mark.parametrize("inner", ["treshold", [0.5]])
def test_a_wrong_decoder_within_another(kind, inner):
    clf = net(decoder=kind(inner))
    assert "decoder" in clf._repr_html_() and dir(clf.decoder)
    with pytest.raises((TypeError, ValueError), match="decoder must be a name|unknown decoder"):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")


# ------------------------------------------------------------------ warnings

WORDS = FRAME.assign(a=pd.Categorical(HALVES))
FAR = X + [1e9, 0, 0]


@pytest.mark.parametrize(
    "make",
    [
        net,
        lambda: net(cv=2),
        lambda: DecodedClassifierCV(net(), cv=2),
        lambda: SoftVotingClassifier([("a", net())]),
        lambda: LossDecoderSearchCV(net(), ["bce"], ["threshold"], cv=2),
    ],
    ids=["net", "folds", "decoded", "vote", "search"],
)
@pytest.mark.parametrize(
    "fitted, y, given, message",
    [
        (FAR, Y, FAR, "lie so far from 0"),
        (X, np.column_stack([Y, np.zeros(80)]), X, "only positives or no positive"),
        (X, np.array(["a", "b"])[Y[:, :1]], X, "column-vector"),
        (WORDS, Y, WORDS.assign(a="z").astype({"a": "category"}), "none of the categories"),
    ],
    ids=["digits", "constant label", "column", "categories"],
)
def test_warnings_show_the_line_of_the_user(make, fitted, y, given, message):
    with pytest.warns(UserWarning) as caught:
        make().fit(fitted, y).predict(given)
    found = [warning.filename for warning in caught if message in str(warning.message)]
    assert found and set(found) == {__file__}


class Failing(FocalLoss):
    def fit(self, Y, sample_weight=None):
        raise RuntimeError("of the user")


def search(**params):
    return LossDecoderSearchCV(
        net(), **(dict(losses=["bce"], decoders=["threshold"], cv=2) | params)
    )


def unweighted(estimator, X, y):
    return 0.5


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: net(early_stopping=True, max_epochs=1).fit(X, Y), "still improved"),
        (lambda: net(max_epochs=1, cv=2).fit(X, Y), "still improved"),
        (
            lambda: DecodedClassifierCV(KNeighborsClassifier(), cv=2).fit(X, Y, np.ones(80)),
            "takes no sample_weight",
        ),
        (lambda: net(decoder="per_label_threshold").fit(X, Y), "too few positives"),
        (lambda: net(loss="lsep", decoder="threshold").fit(X, Y), "takes scores for probabilities"),
        (lambda: net(decoder="top_k").fit(X, Y[:, 0] + Y[:, 1]), "decoder='top_k' is not used"),
        (
            lambda: search(scoring=unweighted).fit(X, Y, sample_weight=np.ones(80)),
            "takes no sample_weight",
        ),
        (
            lambda: search(losses=["bce", Failing()], error_score=0).fit(X, Y),
            "2 of 4 trainings failed",
        ),
    ],
    ids=["early end", "early end of folds", "weights", "positives", "probabilities", "classes",
         "weights of a scorer", "failed trainings"],
)  # fmt: skip
@pytest.mark.filterwarnings("always")
def test_other_warnings_show_the_line_of_the_user(call, message):
    with pytest.warns(Warning) as caught:
        call()
    found = [warning.filename for warning in caught if message in str(warning.message)]
    assert found and set(found) == {__file__}


def test_the_warning_of_a_device_shows_the_line_of_the_user():
    clf = net().fit(X, Y).set_params(device="cuda:99")
    with pytest.warns(UserWarning, match="predicting on the CPU") as caught:
        clf.predict(X)
    assert caught[0].filename == __file__


# ------------------------------------------------------------------ torch's default device


@pytest.fixture
def nowhere():
    """Let torch create tensors without data, where nothing else is said."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_default_device_of_torch_does_not_matter(nowhere, loss):
    clf = net(loss=loss, decoder="threshold", linear_part=loss == "bce")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FixedThreshold, "needs_probabilities", False)
        found = clf.fit(X, Y).predict_proba(X)
        torch.set_default_device(None)
        np.testing.assert_array_equal(clone(clf).fit(X, Y).predict_proba(X), found)


def test_the_default_device_is_left_as_it_was(nowhere):
    net(cv=2).fit(X, Y).predict(X)
    net().partial_fit(X, Y).partial_fit(X, Y)
    search = LossDecoderSearchCV(net(), ["bce"], ["threshold"], cv=2).fit(X, Y)
    search.predict(X)
    assert torch.get_default_device() == torch.device("meta")


# ------------------------------------------------------------------ keywords of fit


class Never(LogisticRegression):
    """Must not be trained."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("trained")


FITTED = LogisticRegression().fit(X, Y[:, 0])
KEEPS = DecodedClassifierCV(Never(), store_cv_results=True)
UNKNOWN = r"\.fit\(\) got an unexpected keyword argument 'sample_weights'"
DID_YOU_MEAN = ".*did you mean 'sample_weight'"


@pytest.mark.parametrize(
    "clf, match",
    [
        (net(), "sample_weights"),
        (DecodedClassifierCV(Never()), UNKNOWN + ", and Never.fit takes none such; did you mean"),
        (DecodedClassifierCV(Never(), "threshold"), UNKNOWN + DID_YOU_MEAN),
        (DecodedClassifierCV(FITTED, cv="prefit"), UNKNOWN + "; did you mean 'sample_weight'"),
        (DecodedClassifierCV(FITTED, "threshold", cv="prefit"), UNKNOWN + DID_YOU_MEAN),
        (DecodedClassifierCV(FrozenEstimator(FITTED), calibration="beta"), UNKNOWN + DID_YOU_MEAN),
        (DecodedClassifierCV(make_pipeline(Never())), UNKNOWN),
        (DecodedClassifierCV(KEEPS, cv="oof"), UNKNOWN),
        (DecodedClassifierCV(DecodedClassifierCV(FrozenEstimator(FITTED))), UNKNOWN),
        (LossDecoderSearchCV(net()), UNKNOWN + ", and MultiLabelNetClassifier.fit takes none such"),
        (LossDecoderSearchCV(make_pipeline(StandardScaler(), net())), UNKNOWN),
    ],
    ids=["net", "decoded", "nothing to learn", "prefit", "prefit, nothing to learn", "frozen",
         "pipeline", "oof", "frozen within", "search", "search of a pipeline"],
)  # fmt: skip
def test_unknown_keywords(clf, match):
    before = dict(vars(clf))
    for routing in (False, True):
        with config_context(enable_metadata_routing=routing):
            expected = "sample_weights" if routing else match
            with pytest.raises(TypeError, match=expected):
                clf.fit(X, Y[:, 0], sample_weights=np.ones(80))
    assert vars(clf) == before
    if hasattr(clf, "fit_decoder"):
        fitted = DecodedClassifierCV(FITTED, "threshold", cv="prefit").fit(X, Y[:, 0])
        with pytest.raises(TypeError, match="sample_weights"):
            fitted.fit_decoder(X, Y[:, 0], sample_weights=np.ones(80))


def test_keywords_of_a_soft_voting_ensemble():
    vote = SoftVotingClassifier([("a", Never()), ("b", FrozenEstimator(FITTED))])
    with pytest.raises(TypeError, match=UNKNOWN + DID_YOU_MEAN):
        vote.fit(X, Y[:, 0], sample_weights=np.ones(80))
    with config_context(enable_metadata_routing=True), pytest.raises(TypeError, match="weights"):
        vote.fit(X, Y[:, 0], sample_weights=np.ones(80))
    pipe = SoftVotingClassifier([("a", make_pipeline(Never()))])
    with pytest.raises(TypeError, match="sample_weight was given, and the member 'a' takes none"):
        pipe.fit(X, Y[:, 0], sample_weight=np.ones(80))


@pytest.mark.parametrize(
    "name, hint",
    [
        ("max_epochs", "'max_epochs'.*: it is a parameter, which the constructor and set_params"),
        ("epochs", "'epochs'.*: use max_epochs"),
        ("class_weight", "'class_weight'.*: weight rows by sample_weight"),
        ("eval_set", "'eval_set'.*: rows for early stopping and the decision are held out of X"),
    ],
)
def test_keywords_of_other_libraries(name, hint):
    clf = DecodedClassifierCV.for_metric("f1_macro", max_epochs=1)
    with pytest.raises(TypeError, match=r"CV.fit\(\) got an unexpected keyword argument " + hint):
        clf.fit(X, Y, **{name: 1})


def test_names_of_metrics_are_no_losses_decoders_or_classifiers():
    for clf in (
        net(loss="f1_macro"),
        net(decoder="macro-F1"),
        DecodedClassifierCV("hamming_loss"),
        DecodedClassifierCV(Never(), "accuracy"),
    ):
        with pytest.raises((TypeError, ValueError), match=r"for a metric use for_metric\(metric\)"):
            clf.fit(X, Y)
    with pytest.raises(ValueError, match="did you mean 'sigmoid_f1'.$"):
        net(loss="sigmoid-f1").fit(X, Y)


@pytest.mark.parametrize(
    "params, match",
    [
        ({"cv": "5"}, "cv must be an int, a splitter or splits, got '5'"),
        ({"cv": "oof"}, "cv='oof' needs an estimator"),
        ({"n_estimators": 9}, r"set_params\(estimator__trees__estimator__n_estimators=...\)"),
    ],
)
def test_parameters_of_for_metric(params, match):
    with pytest.raises((TypeError, ValueError), match=match):
        DecodedClassifierCV.for_metric("f1_macro", **params)


def test_more_folds_than_rows():
    for clf in (net(cv=81), DecodedClassifierCV(Never(), cv=81)):
        with pytest.raises(ValueError, match="cv must be at most 80, the number of rows, got 81"):
            clf.fit(X, Y)


@pytest.mark.parametrize("form", [list, np.array, pd.Series])
def test_text_as_X_needs_a_vectorizer(form):
    with pytest.raises(ValueError, match=r"got text: give a Pipeline with a vectorizer, such as"):
        net().fit(form(["red apple", "blue sky"] * 40), Y)


def test_keywords_for_steps_of_a_pipeline():
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    weight = {"logisticregression__sample_weight": np.ones(80)}
    DecodedClassifierCV(pipe, "threshold").fit(X, Y[:, 0], **weight)
    for name in ("logisticregression__weights", "logistic__sample_weight", "standardscaler"):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            DecodedClassifierCV(pipe).fit(X, Y[:, 0], **{name: np.ones(80)})


def test_weights_of_a_fitted_estimator_are_for_the_decision():
    # Its `fit` is not called, so that what it takes does not matter.
    for fitted in (KNeighborsClassifier().fit(X, Y), FrozenEstimator(LINEAR.fit(X, Y))):
        weight = np.linspace(0.1, 2, 80)
        clf = DecodedClassifierCV(fitted, calibration="sigmoid", cv="prefit")
        weighted = clf.fit(X, Y, sample_weight=weight).predict_proba(X)
        assert np.abs(weighted - clf.fit(X, Y).predict_proba(X)).max() > 1e-3
