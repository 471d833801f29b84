import gzip

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_mlloss.datasets import load_svmlight

PLAIN = "# made for tests\n3,7 1:0.5 4:2  # a comment\n 2:1\n\n7 3:-1.5\n3,3 qid:5 1:1\n7\n"
WITH_HEADER = "4 5 3\n0,2 0:0.5 4:2\n 1:1\n\n2 3:1\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="train.txt"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_several_labels_per_row(write):
    loaded = load_svmlight(write(PLAIN))
    assert sp.isspmatrix_csr(loaded.data) and loaded.data.dtype == np.float64
    np.testing.assert_array_equal(
        loaded.data.toarray(),
        [[0.5, 0, 0, 2], [0, 1, 0, 0], [0, 0, -1.5, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
    )
    np.testing.assert_array_equal(loaded.target, [[1, 1], [0, 0], [0, 1], [1, 0], [0, 1]])
    assert loaded.target.dtype == np.int64
    assert loaded.target_names == [3, 7]
    X, Y = load_svmlight(write(PLAIN), return_X_y=True)
    assert (X != loaded.data).nnz == 0
    np.testing.assert_array_equal(Y, loaded.target)


def test_files_with_a_header(write):
    loaded = load_svmlight(write(WITH_HEADER))
    # An empty line is a row without labels and features.
    np.testing.assert_array_equal(
        loaded.data.toarray(),
        [[0.5, 0, 0, 0, 2], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]],
    )
    np.testing.assert_array_equal(loaded.target, [[1, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1]])
    assert loaded.target_names == [0, 1, 2]
    assert loaded.data.nnz == 4
    windows = load_svmlight(write(WITH_HEADER.replace("\n", "\r\n") + "\n\n"))
    assert (windows.data != loaded.data).nnz == 0


@pytest.mark.parametrize(
    "text, zero_based, columns",
    [
        (PLAIN, "auto", [0, 3]),
        (PLAIN, True, [1, 4]),
        (PLAIN, False, [0, 3]),
        (PLAIN.replace("1:0.5", "0:0.5"), "auto", [0, 4]),
        ("1 9 3\n0,2 1:0.5 4:2\n", "auto", [1, 4]),
        ("1 4 3\n0,2 1:0.5 4:2\n", "auto", [0, 3]),
        ("1 9 3\n0,2 1:0.5 4:2\n", False, [0, 3]),
        ("2 4 3\n0,2 1:0.5 4:2\n\n", False, [0, 3]),
    ],
)
def test_where_features_are_counted_from(write, text, zero_based, columns):
    X = load_svmlight(write(text), zero_based=zero_based).data
    assert np.flatnonzero(X.toarray()[0]).tolist() == columns


def test_test_files_get_the_columns_of_the_training_file(write):
    train = load_svmlight(write(PLAIN))
    path = write("7 2:1\n", "test.txt")
    params = {"n_features": train.data.shape[1], "labels": train.target_names}
    test = load_svmlight(path, zero_based=False, **params)
    assert test.data.shape == (1, 4) and test.data[0, 1] == 1
    np.testing.assert_array_equal(test.target, [[0, 1]])
    swapped = load_svmlight(path, labels=[7, 3])
    np.testing.assert_array_equal(swapped.target, [[1, 0]])
    assert swapped.target_names == [7, 3]
    with pytest.raises(ValueError, match="test.txt, line 1: the label 7 is not among labels="):
        load_svmlight(path, labels=[3, 8])
    with pytest.raises(ValueError, match="test.txt, line 1: a feature is beyond the last of 1"):
        load_svmlight(path, n_features=1, zero_based=False)


@pytest.mark.parametrize("first", [0, 1])
def test_a_test_file_without_the_first_feature_is_not_shifted(write, first):
    train = load_svmlight(write(f"3 {first}:1 {first + 3}:2\n7 {first + 1}:1\n"))
    assert train.zero_based == (first == 0)
    path = write(f"7 {first + 2}:1\n", "test.txt")
    params = {"n_features": train.data.shape[1], "labels": train.target_names}
    test = load_svmlight(path, zero_based=train.zero_based, **params)
    assert test.data.toarray().tolist() == [[0, 0, 1, 0]]
    assert test.zero_based == train.zero_based
    with pytest.raises(ValueError, match="no row has the feature 0 or 4: give zero_based=train"):
        load_svmlight(path, **params)


def test_files_that_show_where_features_are_counted_from(write):
    for text, columns in (("3 0:1 2:1\n", [0, 2]), ("3 2:1 4:1\n", [1, 3]), ("3\n", [])):
        X = load_svmlight(write(text), n_features=4).data
        assert X.shape == (1, 4) and X.indices.tolist() == columns


def test_many_labels_are_sparse(write):
    path = write("1 2 1001\n5,1000 1:1\n")
    loaded = load_svmlight(path)
    assert sp.issparse(loaded.target) and loaded.target.shape == (1, 1001)
    assert loaded.target.nonzero()[1].tolist() == [5, 1000]
    assert loaded.target.dtype == np.int64
    assert isinstance(load_svmlight(path, sparse_output=False).target, np.ndarray)
    few = write(WITH_HEADER)
    assert sp.issparse(load_svmlight(few, sparse_output=True).target)


def test_labels_that_are_no_integers(write):
    assert load_svmlight(write("0.5,2 1:1\n-1 2:1\n")).target_names == [-1.0, 0.5, 2.0]


def test_compressed(write, tmp_path):
    packed = gzip.compress(PLAIN.encode())
    (tmp_path / "train.txt.gz").write_bytes(packed)
    loaded = load_svmlight(tmp_path / "train.txt.gz")
    assert (loaded.data != load_svmlight(write(PLAIN)).data).nnz == 0
    # The first line can still be read, so that scikit-learn's parser meets the end.
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(5000 * PLAIN.encode())[:-9])
    with pytest.raises(ValueError, match=r"train.txt.gz, line \d{4,}: the compressed file is cut"):
        load_svmlight(tmp_path / "train.txt.gz")


@pytest.mark.parametrize(
    "text, message",
    [
        (PLAIN.replace("2:1\n", "2;1\n"), "line 3: expected label,label feature:value"),
        (PLAIN.replace("7 3", "x 3"), "line 5: expected label.*float"),
        (PLAIN.replace("3,7 ", "3, 7 "), "line 2: expected label"),
        (PLAIN.replace("4:2", "4:two"), "line 2: expected label.*float"),
        (PLAIN.replace("4:2", "1:2"), "line 2: .*sorted and unique"),
        (PLAIN.replace("1:0.5", "-1:0.5"), "line 2: .*Invalid index -1"),
        (PLAIN.replace("1:0.5", "9999999999:1"), "line 2: expected label"),
        (PLAIN.replace("7 3:", "nan 3:"), "line 5: the label nan is not a finite number"),
        (PLAIN + "7 3", "line 8: .*It is the last line: the file may be cut"),
        ("", "line 0: the file has no rows"),
        ("# nothing\n\n", "line 2: the file has no rows"),
        (" 1:2\n", "line 1: no row of the file has a label"),
        ("1 2 0\n1:2\n", "line 2: a feature|line 2: no row of the file has a label"),
        (WITH_HEADER.replace("4 5 3", "5 5 3"), "line 5: the header counts 5 rows, got 4: .*cut"),
        (WITH_HEADER.replace("4 5 3", "3 5 3"), "line 5: the header counts 3 rows, got 4$"),
        (WITH_HEADER.replace("4 5 3", "4 4 3"), "line 2: a feature is beyond the last of 4"),
        (WITH_HEADER.replace("4 5 3", "4 5 2"), "line 2: the label 2 is not among the labels 0 to "
         "1 of the header"),
        (WITH_HEADER.replace("2 3:1", "1.5 3:1"), "line 5: the label 1.5 is not among"),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_line(write, text, message):
    with pytest.raises(ValueError, match=f"train.txt, {message}"):
        load_svmlight(write(text))


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n_features": 0}, "n_features must be None or an integer >= 1, got 0"),
        ({"n_features": 6}, "n_features=6, but the header of .*train.txt has 5"),
        ({"zero_based": "no"}, "zero_based must be 'auto', True or False"),
        ({"sparse_output": None}, "sparse_output must be 'auto', True or False"),
        ({"return_X_y": "yes"}, "return_X_y must be True or False"),
        ({"labels": []}, "labels must be a list of the numbers of labels"),
        ({"labels": "012"}, "labels must be a list of the numbers of labels"),
        ({"labels": ["a"]}, "labels must be a list of the numbers of labels"),
        ({"labels": [0, 2, 0]}, "labels has a number twice"),
    ],
)
def test_parameters_that_do_not_fit(write, params, message):
    with pytest.raises(ValueError, match=message):
        load_svmlight(write(WITH_HEADER), **params)


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_svmlight(tmp_path / "nothing.txt")
    with pytest.raises(TypeError, match="path must be the path of a file"):
        load_svmlight(None)
