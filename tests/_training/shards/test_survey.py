"""What several ranks find in the pass over all rows, put together."""

import numpy as np
import pandas as pd
import pytest

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.shards.survey import count, finish
from sklearn_mlloss.streaming import RowSource

X = pd.DataFrame({"a": np.arange(8.0), "b": np.arange(8) % 3 / 2})
Y = pd.DataFrame({"red": [0, 1] * 4, "blue": [1, 1, 0, 0] * 2})


class Two(RowSource):
    """Rows of which the second half has been changed."""

    def __init__(self, change):
        self.parts = (X[:4], Y[:4], None), change(X[4:], Y[4:])

    def shards(self):
        return ["one.csv", "two.csv"]

    def read(self, shard):
        yield self.parts[shard]


def survey(change):
    source, parts = Two(change), []
    for shard in range(2):
        estimator = MultiLabelNetClassifier(random_state=0)
        estimator._entropy, estimator._dtype = 0, np.float32
        parts.append(count(estimator, source, 10, [shard]))
    return finish(estimator, parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y[["red"]], None), "y must be an indicator matrix with 2 columns"),
        (lambda X, y: (X, y[["blue", "red"]], None), "y must have the columns"),
        (lambda X, y: (X[["a"]], y, None), "The feature names should match"),
        (lambda X, y: (X.astype("category"), y, None), "other columns of X are categories in two"),
        (lambda X, y: (X, y, np.ones(4)), "sample_weight must be given for all rows or for none"),
    ],
)
def test_ranks_with_other_columns_are_refused_with_the_place(change, message):
    with pytest.raises(ValueError, match=message) as raised:
        survey(change)
    assert "two.csv" in str(raised.value)


def test_ranks_with_the_same_columns_have_the_rows_of_both():
    found = survey(lambda X, y: (X, y, None))
    assert found.n_rows == 8 and len(found.sample) == 8
    np.testing.assert_array_equal(found.positive, Y.sum())
