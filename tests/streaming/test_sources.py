"""Rows from Parquet files and from collections of dask."""

import shutil

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.streaming import ParquetRows, Streaming

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pd = pytest.importorskip("pandas")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

NAMES = ["red", "green", "blue"]
X, Y = make_multilabel_classification(400, 4, n_classes=3, random_state=0)
TABLE = pd.DataFrame(X, columns=list("abcd"))
# Each file has other categories, and only the last one has this label.
TABLE["kind"] = pd.Categorical([f"k{row // 100}" for row in range(400)])
LABELS = pd.DataFrame(Y, columns=NAMES)
LABELS.loc[:299, "blue"] = 0
WEIGHT = np.linspace(1, 2, 400)


def net(**params):
    settings = {"hidden_layer_sizes": (8,), "batch_size": 32, "max_epochs": 2, "random_state": 0}
    settings["streaming"] = Streaming(buffer_rows=90, sample_rows=200)
    return MultiLabelNetClassifier(**(settings | params))


def write(folder, name, rows, change=lambda frame: frame, **options):
    frame = pd.concat([TABLE, LABELS], axis=1).assign(weight=WEIGHT).iloc[rows]
    kind = frame["kind"].cat.remove_unused_categories()
    table = pa.Table.from_pandas(change(frame.assign(kind=kind)), preserve_index=False)
    pq.write_table(table, folder / name, **options)


@pytest.fixture
def folder(tmp_path):
    for k in range(4):
        write(tmp_path, f"part{k}.parquet", slice(100 * k, 100 * k + 100), row_group_size=60)
    write(tmp_path, "part4.parquet", slice(0))  # an empty one
    return tmp_path


def test_a_folder_is_read_by_row_groups(folder):
    rows = ParquetRows(folder, labels=NAMES, weight="weight")
    names = rows.shards()
    assert len(names) >= 8 and "part0.parquet, row group 1" in names[1]
    assert rows.features == [*"abcd", "kind"]
    parts = [block for shard in range(len(names)) for block in rows.read(shard)]
    frame = pd.concat([part[0] for part in parts], ignore_index=True)
    np.testing.assert_array_equal(frame[list("abcd")], TABLE[list("abcd")])
    np.testing.assert_array_equal(np.concatenate([part[2] for part in parts]), WEIGHT)
    fitted = net().fit(rows)
    assert fitted.feature_names_in_.tolist() == [*"abcd", "kind"]
    assert fitted.label_names_.tolist() == NAMES
    assert fitted.categories_[0].tolist() == ["k0", "k1", "k2", "k3"]
    # Those of training rows: held-out ones do not count.
    assert 0 < fitted.loss_.positive_count_[2] <= LABELS["blue"].sum() * 2
    assert fitted.predict_frame(TABLE).shape == (400, 6)


def test_parquet_equals_the_arrays_that_it_holds(folder):
    params = {"precision": "float64", "early_stopping": False, "batch_size": 400, "dropout": 0}
    params |= {"mixup": 0, "decoder": "threshold", "streaming": Streaming()}
    params["input_dropout"] = 0
    fitted = net(**params).fit(ParquetRows(folder, NAMES, weight="weight"))
    expected = net(**params).set_params(streaming=None).fit(TABLE, LABELS, WEIGHT)
    np.testing.assert_allclose(
        fitted.predict_proba(TABLE), expected.predict_proba(TABLE), atol=1e-9
    )


def test_columns_are_checked_before_anything_is_read(folder):
    with pytest.raises(ValueError, match="part0.parquet has no column 'rod'; did you mean 'red'"):
        ParquetRows(folder, ["rod"])
    with pytest.raises(ValueError, match=r"labels must be a list.*give \['red'\]"):
        ParquetRows(folder, "red")
    with pytest.raises(ValueError, match=r"got None: give \[\] for files without labels"):
        ParquetRows(folder, None)
    with pytest.raises(ValueError, match=r"must be different columns, got \['red'\]"):
        ParquetRows(folder, NAMES, features=["a", "red"])
    write(folder, "part5.parquet", slice(9), lambda frame: frame.drop(columns="green"))
    with pytest.raises(ValueError, match="part5.parquet has no column 'green'"):
        ParquetRows(folder, NAMES)
    write(folder, "part5.parquet", slice(9), lambda frame: frame.assign(a="text"))
    with pytest.raises(ValueError, match="column 'a' holds strings in .*part5.* and numbers in"):
        ParquetRows(folder, NAMES)
    assert ParquetRows(folder, NAMES, features=["b"]).features == ["b"]


def test_numbers_of_other_types_are_read_and_bad_ones_named(folder):
    write(folder, "part5.parquet", slice(50), lambda f: f.assign(a=f["a"].astype("float32"), b=7))
    fitted = net().fit(ParquetRows(folder, NAMES))
    assert fitted.net_.n_rows_[0] + fitted.net_.n_rows_[1] == 450
    bad = np.where(np.arange(50) == 7, np.inf, 0)
    write(folder, "part6.parquet", slice(50), lambda frame: frame.assign(c=bad))
    with pytest.raises(ValueError, match="part6.parquet, row group 0, row 7, X column 'c'"):
        net().fit(ParquetRows(folder, NAMES))


@pytest.mark.parametrize("name", ["a.parquet", "part5.parquet"])  # before and after the others
def test_a_column_may_lack_a_type_in_files_that_miss_all_its_values(folder, name):
    nothing = {"kind": None, "b": None, "red": None}
    write(folder, name, slice(50), lambda frame: frame.assign(**nothing))
    write(folder, "part6.parquet", slice(50), lambda f: f.assign(kind=f["kind"].astype(str)))
    rows = ParquetRows(folder, NAMES)
    fitted = net(max_epochs=1).fit(rows)
    assert fitted.categories_[0].tolist() == ["k0", "k1", "k2", "k3"]
    sampled, labels, _ = rows.sample(500)
    for column in (sampled["kind"], sampled["b"], labels["red"]):
        assert column.isna().sum() == 50


def test_the_index_of_a_dataframe_is_no_feature(tmp_path):
    frame = pd.concat([TABLE[list("abcd")], LABELS], axis=1)
    shuffled = frame.sample(frac=1, random_state=0)
    shuffled.to_parquet(tmp_path / "a.parquet")
    shuffled.rename_axis("key").to_parquet(tmp_path / "b.parquet")
    for name, index in (("a", "__index_level_0__"), ("b", "key")):
        rows = ParquetRows(tmp_path / f"{name}.parquet", NAMES)
        assert rows.features == list("abcd")
        assert net().fit(rows).feature_names_in_.tolist() == list("abcd")
        named = ParquetRows(tmp_path / f"{name}.parquet", NAMES, features=["a", index])
        assert next(named.read(0))[0].columns.tolist() == ["a", index]


def test_files_and_folders_may_be_listed(folder):
    paths = [folder / "part0.parquet", str(folder)]
    assert len(ParquetRows(paths, NAMES).shards()) == 2 + len(ParquetRows(folder, NAMES).shards())
    for params, message in (
        ({"features": "a"}, r"features must be a list.*give \['a'\]"),
        ({"features": []}, r"features must name at least one column, got \[\]"),
        ({"weight": ["weight"]}, "weight must be None or the name of a column"),
    ):
        with pytest.raises(ValueError, match=message):
            ParquetRows(folder, NAMES, **params)


def test_a_damaged_row_group_is_named(folder):
    file = folder / "part2.parquet"
    content = bytearray(file.read_bytes())
    content[100:1500] = b"\xff" * 1400
    file.write_bytes(content)
    with pytest.raises(OSError) as raised:
        net().fit(ParquetRows(folder, NAMES))
    assert "part2.parquet, row group 0" in raised.value.__notes__[0]


def test_predictions_and_scores_of_files_equal_those_in_memory(folder):
    rows = ParquetRows(folder, NAMES, features=[*"abcd", "kind"])
    fitted = net(decoder="global_threshold", max_epochs=1).fit(rows)
    np.testing.assert_array_equal(fitted.predict_proba(rows), fitted.predict_proba(TABLE))
    pd.testing.assert_frame_equal(fitted.predict_frame(rows), fitted.predict_frame(TABLE))
    assert fitted.score(rows) == fitted.score(TABLE, LABELS)
    unlabelled = ParquetRows(folder, [], features=rows.features)
    np.testing.assert_array_equal(fitted.predict(unlabelled), fitted.predict(TABLE))
    sampled, labels, _ = rows.sample(1000)
    pd.testing.assert_frame_equal(sampled, TABLE)
    assert labels.equals(LABELS)


def test_files_are_known_by_their_footers(folder, tmp_path_factory):
    known = ParquetRows(folder, NAMES).fingerprint()
    copied = shutil.copytree(folder, tmp_path_factory.mktemp("other") / "copy")
    (copied / "part3.parquet").touch()
    assert ParquetRows(copied, NAMES).fingerprint() == known
    assert ParquetRows(folder, NAMES[::-1]).fingerprint() != known
    # One value of the last file.
    largest = TABLE["a"].max() + 1
    options = {"row_group_size": 60}
    write(copied, "part3.parquet", slice(300, 400), **options)
    assert ParquetRows(copied, NAMES).fingerprint() == known
    write(copied, "part3.parquet", slice(300, 400), lambda f: changed(f, largest), **options)
    assert ParquetRows(copied, NAMES).fingerprint() != known


def changed(frame, value):
    frame.iloc[70, 0] = value
    return frame


def test_a_checkpoint_notices_a_changed_file_but_not_a_moved_one(
    folder, monkeypatch, tmp_path_factory
):
    other = tmp_path_factory.mktemp("other")
    state = other / "state"
    model = net(streaming=Streaming(buffer_rows=90, sample_rows=200, checkpoint=str(state)))
    with monkeypatch.context() as patch:
        patch.setattr(MultiLabelNetClassifier, "_try_decoder", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.fit(ParquetRows(folder, NAMES))
    assert (state / "start.pt").exists()
    moved = folder.rename(other / "moved")
    shutil.copytree(moved, folder)
    write(folder, "part3.parquet", slice(300, 400), lambda frame: changed(frame, 99.0))
    with pytest.raises(ValueError, match="holds the state of another fit.*or rows"):
        model.fit(ParquetRows(folder, NAMES))
    model.fit(ParquetRows(moved, NAMES))
    assert not state.exists()


def test_collections_of_dask_are_read_by_partition():
    da, dd = pytest.importorskip("dask.array"), pytest.importorskip("dask.dataframe")
    params = {"precision": "float64", "early_stopping": False, "batch_size": 400, "dropout": 0}
    params |= {"mixup": 0, "input_dropout": 0, "decoder": "threshold", "streaming": None}
    arrays = da.from_array(X, chunks=(150, 2)), da.from_array(Y, chunks=(90, 3))
    expected = net(**params).fit(X, Y).predict_proba(X)
    fitted = net(**params).fit(*arrays)
    np.testing.assert_allclose(fitted.predict_proba(arrays[0]).compute(), expected, atol=1e-9)
    frames = (dd.from_pandas(frame, npartitions=3) for frame in (TABLE, LABELS))
    fitted = net().fit(*frames)
    assert fitted.label_names_.tolist() == NAMES
    assert fitted.predict_frame(dd.from_pandas(TABLE, npartitions=2)).compute().shape == (400, 6)
    with pytest.raises(ValueError, match="must all be collections of dask, got y of type ndarray"):
        net().fit(arrays[0], Y)
    with pytest.raises(ValueError, match="as many rows, got {'X': 400, 'y': 399}"):
        net().fit(arrays[0], arrays[1][:399])
    with pytest.raises(ValueError, match="the target y is None"):
        net().fit(arrays[0])
    with pytest.raises(ValueError, match=r"many partitions, got \[2, 3\]: select them"):
        net().fit(dd.from_pandas(TABLE, npartitions=3), dd.from_pandas(LABELS, npartitions=2))
    X_, Y_, weight = (
        dd.from_pandas(frame, npartitions=3) for frame in (TABLE, LABELS, pd.Series(WEIGHT))
    )
    weighted = net().fit(X_, Y_, sample_weight=weight)
    assert weighted.loss_.label_count_[0] != fitted.loss_.label_count_[0]
    unequal = dd.from_pandas(TABLE.iloc[:399], npartitions=3)
    with pytest.raises(ValueError, match="must have as many rows, got"):
        net().fit(unequal, dd.from_pandas(LABELS, npartitions=3))


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of dask, with pandas 3.1
@pytest.mark.parametrize("filtered", [False, True])
def test_partitions_of_parquet_that_dask_reads_together_are_matched(folder, filtered):
    dd = pytest.importorskip("dask.dataframe")
    rows = dd.read_parquet(folder)
    rows = rows[rows["a"] > 2] if filtered else rows
    X_, Y_, weight = rows[list("abcd")], rows[NAMES], rows["weight"]
    # Few columns of small files, as many as dask likes.
    assert X_.map_partitions(len).optimize().npartitions < X_.npartitions
    fitted = net(max_epochs=1).fit(X_, Y_, sample_weight=weight)
    memory = X_.compute(), Y_.compute(), weight.compute()
    assert fitted.score(X_, Y_, weight) == pytest.approx(fitted.score(*memory))
    proba, frame = fitted.predict_proba(X_), fitted.predict_frame(X_)
    assert proba.numblocks[0] == frame.npartitions == rows.npartitions
    np.testing.assert_array_equal(proba.compute(), fitted.predict_proba(memory[0]))
    pd.testing.assert_frame_equal(frame.compute(), fitted.predict_frame(memory[0]))
