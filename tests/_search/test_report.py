"""The comparison of candidates, as a table and in words."""

import pickle

import numpy as np
import pytest
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0.7).astype(int)
NET = MultiLabelNetClassifier(
    hidden_layer_sizes=(8,), max_epochs=3, learning_rate=0.03, random_state=0, device="cpu",
    linear_part=False,
    batch_size=32,
)  # fmt: skip


def search(losses=("bce", "zlpr"), decoders=("threshold", "global_threshold")):
    return LossDecoderSearchCV(NET, losses, decoders, cv=KFold(3), random_state=0)


@pytest.fixture(scope="module")
def reference():
    return search().fit(X, Y)


def test_compare(reference):
    table = reference.compare(rope=0.02)
    results = reference.cv_results_
    assert table["score"].is_monotonic_decreasing and table["index"][0] == reference.best_index_
    scores = np.stack([results[f"split{k}_test_score"] for k in range(3)], axis=1)
    other = table["index"][1]
    differences = scores[other] - scores[reference.best_index_]
    error = np.sqrt(differences.var(ddof=1) * (1 / 3 + 30 / 60))
    assert table["difference"][1] == pytest.approx(differences.mean())
    assert table["std_error"][1] == pytest.approx(error)
    assert table["p_value"][0] == 1 and table["equivalent"][0] == 1
    assert table["verdict"][0] == "best"
    alike = (table["p_value"] >= 0.05) | (table["equivalent"] >= 0.95)
    assert set(table["verdict"][1:][~alike[1:]]) <= {"worse"}
    assert set(table["verdict"][1:][alike[1:]]) <= {"equivalent", "not significantly different"}
    np.testing.assert_allclose(table[["better", "equivalent", "worse"]].sum(axis=1), 1)


def test_compare_without_pandas(reference, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    table = reference.compare()
    assert isinstance(table, dict) and len(table["loss"]) == 4


SUMMARY = """\
loss  decoder           calibration  f1_macro  difference     p  worse in practice
bce   global_threshold  none            0.800                                       best
zlpr  global_threshold  none            0.799      -0.001  0.21                 0%  equivalent
bce   threshold         none            0.780      -0.020  0.25                74%  not significantly different
bce   threshold         sigmoid         0.600      -0.200  0.00               100%  worse
... and 1 more: compare() has them all

2 of the 3 other candidates are not significantly different from the best (corrected t-test, p >= 0.05).
1 of them is equivalent: the difference is below 0.01 with a probability of 95%.
They and the best have all 2 losses.
They and the best have all 2 decoders.
Chosen as the best of 4, its f1_macro of 0.800 is optimistic: expect 0.790 on new rows.
1 candidate failed, such as the one with
  zlpr, threshold, sigmoid: ValueError: no"""  # noqa: E501


def test_summary_text():
    fitted = search()
    base = np.array([0.79, 0.80, 0.81, 0.80])
    columns = [
        base, base - [0, 0.001, 0.002, 0.001], base - [0.01, 0.03, 0, 0.04],
        base - [0.2, 0.21, 0.19, 0.2], np.full(4, np.nan),
    ]  # fmt: skip
    names = [
        ("bce", "global_threshold", None), ("zlpr", "global_threshold", None),
        ("bce", "threshold", None), ("bce", "threshold", "sigmoid"),
        ("zlpr", "threshold", "sigmoid"),
    ]  # fmt: skip
    results = {
        f"param_{name}": np.ma.MaskedArray([row[i] for row in names], dtype=object)
        for i, name in enumerate(("loss", "decoder", "calibration"))
    }
    results |= {f"split{k}_test_score": np.array([c[k] for c in columns]) for k in range(4)}
    results["mean_test_score"] = np.mean(columns, axis=1)
    results["rank_test_score"] = np.arange(1, 6)
    results["error"] = np.array([""] * 4 + ["ValueError: no"], dtype=object)
    fitted.cv_results_ = results
    fitted._sizes, fitted.n_splits_, fitted._best_metric = (75, 25), 4, "score"
    fitted.best_index_, fitted.best_score_corrected_ = 0, 0.79
    assert fitted.summary(n_rows=4) == SUMMARY
    assert fitted.summary(n_rows=None).count("\n") == fitted.summary(n_rows=5).count("\n")
    with pytest.raises(ValueError, match="n_rows must be None or an integer >= 0, got -1"):
        fitted.summary(n_rows=-1)
    fitted.best_index_ = 2
    assert "Expect f1_macro 0.790 from the chosen candidate" in fitted.summary()
    fitted.best_index_, fitted.best_score_corrected_ = 0, 0.81
    assert "Expect f1_macro 0.810 from the chosen candidate" in fitted.summary()
    for k in range(4):
        results[f"split{k}_test_score"][1] -= 0.3
    assert "They and the best have 1 of 2 losses: bce." in fitted.summary()


def test_summary_where_the_best_is_significantly_better(reference):
    again = pickle.loads(pickle.dumps(reference))
    for k in range(3):
        column = again.cv_results_[f"split{k}_test_score"]
        column[:] = 0.1 + 0.01 * k
        column[again.best_index_] = 0.9 + 0.02 * k
    assert "The best is better than the 3 other candidates" in again.summary()
    alone = search(losses=["bce"], decoders=["threshold"]).fit(X, Y)
    assert "There is nothing to compare." in alone.summary()
    assert "from the chosen candidate on new rows" in alone.summary()


def test_two_folds_are_too_few_to_judge():
    fitted = LossDecoderSearchCV(NET, ["bce", "zlpr"], ["threshold"], cv=KFold(2), random_state=0)
    fitted.fit(X, Y)
    for k, scores in enumerate(([0.10, 0.6], [0.15, 0.7])):
        fitted.cv_results_[f"split{k}_test_score"] = np.array(scores)
    fitted.cv_results_["mean_test_score"] = np.array([0.125, 0.65])
    fitted.cv_results_["rank_test_score"] = np.array([2, 1])
    assert fitted.compare()["verdict"].tolist() == ["best", "too few folds to judge"]
    assert "2 folds are too few to judge 1 of the 1 other candidate: use cv=5." in fitted.summary()
    assert "not significantly" not in fitted.summary()


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_one_warning_names_all_losses_that_did_not_converge(n_jobs):
    still = "validation score still improved when max_epochs=3"
    with pytest.warns(ConvergenceWarning) as caught, parallel_backend("threading"):
        search().set_params(n_jobs=n_jobs).fit(X, Y)
    (message,) = [str(one.message) for one in caught]
    assert still in message
    assert message.startswith("some trainings may not have converged: bce (folds 1, 2, 3), zlpr (")
    assert ", the chosen one on all rows. The first: the" in message
    with pytest.warns(ConvergenceWarning, match=f"^the {still}"):
        clone(NET).fit(X, Y)
