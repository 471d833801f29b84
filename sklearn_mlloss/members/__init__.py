"""Fast classifiers of all labels at once, which `DecodedClassifierCV.for_metric` averages."""

from .linear import MultiLabelLogisticRegressionCV
from .trees import MultiLabelExtraTreesClassifier

__all__ = ["MultiLabelExtraTreesClassifier", "MultiLabelLogisticRegressionCV"]
