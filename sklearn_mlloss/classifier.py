"""The multi-label classifier: validate, train, fit the decision; predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch

from ._data.advice import advising
from ._data.features import InputCodec, check_rows, takes_missing
from ._data.fitting import draw_entropy, unchanged_on_error
from ._data.folds import Fold, check_groups
from ._data.interrupts import Interrupt
from ._data.partitions import is_streamed
from ._data.progress import begin_fit, callbacks_torn_down
from ._data.rows import Rows
from ._data.tables import match_index
from ._data.targets import TargetCodec
from ._data.validation import check_flag
from ._decision.base import DecidingClassifier
from ._decision.cross_fit import CrossFit
from ._decision.decision import Decision, HeldOut, make_decision, try_metric
from ._decision.fit_rows import FitRows
from ._decision.presets import preset_for
from ._decision.summary import describe_nets
from ._sklearn import CallbackSupportMixin
from ._training.build import Plan, build_net, check_accepts, make_loss
from ._training.cache import train_cached
from ._training.callbacks import check_callbacks
from ._training.device import resolve_device, torch_defaults
from ._training.encoding import fit_encoder
from ._training.ensemble import HasNets
from ._training.fit import one_more_epoch, train_net
from ._training.folds import train_folds, train_on_all
from ._training.net import TableNet
from ._training.parameters import NETWORK, PRECISIONS, check_params
from .calibration import Calibrator
from .decoders import Decoder
from .losses import Loss, get_loss
from .networks import get_encoding

__all__ = ["MultiLabelNetClassifier"]


@advising
@dataclass(eq=False, repr=False)
class MultiLabelNetClassifier(CallbackSupportMixin, HasNets, DecidingClassifier):
    """Multi-label classifier: a neural network with a loss and a decoder of your choice.

    A multi-layer perceptron is trained with `loss`, whose own link maps network outputs to scores:
    probabilities wherever theory gives them. A `decoder` turns scores into labels; decoders with
    fitted parameters, such as tuned thresholds, are fitted on rows held out from training.

    Parameters
    ----------
    loss : str, Loss, torch loss class or instance, or callable, default="bce"
        What training minimises: a loss object, a function ``(outputs, targets)``, which becomes a
        `FunctionLoss`, or a name of `sklearn_mlloss.losses.LOSSES`, whose parameters are set as
        ``loss__gamma``: abs_kl, asymmetric, asymmetric_polynomial, atlop, balanced_bce, bce,
        bp_mll, brier, cloglog, distribution_balanced, exponential, factorized, focal, hill, hinge,
        ldam, lsep, mse, multilabel_margin, pairwise_logistic, poisson_softmax, poly1, sigmoid_f1,
        soft_fbeta, softmax_ce, splc, squared_hinge, tversky, two_way, zlpr.
    decoder : str or Decoder, default="auto"
        How scores become labels: "auto" for the default of the loss, a decoder, or a name of
        `sklearn_mlloss.decoders.DECODERS`: threshold, global_threshold, per_label_threshold,
        proportion, cost, top_k, cardinality, cumulative, one_over_n, max_gap, argmax, at_least_one,
        expected_fbeta, expected_jaccard, gfm, label_set, threshold_function, risk_control,
        hierarchy. A 1-D multi-class y is always decided by the largest score.
    encoding : None, str, Encoding or transformer, default="auto"
        How the columns of X are preprocessed, fitted on the rows that train the network:
        "standard", "robust", "quantile", "piecewise_linear" (`sklearn_mlloss.networks.ENCODINGS`)
        or an encoding object, which become part of the network; None for X as it is; or a
        transformer with dense output, which is cloned, fitted and run on the CPU on X in
        `precision` and without column names. "auto" is "piecewise_linear" [1]_ for dense numbers,
        "quantile" or less where that would be too wide or rows are few, and None for sparse or
        binary X, except that 1 is made the rarer value of binary columns: see
        `sklearn_mlloss.networks.choose_encoding` and `encoding_reason_`. Parameters of a named
        encoding are set as ``encoding__n_bins``.
    categorical_features : "from_dtype", None or array-like of bool, int or str, \
            default="from_dtype"
        Which columns of X are categorical, as for `HistGradientBoostingClassifier`: those of a
        DataFrame with a categorical dtype, none, or those of a mask, of numbers or of names. Their
        values may be any hashable objects; fractions that are equal in float32 are one category.
        They are one-hot encoded, see `sklearn_mlloss.networks.OneHotEncoding`; of more than 256 in
        a column, those after the 255 most frequent share one input. Unknown categories are encoded
        as that one or as none. Not with a sparse X or a transformer.
    hidden_layer_sizes : sequence of int or "auto", default="auto"
        Units of each hidden layer; empty for a linear model. "auto" is one layer of 256 units, two
        for more than 4000 rows.
    activation : str, default="relu"
        A name of `sklearn_mlloss.networks.ACTIVATIONS`.
    dropout : float in [0, 1) or "auto", default="auto"
        Rate of dropout of hidden units. "auto" is 1/2, but at most 2000 divided by the number of
        training rows, and the units of the narrowest layer divided by 128; in steps of 1/16, so
        that from 64,000 rows on it is 0.
    normalization : None, "batch" or "layer", default=None
        Normalisation before each activation.
    input_dropout : float in [0, 1) or "auto", default="auto"
        Rate of dropout of encoded inputs. "auto" is 5/8 of that of `dropout`, less where X has
        under 64 columns. Where columns are not redundant, it draws probabilities towards 1/2.
    mixup : float >= 0 or "auto", default="auto"
        Trains on mixtures of two encoded rows each, with shares from Beta(mixup, mixup), see
        `sklearn_mlloss.networks.Mixup`. "auto" is 2/5 of the rate of `dropout`.
    linear_part : bool or "auto", default="auto"
        Whether a penalised linear model is a part of the network, see the notes. "auto" is True
        with `early_stopping`, unless rows and labels are so many that it would take minutes.
    module : callable ``(n_features, n_outputs) -> torch.nn.Module``, optional
        A custom network for the encoded X instead of the built-in one, whose parameters above must
        then keep their defaults. The bias of its last linear layer with `n_outputs` outputs, if it
        has one, starts from the label priors.
    optimizer : str or torch optimizer class, default="adamw"
        "adadelta", "adagrad", "adam", "adamw", "nadam", "rmsprop", "sgd", or a class.
    learning_rate : float, optional
        None means the default of the optimiser itself in torch, such as 0.001 for adamw.
    weight_decay : float >= 0, default=0.01
        For adamw decoupled: weights shrink by ``learning_rate * weight_decay`` per step. For other
        optimisers an L2 penalty ``weight_decay / 2 * w ** 2``, where smaller values are usual.
    optimizer_params : dict, optional
        Further arguments of the optimiser, such as ``{"momentum": 0.9}``.
    lr_schedule : None, "cosine", "plateau" or callable, default=None
        Learning rate over the epochs of a fit: constant; to 0 in a half cosine over `max_epochs`;
        times 0.3 when the validation loss (without early stopping the training loss) has not
        improved for a third of `n_iter_no_change`; or a function from the optimiser to a torch
        scheduler, which is stepped once per epoch.
    batch_size : int or "auto", default="auto"
        Largest number of rows per step. "auto" is the power of two next to a twentieth of the
        training rows, within 32 and 512.
    max_epochs : int, default=200
        Largest number of passes over the training rows.
    early_stopping : bool, default=True
        Whether to hold out rows, to stop when `monitor` no longer improves on them or training
        diverges, and to restore the best weights. Otherwise `max_epochs` passes are made.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows held out, stratified by label, for early stopping and, also without it,
        for a decision that must be fitted. A decoder with `untouched_rows`, such as
        "risk_control", gets a fifth of the rows instead.
    n_iter_no_change : int or numpy.inf, default=10
        Epochs without improvement (by a ten-thousandth) after which early stopping stops; infinity
        makes `max_epochs` epochs and keeps the best.
    monitor : "loss" or callable ``(Y, scores) -> float``, default="loss"
        What early stopping monitors on the held-out rows: the loss, or a metric of targets and
        scores, greater for better, such as scikit-learn's `label_ranking_average_precision_score`.
    device : str, default="auto"
        "auto" is CUDA if there is one, else the CPU; or the name of a torch device.
    precision : {"float32", "float64", "bf16"}, default="float32"
        Type of weights and arithmetic. float64 takes about twice the time; with a single batch and
        neither dropout nor held-out rows, the order of the rows, or a weight of 2 in place of a
        duplicated row, then changes the last digits only. "bf16" multiplies matrices of dense rows
        in bfloat16 while training, and keeps weights, loss and predictions in float32: faster for
        wide networks on processors that have it, with gradients of three digits.
    random_state : int, RandomState or None, default=None
        Controls the randomness of initialisation, split, order of the rows, dropout and mixup. The
        same int gives the same model bit by bit on the CPU; for steps of over 20 million operations
        only with as many threads. Global generators and torch's default device, dtype and autocast
        have no effect (torch's generator is borrowed: do not draw from it in another thread).
    calibration : None, str or Calibrator, default=None
        Corrects the scores before the decoder sees them, fitted on the same rows: "temperature",
        "sigmoid", "beta", "isotonic" (names of `sklearn_mlloss.calibration.CALIBRATORS`) or an
        object.
    cv : None, int, splitter or iterable of (train, test), default=None
        None trains one network and holds rows out. Otherwise one network is trained per fold, each
        stopped early on its own fold, and one calibrator and one decoder are fitted on the
        out-of-fold scores of all rows together (`CalibratedClassifierCV` fits one per fold). An
        int is a number of stratified folds.
    repeats : int, default=1
        With an int `cv`, the number of different splits into folds, over which the out-of-fold
        scores are averaged.
    ensemble : bool, default=True
        With `cv`, whether to keep the networks of all folds and average their probabilities, or
        to train one more on all rows, for the median of their best numbers of epochs.
    store_cv_results : bool, default=False
        With `cv`, whether to keep the out-of-fold scores in `oof_scores_`.
    n_jobs : int, optional
        With `cv`, number of folds trained at a time, as in joblib. For threads see `random_state`.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit. Statistics, optimiser and decision
        are fitted again, and the loss may be another one with as many outputs. The encoding, and
        what "auto" is in the network, stay as in the first fit; the categorical columns must, too.
    memory : None, str or joblib.Memory, default=None
        Where trained networks are cached. A `fit` that differs from an earlier one only in
        `decoder`, `calibration`, `n_jobs` and `verbose` reuses its networks: `GridSearchCV` over
        decoders trains once per fold. (Without early stopping, a decoder that needs no fit trains
        on all rows, and others do not.) Not for `warm_start` and `partial_fit`. `random_state` must
        be an int; loss, `module` and `callbacks` must be picklable. Changes to the code, defaults,
        closures, attributes or bases of your functions and classes count, those of what they call
        do not. The files are pickles: whoever can write to the folder can run code here.
    callbacks : list of skorch callbacks, optional
        Copied, and called as skorch documents it; after each batch, which is slow, only if they
        have such a method. `EpochScoring` scores predictions of `net_` at the end of an epoch,
        whatever its `use_caching`. By shards, each check is an epoch. For callbacks of scikit-learn
        see the notes.
    net_params : dict, optional
        ``optimizer__param_groups``, ``torch_load_kwargs``, ``callbacks__...`` of skorch's net.
    streaming : Streaming, optional
        Reads X and y by shards, for rows that do not fit in memory, with the settings of a
        `sklearn_mlloss.streaming.Streaming`: X is an array, a memory map, or an iterable of batches
        ``(X, y)`` that can be read again, with y left out. y is an indicator.
    verbose : bool or int, default=0
        1 prints the losses of each epoch, with the number of the fold.

    Attributes
    ----------
    classes_ : ndarray
        Classes of a 1-D y. For an indicator the array with one row [0, 1] per label.
    n_labels_ : int
        Number of labels (classes of a multi-class y; 1 for a binary y).
    label_names_ : ndarray of shape (n_labels,)
        Columns of a DataFrame y, else numbers; classes of a 1-D y.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Columns of X, if they are all strings.
    loss_ : Loss
        The fitted loss.
    is_categorical_ : ndarray of bool, shape (n_features,), or None
        Which columns are categorical; None if none is.
    categories_ : list of ndarray
        The categories of each of these columns in the rows of the (first) fit, sorted.
    encoding_ : Encoding, transformer or None
        The fitted encoding of the first net; that of each is ``net.encoder_.fitted``, and for
        categories ``net.encoder_.categories``.
    encoding_reason_ : str
        Why "auto" has chosen it, and how many columns it codes as 1 - x, else "as given".
    decoder_ : Decoder
        The decoder in use.
    calibrator_ : Calibrator or None
        The calibrator in use.
    net_ : skorch.NeuralNet
        The trained net, the first of an ensemble. ``net_.module_`` is the torch module, on the CPU,
        which takes rows of X (or of a transformer's output), with the index of a category in
        `categories_`, or -1 if it is unknown, and NaN for missing values. `forward`, `predict` and
        `predict_proba` of `net_` take such rows, too, without calibration and decoder.
    nets_ : list of skorch.NeuralNet
        All nets.
    oof_scores_ : ndarray of shape (n_samples, n_labels)
        With `cv` and `store_cv_results`, the uncalibrated out-of-fold scores, with early stopping
        after the median of the best epochs of the other folds; NaN for rows that were left out.
    history_ : dict of lists, or list of such dicts for an ensemble
        For each epoch "epoch", "train_loss", and with early stopping "valid_loss", "valid_score"
        (of a custom `monitor`) and "is_best", True where the weights were the best so far: training
        restored the last of these. With `lr_schedule` also "learning_rate".
    n_iter_ : int
        Number of epochs made, the largest of an ensemble.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : One loss, one decision rule.

    Notes
    -----
    The parameters by purpose:

    - Loss and decision: `loss`, `decoder`, `calibration`
    - Inputs: `encoding`, `categorical_features`
    - Network: `hidden_layer_sizes`, `activation`, `dropout`, `normalization`, `input_dropout`,
      `mixup`, `linear_part`, `module`
    - Optimisation: `optimizer`, `learning_rate`, `weight_decay`, `optimizer_params`,
      `lr_schedule`, `batch_size`, `warm_start`
    - Stopping: `max_epochs`, `early_stopping`, `validation_fraction`, `n_iter_no_change`, `monitor`
    - Folds: `cv`, `repeats`, `ensemble`, `store_cv_results`
    - Machine and reports: `device`, `precision`, `random_state`, `n_jobs`, `memory`, `callbacks`,
      `net_params`, `streaming`, `verbose`

    y may be an indicator matrix (array, sparse, DataFrame, list of lists), a column, or a 1-D
    vector of classes. In an indicator, NaN means not observed: such entries are left out of the
    loss, and rows without any observed entry out of training. Values between 0 and 1 are
    probabilities of the label, where the loss accepts them.

    NaN in a dense X means missing. Every encoding imputes a typical value of the column and adds
    a missing indicator where training rows had NaN, and so does "auto"; a transformer must impute
    itself; ``encoding=None`` refuses NaN, except in categories.

    `sample_weight` is one weight per row, or for losses that are sums over labels one weight per
    row and label. A weight of 0 equals leaving the row (or entry) out. `fit` scales weights to mean
    1; `partial_fit` takes them as they are, so that calls weigh against each other. Decoders and
    encodings use one weight per row, the mean over its observed labels.

    A network that learns nothing beyond the label priors, by the loss on the held-out rows (or,
    without early stopping and after 10 epochs or more, on training rows), is trained once more:
    with the encoding "standard" if "auto" chose another one for a dense X, otherwise with a tenth
    of the learning rate if that is None; not with `warm_start` or callbacks. The better of the two
    is kept, `encoding_reason_` reports it, and a `ConvergenceWarning` is raised if it has learned
    nothing either.

    The linear part is an additive logistic regression of each label, fitted to its optimum before
    training: of the standardised columns and, unless X is sparse or large, of four bins of each, of
    categories, and of indicators of missing values, with an L2 penalty that is chosen on up to
    five folds. The output of label :math:`l` is

    .. math:: f_l(x) + a_l (g_l(x) - g_l),

    where :math:`f` are the layers of the network, :math:`g_l(x)` is the log-odds by the linear
    model, and :math:`g_l` that of the label prior; :math:`a_l` is trained with the layers from 0,
    with ten times their learning rate under adamw and the like. In training, :math:`g_l(x)` comes
    from fits without the fold of the row, and so do the scores that calibrator and decoder are
    fitted on. After training, the loss on the held-out rows chooses between the network, the linear
    model alone and mixtures of their outputs, see `summary()`. Where labels depend on columns one
    by one, the network is about as good as the linear model; where they do not, it corrects it
    [2]_. There is no linear part in a custom `module`, after `partial_fit` alone, and, by "auto",
    without early stopping, so that such a fit depends on rows and weights only and not on folds.

    With scikit-learn 1.9, ``set_callbacks`` takes `ProgressBar` and other callbacks, for each fold
    and each epoch (by shards: each check) of `fit`. At the end of an epoch (not of a fold's),
    `fitted_estimator` is what the fit would be if it had ended there, with a fitted decision. A
    callback may end training by returning True, except with `memory`.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko. "On embeddings for numerical features in tabular
       deep learning". NeurIPS 2022.
    .. [2] H.-T. Cheng et al. "Wide & deep learning for recommender systems". DLRS 2016. There, the
       linear model is trained with the layers.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn_mlloss import MultiLabelNetClassifier
    >>> X, Y = make_multilabel_classification(n_samples=300, n_classes=4, random_state=0)
    >>> clf = MultiLabelNetClassifier("focal", "global_threshold", random_state=0).fit(X, Y)
    >>> clf.predict_proba(X[:2]).shape
    (2, 4)
    >>> clf.predict(X[:2]).shape
    (2, 4)
    """

    _parts = ("decoder", "calibration", "loss", "encoding")
    _advice = "cv=5, so that every row serves, or call fit_decoder with more rows"

    # With metadata routing, groups are for splitters.
    __metadata_request__fit = {"groups": False}

    loss: str | Loss | type | Callable[..., Any] = "bce"
    decoder: str | Decoder = "auto"
    _: KW_ONLY
    encoding: Any = "auto"
    categorical_features: Any = "from_dtype"
    hidden_layer_sizes: Sequence[int] | str = "auto"
    activation: str = "relu"
    dropout: float | str = "auto"
    normalization: str | None = None
    input_dropout: float | str = "auto"
    mixup: float | str = "auto"
    linear_part: bool | str = "auto"
    module: Callable[[int, int], torch.nn.Module] | None = None
    optimizer: str | type[torch.optim.Optimizer] = "adamw"
    learning_rate: float | None = None
    weight_decay: float = 0.01
    optimizer_params: dict[str, Any] | None = None
    lr_schedule: str | Callable[..., Any] | None = None
    batch_size: int | str = "auto"
    max_epochs: int = 200
    early_stopping: bool = True
    validation_fraction: float = 0.1
    n_iter_no_change: float = 10
    monitor: str | Callable[[np.ndarray, np.ndarray], float] = "loss"
    device: str | torch.device = "auto"
    precision: str = "float32"
    random_state: int | np.random.RandomState | None = None
    calibration: str | Calibrator | None = None
    cv: Any = None
    repeats: int = 1
    ensemble: bool = True
    store_cv_results: bool = False
    n_jobs: int | None = None
    warm_start: bool = False
    memory: Any = None
    callbacks: list[Any] | None = None
    net_params: dict[str, Any] | None = None
    streaming: Any = None
    verbose: int = 0

    @classmethod
    def for_metric(cls, metric: str | Callable, **params: Any) -> MultiLabelNetClassifier:
        """Return a classifier whose loss, decision, folds and network suit a metric.

        The network has two layers, which made fewer errors on four of six real tables; for the
        calibration error it is the default one. For log loss, Brier score and calibration error
        ``calibration="beta"`` corrects the probabilities, unless there are no folds (``cv=None``).

        Parameters
        ----------
        metric : str or callable
            Such as "f1_macro" or "hamming_loss": names of scikit-learn and of
            `sklearn_mlloss.metrics.multilabel_scorers`, or their scorers. Or a function of y and
            decisions, greater is better, which is maximised by a `GlobalThreshold`.
        **params : dict
            Parameters of the classifier, which take precedence.

        Examples
        --------
        >>> MultiLabelNetClassifier.for_metric("calibration_error", random_state=0)
        MultiLabelNetClassifier(calibration='beta', cv=10, random_state=0)
        """
        preset = preset_for(metric, folds=params.get("cv", 10) is not None)
        if params.get("module") is not None:
            preset = {name: value for name, value in preset.items() if name not in NETWORK}
        return cls(**{**preset, **params})

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Train the network and fit the decoder.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Numbers, NaN for missing ones, and categories. Sparse input, which may hold neither, is
            never made dense as a whole. Rows that do not fit in memory: a Dask array or DataFrame,
            a `sklearn_mlloss.streaming.ParquetRows` without y, or see `streaming`.
        y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Targets; see the notes of the class.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), optional
            Weights >= 0.
        groups : array-like of shape (n_samples,), optional
            Rows of one group are kept together: in folds, or in the rows that are held out.

        Returns
        -------
        MultiLabelNetClassifier
            The fitted estimator. If anything fails, it is left as it was. After Ctrl-C it has the
            best weights so far or, with `cv`, the networks of at least two finished folds, and a
            fitted decision; a warning reports this, and KeyboardInterrupt is raised. A second
            Ctrl-C, or one before there is anything to keep, leaves it as it was. By shards, a
            checkpoint stays, from which the next `fit` continues.
        """
        with (
            Interrupt(self) as interrupt,
            unchanged_on_error(self),
            callbacks_torn_down(self),
            torch_defaults(),
        ):
            if self.streaming is not None or is_streamed(X, y):
                from ._training.shards.fit import fit_by_shards

                fit_by_shards(self, X, y, sample_weight, groups, interrupt)
                return self
            check_flag(self.warm_start, "warm_start")
            last = getattr(self, "net_", None) if self.warm_start else None
            loss, data = self._begin(X, y, sample_weight, groups, last)
            folds = None
            if self.cv is not None:
                folds = data.folds(self.cv, self._targets, self._seeds(0)[2], self.repeats)
            n_parts = self.max_epochs if folds is None else len(folds) + (not self.ensemble)
            task = begin_fit(self, X, y, sample_weight, n_parts, ordered=folds is None)
            device = resolve_device(self.device)
            plan = self._plan(loss, device, task=task, interrupt=interrupt)
            if folds is None:
                self._fit_one(plan, data, last)
            else:
                self._fit_folds(plan, data, folds)
            if task is not None:
                task.end({})
        return self

    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Make one pass over some rows, continuing from the last call.

        No rows are held out. A decoder that must be fitted waits for `fit_decoder`, and `predict`
        raises until then. Encoding, network, loss and optimiser are those of the first call (except
        `learning_rate`), whose rows should be like those to come: with fewer than 50 of them,
        ``encoding="auto"`` leaves columns as they are, and later categories stay unknown. Where
        "auto" depends on the number of rows, these are counted: for large tables set `batch_size`,
        `hidden_layer_sizes`, `dropout`, `input_dropout` and `mixup`. A learning rate schedule is
        not used. After a fit with `cv`, all its nets continue.

        Parameters
        ----------
        X, y, sample_weight : see `fit`
        classes : array-like, optional
            All classes of a 1-D y, needed in the first call if y lacks some. For an indicator,
            ``range(n_labels)`` is accepted, too.

        Returns
        -------
        MultiLabelNetClassifier
        """
        with unchanged_on_error(self), torch_defaults():
            self.__dict__.pop("oof_scores_", None)
            check_params(self)
            match_index(X, y=y, sample_weight=sample_weight)
            device = resolve_device(self.device)
            first = not hasattr(self, "net_")
            if first:
                self._dtype = PRECISIONS[self.precision]
            if first or classes is not None:
                self._set_targets(TargetCodec().fit(y, classes), same=not first)
            # Weights are not scaled here, and optimizers square the gradients.
            largest = float(np.finfo(self._dtype).max) ** 0.5
            X = self._check_X(X, reset=first)
            rows, _ = check_rows(X, self._targets, y, sample_weight, largest)
            if first:
                self._entropy = draw_entropy(self.random_state)
                loss = make_loss(self.loss, rows)
                self._decision = self._make_decision(self.decoder, self.calibration, loss)
                seeds = self._seeds(0)
                encoder = fit_encoder(
                    self.encoding, rows, seeds[0], self.is_categorical_, more_to_come=True
                )
                nets = [build_net(self._plan(loss, device), encoder, rows, 0, seeds[0])]
            else:
                nets = self.nets_
                check_accepts(self.loss_, rows)
            plan = self._plan(nets[0].criterion_.loss, device)
            seeds = [self._seeds(len(net.history))[1] for net in nets]
            with one_more_epoch(plan, nets, rows, seeds, self._targets, accumulates=not first):
                self._keep(nets)
        return self

    # ------------------------------------------------------------------ tags

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: which targets, sparse input and missing values are taken."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = isinstance(self.categorical_features, str | None)
        tags.input_tags.allow_nan = takes_missing(self.encoding)
        return tags

    # ------------------------------------------------------------------ parts of all of these

    def _check_X(self, X: Any, reset: bool = False) -> np.ndarray | sp.csr_matrix | sp.csr_array:
        if not reset:
            return self._inputs.transform(self, X)
        self._inputs: InputCodec = InputCodec(self.encoding, self.categorical_features)
        X = self._inputs.fit_transform(self, X)
        self.is_categorical_: np.ndarray | None = self._inputs.is_categorical_
        self.categories_ = self._inputs.categories_
        return X

    def _rows_to_decide(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, np.ndarray, np.ndarray | None]:
        rows = check_rows(X, self._targets, y, sample_weight)[0].scaled()
        return rows.X, rows.Y, rows.weight

    # ------------------------------------------------------------------ stages of a fit

    def _begin(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, last: TableNet | None
    ) -> tuple[Loss, FitRows]:
        """Validate parameters and data; set the kind of y, the seeds and the unfitted decision."""
        self.__dict__.pop("oof_scores_", None)
        check_params(self)
        # With ensemble=False the last network is trained on all rows.
        monitored = self.early_stopping and (self.cv is None or self.ensemble)
        check_callbacks(self.callbacks or (), self.early_stopping, monitored)
        resolve_device(self.device)
        self._dtype = PRECISIONS[self.precision]
        match_index(X, y=y, sample_weight=sample_weight, groups=groups)
        self._set_targets(TargetCodec().fit(y), same=last is not None)
        if last is not None:
            self._inputs.check_columns(self, X)
        X = self._check_X(X, reset=last is None)
        rows, kept = check_rows(X, self._targets, y, sample_weight)
        rows = rows.scaled()
        groups = None if groups is None else check_groups(groups, len(kept))
        if last is None:
            self._entropy = draw_entropy(self.random_state)
        loss = make_loss(self.loss, rows)
        self._decision = self._make_decision(self.decoder, self.calibration, loss)
        try_metric(self.decoder_, rows.Y, rows.weight)
        data = FitRows(rows, kept, groups)
        return loss, data.reserving(self._seeds(0)[3]) if self.decoder_.untouched_rows else data

    def _fit_one(self, plan: Plan, data: FitRows, last: TableNet | None) -> None:
        """Train one net, and fit the decision on rows that were held out from training."""
        loss, train, held_out = plan.loss, data.rows, None
        if self.early_stopping or self._decision.requires_fit:
            # Not a new split in a warm start: its held-out rows would have been trained on.
            train, held_out = data.hold_out(self.validation_fraction, self._seeds(0)[2])
            loss.fit(train.Y, train.weight)
        self._targets.warn_of_constant_labels(loss.positive_count_, loss.label_count_)
        seeds = self._seeds(0 if last is None else len(last.history))
        valid = held_out if self.early_stopping else None

        def finish(model: MultiLabelNetClassifier, net: TableNet) -> None:
            model._keep([net])
            if held_out is not None and model._decision.requires_fit:
                scores, count = net.held_out_scores(held_out, plan.device)
                scored = HeldOut(scores, held_out.Y, held_out.weight, count)
                model._learn_decision(scored, data)

        if plan.task is not None:
            plan.task.finish = finish
        trained = train_cached(train_net, plan, train, valid, self.max_epochs, seeds, last)
        plan.interrupt.holds = True
        finish(self, trained.net)
        trained.net.held_out_deviations_ = None

    def _fit_folds(self, plan: Plan, data: FitRows, folds: list[Fold]) -> None:
        """Train one net per fold, and fit the decision on the out-of-fold scores."""
        rows, loss = data.rows, plan.loss
        self._targets.warn_of_constant_labels(loss.positive_count_, loss.label_count_)
        results = train_cached(train_folds, plan, rows, folds, self._entropy)
        plan.interrupt.holds = True
        fitted = CrossFit.pool([folds[k] for k in results], list(results.values()))
        scores, count = fitted.means(len(rows))
        if self.ensemble:
            nets = [trained.net for trained in fitted.models]
        else:
            nets = train_on_all(plan, rows, results, len(folds), self._seeds(0))
        self._keep(nets)
        if self.store_cv_results:
            self.oof_scores_ = np.full((len(data.kept), scores.shape[1]), np.nan)
            self.oof_scores_[data.kept] = scores
        scored = ~np.isnan(scores).any(axis=1)
        self._learn_decision(HeldOut(scores, rows.Y, rows.weight, count)[scored], data)

    def _learn_decision(self, held_out: HeldOut, data: FitRows) -> None:
        reserved = None if data.reserved is None else self._score(data.reserved)
        self._fit_decision(held_out, reserved, all_targets=(data.rows.Y, data.rows.weight))

    def _make_decision(self, decoder: Any, calibration: Any, loss: Loss | None = None) -> Decision:
        # In `fit` there is no `loss_` yet, or that of the last fit.
        loss = loss or self.loss_
        default, source = loss.default_decoder, "" if loss.proper else type(loss).__name__
        args = decoder, calibration, self._targets
        return make_decision(*args, default=default, source=source, seed=self._entropy)

    def _model_lines(self) -> list[tuple[str, str]]:
        return describe_nets(self)

    def _auto_decoder(self, params: dict[str, Any]) -> str:
        return get_loss(params.get("loss", self.loss)).default_decoder

    def _part(self, name: str, spec: Any, params: dict[str, Any]) -> Any:
        if name == "loss":
            return get_loss(spec)
        if name == "encoding":
            return spec if hasattr(spec, "transform") else get_encoding(spec)
        return super()._part(name, spec, params)

    def _score(self, rows: Rows) -> HeldOut:
        scores, count = self._raw_scores(rows.X)
        return HeldOut(scores, rows.Y, rows.weight, count)
