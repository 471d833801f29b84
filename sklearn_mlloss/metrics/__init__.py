"""Multi-label metrics that scikit-learn lacks or gets wrong, scorers by name, and a report.

All metrics keep the same conventions.

- ``Y`` has shape (n_samples, n_labels) and holds 0, 1 or NaN for a label that was not observed;
  such entries are ignored, and a row or label without any observed entry is left out. Where the
  docstring allows them, soft labels in (0, 1) count as that fraction of a positive.
- ``sample_weight`` acts as a count: weight 2 equals the row repeated twice, 0 the row left out.
- A mean over nothing is NaN, without a warning (a search over NaN scores warns).
- The k best labels of a row are taken among the observed ones, ties by the lower label index.
  Ranking metrics count a tie between a positive and a negative as an error.
- Invalid input raises ValueError with the offending value.
"""

from .decisions import f_measure, hamming_loss, jaccard, subset_accuracy
from .probabilities import expected_calibration_error, multilabel_brier_score, multilabel_log_loss
from .propensities import label_propensities, propensity_scored_precision_at_k
from .rankings import (
    coverage_error,
    label_ranking_average_precision,
    macro_average_precision,
    one_error,
    precision_at_k,
    ranking_loss,
)
from .report import multilabel_report
from .scorers import multilabel_scorers

__all__ = [
    "coverage_error",
    "expected_calibration_error",
    "f_measure",
    "hamming_loss",
    "jaccard",
    "label_propensities",
    "label_ranking_average_precision",
    "macro_average_precision",
    "multilabel_brier_score",
    "multilabel_log_loss",
    "multilabel_report",
    "multilabel_scorers",
    "one_error",
    "precision_at_k",
    "propensity_scored_precision_at_k",
    "ranking_loss",
    "subset_accuracy",
]
