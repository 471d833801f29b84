"""Files that are damaged, foreign or hostile, and what must not be in a file."""

import copy
import io
import json
import pickle
import resource
import sys
import warnings
import zipfile
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.losses import FocalLoss, FunctionLoss, SeparableLoss

pytest.importorskip("safetensors")
from sklearn_mlloss.persistence import describe, load, save  # noqa: E402
from sklearn_mlloss.persistence.files import _joined, _split, dumps, loads  # noqa: E402
from sklearn_mlloss.persistence.members import _check_tree, restore  # noqa: E402

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)).astype(np.float32)
Y = (X + rng.normal(size=X.shape) > 0).astype(int)
NET = MultiLabelNetClassifier(
    "focal", "global_threshold", hidden_layer_sizes=(3,), max_epochs=2, random_state=0,
    calibration="sigmoid",
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few epochs
        return clone(NET).fit(X, Y)


@pytest.fixture(scope="module")
def data(model):
    return dumps(model)


def refused(data, path):
    path.write_bytes(data)
    with pytest.raises(ValueError, match="saved model|format|custom") as error:
        load(path)
    assert str(path) in str(error.value)
    with pytest.raises(ValueError, match="saved model|format|custom"):
        describe(path)
    return str(error.value)


# ------------------------------------------------------------------ damage


def test_mutations_of_the_bytes_are_detected(data):
    for _ in range(800):
        mutated = bytearray(data)
        place = int(rng.integers(len(data)))
        # Also in the head and in its length, which are a small part.
        place = place % (8 if rng.uniform() < 0.1 else 400) if rng.uniform() < 0.3 else place
        kind = rng.integers(4)
        if kind == 0:
            mutated[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del mutated[place : place + int(rng.integers(1, 50))]
        elif kind == 2:
            mutated[place:place] = rng.bytes(int(rng.integers(1, 50)))
        else:
            del mutated[place:]
        with pytest.raises(ValueError, match="is no saved model"):
            loads(bytes(mutated))


def leaves(node, place=()):
    """Yield the places of all values of JSON."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*place, key))


def changed(tree, place, value):
    tree = copy.deepcopy(tree)
    node = tree
    for key in place[:-1]:
        node = node[key]
    if value is KeyError:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return tree


def test_mutations_with_a_right_checksum_raise_or_load(data):
    # As of somebody who knows the format: whatever a file declares, nothing else is raised.
    head, tensors = _split(data)
    tree = json.loads(head["__metadata__"]["model"])
    places = list(leaves(tree))
    values = [KeyError, None, -1, 2**33, 2**70, 0.5, "x", "Criterion", [], {}, {"is": "same"},
              {"is": "object", "id": 0, "class": "MLP", "state": {}}, {"is": "same", "id": 0},
              {"is": "array", "tensor": next(iter(head))}]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = {"raised": 0, "loaded": 0}
    for number in rng.permutation(len(places) * len(values))[:500]:
        place, value = places[number // len(values)], values[number % len(values)]
        text = json.dumps(changed(tree, place, value))
        texts = {**head["__metadata__"], "model": text}
        try:
            loads(_joined({**head, "__metadata__": texts}, tensors))
            outcomes["loaded"] += 1
        except ValueError as error:
            assert "is no saved model" in str(error), place
            outcomes["raised"] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 2**17, f"{grown} KiB"
    assert min(outcomes.values()) > 20, outcomes


@pytest.mark.parametrize("name", ["n_inputs", "n_outputs", "n_outputs_", "out_features"])
def test_declared_sizes_take_no_memory(name, data):
    head, tensors = _split(data)
    tree = json.loads(head["__metadata__"]["model"])
    places = [place for place in leaves(tree) if place[-1] == name]
    assert places
    for place in places:
        tree = changed(tree, place, 2**33)
    texts = {**head["__metadata__"], "model": json.dumps(tree)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        loads(_joined({**head, "__metadata__": texts}, tensors))
    except ValueError as error:
        assert "is no saved model" in str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17


# ------------------------------------------------------------------ other files


class Bomb:
    ran: list[int] = []

    def __reduce__(self):
        return Bomb.ran.append, (1,)


def zip_bomb():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"0" * 10**7)
    return file.getvalue()


OTHERS = {
    "empty": b"",
    "text": b"not a model at all",
    "pickle": pickle.dumps(Bomb()),
    "zip bomb": zip_bomb(),
    "huge length": (2**62).to_bytes(8, "little") + b"{}",
    "deep": b"\0\0\1\0\0\0\0\0" + b"[" * 2**16,
    "other safetensors": (2).to_bytes(8, "little") + b"{}",
    "list": (2).to_bytes(8, "little") + b"[]",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_raise(name, tmp_path):
    message = refused(OTHERS[name], tmp_path / "model.safetensors")
    assert "is no saved model of sklearn_mlloss, or is damaged" in message
    assert not Bomb.ran


def test_missing_files_and_folders_raise_what_the_system_does(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    with pytest.raises(OSError):
        describe(tmp_path)


def test_errors_of_the_system_name_the_path_of_the_user(model, tmp_path):
    for path, error in (
        (tmp_path / "no" / "model", FileNotFoundError),
        (tmp_path, IsADirectoryError),
    ):
        with pytest.raises(error) as raised:
            save(model, path)
        assert raised.value.filename == str(path) and raised.value.filename2 is None
    assert not list(tmp_path.iterdir())


def test_a_later_format_is_refused(data, tmp_path):
    head, tensors = _split(data)
    texts = {**head["__metadata__"], "format": "sklearn_mlloss 2"}
    message = refused(_joined({**head, "__metadata__": texts}, tensors), tmp_path / "model")
    assert "has format 2" in message and "update sklearn_mlloss" in message


def test_a_member_may_not_be_compressed():
    pytest.importorskip("skops")
    with pytest.raises(Exception, match="compressed"):
        restore(zip_bomb())


def test_a_member_of_another_type_is_not_made():
    skops = pytest.importorskip("skops.io")
    for hostile in partial(Bomb.ran.append, 1), make_pipeline(FunctionTransformer(print)):
        with pytest.raises(Exception, match="[Uu]ntrusted"):
            restore(skops.dumps(hostile))
    assert not Bomb.ran


def test_parameters_of_another_version_of_scikit_learn_get_their_defaults():
    skops = pytest.importorskip("skops.io")
    model = make_pipeline(LogisticRegression(C=3.0)).fit(X, Y[:, 0])
    del model[0].tol
    loaded = restore(skops.dumps(model))
    assert (loaded[0].tol, loaded[0].C) == (LogisticRegression().tol, 3.0)


@pytest.mark.parametrize("part", ["children_left", "children_right", "feature"])
def test_trees_are_checked(part):
    from types import SimpleNamespace

    tree = SimpleNamespace(
        node_count=3, n_features=2, children_left=np.array([1, -1, -1]),
        children_right=np.array([2, -1, -1]), feature=np.array([1, -2, -2]),
        value=np.zeros((3, 1, 2)),
    )  # fmt: skip
    _check_tree(tree)
    for wrong in (-1, 3):
        getattr(tree, part)[0] = wrong
        with pytest.raises(Exception, match="do not exist"):
            _check_tree(tree)
    tree.children_left[0] = tree.children_right[0] = 0
    with pytest.raises(Exception, match="do not exist"):
        _check_tree(tree)


# ------------------------------------------------------------------ refusals


class Named(SeparableLoss):
    def positive(self, s):
        return (1 - s) ** 2

    def negative(self, s):
        return (1 + s) ** 2


def test_what_is_missing_in_custom_is_named(tmp_path):
    model = clone(NET).set_params(loss=Named(), early_stopping=False, decoder="threshold").fit(X, Y)
    save(model, tmp_path / "model")
    with pytest.raises(ValueError, match=r"needs Named, not of this package.*custom=\[Named\]"):
        load(tmp_path / "model")
    assert "`Named`" in describe(tmp_path / "model")
    with pytest.raises(TypeError, match="custom must hold classes and functions, got 'Named'"):
        load(tmp_path / "model", custom=["Named"])
    for custom in (Named, None):
        with pytest.raises(TypeError, match="custom must be a list of classes and functions, got"):
            load(tmp_path / "model", custom=custom)
    other = type("Named", (Named,), {})
    with pytest.raises(ValueError, match="two objects of the name 'Named'"):
        load(tmp_path / "model", custom=[Named, other])


def test_what_cannot_be_saved_is_refused_before_anything_is_written(model, tmp_path):
    path = tmp_path / "model"
    path.write_text("as it was")
    settings = {"early_stopping": False, "decoder": "threshold"}
    link = clone(NET).set_params(loss=FunctionLoss(Named, link="sigmoid"), **settings)
    link.set_params(loss=FunctionLoss(lambda o, t: (o - t) ** 2)).fit(X, Y)
    with pytest.raises(TypeError, match=r"loss.func cannot be saved.*no name"):
        save(link, path)
    with pytest.raises(NotFittedError):
        save(NET, path)
    for other in {}, MultiLabelNetClassifier:
        with pytest.raises(TypeError, match="model must be an estimator of sklearn_mlloss, got"):
            save(other, path)
    search = LossDecoderSearchCV(NET, ["bce"], ["threshold"], cv=2)
    with pytest.raises(TypeError, match="best_estimator_"):
        dumps(search)
    with pytest.raises(ValueError, match="scores must map names"):
        save(model, path, scores={"f1": (0.1, 0.2)})
    with pytest.raises(ValueError, match=r"scores\['f1'\] must lie between its limits"):
        save(model, path, scores={"f1": (0.6, 0.7, 0.5)})
    noted = copy.copy(model)
    noted.note = object()
    with pytest.raises(TypeError, match="note cannot be saved"):
        save(noted, path)
    hooked = copy.deepcopy(model)
    hooked.net_.module_.register_forward_hook(print)
    with pytest.raises(TypeError, match="has hooks"):
        save(hooked, path)
    assert [each.name for each in tmp_path.iterdir()] == ["model"]
    assert path.read_text() == "as it was"


def test_members_that_skops_does_not_trust_are_refused(tmp_path):
    pytest.importorskip("skops")
    near = KNeighborsClassifier(3, algorithm="kd_tree")
    vote = SoftVotingClassifier([("near", near)]).fit(X, Y)
    with pytest.raises(
        TypeError, match="estimators_.0 cannot be saved.*skops does not trust.*KDTr"
    ):
        save(vote, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["safetensors.numpy", "skops.io"])
def test_missing_packages_are_named(name, model, data, tmp_path, monkeypatch):
    vote = SoftVotingClassifier([("lin", make_pipeline(StandardScaler(), LogisticRegression()))])
    vote.fit(X, Y[:, 0])
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_mlloss\[persistence\]'"):
        save(vote, tmp_path / "model")
    if name != "skops.io":
        with pytest.raises(ImportError, match="safetensors is needed"):
            loads(data)
        # The card needs nothing.
        (tmp_path / "model").write_bytes(data)
        assert describe(tmp_path / "model").startswith("# MultiLabelNetClassifier")


# ------------------------------------------------------------------ what is inside


def test_no_rows_are_saved():
    marked = X.astype(np.float64)
    marked[:, 0] += 12345.678
    models = [
        clone(NET).set_params(cv=2, store_cv_results=True, encoding="standard", linear_part=False),
        MultiLabelLogisticRegressionCV(cv=2, store_cv_results=True),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = [dumps(model.fit(marked, Y)) for model in models]
    for file in files:
        for row in marked, marked.astype(np.float32):
            for k in range(10):
                assert row[k].tobytes() not in file and row[k, 1:].tobytes() not in file


def test_the_size_is_that_of_the_weights():
    wide = rng.normal(size=(300, 40)).astype(np.float32)
    labels = (wide[:, :5] > 0).astype(int)
    for cv in None, 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = MultiLabelNetClassifier(max_epochs=1, cv=cv, random_state=0).fit(wide, labels)
        weights = sum(
            value.numel() * value.element_size()
            for net in model.nets_
            for value in net.module_.state_dict().values()
        )
        assert weights < len(dumps(model)) < 1.1 * weights


def test_what_a_file_may_not_choose(model):
    risky = copy.copy(model)
    risky.memory, risky.callbacks, risky.cv = "/tmp/cache", [print], [(np.arange(9), np.arange(9))]
    loaded = loads(dumps(risky))
    assert (loaded.memory, loaded.callbacks, loaded.cv) == (None, None, 1)
    head, tensors = _split(dumps(model))
    texts = {**head["__metadata__"]}
    texts["model"] = texts["model"].replace('"memory":null', '"memory":"/tmp/cache"')
    assert '"/tmp/cache"' in texts["model"]
    assert loads(_joined({**head, "__metadata__": texts}, tensors)).memory is None


def test_callbacks_are_not_saved_with_a_warning(model, tmp_path):
    called = copy.copy(model)
    called.callbacks = [print]
    with pytest.warns(UserWarning, match="callbacks are not saved"):
        save(called, tmp_path / "model")


def test_other_tools_open_the_tensors(data, tmp_path):
    from safetensors import safe_open

    (tmp_path / "model").write_bytes(data)
    with safe_open(tmp_path / "model", "np") as file:
        assert file.get_tensor("nets_.0.module_.layers.0.weight").shape[0] == 3
        assert set(file.metadata()) == {"format", "model", "card", "sha256"}


# ------------------------------------------------------------------ the card


def test_the_card_describes_the_model(model, tmp_path):
    scores = {"f1_macro": (0.5, 0.4, 0.6), "hamming_loss": 0.25}
    save(model, tmp_path / "model", scores=scores)
    card = describe(tmp_path / "model", as_dict=True)
    assert card["labels"] == {"kind": "multilabel", "number": 3, "names": ["0", "1", "2"]}
    assert card["rows"]["training rows"] == model.net_.n_rows_[0]
    assert card["fitted"]["decoder threshold_"] == model.decoder_.threshold_
    assert card["fitted"]["calibration slopes_"] == model.calibrator_.slopes_.tolist()
    assert card["scores"] == {"f1_macro": [0.5, 0.4, 0.6], "hamming_loss": [0.25]}
    assert {"sklearn_mlloss", "torch", "scikit-learn"} <= card["versions"].keys()
    json.dumps(card)
    text = describe(tmp_path / "model")
    assert "| f1_macro | 0.5 | 0.4 | 0.6 |" in text and "FocalLoss(" in text
    assert "| label | calibration slopes_ | calibration intercepts_ |" in text


def test_the_card_of_a_vote_names_its_members(tmp_path):
    pytest.importorskip("skops")
    vote = SoftVotingClassifier([("lin", MultiLabelLogisticRegressionCV(cv=2))]).fit(X, Y)
    save(vote, tmp_path / "vote")
    assert "| lin | 1 of MultiLabelLogisticRegressionCV(cv=2) |" in describe(tmp_path / "vote")
    save(vote.estimators_[0], tmp_path / "linear")
    assert "| penalty |" in describe(tmp_path / "linear")
    decoded = DecodedClassifierCV(LogisticRegression(), "threshold").fit(X, Y[:, 0])
    save(decoded, tmp_path / "decoded")
    assert "label of a binary y" in describe(tmp_path / "decoded")
    assert FocalLoss.__name__ not in describe(tmp_path / "decoded")


@pytest.mark.parametrize("wrong", [None, 3, MultiLabelLogisticRegressionCV()])
def test_a_path_is_text_or_a_path(wrong):
    name = type(wrong).__name__
    model = MultiLabelLogisticRegressionCV(cv=2).fit([[0], [1]] * 4, [0, 1] * 4)
    for call in (load, describe, lambda path: save(model, path)):
        with pytest.raises(TypeError, match=f"path must be that of a file, got {name}"):
            call(wrong)
