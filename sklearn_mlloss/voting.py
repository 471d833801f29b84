"""Soft voting: the mean of the probabilities of several classifiers, for one label or many."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping, process_routing

from ._data.advice import advising
from ._data.fitting import unchanged_on_error
from ._data.interrupts import Interrupt, call_until_interrupted
from ._data.messages import describe
from ._data.progress import Task, begin_fit, callbacks_torn_down, fitting_part
from ._data.responses import (
    check_takes_labels,
    explaining,
    label_scores,
    may_keep_scores,
    out_of_fold_scores,
)
from ._data.tables import as_rows, match_index
from ._data.targets import TargetCodec, plain_targets
from ._data.validation import check_n_jobs, check_verbose
from ._data.weights import LARGEST_SUM, check_weight
from ._decision.base import ProbabilityClassifier
from ._decision.members import Composition, is_dropped, least_log_loss
from ._decision.routing import check_keywords, takes_keyword
from ._sklearn import CallbackSupportMixin, _routing_enabled

__all__ = ["SoftVotingClassifier"]


@advising
@dataclass(eq=False, repr=False)
class SoftVotingClassifier(CallbackSupportMixin, Composition, ProbabilityClassifier):
    r"""Mean of the probabilities of several classifiers, for one label or many.

    What scikit-learn's ``VotingClassifier(voting="soft")`` does for 1-D targets and refuses for
    multi-label ones. Models of different kinds, such as a network and a forest, make different
    errors, and their mean fewer than either as a rule.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Names and classifiers with `predict_proba`, which are cloned. Multi-label probabilities
        may come as an array of shape (n, n_labels) or (n, n_labels, 2), a sparse matrix, a
        DataFrame, or a list or tuple with an array of shape (n, n_classes) per label. "drop" in
        place of a classifier leaves it out. Parameters are set as ``trees__max_depth=3``, and a
        classifier is replaced as ``trees="drop"``.
    weights : array-like of shape (n_estimators,) or "learned", optional
        A number >= 0 for each of `estimators`, dropped ones as well; their sum does not matter.
        None is equal weights. "learned" minimises the log loss of the mean on out-of-fold scores,
        which all members must keep: see the notes.
    n_jobs : int, optional
        Number of classifiers that are fitted at a time, as in joblib.
    verbose : bool or int, default=0
        From 1 on, the name of each classifier is printed before its fit, and the seconds after.

    Attributes
    ----------
    classes_ : ndarray
        Classes of a 1-D y. For an indicator the array with one row [0, 1] per label.
    n_labels_ : int
        Number of labels (classes of a multi-class y; 1 for a binary y).
    label_names_ : ndarray of shape (n_labels,)
        Columns of a DataFrame y, else numbers; classes of a 1-D y.
    n_features_in_ : int
        Number of columns of X, if a classifier has this attribute.
    feature_names_in_ : ndarray of shape (n_features,)
        Columns of X, if a classifier has this attribute.
    estimators_ : list of classifiers
        The fitted classifiers without dropped ones. They were fitted on y as it was given.
    named_estimators_ : Bunch
        The same by name, with "drop" for dropped ones, and for those that Ctrl-C left out.
    weights_ : ndarray of shape (n_fitted,)
        Share of each of `estimators_` in the mean; they sum to 1.
    oof_scores_ : ndarray of shape (n_samples, n_labels)
        The weighted mean of those of the members, if all keep them; NaN for rows that a member
        has no such score of. ``DecodedClassifierCV(vote, decoder, cv="oof")`` fits a decoder on
        them.

    See Also
    --------
    DecodedClassifierCV : Decoders for this classifier as for any other, or for such a mean with
        one set of folds for all members.
    sklearn.ensemble.VotingClassifier : Hard and soft votes for a 1-D y.

    Notes
    -----
    X and y go to the classifiers as they were given: sparse X, NaN or a sparse y are fine where
    all of them take these. The same is true of `sample_weight`, also within a
    `DecodedClassifierCV`. With metadata routing it reaches those that request it.

    With scikit-learn 1.9, ``set_callbacks`` takes `ProgressBar` and other callbacks, for each
    classifier by its name; ``ProgressBar(max_propagation_depth=None)`` also shows their folds and
    epochs.

    A label that is constant in y has its constant as its probability wherever a classifier returns
    a list, as forests do.

    Out-of-fold scores, the probabilities of each row by a model that was not trained on it, are
    kept by `MultiLabelNetClassifier` with `cv`, `MultiLabelLogisticRegressionCV`, and
    `DecodedClassifierCV` around any classifier (with ``store_cv_results=True``), by forests with
    ``oob_score=True, bootstrap=True``, and by a soft-voting ensemble of such members. So weights
    are learned without fitting anything twice: with :math:`p_k` the score of member k and Y the
    targets they minimise

    .. math:: -\sum_i Y_i \log \sum_k w_k p_{k,i} + (1 - Y_i) \log\Big(1 - \sum_k w_k p_{k,i}\Big),
       \quad w \ge 0, \ \sum_k w_k = 1

    over rows and labels or classes, with `sample_weight` and without NaN [1]_. A member that adds
    nothing gets (nearly) 0. Log loss hardly depends on the ranking of rows within a label, so equal
    weights may be better for macro-averaged precision. A calibrated member has an advantage, since
    its calibrator was fitted on these rows: calibrate the ensemble instead.

    References
    ----------
    .. [1] M. J. van der Laan, E. C. Polley, A. E. Hubbard. "Super learner". Statistical
       Applications in Genetics and Molecular Biology 6, 2007.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_mlloss import SoftVotingClassifier
    >>> X, Y = make_multilabel_classification(n_samples=300, n_classes=4, random_state=0)
    >>> trees = ExtraTreesClassifier(20, random_state=0)
    >>> both = SoftVotingClassifier([("trees", trees), ("near", KNeighborsClassifier())]).fit(X, Y)
    >>> both.predict_proba(X[:2]).shape
    (2, 4)
    >>> both.set_params(trees__max_depth=5, weights=[2, 1]).fit(X, Y).weights_.round(2)
    array([0.67, 0.33])
    """

    # Members request weights: a request of this object would have no effect.
    __metadata_request__fit = {"sample_weight": UNUSED}

    estimators: list[tuple[str, Any]]
    _: KW_ONLY
    weights: Any = None
    n_jobs: int | None = None
    verbose: int = 0

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, **fit_params: Any) -> Self:
        """Fit the classifiers.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            What all `estimators` take.
        y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            An indicator matrix, or a vector of classes.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), optional
            Weights for all classifiers, or with metadata routing for those that request them.
        **fit_params : dict
            `groups` of rows, of shape (n_samples,), for the classifiers with folds; with metadata
            routing, all arguments that classifiers request.

        Returns
        -------
        SoftVotingClassifier
            The fitted estimator. If anything fails, it is left as it was. After Ctrl-C it is the
            mean of the classifiers so far, with what the one in progress keeps if it is of this
            package; a warning reports this, and KeyboardInterrupt is raised. A second Ctrl-C, or
            one before there is anything to keep, leaves it as it was.
        """
        with Interrupt(self) as interrupt, unchanged_on_error(self), callbacks_torn_down(self):
            self.__dict__.pop("oof_scores_", None)
            self._check_members()
            learns = self._learns_weights()
            if learns:
                members = self._members()
                self._check_keep_scores(members, [may_keep_scores(member) for _, member in members])
            else:
                self.weights_ = self._shares()
            check_n_jobs(self.n_jobs)
            check_verbose(self.verbose)
            fit_params = match_index(X, y=y, sample_weight=sample_weight, **fit_params)
            y, sample_weight = fit_params.pop("y"), fit_params.pop("sample_weight")
            # These raise before anything is trained.
            targets = TargetCodec().fit(y)
            X, y = as_rows(X), plain_targets(y)
            Y = targets.transform(y)
            per_label = targets.kind == "multilabel"
            sample_weight = check_weight(sample_weight, Y, per_label, LARGEST_SUM)
            self._set_targets(targets)
            routed = self._route(sample_weight, fit_params)
            for name, member in self._members():
                with _naming(name):
                    check_takes_labels(member, targets, parameter="")
            n_members = len(self._members())
            task = begin_fit(self, X, y, sample_weight, n_members, ordered=False)
            calls = [
                (name, clone(member), X, y, targets, routed[name], self.verbose, task, number)
                for number, (name, member) in enumerate(self._members())
            ]
            names, models, *_ = zip(*calls, strict=True)
            fitted = call_until_interrupted(
                interrupt, _fit_member, calls, self.n_jobs, keep=partial(self._kept, names),
                models=models,
            )  # fmt: skip
            self.estimators_ = list(fitted.values())
            named = {names[number]: model for number, model in fitted.items()}
            self.named_estimators_ = Bunch(**(dict.fromkeys(dict(self.estimators), "drop") | named))
            if not learns and len(fitted) < len(names):
                shares = self.weights_[list(fitted)]
                self.weights_ = shares / shares.sum()
            scores = [out_of_fold_scores(model, targets, len(Y)) for model in self.estimators_]
            kept = [part for part in scores if part is not None]
            if learns:
                # Whether there were folds is known only now.
                self._check_keep_scores(self._fitted_members(), [p is not None for p in scores])
                self.weights_ = least_log_loss(kept, Y, sample_weight)
            if len(kept) == len(scores):
                self.oof_scores_ = np.average(np.stack(kept), axis=0, weights=self.weights_)
            self._take(self.estimators_, "n_features_in_", "feature_names_in_")
            if task is not None:
                task.end({})
        return self

    # ------------------------------------------------------------------ parameters and tags

    @property
    def named_estimators(self) -> Bunch:
        """The classifiers by name, not fitted."""
        return Bunch(**dict(self.estimators))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return who gets which metadata in `fit`: the classifiers, each as it requests."""
        router = MetadataRouter(owner=self)
        for name, member in self.estimators:
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(**{name: member}, method_mapping=mapping)
        return router

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: the mean is for any number of labels."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        try:
            inputs = [get_tags(member).input_tags for _, member in self._members()]
        except (AttributeError, TypeError, ValueError):
            return tags  # `fit` says what is wrong with `estimators`
        tags.input_tags.allow_nan = all(each.allow_nan for each in inputs)
        tags.input_tags.sparse = all(each.sparse for each in inputs)
        tags.input_tags.pairwise = any(each.pairwise for each in inputs)
        return tags

    def _sk_visual_block_(self) -> Any:
        """Return the diagram of notebooks, with the classifiers side by side."""
        from sklearn.ensemble import VotingClassifier  # a tenth of a second

        return VotingClassifier._sk_visual_block_(self)

    # ------------------------------------------------------------------ parts

    def _fitted_members(self) -> list[tuple[str, Any]]:
        """Return names and models of those that are in the mean."""
        return [pair for pair in self.named_estimators_.items() if not is_dropped(pair[1])]

    def _kept(self, names: Sequence[str], parts: dict[int, str]) -> str:
        """Return in words which members are kept after an interrupt: none if all have weight 0."""
        if not self._learns_weights() and not self.weights_[list(parts)].any():
            return ""
        kept = [names[number] + f" ({part})" * bool(part) for number, part in parts.items()]
        return f"{len(kept)} of {len(names)} members, {', '.join(kept)}" if kept else ""

    def _check_keep_scores(self, members: list[tuple[str, Any]], keeps: list[bool]) -> None:
        for (name, member), has_scores in zip(members, keeps, strict=True):
            if has_scores:
                continue
            if hasattr(member, "store_cv_results"):
                what = "set its store_cv_results=True and folds (cv=5)"
            else:
                what = (
                    f"give DecodedClassifierCV({type(member).__name__}(...), 'threshold', "
                    "ensemble=True, store_cv_results=True), or a forest with oob_score=True and "
                    "bootstrap=True"
                )
            raise ValueError(
                f"weights='learned' needs out-of-fold scores of each member, and the member "
                f"{name!r} keeps none, got {describe(member)}: {what}"
            )

    def _route(self, sample_weight: Any, fit_params: dict) -> dict[str, dict]:
        """Return the arguments of `fit` of each classifier, by name."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        names = [name for name, _ in self._members()]
        if _routing_enabled():
            routed = process_routing(self, "fit", **weights, **fit_params)
            return {name: routed[name].fit for name in names}
        groups = fit_params.pop("groups", None)
        check_keywords(self, None, fit_params)
        for name, member in self._members():
            if weights and not takes_keyword(member, "sample_weight"):
                raise TypeError(
                    f"sample_weight was given, and the member {name!r} takes none, got "
                    f"{describe(member)}: fit without weights, set {name}='drop', or use metadata "
                    "routing"
                )
        routed = dict.fromkeys(names, weights)
        return routed if groups is None else self._with_groups(routed, groups)

    def _with_groups(self, routed: dict[str, dict], groups: Any) -> dict[str, dict]:
        """Return the arguments of classifiers, with groups for those that keep them together."""
        takers = [name for name, member in self._members() if takes_keyword(member, "groups")]
        for name, member in self._members():
            if name not in takers and (may_keep_scores(member) or not takers):
                raise TypeError(
                    f"groups were given, and the member {name!r} takes none, got "
                    f"{describe(member)}: give DecodedClassifierCV({type(member).__name__}(...), "
                    "'threshold', ensemble=True, store_cv_results=True), whose folds keep groups "
                    "together, or fit without groups"
                )
        return {
            name: params | {"groups": groups} if name in takers else params
            for name, params in routed.items()
        }

    def _label_scores(self, X: Any) -> np.ndarray:
        """Return the weighted mean of the probabilities of the classifiers."""
        X = as_rows(X)
        scores = [label_scores(m, X, "predict_proba", self._targets) for m in self.estimators_]
        # Rounding may leave the interval.
        return np.clip(np.average(scores, axis=0, weights=self.weights_), 0, 1)


def _fit_member(
    name: str,
    member: Any,
    X: Any,
    y: Any,
    targets: TargetCodec,
    params: dict,
    verbose: int,
    task: Task | None,
    number: int,
) -> Any:
    if verbose:
        print(f"[SoftVotingClassifier] fitting {name}: {type(member).__name__}", flush=True)
    start = time.perf_counter()
    part = fitting_part(task, member, name, number, X=X, y=y)
    with explaining(member, X, y, targets, "y", params), _naming(name), part:
        model = member.fit(X, y, **params)
    if verbose:
        seconds = time.perf_counter() - start
        print(f"[SoftVotingClassifier] fitted {name} in {seconds:.1f} s", flush=True)
    return model


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # raised again as it is, whatever a member raises
        error.add_note(f"This was raised by the member {name!r}.")
        raise
