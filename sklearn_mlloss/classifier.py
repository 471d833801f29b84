"""The multi-label classifier: validate, train, fit the decision; predict."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.validation import check_is_fitted

from ._data.features import InputCodec, check_rows, takes_missing
from ._data.fitting import draw_entropy, unchanged_on_error
from ._data.rows import Rows
from ._data.targets import TargetCodec
from ._decision.base import DecidingClassifier
from ._decision.decision import Decision, HeldOut, make_decision, reserve
from ._decision.held_out import make_folds, row_means, split_rows
from ._decision.presets import preset_for
from ._decision.summary import describe_nets
from ._sklearn import CallbackSupportMixin
from ._training.build import Plan, build_net, check_accepts, make_loss
from ._training.cache import train_cached
from ._training.callbacks import check_callbacks
from ._training.device import resolve_device, torch_defaults
from ._training.encoding import fit_encoder
from ._training.fit import mean_scores, train_folds, train_net, train_on, train_part
from ._training.net import TableNet
from ._training.parameters import NETWORK, PRECISIONS, TRAINING, check_params
from ._training.progress import Task, begin_fit, callbacks_torn_down
from .calibration import Calibrator
from .decoders import Decoder
from .losses import Loss, get_loss
from .networks import get_encoding

__all__ = ["MultiLabelNetClassifier"]


class MultiLabelNetClassifier(CallbackSupportMixin, DecidingClassifier):
    """Multi-label classifier: a neural network with a loss and a decision of your choice.

    A multi-layer perceptron is trained with `loss`. The loss brings its own link from network
    outputs to scores, so that `predict_proba` returns probabilities wherever theory gives them,
    whichever loss trained the network. A `decoder` turns scores into labels; decoders with
    something to learn, such as thresholds, learn it on rows held out from training.

    Parameters
    ----------
    loss : str, Loss, torch loss class or instance, or callable, default="bce"
        What to minimise: a name of `sklearn_mlloss.losses.LOSSES`, a loss object, or a function
        ``(outputs, targets)``, which becomes a `FunctionLoss`. Parameters of a named loss can be
        set as ``loss__gamma``.
    decoder : str or Decoder, default="auto"
        How scores become labels: a name of `sklearn_mlloss.decoders.DECODERS`, a decoder, or
        "auto" for the default of the loss. A 1-D multi-class y is always decided by the largest
        score.
    encoding : None, str, Encoding or transformer, default="auto"
        What becomes of the columns of X before the first layer, learned from the rows that train
        the network: "standard", "robust", "quantile", "piecewise_linear" (names of
        `sklearn_mlloss.networks.ENCODINGS`) or an encoding object, which become part of the
        network; None for X as it is; or a transformer of scikit-learn with dense output, which is
        cloned, fitted and run on the CPU, without column names; X has the `precision` by then.
        "auto" takes "piecewise_linear" [1]_ for dense numbers, "quantile" or less where that would
        be too wide or rows are few, and None for sparse or binary X: see
        `sklearn_mlloss.networks.choose_encoding`, and `encoding_reason_` for what it has found.
        Parameters of a named encoding can be set as ``encoding__n_bins``.
    categorical_features : "from_dtype", None or array-like of bool, int or str, \
            default="from_dtype"
        Which columns of X hold categories, as for `HistGradientBoostingClassifier`: those of a
        DataFrame whose dtype is categorical, none, or those given by a mask, by numbers or by
        names. Their values may be anything that is hashable; fractions that are the same in float32
        are one. They become inputs of 0 and 1, see `sklearn_mlloss.networks.OneHotEncoding`, beside
        what `encoding` makes of the others; of more than 256 in a column, those after the 255 most
        frequent share one. Those that the network has not seen count as one of these or as none.
        Not with a sparse X or a transformer.
    hidden_layer_sizes : sequence of int or "auto", default="auto"
        Units of each hidden layer; empty for a linear model. "auto" is one layer of 256 units, two
        for more than 4000 rows.
    activation : str, default="relu"
        A name of `sklearn_mlloss.networks.ACTIVATIONS`.
    dropout : float in [0, 1) or "auto", default="auto"
        Probability that a hidden unit is left out of a training step. "auto" is 1/2, but at most
        2000 divided by the number of training rows, and the units of the narrowest layer divided
        by 128; in steps of 1/16, so that from 64,000 rows on it is 0.
    normalization : None, "batch" or "layer", default=None
        Normalisation before each activation.
    input_dropout : float in [0, 1) or "auto", default="auto"
        Probability that an encoded input is left out of a training step. "auto" is 5/8 of the rate
        of `dropout`, less where X has under 64 columns. Where each column tells something that no
        other does, this draws probabilities to the middle.
    mixup : float >= 0 or "auto", default="auto"
        Trains on mixtures of two encoded rows each, with shares from Beta(mixup, mixup), see
        `sklearn_mlloss.networks.Mixup`. "auto" is 2/5 of the rate of `dropout`.
    module : callable ``(n_features, n_outputs) -> torch.nn.Module``, optional
        A network of your own instead of the built-in one, whose parameters above must then be
        left at their defaults. If its last linear layer with `n_outputs` outputs has a bias, it
        starts from the label priors. `n_features` are those of the encoded X.
    optimizer : str or torch optimizer class, default="adamw"
        "adadelta", "adagrad", "adam", "adamw", "nadam", "rmsprop", "sgd", or a class.
    learning_rate : float, optional
        None means the default of the optimiser itself in torch, such as 0.001 for adamw.
    weight_decay : float >= 0, default=0.01
        For adamw a shrinkage of the weights by ``learning_rate * weight_decay`` each step, apart
        from the gradient; for the other optimisers an L2 penalty ``weight_decay / 2 * w ** 2``
        within it, where smaller values are usual.
    optimizer_params : dict, optional
        Further arguments of the optimiser, such as ``{"momentum": 0.9}``.
    lr_schedule : None, "cosine", "plateau" or callable, default=None
        Learning rate over the epochs of a fit: constant; to 0 in a half cosine over `max_epochs`;
        times 0.3 when the validation loss (without early stopping the training loss) has not
        improved for a third of `n_iter_no_change`; or a function from the optimiser to a torch
        scheduler, which is stepped once an epoch.
    batch_size : int or "auto", default="auto"
        Largest number of rows of a step. "auto" is the power of two next to a twentieth of the
        training rows, within 32 and 512.
    max_epochs : int, default=200
        Largest number of passes over the training rows.
    early_stopping : bool, default=True
        Whether to hold out rows, to stop when `monitor` no longer improves on them or training
        diverges, and to go back to the best weights. Otherwise `max_epochs` passes are made.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows held out for early stopping, and for a decoder that learns. The split is
        stratified by label. Rows are held out for such a decoder without early stopping, too. One
        with `untouched_rows`, such as "risk_control", gets a fifth of the rows instead.
    n_iter_no_change : int or numpy.inf, default=10
        Epochs without improvement (by a ten-thousandth) after which early stopping stops; infinity
        makes `max_epochs` epochs and keeps the best.
    monitor : "loss" or callable ``(Y, scores) -> float``, default="loss"
        What early stopping watches on the held-out rows: the loss, or a function of targets and
        scores that is greater for better, such as
        `sklearn.metrics.label_ranking_average_precision_score`.
    device : str, default="auto"
        "auto" is CUDA if there is one, else the CPU; or the name of a torch device.
    precision : {"float32", "float64", "bf16"}, default="float32"
        Type of weights and arithmetic. float64 takes about twice the time; with a single batch, no
        dropout and no held-out rows, results then depend on the order of the rows, or on a weight
        of 2 in place of a row given twice, in the last digits only. "bf16" multiplies matrices of
        dense rows in bfloat16 while training, and leaves weights, loss and predictions in float32:
        faster for wide networks on processors that have it, with gradients of three digits.
    random_state : int, RandomState or None, default=None
        Controls initialisation, split, order of the rows, dropout and mixup. The same int gives the
        same model bit by bit on the CPU; for steps of over 20 million operations, with as many
        threads only. Global generators and torch's default device, default dtype and autocast do
        not matter (torch's generator is borrowed: do not draw from it in another thread meanwhile).
    calibration : None, str or Calibrator, default=None
        Corrects the scores before the decoder sees them, and learns on the same rows: a name of
        `sklearn_mlloss.calibration.CALIBRATORS`, such as "sigmoid" or "isotonic".
    cv : None, int, splitter or iterable of (train, test), default=None
        None trains one network and holds rows out. Otherwise one network per fold, each stopped
        early on its own fold; every row gets a score from a network that was not trained on it, and
        one calibration and one decoder are fitted on all of these together
        (`CalibratedClassifierCV` fits one per fold). An int is a number of stratified folds.
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
        Whether `fit` starts from the weights of the last fit. Statistics, optimiser and decision
        start anew, and the loss may be another one with as many outputs. The encoding, and what
        "auto" is in the network, stay as in the first fit; the columns of categories must, too.
    memory : None, str or joblib.Memory, default=None
        Where trained networks are cached. A `fit` that differs from an earlier one in nothing but
        decision (`decoder`, `calibration`), `n_jobs` and `verbose` takes its networks from there: a
        search over decoders by `GridSearchCV` trains once per fold. Without early stopping, a
        decoder with nothing to learn trains on all rows, and others do not. Not for ``warm_start``
        and `partial_fit`. `random_state` must be an int, or no fit equals another; loss, `module`
        and `callbacks` must be picklable. Your own functions and classes count as changed when
        their code, defaults, closures, attributes or bases are, or a package is; not when what they
        call is. The files are pickles: whoever can write to the folder can run code here.
    callbacks : list of skorch callbacks, optional
        Copied, and notified as skorch documents it; of each batch where they ask for it, which
        slows training. `EpochScoring` scores what `net_` predicts at the end of an epoch, whatever
        its `use_caching`. For callbacks of scikit-learn see the notes.
    net_params : dict, optional
        Further arguments of `skorch.NeuralNet`: ``optimizer__param_groups``,
        ``torch_load_kwargs`` and ``callbacks__...``.
    verbose : int, default=0
        1 prints the losses of each epoch.

    Attributes
    ----------
    classes_ : ndarray
        Classes of a 1-D y. For an indicator the array with a row [0, 1] a label.
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
        Which columns hold categories; None if none does.
    categories_ : list of ndarray
        The categories of each of these columns in the rows of the (first) fit, sorted.
    encoding_ : Encoding, transformer or None
        The fitted encoding of the first net. Each net has its own, ``net.encoder_.fitted``, and
        for categories ``net.encoder_.categories``.
    encoding_reason_ : str
        Why "auto" has chosen it, else "as given".
    decoder_ : Decoder
        The decision in use.
    calibrator_ : Calibrator or None
        The calibration in use.
    net_ : skorch.NeuralNet
        The trained net, the first of an ensemble. ``net_.module_`` is the torch module, on the CPU,
        which takes rows of X (or what a transformer made of them), where a category is its place in
        `categories_`, or -1 if it is not there, and what is missing is NaN. `forward`, `predict`
        and `predict_proba` of `net_` take such rows, too, without calibration and decoder.
    nets_ : list of skorch.NeuralNet
        All nets.
    oof_scores_ : ndarray of shape (n_samples, n_labels)
        With `cv` and `store_cv_results`, the uncalibrated score of each row by the networks that
        were not trained on it, with early stopping after the median of the best epochs of the
        other folds; NaN for rows that were left out.
    history_ : dict of lists, or list of such dicts for an ensemble
        For each epoch "epoch", "train_loss", and with early stopping "valid_loss", "valid_score"
        (of a custom `monitor`) and "is_best", True where the weights were the best so far: training
        went back to the last of these epochs. With `lr_schedule` also "learning_rate".
    n_iter_ : int
        Number of epochs made, the largest of an ensemble.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : One loss, one decision.

    Notes
    -----
    y may be an indicator matrix (array, sparse, DataFrame, list of lists), a column, or a 1-D
    vector of classes. In an indicator, NaN means not observed: such entries are left out of the
    loss, and rows without any observed entry out of training. Values between 0 and 1 are
    probabilities of the label, where the loss accepts them.

    NaN in a dense X means missing. Every encoding puts a typical value of the column in its place,
    and gives columns where some of the training rows had it an input more that tells. So does
    "auto"; a transformer must fill it in; ``encoding=None`` refuses it, except in categories.

    `sample_weight` is one weight a row, or for losses that are sums over labels one weight a row
    and label. A weight of 0 equals leaving the row (or entry) out. `fit` scales weights to mean 1;
    `partial_fit` takes them as they are, so that calls weigh against each other. A decoder learns
    with one weight per row, the mean over its observed labels, and so does an encoding.

    With scikit-learn 1.9, ``set_callbacks`` takes `ProgressBar` and other callbacks of
    `sklearn.callback`, for each fold and each epoch of `fit`. At the end of an epoch (not of a
    fold's) `fitted_estimator` is what the fit would be if it had ended there, with a fitted
    decision. A callback may end training by returning True, except with `memory`.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko. "On embeddings for numerical features in tabular
       deep learning". NeurIPS 2022.

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

    _advice = "cv=5, so that every row serves, or call fit_decoder with more rows"

    def __init__(
        self,
        loss: str | Loss | type | Callable[..., Any] = "bce",
        decoder: str | Decoder = "auto",
        *,
        encoding: Any = "auto",
        categorical_features: Any = "from_dtype",
        hidden_layer_sizes: Sequence[int] | str = "auto",
        activation: str = "relu",
        dropout: float | str = "auto",
        normalization: str | None = None,
        input_dropout: float | str = "auto",
        mixup: float | str = "auto",
        module: Callable[[int, int], torch.nn.Module] | None = None,
        optimizer: str | type[torch.optim.Optimizer] = "adamw",
        learning_rate: float | None = None,
        weight_decay: float = 0.01,
        optimizer_params: dict[str, Any] | None = None,
        lr_schedule: str | Callable[..., Any] | None = None,
        batch_size: int | str = "auto",
        max_epochs: int = 200,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        monitor: str | Callable[[np.ndarray, np.ndarray], float] = "loss",
        device: str | torch.device = "auto",
        precision: str = "float32",
        random_state: int | np.random.RandomState | None = None,
        calibration: str | Calibrator | None = None,
        cv: Any = None,
        repeats: int = 1,
        ensemble: bool = True,
        store_cv_results: bool = False,
        n_jobs: int | None = None,
        warm_start: bool = False,
        memory: Any = None,
        callbacks: list[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        verbose: int = 0,
    ):
        self.loss = loss
        self.decoder = decoder
        self.encoding = encoding
        self.categorical_features = categorical_features
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.normalization = normalization
        self.input_dropout = input_dropout
        self.mixup = mixup
        self.module = module
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.optimizer_params = optimizer_params
        self.lr_schedule = lr_schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.monitor = monitor
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.calibration = calibration
        self.cv = cv
        self.repeats = repeats
        self.ensemble = ensemble
        self.store_cv_results = store_cv_results
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.memory = memory
        self.callbacks = callbacks
        self.net_params = net_params
        self.verbose = verbose

    @classmethod
    def for_metric(cls, metric: str, **params: Any) -> MultiLabelNetClassifier:
        """Return a classifier whose loss, decision, folds and network suit a metric.

        The network has two layers, which made fewer errors on four of six real tables; for the
        calibration error it is the default one. For log loss, Brier score and calibration error
        ``calibration="beta"`` corrects the probabilities, unless there are no folds (``cv=None``).

        Parameters
        ----------
        metric : str
            Such as "f1_macro", "jaccard_samples", "hamming_loss" or "average_precision": names of
            scikit-learn and of `sklearn_mlloss.metrics.multilabel_scorers`.
        **params : dict
            Parameters of the classifier, which take precedence.

        Returns
        -------
        MultiLabelNetClassifier

        Examples
        --------
        >>> MultiLabelNetClassifier.for_metric("calibration_error", random_state=0)
        MultiLabelNetClassifier(calibration='beta', cv=10, random_state=0)
        >>> MultiLabelNetClassifier.for_metric("f1_macro").decoder
        'per_label_threshold'
        """
        preset = preset_for(metric, folds=params.get("cv", 10) is not None)
        if params.get("module") is not None:
            preset = {name: value for name, value in preset.items() if name not in NETWORK}
        return cls(**{**preset, **params})

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network and fit the decoder.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Numbers, NaN for missing ones, and categories. Sparse input, which may hold neither, is
            never made dense as a whole.
        y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Targets; see the notes of the class.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), optional
            Weights >= 0.

        Returns
        -------
        MultiLabelNetClassifier
            The fitted estimator. If anything fails, it is left as it was.
        """
        with unchanged_on_error(self), callbacks_torn_down(self), torch_defaults():
            vars(self).pop("oof_scores_", None)
            check_params(self)
            # With ensemble=False the last network is trained on all rows.
            monitored = self.early_stopping and (self.cv is None or self.ensemble)
            check_callbacks(self.callbacks or (), self.early_stopping, monitored)
            self._dtype = PRECISIONS[self.precision]
            device = resolve_device(self.device)
            last = getattr(self, "net_", None) if self.warm_start else None
            self._set_targets(TargetCodec().fit(y), same=last is not None)
            if last is not None:
                self._inputs.check_columns(self, X)
            rows, kept = self._check_rows(X, y, sample_weight, reset=last is None)
            rows = rows.scaled()
            if last is None:
                self._entropy = draw_entropy(self.random_state)
            loss = make_loss(self.loss, rows)
            self._decision = self._make_decision(self.decoder, self.calibration, loss)
            reserved = None
            if self.decoder_.untouched_rows:
                rest, own = reserve(rows.Y, self._seeds(0)[3])
                rows, reserved = rows[rest], rows[own]
                kept[np.flatnonzero(kept)[own]] = False
            folds, n_parts = None, self.max_epochs
            if self.cv is not None:
                seed = self._seeds(0)[2]
                folds = make_folds(self.cv, rows, kept, self._targets, seed, self.repeats)
                n_parts = len(folds) + (not self.ensemble)
            task = begin_fit(self, X, y, sample_weight, n_parts, ordered=folds is None)
            plan = self._plan(loss, device, task)
            if folds is None:
                net, finish = self._fit_one(plan, rows, reserved, last)
                finish(self, net)
            else:
                scored = self._fit_folds(plan, rows, kept, folds)
                self._learn_decision(scored, rows, reserved)
            if task is not None:
                task.end({})
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Make one pass over some rows, going on from where the last call ended.

        No rows are held out. A decoder that must be fitted waits for `fit_decoder`, and `predict`
        raises until then. Encoding, network, loss and optimiser are those of the first call (but
        for `learning_rate`), whose rows should be like those to come: with fewer than 50 of them,
        ``encoding="auto"`` leaves columns as they are, and categories that come later stay unknown.
        Where ``"auto"`` goes by the number of rows, as for `batch_size`, `hidden_layer_sizes` and
        `dropout` (and with it `input_dropout` and `mixup`), these are counted: for large tables set
        them. A learning rate schedule is not used. After a fit with `cv`, all its nets go on.

        Parameters
        ----------
        X, y, sample_weight : see `fit`
        classes : array-like, optional
            All classes of a 1-D y, needed in the first call if y lacks some. For an indicator,
            ``range(n_labels)`` is accepted and says nothing new.

        Returns
        -------
        MultiLabelNetClassifier
        """
        with unchanged_on_error(self), torch_defaults():
            vars(self).pop("oof_scores_", None)
            check_params(self)
            device = resolve_device(self.device)
            first = not hasattr(self, "net_")
            if first:
                self._dtype = PRECISIONS[self.precision]
            if first or classes is not None:
                self._set_targets(TargetCodec().fit(y, classes), same=not first)
            # Weights are not scaled here, and optimizers square the gradients.
            largest = float(np.finfo(self._dtype).max) ** 0.5
            rows, _ = self._check_rows(X, y, sample_weight, first, largest)
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
            with ExitStack() as stack:
                for net in nets:
                    stack.enter_context(net.restored_on_error())
                    self._pass_over(net, rows, device, first)
                self._keep(nets)
        return self

    # ------------------------------------------------------------------ predicting

    def predict_count(self, X: Any) -> np.ndarray:
        """Return the predicted number of labels of each row, for a loss that has such a thing.

        Parameters
        ----------
        X : see `predict_proba`

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        _, count = self._scores(X)
        if count is None:
            raise ValueError(
                f"{type(self.loss_).__name__} does not predict a count: use factorized or "
                "poisson_softmax, or predict_proba(X).sum(axis=1)"
            )
        return count

    # ------------------------------------------------------------------ parameters and tags

    @property
    def loss_(self) -> Loss:
        """The fitted loss."""
        return self.net_.criterion_.loss

    @property
    def encoding_(self) -> Any:
        """The fitted encoding, or None."""
        return self.net_.encoder_.fitted

    @property
    def encoding_reason_(self) -> str:
        """Why it is this encoding."""
        return self.net_.encoder_.reason

    def set_params(self, **params: Any) -> Self:
        """Set parameters; one of a part that is given by name turns the name into its object.

        Parameters
        ----------
        **params : dict
            Such as ``loss="focal", loss__gamma=1``.

        Returns
        -------
        MultiLabelNetClassifier
        """
        if any(key.startswith("loss__") for key in params):
            params["loss"] = get_loss(params.get("loss", self.loss))
        if any(key.startswith("encoding__") for key in params):
            encoding = params.get("encoding", self.encoding)
            if not hasattr(encoding, "transform"):
                params["encoding"] = get_encoding(encoding)
        return super().set_params(**params)

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
        inputs = self._inputs = InputCodec(self.encoding, self.categorical_features)
        X = inputs.fit_transform(self, X)
        self.is_categorical_, self.categories_ = inputs.is_categorical_, inputs.categories_
        return X

    def _check_rows(
        self, X: Any, y: Any, sample_weight: Any, reset: bool, largest_sum: float = np.inf
    ) -> tuple[Rows, np.ndarray]:
        """Return the rows that have something to learn from, and which of X they are."""
        return check_rows(self._check_X(X, reset), self._targets, y, sample_weight, largest_sum)

    def _rows_to_decide(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, np.ndarray, np.ndarray | None]:
        rows, _ = self._check_rows(X, y, sample_weight, reset=False)
        rows = rows.scaled()
        return rows.X, rows.Y, rows.weight

    def _raw_scores(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        return mean_scores(self.nets_, X, resolve_device(self.device, fall_back=True))

    # ------------------------------------------------------------------ parts of a fit

    def _make_decision(self, decoder: Any, calibration: Any, loss: Loss | None = None) -> Decision:
        # In `fit` the decision is made before there is a `loss_`, or while it is of the last fit.
        loss = loss or self.loss_
        return make_decision(
            decoder,
            calibration,
            self._targets,
            default=loss.default_decoder,
            source="" if loss.proper else type(loss).__name__,
            seed=self._entropy,
        )

    def _model_lines(self) -> list[tuple[str, str]]:
        return describe_nets(self)

    def _auto_decoder(self, params: dict[str, Any]) -> str:
        return get_loss(params.get("loss", self.loss)).default_decoder

    def _seeds(self, n_epochs: int) -> list[int]:
        """Return seeds for weights, training and two splits, others after each epoch made."""
        sequence = np.random.SeedSequence([self._entropy, n_epochs])
        return [int(seed) for seed in sequence.generate_state(4)]

    def _plan(self, loss: Loss, device: torch.device, task: Task | None = None) -> Plan:
        params = SimpleNamespace(**{name: getattr(self, name) for name in TRAINING})
        exclusive = self._targets.kind == "multiclass"
        return Plan(params, loss, device, self.is_categorical_, exclusive, task)

    def _fit_one(
        self, plan: Plan, rows: Rows, reserved: Rows | None, last: TableNet | None
    ) -> tuple[TableNet, Callable]:
        """Train one net; return it, and what makes a classifier of it."""
        loss, train, held_out = plan.loss, rows, None
        if self.early_stopping or self._decision.requires_fit:
            # Not a new split in a warm start: its held-out rows would have been trained on.
            parts = split_rows(rows, self.validation_fraction, self._seeds(0)[2])
            train, held_out = (rows[part].scaled() for part in parts)
            loss.fit(train.Y, train.weight)
        self._targets.warn_of_constant_labels(loss.positive_count_, loss.label_count_)
        seeds = self._seeds(0 if last is None else len(last.history))
        valid = held_out if self.early_stopping else None

        def finish(model: MultiLabelNetClassifier, net: TableNet) -> None:
            model._keep([net])
            if model._decision.requires_fit:
                model._learn_decision(model._score(held_out), rows, reserved)

        if plan.task is not None:
            plan.task.finish = finish
        trained = train_cached(train_net, plan, train, valid, self.max_epochs, seeds, last)
        return trained.net, finish

    def _learn_decision(self, held_out: HeldOut, rows: Rows, reserved: Rows | None) -> None:
        kept = None if reserved is None else self._score(reserved)
        self._fit_decision(held_out, kept, all_targets=(rows.Y, rows.weight))

    def _pass_over(self, net: TableNet, rows: Rows, device: torch.device, first: bool) -> None:
        loss = net.criterion_.loss
        if not first:
            # A copy, so that a failure can go back to the statistics as they were.
            loss = net.criterion_.loss = copy.copy(loss).partial_fit(rows.Y, rows.weight)
        self._targets.warn_of_constant_labels(loss.positive_count_, loss.label_count_)
        seed = self._seeds(len(net.history))[1]
        net.verbose = int(self.verbose)
        net.set_learning_rate(self.learning_rate)
        train_on(net, rows, None, 1, device, seed, whole_fit=False)

    def _fit_folds(self, plan: Plan, rows: Rows, kept: np.ndarray, folds: list) -> HeldOut:
        """Train one net per fold; return all rows with their out-of-fold scores."""
        loss = plan.loss
        self._targets.warn_of_constant_labels(loss.positive_count_, loss.label_count_)
        runs = train_cached(train_folds, plan, rows, folds, self._entropy)
        trained, tests, fold_scores, counts = zip(*runs, strict=True)
        scores = row_means(tests, fold_scores, len(rows))
        count = None if counts[0] is None else row_means(tests, counts, len(rows))
        nets = [part.net for part in trained]
        if not self.ensemble:
            epochs = max(1, int(np.median([part.n_epochs for part in trained])))
            with train_part(plan, "all rows", len(folds), epochs) as part:
                nets = [train_cached(train_net, part, rows, None, epochs, self._seeds(0)).net]
        self._keep(nets)
        if self.store_cv_results:
            self.oof_scores_ = np.full((len(kept), rows.Y.shape[1]), np.nan)
            self.oof_scores_[kept] = scores
        return HeldOut(scores, rows.Y, rows.weight, count)[~np.isnan(scores).any(axis=1)]

    def _keep(self, nets: Sequence[TableNet]) -> None:
        """Keep what was trained."""
        self.nets_ = list(nets)
        self.net_ = self.nets_[0]
        curves = [net.curves() for net in self.nets_]
        self.history_ = curves[0] if len(curves) == 1 else curves
        self.n_iter_ = max(len(curve["epoch"]) for curve in curves)

    def _score(self, rows: Rows) -> HeldOut:
        scores, count = self._raw_scores(rows.X)
        return HeldOut(scores, rows.Y, rows.weight, count)
