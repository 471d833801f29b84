"""A report in one file, feature importance per label, and plots of labels and searches.

`report` writes all that there is to know about a fitted classifier into one HTML file.
`permutation_importance` measures how much each column of X matters for each label, and `explain`
how much each contributes to single predictions of a network.

The displays have scikit-learn's interface: ``from_estimator(estimator, X, y)``,
``from_predictions(y_true, ...)`` and ``from_search(search)`` compute and draw, the constructor
takes computed values, and ``plot(ax=None)`` draws them again. They need matplotlib
(``pip install "sklearn_mlloss[plot]"``) but not torch, and accept any scikit-learn classifier.
Pass held-out rows, on which neither the model nor its decoder was fitted.
"""

from ._curves import ThresholdCurve
from .calibration import CalibrationDisplay, ReliabilityCurve
from .comparison import LossComparisonDisplay
from .confusion import ConfusionMatrixDisplay
from .cooccurrence import CooccurrenceDisplay
from .explanation import Explanation, explain
from .html_report import report
from .importance import LabelImportances, permutation_importance
from .label_counts import LabelCountDisplay
from .label_report import LabelReportDisplay
from .precision_recall import PrecisionRecallCurve, PrecisionRecallDisplay
from .thresholds import ThresholdDisplay
from .training import TrainingCurveDisplay

__all__ = [
    "CalibrationDisplay",
    "ConfusionMatrixDisplay",
    "CooccurrenceDisplay",
    "Explanation",
    "LabelCountDisplay",
    "LabelImportances",
    "LabelReportDisplay",
    "LossComparisonDisplay",
    "PrecisionRecallCurve",
    "PrecisionRecallDisplay",
    "ReliabilityCurve",
    "ThresholdCurve",
    "ThresholdDisplay",
    "TrainingCurveDisplay",
    "explain",
    "permutation_importance",
    "report",
]
