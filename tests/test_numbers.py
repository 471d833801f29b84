"""Every number of every constructor: finite, or an error that names it, before training."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.calibration import CALIBRATORS
from sklearn_mlloss.decoders import DECODERS, TopK
from sklearn_mlloss.losses import LOSSES, BinaryCrossEntropy, WithCount
from sklearn_mlloss.model_selection import (
    MultilabelStratifiedGroupKFold,
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
    RepeatedMultilabelStratifiedKFold,
)
from sklearn_mlloss.networks import ENCODINGS, Mixup, OneHotEncoding

NAN, INF, MINUS, LARGE = float("nan"), float("inf"), float("-inf"), 1e300
HUGE, NARROW = 10**400, np.uint8(2)
WRONG = (NAN, INF, MINUS, LARGE, HUGE, True, NARROW, "1", None, 1j, [1.0] * 7, np.ones(7))

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
Y = (rng.random((60, 3)) < 0.4).astype(int)
SCORES = rng.random((60, 3))

# Numbers whose default is none, or an array.
MORE = {
    "alpha": (LOSSES["focal"],),
    "pos_weight": (BinaryCrossEntropy,),
    "class_weight": (BinaryCrossEntropy,),
    "k": (TopK,),
    "threshold": (DECODERS["threshold"],),
}


def numbers_of(cls):
    """Return the names of the parameters that are numbers, with their defaults."""
    found = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        default = parameter.default
        is_number = isinstance(default, int | float) and not isinstance(default, bool)
        if is_number or cls in MORE.get(name, ()):
            found[name] = default
    return found


def cases(*registries):
    """Return the classes that have numbers, with their names."""
    classes = [cls for registry in registries for cls in registry if numbers_of(cls)]
    assert classes
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


def wrong_values(default):
    return [value for value in WRONG if value is not default]


def is_one_of(value, *others):
    return any(value is other for other in others)


def refuses(make, name, value):
    """Return whether a value is refused; an error must begin with the name of the parameter."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make(value)
    except (ValueError, TypeError) as error:
        assert str(error).startswith(name), f"{name}={value!r}: {error}"
        return True
    return False


@cases([*LOSSES.values(), WithCount])
def test_losses(cls):
    for name, default in numbers_of(cls).items():
        for value in wrong_values(default):
            whole = name == "start_epoch" and is_one_of(value, HUGE, NARROW)
            allowed = whole or (name.endswith("_weight") and cls is BinaryCrossEntropy
                                and is_one_of(value, NARROW))  # fmt: skip
            refused = refuses(lambda v, name=name: cls(**{name: v}).fit(Y), name, value)
            assert refused != allowed, (name, value)


def test_arrays_of_a_loss():
    for name in ("pos_weight", "class_weight"):
        for value in ([1, NAN, 1], [1, INF, 1], [1, 1e300, 1], [1, -1, 1], ["1"] * 3, [None] * 3):
            assert refuses(lambda v, name=name: BinaryCrossEntropy(**{name: v}).fit(Y), name, value)
    for beta in WRONG:
        given = BinaryCrossEntropy(class_weight=("effective", beta))
        with pytest.raises(ValueError, match="^beta of class_weight must be a number in"):
            given.fit(Y)


# Finite as they are, but not what becomes of them.
OVERFLOWS = [
    ("focal", "gamma", 1e38), ("asymmetric", "gamma_neg", 1e38), ("hill", "lam", 1e38),
    ("splc", "margin", 1e38), ("poly1", "epsilon", 1e38), ("ldam", "scale", 3e38),
    ("ldam", "max_margin", 3e38), ("bce", "tau", 1e38), ("bce", "pos_weight", 3e38),
    ("bce", "class_weight", 3e38), ("tversky", "smooth", 3e38), ("sigmoid_f1", "slope", 3e38),
    ("sigmoid_f1", "slope", 1e-300), ("sigmoid_f1", "offset", 3e38), ("soft_fbeta", "eps", 1e-300),
    ("factorized", "count_weight", 3e38), ("factorized", "eps", 1e-300),
    ("softmax_ce", "concentration", 3e38), ("two_way", "positive_temperature", 1e-300),
    ("two_way", "negative_temperature", 3e38), ("distribution_balanced", "kappa", 1e38),
    ("distribution_balanced", "lam", 1e-300), ("asymmetric_polynomial", "e2", 3e38),
]  # fmt: skip


@pytest.mark.parametrize("name, parameter, value", OVERFLOWS)
def test_numbers_of_losses_that_overflow(name, parameter, value):
    net = MultiLabelNetClassifier(
        LOSSES[name](**{parameter: value}), max_epochs=2, hidden_layer_sizes=(3,), random_state=0
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.fit(X, Y)
    except ValueError as error:
        assert str(error).startswith(("loss=", parameter, "lam=")) and parameter in str(error)
    else:
        assert np.isfinite(net.predict_proba(X)).all()
        assert all(p.isfinite().all() for p in net.net_.module_.parameters())


@cases(DECODERS.values())
def test_decoders(cls):
    for name, default in numbers_of(cls).items():
        given = {"metric": "fbeta"} if "metric" in inspect.signature(cls).parameters else {}
        for value in wrong_values(default):

            def decode(value, name=name, given=given):
                decoder = cls(**given, **{name: value})
                decoder.fit(SCORES, Y).decode(SCORES)

            # Infinity means always, never, or all of them.
            fine = {"threshold": (INF, MINUS, LARGE, NARROW), "min_positives": (INF, LARGE)}
            fine |= {"k": (NARROW,), "fp_cost": (NARROW,), "fn_cost": (NARROW,)}
            allowed = is_one_of(value, *fine.get(name, ()))
            assert refuses(decode, name, value) != allowed, (name, value)


@cases(CALIBRATORS.values())
def test_calibrators(cls):
    for name, default in numbers_of(cls).items():
        for value in wrong_values(default):
            allowed = is_one_of(value, INF, LARGE)
            calibrator = cls(**{name: value})
            refused = refuses(lambda _, c=calibrator: c.fit(SCORES, Y), name, value)
            assert refused != allowed, (name, value)
            assert refused or np.isfinite(calibrator.transform(SCORES)).all()


@cases([*ENCODINGS.values(), OneHotEncoding])
def test_encodings(cls):
    table = X if cls is not OneHotEncoding else (X > 0).astype(np.float32)
    for name, default in numbers_of(cls).items():
        for value in wrong_values(default):
            encoding = cls(**{name: value})
            # More than there are values is as many as these.
            allowed = is_one_of(value, HUGE, NARROW)
            refused = refuses(lambda _, e=encoding: e.fit(table), name, value)
            assert refused != allowed, (name, value)
            if not refused:
                assert encoding.module()(torch.from_numpy(table)).isfinite().all()


def test_mixup():
    for value in WRONG:
        assert refuses(Mixup, "alpha", value)


@cases(
    [
        MultilabelStratifiedKFold,
        MultilabelStratifiedGroupKFold,
        MultilabelStratifiedShuffleSplit,
        RepeatedMultilabelStratifiedKFold,
    ]
)
def test_splitters(cls):
    groups = np.arange(60) // 4
    for name, default in numbers_of(cls).items():
        for value in wrong_values(default):
            if is_one_of(value, HUGE, NARROW):
                continue  # a number of folds or repetitions
            assert refuses(lambda v, n=name: [*cls(**{n: v}).split(X, Y, groups)], name, value)


# Numbers of the estimators that are chosen by "auto" or None unless given.
AUTO = {"dropout", "input_dropout", "mixup", "learning_rate", "batch_size", "hidden_layer_sizes"}
WHOLE = {"n_iter_no_change", "batch_size", "max_epochs", "verbose"}
INTS = WHOLE | {"repeats", "hidden_layer_sizes"}
OF_NET = {**numbers_of(MultiLabelNetClassifier), **dict.fromkeys(AUTO, "auto")}


@pytest.mark.parametrize("name", sorted(OF_NET))
def test_the_net(name):
    for value in WRONG:
        if value is None and name == "learning_rate":
            continue
        if name == "verbose" and isinstance(value, bool | np.bool_):
            continue  # as of scikit-learn
        net = MultiLabelNetClassifier(**{"max_epochs": 2, "hidden_layer_sizes": (3,), name: value})
        if name == "hidden_layer_sizes" and not np.iterable(value):
            net.hidden_layer_sizes = (value,)
        if name == "n_iter_no_change" and value is INF:
            continue  # patience without end
        if is_one_of(value, HUGE) and name in WHOLE or is_one_of(value, NARROW) and name in INTS:
            continue  # see below
        assert refuses(lambda _, net=net: net.fit(X, Y), name, value), value
        assert not hasattr(net, "net_")


@pytest.mark.parametrize("name", ["n_iter_no_change", "batch_size", "verbose"])
def test_ints_of_any_size(name, capsys):
    for value in (HUGE, NARROW):
        net = MultiLabelNetClassifier(**{"max_epochs": 1, "hidden_layer_sizes": (3,), name: value})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isfinite(net.fit(X, Y).predict_proba(X)).all()


@pytest.mark.parametrize("schedule", [None, "cosine", "plateau"])
def test_epochs_without_end(schedule):
    net = MultiLabelNetClassifier(
        max_epochs=HUGE, n_iter_no_change=1, hidden_layer_sizes=(3,), learning_rate=0.3,
        lr_schedule=schedule, random_state=0,
    )  # fmt: skip
    assert np.isfinite(net.fit(X, Y).predict_proba(X)).all()


@pytest.mark.parametrize(
    "optimizer, name",
    [("sgd", "momentum"), ("sgd", "dampening"), ("adamw", "eps"), ("rmsprop", "alpha")]
    + [("adamw", "betas"), ("adagrad", "lr_decay")],
)
def test_numbers_of_an_optimizer(optimizer, name):
    for value in WRONG:
        given = (0.9, value) if name == "betas" else value
        net = MultiLabelNetClassifier(
            optimizer=optimizer, optimizer_params={name: given}, max_epochs=2
        )
        assert refuses(lambda _, net=net: net.fit(X, Y), "optimizer_params", value), value


@pytest.mark.parametrize(
    "make",
    [
        lambda **params: LossDecoderSearchCV(
            MultiLabelNetClassifier(max_epochs=1, hidden_layer_sizes=(3,)), ["bce"], cv=2, **params
        ),
        lambda **params: DecodedClassifierCV(
            LogisticRegression(), "per_label_threshold", cv=2, **params
        ),
        lambda **params: SoftVotingClassifier(
            [("a", DecisionTreeClassifier()), ("b", DecisionTreeClassifier())], **params
        ),
    ],
    ids=["search", "decoded", "voting"],
)
def test_other_estimators(make):
    names = {"repeats", "verbose", "error_score", "weights"} & make().get_params().keys()
    for name in sorted(names):
        for value in WRONG:
            given = [1.0, value] if name == "weights" else value
            if name in ("repeats", "verbose") and is_one_of(value, HUGE, NARROW):
                continue
            if name == "verbose" and isinstance(value, bool | np.bool_):
                continue
            if name == "error_score" and isinstance(value, float):
                continue  # NaN and infinity are scores of what has failed
            model = make(**{name: given})
            assert refuses(lambda _, model=model: model.fit(X, Y), name, value), (name, value)


class Never(LogisticRegression):
    """A classifier that must not be fitted."""

    def fit(self, X, y):
        raise AssertionError("trained")


WRONG_DECISIONS = [
    (dict(decoder=DECODERS["per_label_threshold"](beta=NAN)), "beta"),
    (dict(decoder=DECODERS["global_threshold"](average="rows")), "average"),
    (dict(decoder=DECODERS["global_threshold"](lambda Y: 1)), "metric must be callable"),
    (dict(decoder=DECODERS["gfm"](dependence=2)), "dependence"),
    (dict(decoder=DECODERS["risk_control"](alpha=1)), "alpha"),
    (dict(decoder=DECODERS["threshold_function"](ridge=INF)), "ridge"),
    (dict(decoder=DECODERS["threshold"]([0.5, 0.5])), "threshold has shape"),
    (dict(decoder=DECODERS["top_k"](4)), "k must be"),
    (dict(decoder=DECODERS["at_least_one"](DECODERS["gfm"](empty=NAN))), "empty"),
    (dict(decoder=DECODERS["hierarchy"]([-1, 0, 7], "global_threshold")), "parents"),
    (dict(calibration=CALIBRATORS["sigmoid"](min_positives=NAN)), "min_positives"),
]


@pytest.mark.parametrize("params, message", WRONG_DECISIONS)
def test_a_decision_is_checked_before_training(params, message, monkeypatch):
    def never(*args):
        raise AssertionError("trained")

    monkeypatch.setattr("sklearn_mlloss.classifier.train_cached", never)
    net = MultiLabelNetClassifier(max_epochs=1)
    search = {f"{name}s": [value] for name, value in params.items()}
    for model in (
        MultiLabelNetClassifier(cv=2, **params),
        DecodedClassifierCV(Never(), cv=2, **params),
        LossDecoderSearchCV(net, ["bce"], cv=2, **search),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^{message}"):
            model.fit(X, Y)
