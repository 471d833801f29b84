"""Summaries of fitted classifiers."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from torch import nn

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier
from sklearn_mlloss._training.fast.loop import FusedTraining
from sklearn_mlloss.calibration import CALIBRATORS
from sklearn_mlloss.decoders import DECODERS, AtLeastOne, FixedThreshold, HierarchyClosure

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:.*labels have too few positives"
)

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 4))
Y = pd.DataFrame(2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(150, 3)) > 0.5).astype(int)
Y.columns = ["sad", "happy", "angry"]


def net(**params):
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=6, batch_size=32, learning_rate=0.02,
                    encoding="standard", random_state=0, device="cpu")  # fmt: skip
    return MultiLabelNetClassifier(**(defaults | params))


def decoded(**params):
    linear = OneVsRestClassifier(LogisticRegression(C=0.5))
    return DecodedClassifierCV(linear, **(dict(cv=3, random_state=0) | params))


both = pytest.mark.parametrize("make", [net, decoded])


def parts(text):
    """Return the lines before the table by their names."""
    found, name = {}, ""
    for line in text.split("\n\n")[0].splitlines()[1:]:
        start, _, said = line.partition("  ")
        if start:
            name, found[start] = start, said.strip()
        else:  # goes on
            found[name] += "\n" + said.strip()
    return found


def rows(text):
    """Return the table of labels: columns, then one row per label."""
    lines = text.split("\n\n")[1].splitlines()
    return lines[0].split("  "), [line.split() for line in lines[1:]]


# ------------------------------------------------------------------ the network


def test_all_of_a_net_that_stopped_early():
    clf = net(loss="focal", max_epochs=200, n_iter_no_change=3, learning_rate=0.1).fit(X, Y)
    losses = clf.history_["valid_loss"]
    best = int(np.argmin(losses)) + 1
    assert clf.n_iter_ < 200 and best < clf.n_iter_
    text = clf.summary()
    assert text.splitlines()[0] == "MultiLabelNetClassifier: 3 labels, 4 features"
    found = parts(text)
    lines = ["loss", "encoding", "network", "linear part", "training", "calibration", "decoder"]
    assert list(found) == lines
    # The last 3 are the shares of the linear part.
    assert found["network"] == f"4 - 8 - 3; {4 * 8 + 8 + 8 * 3 + 3 + 3} parameters, trained on cpu"
    alpha = clf.net_.module_.linear.alpha()
    assert re.fullmatch(r"penalty [\d.]+, the best of 5 folds; .*", found["linear part"])
    shares = f"shares {alpha.min():.2g} to {alpha.max():.2g}, median {alpha.median():.2g}"
    alone = 1 - clf.net_.network_share_
    assert alone > 0 and clf.net_.check_.loss < min(losses)
    assert found["linear part"].endswith(
        f"{shares}; {alone:.0%} of the outputs are from the linear part alone"
    )
    assert found["training"] == (
        f"{clf.n_iter_} epochs on 135 rows, stopped after 3 epochs without a better one; epoch "
        f"{best} kept: valid_loss {min(losses):.3g} on 15 held-out rows; held-out loss "
        f"{clf.net_.check_.loss:.3g}, label priors {clf.net_.check_.constant_loss:.3g}"
    )
    assert found["calibration"] == "none"
    assert found["decoder"] == "FixedThreshold(threshold=0.5)"
    assert found["loss"].startswith("FocalLoss(")
    assert f"gamma={clf.loss_.gamma}" in found["loss"]
    assert found["loss"].endswith("; proper: its scores are probabilities")
    assert found["encoding"].startswith("StandardEncoding(")
    assert found["encoding"].endswith("; as given")


def test_a_loss_without_probabilities():
    clf = net(loss="hinge").fit(X, Y)
    assert parts(clf.summary())["loss"].startswith("HingeLoss(")
    assert "; not proper: its scores are not probabilities" in parts(clf.summary())["loss"]


def test_why_an_encoding_was_chosen():
    clf = net(encoding="auto").fit(X, Y)
    assert parts(clf.summary())["encoding"].endswith(f"; {clf.encoding_reason_}")
    assert parts(net(encoding=None).fit(X, Y).summary())["encoding"] == "none; as given"


def test_what_became_of_categories():
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    frame["color"] = pd.Categorical(np.array(["red", "blue", "green"])[np.arange(150) % 3])
    frame.loc[:9, "color"] = None
    said = parts(net().fit(frame, Y).summary())["encoding"]
    assert said.endswith("; as given; 1 column of 3 categories gives 4 inputs")
    frame["id"] = pd.Categorical(np.arange(150) // 75)
    clf = net(cv=3).fit(frame[["color", "id"]], Y)
    assert parts(clf.summary())["encoding"] == (
        "none; all columns are categories; 2 columns of 5 categories in all give 6 inputs"
    )
    assert clf.net_.module_.layers[0].in_features == 6
    many = pd.DataFrame({"id": pd.Categorical(np.arange(3000) % 1500)})
    labels = np.column_stack([np.arange(3000) % 2, np.arange(3000) % 3 == 0]).astype(int)
    clf = net(max_epochs=1, early_stopping=False).fit(many, labels)
    assert "1 column of 1,500 categories gives 256 inputs" in clf.summary()
    one = net().fit(frame[["a"]].assign(one=pd.Categorical(["x"] * 150)), Y)
    assert "1 column of 1 category gives 1 input" in one.summary()


def test_the_end_of_training():
    def training(**params):
        return parts(net(**params).fit(X, Y).summary())["training"]

    assert "6 epochs on 135 rows, ended by max_epochs; epoch " in training()
    assert training(early_stopping=False) == "6 epochs on 150 rows"
    assert training(early_stopping=False, decoder="global_threshold") == "6 epochs on 135 rows"
    by_score = training(monitor=lambda y, scores: -float(np.mean((y - scores) ** 2)))
    assert "kept: valid_score -0." in by_score


def test_epochs_of_a_warm_start_go_on():
    clf = net(warm_start=True).fit(X, Y).fit(X, Y)
    text = parts(clf.summary())["training"]
    rule = dict(clf.net_.callbacks_)["early_stopping"]
    assert text.startswith("12 epochs on 135 rows, ended by max_epochs")
    assert f"epoch {6 + rule.best_epoch_} kept: valid_loss " in text
    value = clf.history_["valid_loss"][5 + rule.best_epoch_]
    assert f"valid_loss {value:.3g} on" in text


def test_the_rows_of_the_last_epochs(monkeypatch):
    def training(clf):
        return parts(clf.summary())["training"]

    clf = net(early_stopping=False, warm_start=True).fit(X[:80], Y[:80])
    assert training(clf) == "6 epochs on 80 rows"
    assert training(clf.partial_fit(X[:120], Y[:120])) == "7 epochs, the last on 120 rows"
    # Possibly other rows.
    assert training(clf.partial_fit(X[30:], Y[30:])) == "8 epochs, the last on 120 rows"
    assert training(clf.fit(X, Y)) == "14 epochs, the last 6 on 150 rows"
    assert training(clf.fit(X, Y)) == "20 epochs, the last 12 on 150 rows"
    before = clf.summary()
    with monkeypatch.context() as patch, pytest.raises(TypeError):
        patch.setattr(FusedTraining, "_backward", None)
        clf.partial_fit(X[:40], Y[:40])
    assert clf.summary() == before
    several = net(cv=2).fit(X, Y).partial_fit(X[:40], Y[:40])
    assert training(several).split("\n") == ["7 epochs, the last on 40 rows"] * 2


def test_an_ensemble_has_a_line_a_network():
    clf = net(cv=3).fit(X, Y)
    found = parts(clf.summary())
    assert found["network"].startswith("3 networks of 4 - 8 - 3; ")
    assert found["training"].count("6 epochs on 100 rows") == 3
    one = net(cv=3, ensemble=False).fit(X, Y)
    assert parts(one.summary())["network"].startswith("4 - 8 - 3; ")
    assert parts(one.summary())["training"].endswith("on 150 rows")


def test_a_custom_network():
    clf = net(module=Wide, hidden_layer_sizes="auto").fit(X, Y)
    n_parameters = sum(p.numel() for p in clf.net_.module_.parameters())
    assert parts(clf.summary())["network"] == f"Wide; {n_parameters} parameters, trained on cpu"


class Wide(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 5), nn.Tanh(), nn.Linear(5, n_outputs))

    def forward(self, X):
        return self.layers(X)


def test_a_net_that_a_memory_has_kept(tmp_path):
    first = net(memory=str(tmp_path)).fit(X, Y)
    assert net(memory=str(tmp_path)).fit(X, Y).summary() == first.summary()


def test_parts_that_wait_for_rows():
    clf = net(decoder="global_threshold").partial_fit(X, Y)
    found = parts(clf.summary())
    assert found["training"] == "1 epoch on 150 rows"
    assert found["decoder"].endswith("; not fitted yet: call fit_decoder")
    clf.fit_decoder(X[:70], Y[:70])
    assert parts(clf.summary())["decoder"].endswith("; fitted on 70 rows")


# ------------------------------------------------------------------ the decision


@both
def test_what_each_label_has(make):
    clf = make(decoder="per_label_threshold", calibration="sigmoid", cv=3).fit(X, Y)
    columns, found = rows(clf.summary())
    assert columns[0] == "label" and columns[-1] == "decoder thresholds_"
    values = (clf.calibrator_.slopes_, clf.calibrator_.intercepts_, clf.decoder_.thresholds_)
    for label, row in enumerate(found):
        assert row == [Y.columns[label], *(f"{column[label]:.3g}" for column in values)]
    assert len(found) == 3
    assert parts(clf.summary())["decoder"].endswith("fitted on 150 rows")
    assert parts(clf.summary())["calibration"].endswith("fitted on 150 rows")


@both
def test_a_table_that_is_too_long(make):
    clf = make(decoder="per_label_threshold", cv=3).fit(X, Y)
    text = clf.summary(n_rows=2)
    assert text.splitlines()[-1] == "... and 1 more: summary(n_rows=None) has them all"
    assert "happy" in text and "angry" not in text
    assert clf.summary(n_rows=None) == clf.summary() == clf.summary(3)
    with pytest.raises(ValueError, match="n_rows must be None or an integer >= 0, got -1"):
        clf.summary(n_rows=-1)


@both
def test_fitted_numbers_are_shown(make):
    clf = make(decoder="global_threshold", cv=3).fit(X, Y)
    said = parts(clf.summary())["decoder"]
    assert f"; threshold_ {clf.decoder_.threshold_:.3g}; best_score_ " in said
    assert "\n\n" not in clf.summary()


@both
def test_a_decoder_within_another(make):
    clf = make(decoder=AtLeastOne("per_label_threshold"), cv=3).fit(X, Y)
    inner = clf.decoder_.decoder_.thresholds_
    assert [row[1] for row in rows(clf.summary())[1]] == [f"{value:.3g}" for value in inner]


def test_labels_that_fall_back():
    rare = Y.copy()
    rare["sad"] = 0
    rare.loc[:30:10, "sad"] = 1
    clf = decoded(decoder="per_label_threshold").fit(X, rare)
    assert "; a common value for 1 label with too few rows" in clf.summary()


def test_a_replaced_decision_is_shown():
    clf = net(decoder="per_label_threshold", cv=3, calibration="sigmoid").fit(X, Y)
    clf.fit_decoder(X[:60], Y[:60], decoder=FixedThreshold(0.25), calibration=None)
    found = parts(clf.summary())
    assert found["decoder"] == "FixedThreshold(threshold=0.25)"
    assert found["calibration"] == "none" and "thresholds_" not in clf.summary()


@pytest.mark.parametrize("name", DECODERS)
def test_fitted_parameters_of_decoders_are_shown(name):
    decoder = HierarchyClosure([-1, 0, 0]) if name == "hierarchy" else DECODERS[name]()
    clf = decoded(decoder=decoder).fit(X, Y)
    text = clf.summary()
    assert type(decoder).__name__ in text
    for attribute in type(decoder).learned:
        assert hasattr(clf.decoder_, attribute) or not decoder.requires_fit
        assert attribute in text or attribute == "decoder_"
    learned = {key for key in vars(clf.decoder_) if key.endswith("_") and key[0] != "_"}
    learned -= {"n_labels_", "fallback_labels_", "uses_count_", "log_prior_", "log_lift_"}
    assert learned <= set(type(decoder).learned)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_fitted_parameters_of_calibrators_are_shown(name):
    clf = decoded(calibration=name).fit(X, Y)
    for attribute in CALIBRATORS[name].learned:
        assert attribute in clf.summary()


# ------------------------------------------------------------------ other targets, models, states


def test_another_classifier():
    clf = decoded().fit(X, Y)
    assert clf.summary().splitlines()[0] == "DecodedClassifierCV: 3 labels, 4 features"
    found = parts(clf.summary())
    assert found["estimator"] == "OneVsRestClassifier(estimator=LogisticRegression(C=0.5))"
    assert found["scores"] == "predict_proba of 3 models"


@both
def test_classes(make):
    binary = make(decoder="per_label_threshold", cv=3).fit(X, Y["sad"])
    assert binary.summary().splitlines()[0].endswith(": 1 label (binary y), 4 features")
    assert rows(binary.summary())[1][0][0] == "1"
    several = make().fit(X, np.array(["x", "y", "z"])[Y.to_numpy().argmax(1)])
    assert several.summary().splitlines()[0].endswith(": 3 classes, 4 features")


@both
def test_there_is_no_summary_before_fit(make):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        make().summary()


@both
def test_notebooks_show_it_below_the_diagram(make):
    clf = make()
    before = clf._repr_mimebundle_()
    assert "summary()" not in before["text/html"]
    clf.fit(X, Y)
    bundle = clf._repr_mimebundle_()
    assert html.escape(clf.summary()) in bundle["text/html"]
    assert clf._repr_html_().count("<details>") == clf._repr_html_().count("</details>")
    assert type(clf).__name__ in bundle["text/html"]
    assert bundle["text/plain"] == before["text/plain"] == repr(clone(clf))


def test_names_of_labels_are_no_markup():
    named = Y.rename(columns={"sad": "<b>sad</b>"})
    clf = decoded(decoder="per_label_threshold").fit(X, named)
    assert "<b>sad</b>" in clf.summary()
    assert "<pre" in clf._repr_html_() and "<b>sad</b>" not in clf._repr_html_()


def test_an_encoding_that_is_a_transformer():
    class Double(BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return 2 * X

    assert parts(net(encoding=Double()).fit(X, Y).summary())["encoding"] == "Double(); as given"
