"""Plots per label of thresholds, calibration and metrics; of training curves and of searches.

The displays have scikit-learn's form: ``from_estimator(estimator, X, y)`` and
``from_predictions(y_true, ...)`` compute and draw (of a search ``from_search``), the constructor
takes what was computed, and ``plot(ax=None)`` draws it again. They need matplotlib
(``pip install "sklearn_mlloss[plot]"``) and no torch, and take any scikit-learn classifier. Show
them held-out rows, on which neither the model nor its decoder was fitted.
"""

from ._curves import ThresholdCurve
from .calibration import CalibrationDisplay, ReliabilityCurve
from .comparison import LossComparisonDisplay
from .report import LabelReportDisplay
from .thresholds import ThresholdDisplay
from .training import TrainingCurveDisplay

__all__ = [
    "CalibrationDisplay",
    "LabelReportDisplay",
    "LossComparisonDisplay",
    "ReliabilityCurve",
    "ThresholdCurve",
    "ThresholdDisplay",
    "TrainingCurveDisplay",
]
