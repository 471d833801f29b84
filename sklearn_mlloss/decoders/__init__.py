"""Decoders: decision rules from scores to label sets, such as tuned thresholds.

Every decision rule is a `Decoder`: ``fit(scores, Y)`` on held-out rows if it has fitted parameters,
``decode(scores)`` to predict. `DECODERS` maps the names that estimators accept to classes.
"""

from typing import Any

from .._data.registry import Registry
from .base import Decoder
from .counts import Argmax, AtLeastOne, CardinalityCut, CumulativeCut, OneOverN, TopK
from .expected import ExpectedFBeta, ExpectedJaccard
from .hierarchy import HierarchyClosure
from .rates import CostSensitiveThreshold, ProportionCut, RiskControl
from .rows import MaxGapCut, ThresholdFunction
from .sets import GFMDecoder, LabelSetDecoder
from .thresholds import FixedThreshold, GlobalThreshold, PerLabelThreshold

__all__ = [
    "DECODERS",
    "Argmax",
    "AtLeastOne",
    "CardinalityCut",
    "CostSensitiveThreshold",
    "CumulativeCut",
    "Decoder",
    "ExpectedFBeta",
    "ExpectedJaccard",
    "FixedThreshold",
    "GFMDecoder",
    "GlobalThreshold",
    "HierarchyClosure",
    "LabelSetDecoder",
    "MaxGapCut",
    "OneOverN",
    "PerLabelThreshold",
    "ProportionCut",
    "RiskControl",
    "ThresholdFunction",
    "TopK",
    "get_decoder",
]

DECODERS: Registry[Decoder] = Registry(
    "decoder",
    Decoder,
    {
        "threshold": FixedThreshold,
        "global_threshold": GlobalThreshold,
        "per_label_threshold": PerLabelThreshold,
        "proportion": ProportionCut,
        "cost": CostSensitiveThreshold,
        "top_k": TopK,
        "cardinality": CardinalityCut,
        "cumulative": CumulativeCut,
        "one_over_n": OneOverN,
        "max_gap": MaxGapCut,
        "argmax": Argmax,
        "at_least_one": AtLeastOne,
        "expected_fbeta": ExpectedFBeta,
        "expected_jaccard": ExpectedJaccard,
        "gfm": GFMDecoder,
        "label_set": LabelSetDecoder,
        "threshold_function": ThresholdFunction,
        "risk_control": RiskControl,
        "hierarchy": HierarchyClosure,
    },
)


def get_decoder(spec: Any) -> Decoder:
    """Return a decoder from a name, a class or an instance.

    Parameters
    ----------
    spec : str, Decoder class or Decoder
        A key of `DECODERS` or a class gives a new instance with default parameters; an instance
        is returned as it is.

    Returns
    -------
    decoder : Decoder
        The decoder; an instance is not copied.

    Raises
    ------
    ValueError
        If `spec` is a name that is not in `DECODERS`.
    TypeError
        If `spec` is anything else.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import get_decoder
    >>> get_decoder("cumulative")
    CumulativeCut()
    """
    return DECODERS.resolve(spec)
