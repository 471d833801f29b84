"""Pictures of scores, decisions and probabilities, label by label, of trainings and of a search.

The displays have scikit-learn's form: ``from_estimator(estimator, X, y)`` and
``from_predictions(y_true, ...)`` compute and draw (of a search ``from_search``), the constructor
takes what was computed, and ``plot(ax=None)`` draws it again. They need matplotlib
(``pip install "sklearn_mlloss[plot]"``) and no torch, and take any scikit-learn classifier. Show
them rows that trained nothing: neither the model nor its decision.
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
