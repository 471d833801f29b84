"""Small fitted models of every kind, for tests that predictions stay the same bit by bit."""

import hashlib
import warnings
from importlib.metadata import version

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.losses import FocalLoss

N_ROWS, N_NEW, N_COLUMNS, N_LABELS = 160, 24, 6, 4


def _tables():
    rng = np.random.default_rng(18)
    X = rng.normal(size=(N_ROWS + N_NEW, N_COLUMNS)).round(3)
    logits = 1.5 * X @ rng.normal(size=(N_COLUMNS, N_LABELS)) + rng.normal(size=(len(X), N_LABELS))
    Y = (logits > [0, 0.5, 1, 2]).astype(int)
    weight = rng.integers(0, 4, size=N_ROWS).astype(float)
    hidden = rng.random((N_ROWS, N_LABELS)) < 0.15
    codes = rng.integers(0, 5, size=len(X)).astype(float)
    return X, Y, logits.argmax(axis=1), weight, hidden, codes


X, Y, CLASS, WEIGHT, HIDDEN, CODES = _tables()
TRAIN, NEW = slice(None, N_ROWS), slice(N_ROWS, None)
MISSING = np.vstack([np.where(HIDDEN, np.nan, Y[TRAIN]), Y[NEW]])


class _Module(torch.nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(n_features, 8), torch.nn.Tanh(), torch.nn.Linear(8, n_outputs)
        )

    def forward(self, X):
        return self.layers(X)


def net(**params):
    """Return a small network."""
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=12, batch_size=32, learning_rate=0.02,
                    n_iter_no_change=3, linear_part=False, random_state=3,
                    device="cpu")  # fmt: skip
    return MultiLabelNetClassifier(**(defaults | params))


def logistic():
    """Return a linear model for several labels."""
    return OneVsRestClassifier(LogisticRegression(solver="newton-cholesky"))


def _fit(model, X=X, Y=Y, **params):
    return model.fit(X[TRAIN], Y[TRAIN], **params), X[NEW]


def _several_passes():
    model = net(dropout=0.25)
    for _ in range(3):
        model.partial_fit(X[TRAIN], Y[TRAIN])
    return model, X[NEW]


def _warm_start():
    model = net(warm_start=True, max_epochs=4).fit(X[TRAIN], Y[TRAIN])
    return model.set_params(max_epochs=3).fit(X[TRAIN], Y[TRAIN]), X[NEW]


def _refitted_decoder():
    model = net(cv=2, max_epochs=6).fit(X[TRAIN], Y[TRAIN])
    return model.fit_decoder(X[TRAIN], Y[TRAIN], "gfm", "isotonic"), X[NEW]


def _search(**params):
    grid = dict(losses=["bce", FocalLoss(gamma=1)], decoders=["threshold", "global_threshold"],
                calibrations=[None, "sigmoid"], scoring="f1_macro", cv=2,
                random_state=5)  # fmt: skip
    return LossDecoderSearchCV(**(grid | params))


# Each returns a fitted model and rows to predict.
CASES = {
    "defaults": lambda: _fit(net(hidden_layer_sizes="auto", batch_size="auto")),
    "one class per row": lambda: _fit(net(), Y=CLASS),
    "binary": lambda: _fit(net(decoder="global_threshold"), Y=Y[:, 0]),
    "folds, beta calibration, thresholds per label": lambda: _fit(
        net(loss="focal", cv=3, calibration="beta", decoder="per_label_threshold")
    ),
    "folds, one refitted network, counts": lambda: _fit(
        net(loss="factorized", cv=2, repeats=2, ensemble=False, decoder="cardinality")
    ),
    "loss of whole batches, schedule, sgd": lambda: _fit(
        net(
            loss="soft_fbeta",
            lr_schedule="cosine",
            optimizer="sgd",
            early_stopping=False,
            optimizer_params={"momentum": 0.9},
        )
    ),
    "ranking loss, two layers, adagrad": lambda: _fit(
        net(
            loss="lsep",
            hidden_layer_sizes=(8, 6),
            optimizer="adagrad",
            normalization="layer",
            activation="gelu",
        )
    ),
    "weights and missing labels": lambda: _fit(
        net(loss="asymmetric", calibration="temperature", validation_fraction=0.3),
        Y=MISSING,
        sample_weight=WEIGHT,
    ),
    "categories, batch normalisation, mixup": lambda: _fit(
        net(
            categorical_features=[N_COLUMNS],
            normalization="batch",
            input_dropout=0.2,
            mixup=0.3,
            encoding="quantile",
            optimizer="adam",
        ),
        X=np.column_stack([X, CODES]),
    ),
    "sparse X and y, risk control": lambda: _fit(
        net(decoder="risk_control", calibration="sigmoid"),
        X=sp.csr_array(np.where(np.abs(X) > 0.7, X, 0)),
        Y=sp.csr_array(Y),
    ),
    "own module and transformer": lambda: _fit(
        net(
            module=_Module, hidden_layer_sizes="auto", linear_part="auto", encoding=StandardScaler()
        )
    ),
    "double precision, all rows": lambda: _fit(
        net(precision="float64", early_stopping=False, decoder="expected_fbeta", dropout=0.5)
    ),
    "several passes": _several_passes,
    "warm start": _warm_start,
    "refitted decoder": _refitted_decoder,
    "linear part": lambda: _fit(net(linear_part=True)),
    "linear part, folds, missing labels, weights": lambda: _fit(
        net(linear_part=True, cv=3, loss="focal", calibration="beta"),
        Y=MISSING,
        sample_weight=WEIGHT,
    ),
    "linear model, folds": lambda: _fit(
        DecodedClassifierCV(logistic(), calibration="beta", cv=3, random_state=1)
    ),
    "linear model, reserved rows, decision function": lambda: _fit(
        DecodedClassifierCV(
            logistic(),
            "risk_control",
            calibration="sigmoid",
            cv=3,
            ensemble=False,
            response_method="decision_function",
            store_cv_results=True,
            random_state=1,
        )
    ),
    "forest, out-of-bag scores": lambda: _fit(
        DecodedClassifierCV(
            RandomForestClassifier(60, oob_score=True, max_depth=3, random_state=2),
            "gfm",
            cv="oof",
            random_state=1,
        )
    ),
    "soft voting, learned weights": lambda: _fit(
        DecodedClassifierCV(
            SoftVotingClassifier(
                [
                    ("net", net(cv=3, store_cv_results=True)),
                    (
                        "linear",
                        DecodedClassifierCV(
                            logistic(), cv=3, ensemble=True, store_cv_results=True, random_state=3
                        ),
                    ),
                ],
                weights="learned",
            ),
            "global_threshold",
            cv="oof",
            random_state=1,
        )
    ),
    "soft voting, given weights": lambda: _fit(
        SoftVotingClassifier(
            [("linear", logistic()), ("bayes", OneVsRestClassifier(GaussianNB()))], weights=[2, 1]
        )
    ),
    "search of networks": lambda: _fit(_search(estimator=net(max_epochs=5, encoding=None))),
    "search of networks with folds": lambda: _fit(
        _search(
            estimator=net(max_epochs=4, cv=2, decoder="threshold"),
            losses=["bce", "zlpr"],
            calibrations=[None],
            rule="one_std_error",
            scoring="neg_log_loss",
            decoders=["threshold", "per_label_threshold"],
        )
    ),
}


def outputs(name):
    """Return a model's predictions for new rows, and the scores of its selection."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of several threads are rounded in another order
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, rows = CASES[name]()
            values = {"proba": model.predict_proba(rows), "labels": model.predict(rows)}
    finally:
        torch.set_num_threads(threads)
    if sp.issparse(values["labels"]):
        values["labels"] = values["labels"].toarray()
    if hasattr(model, "oof_scores_"):
        values["out-of-fold scores"] = model.oof_scores_
    if hasattr(model, "cv_results_"):
        values["test scores"] = model.cv_results_["mean_test_score"]
    return values


def arithmetic():
    """Return the environment that the bits of a prediction depend on.

    Libraries of other versions, and those for other processors, round differently.
    """
    generator = torch.Generator().manual_seed(0)
    digest = hashlib.sha256()
    for dtype in torch.float32, torch.float64:
        A = torch.randn(37, 53, generator=generator, dtype=dtype)
        B = torch.randn(53, 19, generator=generator, dtype=dtype)
        values = [A @ B, (A.T @ A).exp(), torch.sigmoid(A), torch.nn.functional.gelu(A), A.sum(0)]
        A, B = A.numpy(), B.numpy()
        values += [A @ B, np.exp(A), np.log1p(np.abs(A))]
        for value in values:
            digest.update(np.ascontiguousarray(value).tobytes())
    packages = "numpy", "scipy", "scikit-learn", "torch", "skorch"
    return " ".join([*(f"{name} {version(name)}" for name in packages), digest.hexdigest()[:16]])
