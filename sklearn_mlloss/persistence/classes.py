"""The closed list of classes and functions that a file may name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["find", "name_of"]

# Names of our classes, which are unique, and the modules that have them. A class that moves keeps
# its name here, so that older files can be loaded.
_OURS = {
    "classifier": ("MultiLabelNetClassifier",),
    "decoded": ("DecodedClassifierCV",),
    "members": ("MultiLabelExtraTreesClassifier", "MultiLabelLogisticRegressionCV"),
    "voting": ("SoftVotingClassifier",),
    "_data.features": ("InputCodec",),
    "_data.targets": ("TargetCodec",),
    "_decision.decision": ("Decision",),
    "_training.callbacks": ("BestWeights", "Schedule"),
    "_training.encoding": ("Encoder",),
    "_training.guard": ("Check",),
    "calibration": (
        "BetaCalibrator", "IsotonicCalibrator", "SigmoidCalibrator", "TemperatureCalibrator",
    ),
    "decoders": (
        "Argmax", "AtLeastOne", "CardinalityCut", "CostSensitiveThreshold", "CumulativeCut",
        "ExpectedFBeta", "ExpectedJaccard", "FixedThreshold", "GFMDecoder", "GlobalThreshold",
        "HierarchyClosure", "LabelSetDecoder", "MaxGapCut", "OneOverN", "PerLabelThreshold",
        "ProportionCut", "RiskControl", "ThresholdFunction", "TopK",
    ),
    "losses": (
        "AbsKLLoss", "AdaptiveThresholdLoss", "AsymmetricLoss", "AsymmetricPolynomialLoss",
        "BPMLLLoss", "BalancedBCELoss", "BinaryCrossEntropy", "BrierLoss", "CLogLogLoss",
        "Criterion", "DistributionBalancedLoss", "ExponentialLoss", "FactorizedLoss", "FocalLoss",
        "FunctionLoss", "HillLoss", "HingeLoss", "LDAMLoss", "LSEPLoss", "MultilabelMarginLoss",
        "PairwiseLogisticLoss", "PoissonSoftmaxLoss", "Poly1Loss", "SPLCLoss", "SigmoidF1Loss",
        "SoftFBetaLoss", "SoftmaxCrossEntropy", "SquaredErrorLoss", "SquaredHingeLoss",
        "TverskyLoss", "TwoWayLoss", "WithCount", "ZLPRLoss",
    ),
    "model_selection": (
        "MultilabelStratifiedGroupKFold", "MultilabelStratifiedKFold",
        "MultilabelStratifiedShuffleSplit",
    ),
    "networks": (
        "IdentityEncoding", "MLP", "Mixup", "OneHotEncoding", "PiecewiseLinearEncoding",
        "QuantileEncoding", "RobustEncoding", "StandardEncoding",
    ),
    "networks.layers": (
        "Centered", "Filled", "Flipped", "Mixed", "OneHot", "PiecewiseLinear", "Quantile",
        "Scaled", "WithIndicator",
    ),
    "streaming": ("Streaming",),
    "networks.linear": ("LinearPart", "UnitEncoding", "_WithBins"),
}  # fmt: skip

# Those of other packages, by package.
_OTHERS = {
    "scipy.sparse": ("csr_array", "csr_matrix"),
    "sklearn.isotonic": ("IsotonicRegression",),
    "sklearn.model_selection": (
        "GroupKFold", "GroupShuffleSplit", "KFold", "RepeatedKFold", "ShuffleSplit",
        "StratifiedGroupKFold", "StratifiedKFold", "TimeSeriesSplit",
    ),
    "sklearn.metrics": (
        "average_precision_score", "coverage_error", "label_ranking_average_precision_score",
        "label_ranking_loss", "ndcg_score", "roc_auc_score",
    ),
    "sklearn_mlloss._training.build": ("_monitored",),
    "torch.nn": (
        "BCEWithLogitsLoss", "BatchNorm1d", "Bilinear", "CELU", "CrossEntropyLoss", "Dropout",
        "ELU", "Flatten", "GELU", "GLU", "GroupNorm", "Hardswish", "Hardtanh", "HuberLoss",
        "Identity", "L1Loss", "LayerNorm", "LeakyReLU", "Linear", "MSELoss", "Mish", "ModuleDict",
        "ModuleList", "MultiLabelSoftMarginLoss", "PReLU", "ReLU", "ReLU6", "SELU", "Sequential",
        "SiLU", "Sigmoid", "SmoothL1Loss", "SoftMarginLoss", "Softmax", "Softplus", "Tanh",
        "Unflatten",
    ),
    "torch.optim": (
        "ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "NAdam", "RAdam",
        "RMSprop", "Rprop", "SGD",
    ),
    "torch.optim.lr_scheduler": (
        "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR",
        "ExponentialLR", "LinearLR", "MultiStepLR", "OneCycleLR", "PolynomialLR",
        "ReduceLROnPlateau", "StepLR",
    ),
}  # fmt: skip

# The name in a file, and where the class or function is: module and name.
_LISTED = {
    name: (f"sklearn_mlloss.{module}", name) for module, names in _OURS.items() for name in names
} | {
    f"{module}.{name}": (module, name) for module, names in _OTHERS.items() for name in names
}  # fmt: skip


def find(name: str) -> Any:
    """Return the listed class or function of this name; raise a KeyError if there is none."""
    module, attribute = _LISTED[name]
    return getattr(import_module(module), attribute)


def name_of(value: Any) -> str | None:
    """Return the name of a class or function in a file, or None if it is not listed."""
    short = getattr(value, "__name__", None)
    if not isinstance(short, str):
        return None
    names = (short, *(f"{module}.{short}" for module, listed in _OTHERS.items() if short in listed))
    return next((name for name in names if name in _LISTED and find(name) is value), None)
