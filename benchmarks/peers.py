"""Classifiers of other packages, which `quality.py` compares with those of this package.

They use their default settings, with scaled inputs where they need them. Some packages are
optional (``pip install -e ".[peers]"``):

* CatBoost, with its multi-label loss;
* XGBoost, with one tree per round for all labels;
* TabM (Gorishniy et al., 2025): 32 networks with shared weights. The package has the network only;
  `TabM` trains it as its authors do, with early stopping on a fifth of the rows;
* RealMLP of pytabkit (Holzmüller et al., 2024), a regression on labels of 0 and 1, because its
  classifier takes one label;
* BOOMER of mlrl-boomer (Rapp et al., 2020), boosted rules for several labels. Version 0.12 requires
  scikit-learn before 1.8, so that it needs an environment of its own (``pip install mlrl-boomer``
  after this package) and is not in the extra.
"""

import os

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit


def dense(X):
    return X.toarray() if sp.issparse(X) else X


def threads():
    return int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))


class Peer(ClassifierMixin, BaseEstimator):
    """A classifier of several labels that predicts with a threshold of 1/2."""

    def fit(self, X, y):
        """Fit all labels."""
        self.classes_ = np.tile([0, 1], (y.shape[1], 1))
        self._fit(X, y)
        return self

    def predict(self, X):
        """Return labels."""
        return (self.predict_proba(X) >= 0.5).astype(int)


class Chains(Peer):
    """An ensemble of classifier chains of logistic regressions, in random orders."""

    def __init__(self, n_chains=10, random_state=None):
        self.n_chains = n_chains
        self.random_state = random_state

    def _fit(self, X, y):
        seeds = np.random.default_rng(self.random_state).integers(2**31, size=self.n_chains)
        base = LogisticRegression(max_iter=1000)
        self.chains_ = [
            ClassifierChain(base, order="random", random_state=int(seed)).fit(X, y)
            for seed in seeds
        ]

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        return np.mean([chain.predict_proba(X) for chain in self.chains_], axis=0)


class CatBoost(Peer):
    """CatBoost with its multi-label loss and the interface of scikit-learn."""

    def __init__(self, iterations=300, random_state=None):
        self.iterations = iterations
        self.random_state = random_state

    def _fit(self, X, y):
        from catboost import CatBoostClassifier

        self.model_ = CatBoostClassifier(
            loss_function="MultiLogloss", iterations=self.iterations, verbose=0,
            random_seed=self.random_state, thread_count=threads(), allow_writing_files=False,
        ).fit(dense(X), y)  # fmt: skip

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        return self.model_.predict_proba(dense(X))

    def predict(self, X):
        """Return labels as CatBoost decides them."""
        return self.model_.predict(dense(X))


class XGBoost(Peer):
    """XGBoost with trees of all labels together."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _fit(self, X, y):
        from xgboost import XGBClassifier

        self.model_ = XGBClassifier(
            multi_strategy="multi_output_tree", tree_method="hist", n_jobs=threads(),
            random_state=self.random_state,
        ).fit(X, y)  # fmt: skip

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        return self.model_.predict_proba(X)


class TabM(Peer):
    """The network of the package tabm, trained with AdamW and early stopping."""

    def __init__(self, patience=16, batch_size=256, random_state=None):
        self.patience = patience
        self.batch_size = batch_size
        self.random_state = random_state

    def _fit(self, X, y):
        from tabm import TabM

        splitter = MultilabelStratifiedShuffleSplit(
            1, test_size=0.2, random_state=self.random_state
        )
        train, valid = (torch.from_numpy(rows) for rows in next(splitter.split(y, y)))
        inputs, targets = self._tensor(X), torch.from_numpy(np.asarray(y, np.float32))
        torch.manual_seed(self.random_state)
        self.model_ = TabM.make(n_num_features=inputs.shape[1], d_out=y.shape[1])
        optimizer = torch.optim.AdamW(self.model_.parameters(), lr=2e-3, weight_decay=3e-4)
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        best, waited = np.inf, 0
        while waited <= self.patience:
            self.model_.train()
            for rows in train[torch.randperm(len(train))].split(self.batch_size):
                # The loss of each of the networks, not of their mean.
                outputs = self.model_(inputs[rows])
                optimizer.zero_grad()
                loss(outputs, targets[rows, None].expand_as(outputs)).backward()
                optimizer.step()
            proba = self._proba(inputs[valid])
            value = torch.nn.functional.binary_cross_entropy(proba, targets[valid]).item()
            waited += 1
            if value < best:
                best, waited = value, 0
                state = {name: part.clone() for name, part in self.model_.state_dict().items()}
        self.model_.load_state_dict(state)

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        return self._proba(self._tensor(X)).double().numpy()

    def _tensor(self, X):
        return torch.from_numpy(np.asarray(dense(X), np.float32))

    @torch.no_grad()
    def _proba(self, inputs):
        self.model_.eval()
        return torch.cat([self.model_(part).sigmoid().mean(1) for part in inputs.split(1024)])


class RealMLP(Peer):
    """RealMLP of pytabkit, as a regression on the labels."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _fit(self, X, y):
        from pytabkit import RealMLP_TD_Regressor

        self.model_ = RealMLP_TD_Regressor(
            device="cpu", random_state=self.random_state, n_threads=threads()
        ).fit(dense(X).astype(np.float32), np.asarray(y, np.float32))

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        predicted = self.model_.predict(dense(X).astype(np.float32))
        return np.clip(predicted.reshape(-1, len(self.classes_)), 0, 1)


class Boomer(Peer):
    """BOOMER with its default rules."""

    def __init__(self, random_state=0):
        self.random_state = random_state

    def _fit(self, X, y):
        from mlrl.boosting import BoomerClassifier

        # It takes seeds from 1.
        self.model_ = BoomerClassifier(random_state=self.random_state + 1).fit(dense(X), y)

    def predict_proba(self, X):
        """Return an array of shape (n_samples, n_labels)."""
        return self.model_.predict_proba(dense(X))

    def predict(self, X):
        """Return labels as BOOMER decides them."""
        return self.model_.predict(dense(X)).astype(int)


def scaled(estimator, X):
    return make_pipeline(MaxAbsScaler() if sp.issparse(X) else StandardScaler(), estimator)


# Functions that create each peer from the training rows and a seed.
PEERS = {
    "CatBoost": lambda X, seed: CatBoost(random_state=seed),
    "XGBoost": lambda X, seed: XGBoost(random_state=seed),
    "TabM": lambda X, seed: scaled(TabM(random_state=seed), X),
    "RealMLP": lambda X, seed: RealMLP(random_state=seed),
    "BOOMER": lambda X, seed: Boomer(random_state=seed),
    "random forest": lambda X, seed: RandomForestClassifier(
        500, random_state=seed, n_jobs=threads()
    ),
    "extra trees": lambda X, seed: ExtraTreesClassifier(500, random_state=seed, n_jobs=threads()),
    "chains": lambda X, seed: scaled(Chains(random_state=seed), X),
    "logistic": lambda X, seed: scaled(OneVsRestClassifier(LogisticRegression(max_iter=1000)), X),
    "MLP": lambda X, seed: scaled(MLPClassifier(random_state=seed), X),
    "MLP, early stopping": lambda X, seed: scaled(
        MLPClassifier(random_state=seed, early_stopping=True), X
    ),
    "nearest neighbours": lambda X, seed: scaled(KNeighborsClassifier(), X),
}
NO_SEED = ("logistic", "nearest neighbours")
# The packages that peers need.
NEEDS = {
    "CatBoost": "catboost",
    "XGBoost": "xgboost",
    "TabM": "tabm",
    "RealMLP": "pytabkit",
    "BOOMER": "mlrl",
}
