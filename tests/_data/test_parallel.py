"""Parallel calls: order, lost workers, and definitions of scripts and notebooks."""

import os
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor
from pickle import PicklingError

import joblib
import pytest

from sklearn_mlloss._data import parallel
from sklearn_mlloss._data.parallel import call_in_parallel


def test_results_come_in_the_order_of_the_calls():
    def power(base, exponent, *, plus):
        return base**exponent + plus

    calls = [(base, 2) for base in range(7)]
    for n_jobs in (None, 2):
        found = call_in_parallel(power, calls, n_jobs, common={"plus": 1})
        assert found == [b * b + 1 for b in range(7)]
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert call_in_parallel(power, calls, common={"plus": 1}) == [b * b + 1 for b in range(7)]
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2):  # gives no generator
        assert call_in_parallel(pow, calls) == [b * b for b in range(7)]
    assert call_in_parallel(power, []) == []


@pytest.mark.slow
def test_what_is_lost_with_a_process_is_called_again(tmp_path):
    def dies_once(number):
        if number == 3 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    found = call_in_parallel(dies_once, [(number,) for number in range(8)], n_jobs=2)
    assert found == list(range(8))
    assert (tmp_path / "died").exists()


@pytest.mark.slow
def test_what_always_kills_its_process_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "N_TRIES", 2)

    def dies(number):
        (tmp_path / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(BrokenExecutor):
        call_in_parallel(dies, [(0,), (1,)], n_jobs=2)
    assert 2 <= len(list(tmp_path.iterdir())) <= 2 * 2


SCRIPT = """
import pickle, sys, warnings
import joblib, numpy as np, torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback
from sklearn_mlloss import *
from sklearn_mlloss.decoders import Decoder
from sklearn_mlloss.losses import FunctionLoss, SeparableLoss

warnings.simplefilter("ignore")

class Logistic(SeparableLoss):
    def positive(self, s):
        return torch.nn.functional.softplus(-s)
    def negative(self, s):
        return torch.nn.functional.softplus(s)

class Linear(torch.nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layer = torch.nn.Linear(n_features, n_outputs)
    def forward(self, X):
        return self.layer(X)

class Half(Decoder):
    def _decode(self, scores, count):
        return scores > 0.5

class Silent(Callback):
    def on_epoch_end(self, net, **kwargs):
        pass

class Keeper(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.X_, self.classes_ = X, np.tile([0, 1], (y.shape[1], 1))
        return self
    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 0.25)

def cross_entropy(outputs, targets):
    return torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets)

def sigmoid(outputs):
    return outputs.sigmoid()

def linear(n_features, n_outputs):
    return Linear(n_features, n_outputs)

def brier(Y, scores):
    return -float(np.mean((Y - scores) ** 2))

def steps(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 3)

def double(X):
    return 2 * X

def twice(function):
    return lambda X: function(function(X))

double_double = twice(double)
double_double.__qualname__ = "double"  # as functools.wraps would have it

if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(60, 3))
    Y = (X > 0).astype(int)

    class Inside(Logistic):
        pass

    def net(*args, **params):
        return MultiLabelNetClassifier(
            *args, **(dict(max_epochs=1, early_stopping=False, random_state=0) | params)
        )

    trees = OneVsRestClassifier(make_pipeline(FunctionTransformer(double), LogisticRegression()))
    classifiers = [
        net(Logistic(), Half(), cv=2, encoding=FunctionTransformer(double), callbacks=[Silent()]),
        net(FunctionLoss(cross_entropy, sigmoid), cv=2, module=linear, monitor=brier,
            early_stopping=True, lr_schedule=steps),
        DecodedClassifierCV(net(Inside(), module=Linear), "threshold", cv=2),
        SoftVotingClassifier([("net", net(cross_entropy)), ("trees", trees)]),
    ]
    unsaved = [
        net(lambda outputs, targets: cross_entropy(outputs, targets), cv=2),
        net(cv=2, encoding=FunctionTransformer(double_double)),
    ]
    for classifier in classifiers + unsaved:
        alone = classifier.fit(X, Y).predict_proba(X)
        # joblib's other processes take what pickle takes.
        for backend in ["loky", "multiprocessing"] if classifier in classifiers else ["loky"]:
            with joblib.parallel_config(backend, n_jobs=2):
                assert np.array_equal(classifier.fit(X, Y).predict_proba(X), alone), classifier
    for classifier in classifiers:
        pickle.loads(pickle.dumps(classifier)).predict(X)
    assert type(classifiers[0].loss_) is Logistic
    assert classifiers[1].loss_.func_ is cross_entropy

    wide = np.zeros((60, 3000))  # an array that joblib maps into the memory of its workers
    keepers = SoftVotingClassifier([("a", Keeper()), ("b", Keeper())], n_jobs=2).fit(wide, Y)
    assert type(keepers.estimators_[0].X_) is np.ndarray
    assert np.array_equal(keepers.estimators_[0].X_, wide)
    print("done")
"""


def test_what_a_script_defines(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=240
    )
    assert result.stdout == "done\n", result.stderr


def test_what_is_computed_here_is_no_copy():
    value = [lambda: None]
    (result,) = call_in_parallel(list.copy, [(value,)])
    assert result == value


def test_what_cannot_be_sent():
    with pytest.raises(PicklingError) as caught:
        call_in_parallel(len, [((number for number in []),)] * 2, n_jobs=2)
    assert "define functions and classes in a module" in caught.value.__notes__[-1]
