"""A random case: data, an estimator, and a sequence of calls whose results are checked.

A case follows from a seed and its number alone. It ends with the first thing that must not be.
"""

import copy
import operator
import pickle
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    metrics,
)

from . import rules
from .estimators import CALIBRATION, DECODER, NET, draw_estimator, draw_net, draw_wrong, pick
from .rules import Failure, Injected
from .tables import (
    CATEGORIES,
    MISTAKES,
    PLAIN,
    SPARSE,
    Data,
    Form,
    draw_form,
    draw_weight,
    draw_X,
    draw_y,
)


class Bomb(Callback):
    """A callback that fails, or that the user interrupts."""

    exploded = 0

    def __init__(self, kind: type[BaseException], epochs: int):
        self.kind = kind
        self.epochs = epochs

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.epochs -= 1
        if self.epochs <= 0:
            Bomb.exploded += 1
            if self.kind is KeyboardInterrupt:
                signal.raise_signal(signal.SIGINT)  # a raised one asks for an end of training
            raise self.kind("injected")


@contextmanager
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


CONTEXTS: dict[str, Callable[[], Any]] = {
    "": nullcontext,
    "without gradients": torch.no_grad,
    "in inference mode": torch.inference_mode,
    "with float64 by default": double_by_default,
    "on no device": partial(torch.device, "meta"),
}
# Those of two arrays.
METRICS = [
    getattr(metrics, name)
    for name in metrics.__all__
    if list(signature(getattr(metrics, name)).parameters)[1:2] in (["scores"], ["proba"], ["Y_hat"])
    and name != "multilabel_report"
]


def is_kept(estimator: Any, error: BaseException | None) -> bool:
    """Return whether a fit was interrupted, and has kept what there was."""
    return error is not None and getattr(error, "kept", None) is estimator


class Case:
    """Data, an estimator, and the operations so far."""

    def __init__(self, seed: int, number: int):
        self.rng = np.random.default_rng([seed, number])
        self.log: list[str] = []

    def run(self) -> None:
        """Run random operations; raise a Failure if anything is wrong."""
        for _ in range(3):
            self.draw()
            if self.fit(self.estimator):
                break
        else:
            return
        self.check_results()
        for _ in range(self.rng.integers(1, 5)):
            pick(self.rng, ACTIONS)(self)

    def draw(self) -> None:
        rng = self.rng
        self.X = draw_X(rng, int(rng.integers(5, 61)), int(rng.integers(1, 7)))
        self.y = draw_y(rng, self.X)
        self.weight = draw_weight(rng, self.y)
        self.estimator = clone(draw_estimator(rng))
        self.more = {}
        if self.chance(0.15) and isinstance(
            self.estimator, DecodedClassifierCV | LossDecoderSearchCV
        ):
            self.more["groups"] = rng.integers(3, size=len(self.X))
        self.log = [f"X: {self.X}; y: {self.y}; sample_weight: {self.weight}"]
        self.log.append(f"{show(self.estimator)}{', with groups' * bool(self.more)}")

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    # ------------------------------------------------------------------ calls

    def attempt(self, text: str, act: Callable, *given: Data | None, by: Any = None) -> tuple:
        """Call a function with data; return its result and its error, one of which is None."""
        self.log.append(text)
        by = self.estimator if by is None else by
        world, state, nested = rules.world(), rules.state_of(by), not rules.is_of_package(by)
        values = [data and data.given() for data in given]
        result = error = None
        with rules.recorded() as caught:
            try:
                result = act(*values)
            except (Exception, KeyboardInterrupt) as problem:
                error = problem
        if error is not None:
            self.log.append(f"  {type(error).__name__}: {str(error)[:2000]}")
            rules.check_error(error, nested)
        for warned in caught:
            self.log.append(f"  {warned.category.__name__}: {warned.text[:2000]}")
            rules.check_warning(warned, nested)
        rules.check_equal(world, rules.world(), operator.eq)
        now = rules.state_of(by)
        fits = error is None or is_kept(by, error)
        if fits and text.startswith(("fit", "partial_fit")):
            # Of itself, not of what its parameters are.
            state, now = ({k: v for k, v in d.items() if k[0] != "."} for d in (state, now))
        rules.check_equal(state, now, operator.is_)
        for value, data in zip(values, given, strict=True):
            written = data is not None and data.form not in MISTAKES
            if written and rules.digest(value) != rules.digest(data.given()):
                raise Failure(f"data have been written to: {data}")
        return result, error

    def fit(self, estimator: Any, *data: Data | None, text: str = "fit") -> bool:
        """Fit; return whether it has worked. A failure must leave predictions as they were."""
        before = outputs(estimator, self.X)

        def act(X: Any, y: Any, weight: Any) -> Any:
            weights = {} if weight is None else {"sample_weight": weight}
            return estimator.fit(X, y, **weights, **self.more)

        data = data or (self.X, self.y, self.weight)
        result, error = self.attempt(text, act, *data, by=estimator)
        if error is None and result is not estimator:
            raise Failure("fit does not return the estimator")
        if is_kept(estimator, error):
            self.check_results()
        elif error is not None and rules.is_of_package(estimator):
            compare(before, outputs(estimator, self.X), "the predictions after a failed fit")
        return error is None

    def repeatable(self, only_nets: bool = True) -> bool:
        """Fit with the current parameters; return whether a refit gives the same model.

        As a rule only where there is nothing but networks.
        """
        est, params = self.estimator, self.estimator.get_params()
        inner = getattr(est, "estimator", est)
        own = rules.is_of_package(est) and isinstance(inner, MultiLabelNetClassifier)
        if only_nets and not own:
            return False
        seeds = [value for name, value in params.items() if name.endswith("random_state")]
        warm = any(value for name, value in params.items() if name.endswith("warm_start"))
        return not warm and all(type(seed) is int for seed in seeds) and self.fit(est)

    def compare_with_fit(self, text: str, *data: Data | None) -> None:
        """Fit a clone, on other data, and compare it with the estimator."""
        other = clone(self.estimator)
        if not self.fit(other, *data, text=text):
            raise Failure("a clone cannot be fitted")
        compare(outputs(self.estimator, self.X), outputs(other, self.X), text, self.tolerance())

    def tolerance(self) -> float:
        """Return by how much results for the same rows may differ."""
        est = self.estimator
        exact = isinstance(est, MultiLabelNetClassifier) and est.module is None
        return (
            0
            if exact and not hasattr(est.encoding, "transform") and not self.X.is_sparse()
            else 1e-5
        )

    # ------------------------------------------------------------------ what results must be

    def check_results(self, waits: bool = False) -> None:
        """Check all results for the training rows; a decoder may still wait for rows."""
        est, X = self.estimator, self.X
        if not self.y.is_plain() and not self.y.is_vector():
            return
        found = {}
        for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            if hasattr(est, name):
                found[name], error = self.attempt(name, getattr(est, name), X)
                # After a part of a stream, there may be no decoder, and no range of X.
                waiting = waits and error is not None and rules.is_own(error)
                # Parts of others may refuse an X after they have taken it, or answer with nonsense.
                of_part = error is not None and has_others(est) and (
                    X.form in MISTAKES or not rules.is_own(error) or "returned" in str(error)
                    or " of a classifier that " in str(error)
                )  # fmt: skip
                if error is not None and not (waiting or of_part):
                    raise Failure(f"{name} refuses what fit has accepted: {error}") from error
        if "predict" not in found or any(value is None for value in found.values()):
            return
        self.check_form(**found)
        # A product of matrices is rounded by the place of a row, but not by what other rows are.
        some, what = np.arange(len(X))[: self.rng.integers(1, len(X))], "the first rows alone"
        tolerance = self.tolerance()
        if self.chance(0.5):
            some, what, tolerance = self.rng.permutation(some), "some rows in another order", 1e-5
        if X.form not in MISTAKES:
            found = {name: rows_of(found[name], some) for name in OUTPUTS if name in found}
            compare(found, outputs(est, X[some]), what, tolerance)
        if self.chance(0.5):
            value, error = self.attempt("score", est.score, X, self.y)
            if error is None and not np.isfinite(value) and not hasattr(est, "scoring"):
                raise Failure(f"score is {value}")

    def check_form(
        self, predict: Any, predict_proba: Any = None, decision_function: Any = None, **others: Any
    ) -> None:
        est, given, is_vector = self.estimator, self.y.given(), self.y.is_vector()
        labels = predict.toarray() if sp.issparse(predict) else predict
        classes = est.classes_ if is_vector else np.array([0, 1])
        shape = (len(self.X), len(classes)) if is_vector else self.y.core.shape
        if (
            labels.shape != (shape[:1] if is_vector else shape)
            or not np.isin(labels, classes).all()
        ):
            raise Failure(f"predict returns {labels[:3]} of shape {labels.shape} for {classes}")
        if is_vector and set(classes.tolist()) != set(self.y.plain().tolist()):
            raise Failure(f"classes_ are {classes}")
        if sp.issparse(given) != sp.issparse(predict) and self.y.form.name != "sparse DataFrame":
            raise Failure(f"predict returns a {type(predict)} for a {type(given)}")
        dtype = classes.dtype if is_vector else getattr(given, "dtype", None)
        numbers = type(given) is np.ndarray and dtype.kind in "biuf" and dtype != np.float16
        if numbers and labels.dtype != dtype:  # scipy has no float16
            raise Failure(f"predict returns {labels.dtype} for {dtype}")
        if predict_proba is not None:
            proba = predict_proba
            inside = (proba >= 0) & (proba <= 1) if is_vector else (proba > 0) & (proba < 1)
            if proba.shape != shape or not inside.all():
                raise Failure(
                    f"predict_proba of shape {proba.shape} has {proba.min()}, {proba.max()}"
                )
            if is_vector and not np.allclose(proba.sum(axis=1), 1):
                raise Failure(f"rows of predict_proba sum to {proba.sum(axis=1)}")
            if hasattr(est, "decode") and not has_count(est, self.X):
                compare({"labels": predict}, {"labels": est.decode(proba)}, "decode(predict_proba)")
        if decision_function is not None and not np.isfinite(decision_function).all():
            raise Failure(f"decision_function returns {decision_function}")

    # ------------------------------------------------------------------ what is done with them

    def refit(self) -> None:
        """The same numbers give the same model, for any settings of torch."""
        name = pick(self.rng, CONTEXTS)
        if self.repeatable(only_nets=False):
            with CONTEXTS[name]():
                self.compare_with_fit(f"fit a clone {name}", self.X, self.y, self.weight)

    def plain(self) -> None:
        """The container does not matter."""
        data = [self.X, self.y, self.weight]
        if not all(part is None or part.is_plain() for part in data):
            return
        if "column 0" in repr(self.estimator.get_params()) or not self.repeatable():
            return  # an array has no names
        copies = [part and array(part.plain()) for part in data]
        if self.X.is_sparse():
            copies[0] = Data(self.X.plain(), Form("csr_array", sp.csr_array))
        self.compare_with_fit("fit a clone with plain arrays", *copies)

    def scale_weights(self) -> None:
        """The scale of weights does not matter."""
        weight = draw_weight(self.rng, self.y, usual=True)
        if weight is None or not self.repeatable():
            return
        if self.fit(self.estimator, self.X, self.y, weight, text=f"fit with weights: {weight}"):
            self.weight, scale = weight, 2.0 ** int(self.rng.choice([-40, -9, 7, 60]))
            text = f"fit a clone with weights times {scale:g}"
            self.compare_with_fit(text, self.X, self.y, array(weight.plain() * scale))

    def leave_out(self) -> None:
        """A weight of 0 leaves a row out."""
        est = self.estimator
        if not isinstance(est, MultiLabelNetClassifier) or self.X.form in CATEGORIES:
            return  # categories, and folds of others, are those of all rows
        if not (est.cv is None or type(est.cv) is int):
            return
        kept = self.rng.random(len(self.X)) < 0.8
        if self.y.form in MISTAKES or (
            self.y.is_vector() and set(self.y.core[kept]) != set(self.y.core)
        ):
            return  # so are classes
        weight = array(kept.astype(float))
        if not self.repeatable():
            return
        if self.fit(self.estimator, self.X, self.y, weight, text="fit with weights of 0"):
            self.weight = weight
            self.compare_with_fit(
                "fit a clone without these rows", self.X[kept], self.y[kept], None
            )

    def other_container(self) -> None:
        """Rows in another container are the same rows, or refused."""
        name = pick(self.rng, OUTPUTS)
        if not self.X.is_plain() or not hasattr(self.estimator, name):
            return
        X = Data(
            self.X.plain(), draw_form(self.rng, PLAIN, PLAIN, SPARSE, CATEGORIES, mistakes=0.3)
        )
        found, error = self.attempt(f"{name} of {X}", getattr(self.estimator, name), X)
        if error is None and X.is_plain():
            wanted = outputs(self.estimator, array(X.plain()))[name]
            compare({name: wanted}, {name: found}, f"{name} of {X}", 1e-4)

    def copy(self) -> None:
        """A copy predicts the same."""
        copies = {"pickle": lambda est: pickle.loads(pickle.dumps(est)), "deepcopy": copy.deepcopy}
        name = pick(self.rng, copies)
        found, error = self.attempt(name, lambda: copies[name](self.estimator))
        if error is not None:
            raise Failure(f"{name}: {error}") from error
        compare(outputs(self.estimator, self.X), outputs(found, self.X), name)
        self.estimator = found

    def texts(self) -> None:
        """The texts about an estimator can be made."""
        for name in ("__repr__", "_repr_html_", "summary"):
            if hasattr(self.estimator, name):
                text, error = self.attempt(name, getattr(self.estimator, name))
                if error is not None or not isinstance(text, str):
                    raise Failure(f"{name} returns {text}, {error}") from error

    def fail(self) -> None:
        """A fit that the user's own code ends leaves everything as it was, or keeps a model."""
        params = self.estimator.get_params()
        names = [name for name in params if name.endswith("callbacks")]
        if not names:
            return
        name, kind = pick(self.rng, names), pick(self.rng, (Injected, Injected, KeyboardInterrupt))
        exploded, bomb = Bomb.exploded, Bomb(kind, int(self.rng.integers(1, 5)))
        self.estimator.set_params(**{name: [bomb]})
        text = f"fit with {name} that raise {kind.__name__} after {bomb.epochs}"
        fitted = self.fit(self.estimator, text=text)
        may_go_on = kind is Injected and getattr(self.estimator, "error_score", "raise") != "raise"
        if fitted and Bomb.exploded > exploded and not may_go_on:
            raise Failure("fit swallows what a callback raises")
        self.estimator.set_params(**{name: params[name]})

    def mistake(self) -> None:
        """A fit with something wrong leaves everything as it was."""
        X, y, weight = self.X, self.y, draw_weight(self.rng, self.y)
        if self.chance(0.3):
            X = Data(X.core, draw_form(self.rng, mistakes=1))
        elif self.chance(0.3) and not y.is_vector():
            y = Data(y.core, draw_form(self.rng, mistakes=1))
        text = f"fit with X: {X}; y: {y}; sample_weight: {weight}"
        if self.fit(self.estimator, X, y, weight, text=text):
            self.X, self.y, self.weight = X, y, weight
            self.check_results()

    def change(self) -> None:
        """Another value of a parameter is taken, or refused."""
        names = [name for name in self.estimator.get_params() if name.rpartition("__")[2] in NET]
        if not names:
            return
        name = pick(self.rng, names)
        own = name.rpartition("__")[2]
        if own == "random_state" and has_others(self.estimator):
            return  # without a seed they draw from the generator of numpy
        value = draw_wrong(self.rng, own) if self.chance(0.3) else NET[own](self.rng)
        self.estimator.set_params(**{name: value})
        if self.fit(self.estimator, text=f"fit with {name}={value!r}"):
            self.check_results()

    def wrap(self) -> None:
        """A decision for the fitted estimator leaves that as it is."""
        if any(isinstance(value, str) for value in outputs(self.estimator, self.X).values()):
            return
        frozen = DecodedClassifierCV(FrozenEstimator(self.estimator), DECODER(self.rng))
        self.log.append(show(frozen))
        if self.fit(frozen, self.X, self.y, None, text="fit what is frozen"):
            self.estimator, self.more = frozen, {}
            self.check_results()

    def reorder(self) -> None:
        """Labels go by their names, where they have names."""
        y = self.y.given()
        if not hasattr(y, "columns") or not hasattr(self.estimator, "label_names_"):
            return
        turned, score = y[list(y.columns)[::-1]], self.estimator.score
        found, error = self.attempt("score", score, self.X, self.y)
        other, refused = self.attempt("score by name", lambda X: score(X, turned), self.X)
        if error is None and refused is None and not np.isclose(found, other, equal_nan=True):
            raise Failure(f"score is {found}, and {other} for labels in another order")

    def measure(self) -> None:
        """A metric accepts the y of fit, and the scale of weights does not matter."""
        metric = pick(self.rng, METRICS)
        name = "predict" if "Y_hat" in signature(metric).parameters else "predict_proba"
        found = outputs(self.estimator, self.X).get(name)
        if self.y.is_vector() or not self.y.is_plain() or isinstance(found, str):
            return
        scores = np.asarray(found.toarray() if sp.issparse(found) else found, dtype=float)
        scores = Data(scores, draw_form(self.rng, PLAIN, SPARSE))
        weight = draw_weight(self.rng, self.y, usual=True)
        weight = weight if weight is None or weight.is_vector() else None

        def act(y: Any, scores: Any, weight: Any) -> np.ndarray:
            return np.asarray(metric(y, scores, sample_weight=weight))

        text = f"{metric.__name__} of {self.y}, {scores}, {weight}"
        found, error = self.attempt(text, act, self.y, scores, weight)
        if error is None and scores.is_plain():
            # Propensities go by the number of rows.
            scale = 1 if metric is metrics.propensity_scored_precision_at_k else 2.0**9
            weight = None if weight is None else weight.plain() * scale
            wanted = act(self.y.plain(), scores.plain(), weight)
            compare({text: wanted}, {text: found}, "plain arrays and scaled weights", 1e-9)

    def fit_decoder(self) -> None:
        """Another decision is fitted on the rows, or refused."""
        est = self.estimator
        if not hasattr(est, "fit_decoder"):
            return
        more = {"decoder": DECODER(self.rng)} if self.chance(0.7) else {}
        more |= {"calibration": CALIBRATION(self.rng)} if self.chance(0.4) else {}
        weight = draw_weight(self.rng, self.y)
        before = outputs(est, self.X)

        def act(X: Any, y: Any, weight: Any) -> Any:
            return est.fit_decoder(X, y, sample_weight=weight, **more)

        text = f"fit_decoder with {more}, sample_weight: {weight}"
        _, error = self.attempt(text, act, self.X, self.y, weight)
        if error is None:
            self.check_results()
        else:
            compare(before, outputs(est, self.X), "the predictions after a failed fit_decoder")

    def stream(self) -> None:
        """Parts of the rows one after another, some of them wrong."""
        est = self.estimator
        if not hasattr(est, "partial_fit") or self.chance(0.6):
            est = draw_net(self.rng)
            self.log.append(show(est))
        classes = {"classes": np.unique(self.y.plain())} if self.y.is_vector() else {}
        for rows in np.array_split(np.arange(len(self.X)), self.rng.integers(1, 4)):
            X, y = self.X[rows], self.y[rows]
            weight = draw_weight(self.rng, y)
            if self.chance(0.15):
                X = Data(X.core, draw_form(self.rng, mistakes=1))
            before = outputs(est, self.X)

            def act(X: Any, y: Any, weight: Any) -> Any:
                return est.partial_fit(X, y, sample_weight=weight, **classes)

            text = f"partial_fit of X: {X}; y: {y}; sample_weight: {weight}"
            _, error = self.attempt(text, act, X, y, weight, by=est)
            if error is not None:
                compare(before, outputs(est, self.X), "the predictions after a failed partial_fit")
                continue
            self.estimator, self.more = est, {}
            if self.chance(0.5):
                self.check_results(waits=True)
        if self.estimator is est:
            self.fit_decoder()


ACTIONS: list[Callable[[Case], None]] = [
    Case.refit, Case.plain, Case.scale_weights, Case.leave_out, Case.other_container, Case.copy,
    Case.texts, Case.fail, Case.mistake, Case.change, Case.wrap, Case.reorder, Case.measure,
    Case.fit_decoder, Case.stream,
]  # fmt: skip
OUTPUTS = ("predict", "predict_proba")


def run_case(seed: int, number: int) -> str | None:
    """Run a case; return its failure and all operations, or None."""
    case = Case(seed, number)
    # Processes in the background begin with it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # all but those that `attempt` records
            case.run()
    except Exception as error:
        text = str(error) if isinstance(error, Failure) else traceback.format_exc()
        cause = error.__cause__
        where = "" if cause is None else "".join(traceback.format_exception(cause))
        steps = "\n".join(f"  {line}" for line in case.log)
        return f"case {number} of seed {seed}\n{steps}\nFAILED: {text}\n{where}"
    finally:
        signal.signal(signal.SIGINT, before)
    return None


def array(values: np.ndarray) -> Data:
    return Data(values, Form("array", np.copy))


def show(estimator: BaseEstimator) -> str:
    """Return an estimator, with all that is not at its default, on a line."""
    return " ".join(estimator.__repr__(N_CHAR_MAX=10**6).split())


def rows_of(value: Any, rows: np.ndarray) -> Any:
    return value.tocsr()[rows] if sp.issparse(value) else value[rows]


def has_others(estimator: Any) -> bool:
    """Return whether there are parts that are none of the package."""
    parts = [estimator, *estimator.get_params().values()]
    return any(hasattr(part, "fit") and not rules.is_of_package(part) for part in parts)


def has_count(estimator: Any, X: Data) -> bool:
    """Return whether decisions go by a number of labels that a network predicts."""
    try:
        return estimator.predict_count(X.given()) is not None
    except (AttributeError, ValueError):
        return False


def outputs(estimator: Any, X: Data) -> dict[str, Any]:
    """Return the predictions of an estimator, or the kinds of its errors."""
    found: dict[str, Any] = {}
    for name in OUTPUTS:
        try:
            found[name] = getattr(estimator, name)(X.given())
        except (ValueError, TypeError, AttributeError) as error:
            found[name] = type(error).__name__
    return found


def compare(one: dict, other: dict, what: str, tolerance: float = 0) -> None:
    """Raise unless both have the same results."""
    for name, left in one.items():
        right = other[name]
        if isinstance(left, str) or isinstance(right, str):
            if type(left) is not type(right) or left != right:
                raise Failure(f"{what}: {name} is {left}, then {right}")
            continue
        left, right = (v.toarray() if sp.issparse(v) else v for v in (left, right))
        if left.shape != right.shape:
            raise Failure(f"{what}: {name} has the shapes {left.shape} and {right.shape}")
        if not tolerance:
            differ = ~(left == right)
        elif left.dtype.kind == "f" and name != "predict":
            differ = ~np.isclose(left, right, tolerance, tolerance, equal_nan=True)
        else:
            continue  # a rounding may decide
        if differ.any():
            raise Failure(
                f"{what}: {name} differs in {differ.sum()} of {differ.size} entries, such as "
                f"{left[differ][0]!r} and {right[differ][0]!r}"
            )
