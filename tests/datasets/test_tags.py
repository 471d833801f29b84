import numpy as np
import pandas as pd
import pytest

from sklearn_mlloss.datasets import split_tags

FRAME = pd.DataFrame(
    [[1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 1]], columns=["action", "comedy", "drama"]
)


@pytest.mark.parametrize(
    "series, sep",
    [
        (["drama|action", "drama", "", None, "comedy|drama"], "|"),
        (["drama | action|drama", " drama ", "|", np.nan, "comedy||drama|"], "|"),
        (["drama, action", "drama", " ", pd.NA, "comedy,drama"], ","),
        (["drama::action", "drama", "", None, "comedy::drama"], "::"),
        ([["drama", "action"], ("drama",), [], None, {"comedy", "drama"}], "|"),
        ([np.array(["drama", "action"]), ["drama", None], set(), np.nan,
          frozenset(["comedy", "drama "])], "|"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [list, pd.Series, tuple])
def test_tags_become_columns(series, sep, form):
    pd.testing.assert_frame_equal(split_tags(form(series), sep), FRAME)


@pytest.mark.parametrize("dtype", ["str", "string", "category", object])
def test_types_of_series(dtype):
    series = pd.Series(["drama|action", "drama", "", None, "comedy|drama"], list("vwxyz"))
    found = split_tags(series.astype(dtype))
    pd.testing.assert_frame_equal(found, FRAME.set_axis(list("vwxyz")))
    # With pyarrow, pandas has a column for the empty text.
    dummies = series.astype(object).str.get_dummies()
    pd.testing.assert_frame_equal(found, dummies, check_dtype=False)


def test_test_rows_get_the_columns_of_the_training_rows():
    found = split_tags(["drama", None], tags=FRAME.columns)
    assert found.columns.tolist() == ["action", "comedy", "drama"]
    assert found.to_numpy().tolist() == [[0, 0, 1], [0, 0, 0]]
    assert split_tags(["a"], tags=["b", "a"]).to_numpy().tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="row 1 of series has the tag 'dramma', .*did you mean"):
        split_tags(["drama", "action|dramma"], tags=list(FRAME.columns))


def test_sparse_columns():
    found = split_tags(pd.Series(["b|a", None], index=[5, 7]), sparse_output=True)
    assert all(isinstance(dtype, pd.SparseDtype) for dtype in found.dtypes)
    assert found.index.tolist() == [5, 7] and found.columns.tolist() == ["a", "b"]
    assert found.sparse.to_coo().toarray().tolist() == [[1, 1], [0, 0]]


def test_lists_that_a_csv_file_holds_as_text():
    with pytest.raises(ValueError, match=r"row 1 of series is a list as text, .*literal_eval"):
        split_tags(["a", "['a', 'b']"])


def test_another_separator_warns():
    with pytest.warns(
        UserWarning, match="sep='|' occurs in no row, and 2 rows contain ','.*sep=','"
    ):
        found = split_tags(["a,b", "b,c", "a;c", "a"])
    assert found.shape[1] == 4
    split_tags(["a,b", "b|c"])


@pytest.mark.parametrize(
    "series, params, error, message",
    [
        (["a", 3], {}, TypeError, "text, .*, got 3 of type int in row 1"),
        ([["a", 3]], {}, TypeError, "got 3 of type int in row 0"),
        ([["a", ["b"]]], {}, TypeError, "row 0"),
        ("a|b", {}, TypeError, "series must be a column of tags, got 'a|b'"),
        (None, {}, TypeError, "series must be a column of tags, got None"),
        (
            pd.DataFrame({"tags": ["a"]}),
            {},
            TypeError,
            r"one column, got shape \(1, 1\).*df\['tags",
        ),
        ([None, ""], {}, ValueError, "series has no tags"),
        ([], {}, ValueError, "series has no tags"),
        (["a"], {"sep": ""}, ValueError, "sep must be a text that is not empty, got ''"),
        (["a"], {"sep": None}, TypeError, "sep must be a text"),
        (["a"], {"tags": []}, ValueError, "tags must be a list of names"),
        (["a"], {"tags": "a"}, TypeError, "tags must be a list of names, got 'a'"),
        (["a"], {"tags": ["a", "a"]}, ValueError, "tags has 'a' twice"),
        (["a"], {"sparse_output": 1}, TypeError, "sparse_output must be True or False"),
    ],
)
def test_input_that_does_not_fit(series, params, error, message):
    with pytest.raises(error, match=message):
        split_tags(series, **params)


def test_names_are_plain_text():
    column = np.array(["a|b", "b"])
    for frame in (
        split_tags(column),
        split_tags(column, tags=np.array(["b", "a"])),
        split_tags([np.array(["a", "b"])]),
        split_tags(column, tags=np.array(["b", "a"]), sparse_output=True),
    ):
        assert {type(name) for name in frame.columns.astype(object)} == {str}
