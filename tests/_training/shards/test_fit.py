"""Training on rows that are read by shards."""

import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.utils import _safe_indexing

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.shards import progress
from sklearn_mlloss._training.shards import tables as training
from sklearn_mlloss.decoders import TopK
from sklearn_mlloss.streaming import RowSource, Streaming, _sources

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_multilabel_classification(900, 6, n_classes=4, random_state=0)
X_NEW, Y_NEW, X, Y = X[600:], Y[600:], X[:600], Y[:600]


def net(loss="bce", decoder="auto", streaming=None, **params):
    settings = {"hidden_layer_sizes": (16,), "batch_size": 32, "max_epochs": 3, "random_state": 0}
    settings |= {"learning_rate": 0.01, "streaming": streaming}
    return MultiLabelNetClassifier(loss, decoder, **(settings | params))


def small(**settings):
    return Streaming(**({"buffer_rows": 100, "sample_rows": 250} | settings))


class Shards(RowSource):
    """Shards of equal sizes, of which reading may fail after some blocks."""

    def __init__(self, X, Y, weight=None, n=6, blocks=2, fails_after=np.inf):
        self.parts, self.n, self.blocks, self.left = (X, Y, weight), n, blocks, fails_after

    def shards(self):
        return [f"shard {k}" for k in range(self.n)]

    def read(self, shard):
        for rows in np.array_split(np.array_split(np.arange(len(Y)), self.n)[shard], self.blocks):
            self.left -= 1
            if self.left < 0:
                raise OSError("the disk is gone")
            yield tuple(None if p is None else _safe_indexing(p, rows) for p in self.parts)


@pytest.fixture
def seen(monkeypatch):
    """Return the rows of the tables that a net is trained on, by their first column."""
    tables, plain = [], training._pass_over

    def note(net, source, *args):
        epoch = source.epoch

        def noted(*position):
            for table, seed in epoch(*position):
                tables.append(np.asarray(table.rows())[:, 0])
                yield table, seed

        source.epoch = noted
        plain(net, source, *args)

    monkeypatch.setattr(training, "_pass_over", note)
    return tables


@pytest.mark.parametrize("loss", ["bce", "factorized", "soft_fbeta"])
def test_a_full_batch_equals_that_of_rows_in_memory(loss):
    settings = {"precision": "float64", "early_stopping": False, "batch_size": 600, "dropout": 0}
    settings |= {"mixup": 0, "input_dropout": 0, "decoder": TopK(2), "max_epochs": 5}
    expected = net(loss, **settings).fit(X, Y)
    fitted = net(loss, **settings).set_params(streaming=Streaming()).fit(Shards(X, Y))
    np.testing.assert_allclose(fitted.predict_proba(X), expected.predict_proba(X), atol=1e-9)
    assert fitted.history_["train_loss"] == pytest.approx(expected.history_["train_loss"])


def test_all_rows_but_those_held_out_are_trained_on_once_per_epoch(seen):
    numbers = X.copy()
    numbers[:, 0] = np.arange(600)
    settings = {"precision": "float64", "n_iter_no_change": np.inf, "encoding": None}
    fitted = net(streaming=small(), linear_part=False, **settings).fit(Shards(numbers, Y))
    trained, held_out = fitted.net_.n_rows_
    assert (trained, held_out) == (575, 25)
    assert [len(table) for table in seen] == [96] * 5 + [95] + [96] * 5 + [95] + [96] * 5 + [95]
    epochs = [np.concatenate(seen[k : k + 6]).tolist() for k in (0, 6, 12)]
    assert len(set(epochs[0])) == trained
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert epochs[0] != epochs[1]  # in another order
    assert not any(one.name == "sklearn_mlloss-reader" for one in threading.enumerate())


def test_quality_is_that_of_rows_in_memory_although_rows_are_sorted():
    order = np.lexsort(Y.T)
    params = {"decoder": "global_threshold", "max_epochs": 15}
    shards = Shards(X[order], Y[order])
    scores = [
        label_ranking_average_precision_score(Y_NEW, model.predict_proba(X_NEW))
        for model in (
            net(**params).fit(X, Y),
            net(streaming=small(), **params).fit(shards),
            net(streaming=small(buffer_rows=50, shards_at_once=1), **params).fit(shards),
        )
    ]
    assert scores[1] > scores[0] - 0.02
    assert scores[1] > 0.85


def test_a_fit_does_not_depend_on_how_blocks_are_cut():
    fits = [net(streaming=small(shards_at_once=1)).fit(Shards(X, Y, blocks=n)) for n in (1, 3)]
    np.testing.assert_array_equal(*(model.predict_proba(X) for model in fits))


def test_checks_within_an_epoch_stop_early():
    fitted = net(streaming=small(steps_per_check=6), n_iter_no_change=np.inf).fit(X, Y)
    assert fitted.n_iter_ == len(fitted.history_["valid_loss"]) == 9
    stopped = net(streaming=small(steps_per_check=6), n_iter_no_change=1, learning_rate=0.3)
    assert stopped.fit(X, Y).n_iter_ < 9


@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_a_killed_training_goes_on_to_the_same_result(tmp_path, schedule):
    def model(**settings):
        params = {"lr_schedule": schedule, "dropout": 0.5, "max_epochs": 4}
        return net(decoder="per_label_threshold", streaming=small(**settings), **params)

    often = {"steps_per_check": 6, "steps_per_checkpoint": 3}
    folder = tmp_path / "state"
    expected = model(checkpoint=str(tmp_path / "other"), **often).fit(Shards(X, Y))
    interrupted = model(checkpoint=str(folder), **often)
    # In the first pass; in the first epoch; in the third.
    for n_blocks in (5, 21, 20):
        with pytest.raises(OSError, match="the disk is gone"):
            interrupted.fit(Shards(X, Y, fails_after=n_blocks))
        assert not hasattr(interrupted, "net_") and not list(folder.glob("*.part"))
    assert sorted(path.name for path in folder.iterdir()) == ["start.pt", "state.pt"]
    with pytest.raises(ValueError, match="holds the state of another fit"):
        clone(interrupted).set_params(batch_size=16).fit(Shards(X, Y))
    resumed = clone(interrupted).set_params(verbose=1).fit(Shards(X, Y))
    assert not folder.exists()
    np.testing.assert_array_equal(resumed.predict_proba(X), expected.predict_proba(X))
    assert resumed.history_ == expected.history_
    np.testing.assert_array_equal(resumed.decoder_.thresholds_, expected.decoder_.thresholds_)


def test_checkpoints_of_other_rows_or_formats_are_refused(tmp_path):
    folder = tmp_path / "state"
    interrupted = net(streaming=small(checkpoint=str(folder)))
    with pytest.raises(OSError, match="the disk is gone"):
        interrupted.fit(Shards(X, Y, fails_after=30))
    with pytest.raises(ValueError, match="holds the state of another fit.*or rows"):
        clone(interrupted).fit(Shards(X + 1, Y))
    state = folder / "start.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"start.pt holds no state.*Remove the folder"):
        clone(interrupted).fit(Shards(X, Y))


def test_checkpoints_need_a_folder_before_anything_is_read(tmp_path):
    (tmp_path / "file").touch()
    for place in ("file", "file/folder"):
        settings = small(checkpoint=f"{tmp_path}/{place}")
        with pytest.raises(ValueError, match="checkpoint=.*must be a folder that can be written"):
            net(streaming=settings).fit(Shards(X, Y, fails_after=1))


def test_what_a_killed_save_has_left_is_removed_at_the_end(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "state.part").touch()
    settings = small(checkpoint=str(folder), steps_per_checkpoint=1000)
    net(streaming=settings, max_epochs=1).fit(X, Y)
    assert not folder.exists()


def test_a_generator_as_random_state_goes_on_from_a_checkpoint(tmp_path):
    expected = net(streaming=small(), random_state=np.random.RandomState(0)).fit(Shards(X, Y))
    saved = {"streaming": small(checkpoint=str(tmp_path / "state"))}
    interrupted = net(**saved, random_state=np.random.RandomState(0))
    with pytest.raises(OSError, match="the disk is gone"):
        interrupted.fit(Shards(X, Y, fails_after=30))
    interrupted.fit(Shards(X, Y))
    np.testing.assert_array_equal(interrupted.predict_proba(X), expected.predict_proba(X))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_checkpoints_say_that_the_disk_is_full(tmp_path):
    model = net(streaming=small(checkpoint=str(tmp_path / "state")))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"checkpoint=.*state'.* cannot be written: .*No space left"):
        model.fit(X, Y)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["start.pt"]


def test_checkpoints_know_arrays_by_rows_from_all_over(tmp_path):
    interrupted = net(streaming=small(checkpoint=str(tmp_path), steps_per_checkpoint=1))
    interrupted.set_params(monitor=stop_training)
    with pytest.raises(OSError, match="stopped"):
        interrupted.fit(X, Y)
    assert (tmp_path / "state.pt").exists()
    changed = X.copy()
    changed[500, 2] += 1
    with pytest.raises(ValueError, match="holds the state of another fit.*or rows"):
        interrupted.fit(changed, Y)
    with pytest.raises(OSError, match="stopped"):
        interrupted.fit(X.copy(), Y)


def stop_training(Y, scores):
    raise OSError("stopped")


def test_checkpoints_need_what_can_be_pickled(tmp_path):
    monitored = net(streaming=small(checkpoint=str(tmp_path)), monitor=lambda Y, scores: 1.0)
    with pytest.raises(ValueError, match="cannot be pickled.*checkpoint=None"):
        monitored.fit(X, Y)


def test_weights_and_missing_labels_count_as_in_memory(seen):
    weight = np.linspace(0, 3, 600)
    hidden = np.where(np.arange(600)[:, None] % 5 == 0, np.nan, Y.astype(float))
    hidden[300:400, 1] = np.nan
    params = {"early_stopping": False, "max_epochs": 1, "decoder": "threshold"}
    expected = net(**params).fit(X, hidden, sample_weight=weight)
    fitted = net(streaming=Streaming(buffer_rows=100), **params).fit(Shards(X, hidden, weight))
    assert sum(map(len, seen)) == fitted.net_.n_rows_[0] == expected.net_.n_rows_[0] == 480
    for count in ("label_count_", "positive_count_"):
        np.testing.assert_allclose(getattr(fitted.loss_, count), getattr(expected.loss_, count))


def test_label_counts_are_those_of_all_training_rows():
    rare = Y.copy()
    rare[:, 2] = 0
    rare[[10, 500], 2] = 1
    settings = small(sample_rows=100)
    fitted = net(early_stopping=False, streaming=settings, decoder="threshold").fit(X, rare)
    np.testing.assert_array_equal(fitted.loss_.positive_count_, rare.sum(axis=0))
    assert fitted.loss_.label_count_[0] == 600
    with pytest.warns(UserWarning, match="1 label[(]s[)] have only positives or no positive"):
        rare[:, 2] = 0
        net(streaming=settings).fit(X, rare)


def test_arrays_memory_maps_sparse_rows_and_batches_are_read_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(_sources, "BLOCK_ROWS", 70)
    monkeypatch.setattr(_sources, "SHARD_ROWS", 200)
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    X_map = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = net(streaming=small()).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(net(streaming=small()).fit(X_map, Y).predict_proba(X), expected)
    sparse = net(streaming=small()).fit(sp.csr_array(X), sp.csr_array(Y))
    assert sp.issparse(sparse.predict(X))
    for convert in (sp.coo_matrix, sp.bsr_matrix, sp.dok_array):
        fitted = net(streaming=small(), max_epochs=1).fit(convert(X), convert(Y))
        assert sp.issparse(fitted.predict(X))
    batches = [(X[k : k + 100], Y[k : k + 100]) for k in range(0, 600, 100)]
    fitted = net(streaming=small()).fit(batches)
    assert fitted.net_.n_rows_ == (575, 25)
    with pytest.raises(ValueError, match="X is read several times, and a generator only once"):
        net(streaming=small()).fit(batch for batch in batches)
    with pytest.raises(ValueError, match=r"must yield tuples \(X, y\)"):
        net(streaming=small()).fit([X, X])


def test_masked_values_are_missing_in_the_sample_too():
    masked = np.ma.masked_array(X, X > 5)
    fitted = net(streaming=small(), max_epochs=1).fit(masked, Y)
    expected = net(streaming=small(), max_epochs=1).fit(masked.filled(np.nan), Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))


def test_tables_of_polars_keep_their_names_and_categories(monkeypatch):
    pl = pytest.importorskip("polars")
    monkeypatch.setattr(_sources, "BLOCK_ROWS", 70)
    names = [f"x{k}" for k in range(X.shape[1])]
    table = pl.DataFrame(X, schema=names).with_columns(
        kind=pl.Series(["a", "b", "c"] * (len(X) // 3), dtype=pl.Categorical)
    )
    fitted = net(streaming=small()).fit(table, pl.DataFrame(Y, schema=list("rgby")))
    assert fitted.feature_names_in_.tolist() == [*names, "kind"]
    assert fitted.categories_[0].tolist() == ["a", "b", "c"]


def test_what_needs_rows_in_memory_is_refused():
    for params, name in (
        ({"cv": 3}, "cv=3"),
        ({"warm_start": True}, "warm_start=True"),
        ({"memory": "folder"}, "memory='folder'"),
        ({"decoder": "risk_control"}, "decoder='risk_control'"),
    ):
        with pytest.raises(ValueError, match=f"{name} needs"):
            net(streaming=small(), **params).fit(Shards(X, Y, fails_after=0))  # nothing is read
    with pytest.raises(ValueError, match="groups need rows in memory"):
        net(streaming=small()).fit(X, Y, groups=Y[:, 0])
    with pytest.raises(ValueError, match="takes an indicator.*got a 1-D y"):
        net(streaming=small()).fit(X, Y[:, 0])
    with pytest.raises(TypeError, match="streaming must be None or"):
        net(streaming=100).fit(X, Y)
    with pytest.raises(TypeError, match=r"checkpoint must be None or.*: give str\(checkpoint\)"):
        net(streaming=small(checkpoint=Path("folder"))).fit(X, Y)
    with pytest.raises(TypeError, match="checkpoint must be None or the name of a folder, got ''"):
        net(streaming=small(checkpoint="")).fit(X, Y)
    with pytest.raises(ValueError, match="buffer_rows must be an integer >= 2, got 0"):
        net(streaming=Streaming(buffer_rows=0)).fit(X, Y)
    with pytest.raises(ValueError, match="y comes from X, a Shards: leave it out"):
        net().fit(Shards(X, Y), Y)
    with pytest.raises(ValueError, match="the target y is None"):
        net(streaming=small()).fit(X)


def test_parts_of_batches_must_match():
    with pytest.raises(ValueError, match="parts of each batch of X must have as many rows"):
        net(streaming=small()).fit([(X[:100], Y[:101])])
    for one, other in (((), (np.ones(100),)), ((np.ones(100),), ())):
        batches = [(X[:100], Y[:100], *one), (X[100:200], Y[100:200], *other)]
        with pytest.raises(ValueError, match="rows 100 to 199: sample_weight must be given for"):
            net(streaming=small()).fit(batches)
    lists = [(X[:300].tolist(), Y[:300].tolist()), (X[300:].tolist(), Y[300:].tolist())]
    assert net(streaming=small(), max_epochs=1).fit(lists).n_features_in_ == X.shape[1]
    kinds = [(X[:100], Y[:100]), (sp.csr_array(X[100:]), Y[100:])]
    with pytest.raises(ValueError, match="of one type, got csr_array and ndarray"):
        net(streaming=small()).fit(kinds)
    with pytest.raises(ValueError, match="y looks like a list of label sets"):
        net(streaming=small()).fit(X, [["red"], ["red", "blue"]] * 300)
    pd = pytest.importorskip("pandas")
    with pytest.warns(UserWarning, match="y has the index of X in another order"):
        net(streaming=small()).fit(pd.DataFrame(X), pd.DataFrame(Y)[::-1])


def test_bad_values_are_named_with_shard_row_and_column():
    bad = X.copy()
    bad[417, 3] = np.inf
    with pytest.raises(ValueError, match="shard 4, row 17, X column 3: .*infinity"):
        net().fit(Shards(bad, Y))
    wrong = Y.copy()
    wrong[599, 1] = 7
    with pytest.raises(ValueError, match="shard 5, row 99, y column 1: .*7"):
        net().fit(Shards(X, wrong))
    pd = pytest.importorskip("pandas")
    words = pd.DataFrame(X).astype({0: str}).set_axis([*"abcdefgh"][: X.shape[1]], axis=1)
    with pytest.raises(ValueError, match="shard 5, row 99, y column 1: .*7"):
        net(categorical_features=["a"]).fit(Shards(words, wrong))
    with pytest.raises(ValueError, match="no row to learn from"):
        net().fit(Shards(X, np.full(Y.shape, np.nan)))


def test_rows_that_change_between_passes_are_noticed():
    class Fewer(Shards):
        reads = 0

        def read(self, shard):
            self.reads += 1
            for part in super().read(shard):
                yield part if self.reads <= 6 else tuple(p and p[:9] for p in part[:0]) or (
                    part[0][:9], part[1][:9], None
                )  # fmt: skip

    with pytest.raises(ValueError, match="rows to train on in a later pass and 575 in the first"):
        net(streaming=small()).fit(Fewer(X, Y))


def test_progress_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PAUSE", 0)
    net(streaming=small(), verbose=1).fit(Shards(X, Y))
    printed = capsys.readouterr().out
    assert "first pass: 50% of 6 shards, 0 s left" in printed
    assert "pass 1 of at most 3: 100% of 575 rows" in printed


def test_a_net_is_saved_with_its_settings(tmp_path):
    persistence = pytest.importorskip("sklearn_mlloss.persistence")
    pytest.importorskip("safetensors")
    fitted = net(streaming=small()).fit(X, Y)
    persistence.save(fitted, tmp_path / "net.safetensors")
    loaded = persistence.load(tmp_path / "net.safetensors")
    assert loaded.streaming.buffer_rows == 100
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert "on 575 rows" in fitted.summary()


def network(n_features, n_outputs):
    layers = torch.nn.Linear(n_features, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, n_outputs)
    return torch.nn.Sequential(*layers)


def test_a_custom_module_goes_on_to_the_same_result(tmp_path):
    settings = small(checkpoint=str(tmp_path), steps_per_checkpoint=3)
    model = MultiLabelNetClassifier(
        module=network, batch_size=32, max_epochs=3, random_state=0, streaming=settings
    )
    expected = clone(model).fit(Shards(X, Y))
    with pytest.raises(OSError, match="the disk is gone"):
        model.fit(Shards(X, Y, fails_after=12 + 12 + 11))
    assert (tmp_path / "state.pt").exists()
    resumed = model.fit(Shards(X, Y))
    np.testing.assert_array_equal(resumed.predict_proba(X), expected.predict_proba(X))
