"""Small files in the forms of those of Mulan and MEKA."""

import bz2
import gzip
import lzma
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from sklearn_mlloss.datasets import load_arff
from sklearn_mlloss.decoders import HierarchyClosure

pytest.importorskip("arff")

# The labels are not the last attributes, and their order in the XML file is another one.
MULAN = """% Music.
% Made for tests.
@relation music

@attribute tempo numeric
@attribute happy {0,1}
@attribute 'main genre' {rock, 'hip hop', jazz}
@attribute sad {0,1}
@attribute loud {0,1}

@data
120.5,1,rock,0,1
% a comment
?,0,'hip hop',1,0

90,1,?,1,?
"""
XML = """<?xml version="1.0" encoding="utf-8"?>
<labels xmlns="http://mulan.sourceforge.net/labels">
<label name="sad"></label>
<label name="happy"></label>
</labels>
"""
MEKA = "@relation 'Music: -C COUNT'\n" + "".join(
    f"@attribute {name} {kind}\n"
    for name, kind in [("a", "{0,1}"), ("b", "{0,1}"), ("c", "real"), ("d", "{0,1}")]
)
SPARSE = """@relation words
@attribute sun {0,1}
@attribute count numeric
@attribute class1 {0,1}
@attribute class2 {0,1}
@attribute class3 {1,0}
@data
{0 1, 1 2.5, 2 1, 4 0}
{}
{1 ?,3 1}
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="music.arff", encoding="utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write


@pytest.fixture
def music(write):
    write(XML, "music.xml")
    return write(MULAN)


def test_data_set_of_mulan(music):
    loaded = load_arff(music)
    assert loaded.feature_names == ["tempo", "main genre", "loud"]
    assert loaded.target_names == ["happy", "sad"]
    data = pd.DataFrame(
        {
            "tempo": [120.5, np.nan, 90],
            "main genre": pd.Categorical(
                ["rock", "hip hop", None], categories=["rock", "hip hop", "jazz"]
            ),
            "loud": [1, 0, np.nan],
        }
    )
    target = pd.DataFrame({"happy": [1, 0, 1], "sad": [0, 1, 1]})
    pd.testing.assert_frame_equal(loaded.data, data)
    pd.testing.assert_frame_equal(loaded.target, target)
    pd.testing.assert_frame_equal(loaded.frame, pd.concat([data, target], axis=1))
    assert loaded.parents is None
    assert loaded.DESCR == "music\n\nMusic.\nMade for tests.\n\nLabels by music.xml."
    X, Y = load_arff(music, return_X_y=True)
    pd.testing.assert_frame_equal(X, data)
    pd.testing.assert_frame_equal(Y, target)


@pytest.mark.parametrize(
    "name", ["music-train.arff", "musicTest.arff", "music-test-sparse.arff", "music_train-3.arff"]
)
def test_parts_of_a_data_set_share_the_xml_file(music, write, name):
    assert load_arff(write(MULAN, name)).target_names == ["happy", "sad"]


def test_labels_by_path_by_name_and_by_count(music, tmp_path):
    path = music.rename(tmp_path / "other.arff")
    by_path = load_arff(path, labels=tmp_path / "music.xml")
    assert by_path.target_names == ["happy", "sad"]
    by_name = load_arff(path, labels=["sad", "happy"])
    pd.testing.assert_frame_equal(by_name.target, by_path.target[["sad", "happy"]])
    pd.testing.assert_frame_equal(by_name.data, by_path.data)
    assert load_arff(path, labels=-1).target_names == ["loud"]
    with pytest.raises(ValueError, match=r"labels=None: .*other.arff has no XML .*Give labels="):
        load_arff(path)


@pytest.mark.parametrize("count, names", [(2, ["a", "b"]), (-1, ["d"]), (1, ["a"])])
def test_count_in_the_relation_of_meka(write, count, names):
    path = write(MEKA.replace("COUNT", f"{count} -split-number 1") + "@data\n1,0,2,1\n0,1,3,0\n")
    loaded = load_arff(path)
    assert loaded.target_names == names
    assert loaded.feature_names == [name for name in "abcd" if name not in names]
    pd.testing.assert_frame_equal(load_arff(path, labels=count).frame, loaded.frame)
    assert f"Labels by -C {count}." in loaded.DESCR


@pytest.mark.parametrize(
    "relation",
    [
        # As in Mulan's medical, whose labels are the last attributes.
        "@relation 'MEDC: -C 2 -I 0-weka.filters.unsupervised.attribute.Remove-R1-2'",
        "@relation 'a: -C 2_b: -C 3'",
    ],
)
def test_counts_that_filters_may_have_made_wrong_are_not_used(write, relation):
    path = write(MEKA.replace("@relation 'Music: -C COUNT'", relation) + "@data\n1,0,2,1\n")
    with pytest.raises(ValueError, match="the count in its relation precedes filters"):
        load_arff(path)
    write(XML.replace("sad", "d").replace("happy", "b"), "music.xml")
    assert load_arff(path).target_names == ["b", "d"]


def test_count_in_the_relation_survives_filters_of_rows(write):
    text = MEKA.replace("COUNT", "1-weka.filters.unsupervised.instance.Randomize-S73")
    assert load_arff(write(f"{text}@data\n1,0,2,1\n")).target_names == ["a"]


@pytest.mark.parametrize(
    "labels, message",
    [
        (0, "count of labels must be from 1 to 4.*5 attributes; got 0"),
        (5, "count of labels must be from 1 to 4"),
        (-5, "count of labels must be from 1 to 4"),
        (["happy", "sda"], "no attribute 'sda'; did you mean 'sad'"),
        (["happy", "happy"], "names 'happy' twice"),
        (["tempo", "happy", "main genre", "sad", "loud"], "all 5 attributes"),
        ([], "labels must be the path of an XML file, a count, or a list"),
        ([1, 2], "labels must be the path"),
        (True, "labels must be the path"),
        (1.5, "labels must be the path"),
        ("happy", "labels='happy' is the path of a file: give a list"),
        (["tempo"], "line 12, column 'tempo': the values 120.5, 90 of the label are not 0 and 1"),
        (["main genre"], "line 12, column 'main genre': the values hip hop, rock of the label"),
    ],
)
def test_labels_that_do_not_fit(music, labels, message):
    with pytest.raises(ValueError, match=message):
        load_arff(music, labels=labels)


def test_other_parameters_that_do_not_fit(music, tmp_path):
    for params, message in [
        ({"as_frame": "yes"}, "as_frame must be 'auto', True or False, got 'yes'"),
        ({"return_X_y": 1}, "return_X_y must be True or False"),
        ({"encoding": "utf-99"}, "encoding must be an encoding that Python knows, got 'utf-99'"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_arff(music, **params)
    for encoding in (None, "base64", "a\0b"):
        with pytest.raises(ValueError, match="encoding must be an encoding that Python knows"):
            load_arff(music, encoding=encoding)
    with pytest.raises(TypeError, match="path must be the path of a file, got 3"):
        load_arff(3)
    with pytest.raises(FileNotFoundError):
        load_arff(tmp_path / "nothing.arff")
    with pytest.raises(FileNotFoundError):
        load_arff(music, labels="nothing.xml")


def test_arrays(write):
    text = MULAN.replace("{rock, 'hip hop', jazz}", "{1,3,2}").replace("'hip hop'", "3")
    loaded = load_arff(write(text.replace("rock", "1")), labels=["happy", "sad"], as_frame=False)
    assert loaded.data.dtype == np.float64 and loaded.frame is None
    expected = [[120.5, 1, 1], [np.nan, 3, 0], [90, np.nan, np.nan]]
    np.testing.assert_array_equal(loaded.data, expected)
    np.testing.assert_array_equal(loaded.target, [[1, 0], [0, 1], [1, 1]])
    assert loaded.target.dtype == np.int64


def test_categories_have_no_place_in_arrays(music):
    with pytest.raises(ValueError, match=r"line 7, column 'main genre': .*use as_frame=True"):
        load_arff(music, as_frame=False)


def test_text_has_no_place_in_arrays(write):
    path = write(MULAN.replace("{rock, 'hip hop', jazz}", "string"))
    assert load_arff(path, labels=["sad"]).data["main genre"][1] == "hip hop"
    with pytest.raises(ValueError, match=r"line 7, column 'main genre': text .*use as_frame=True"):
        load_arff(path, labels=["sad"], as_frame=False)


def test_long_values_are_not_shown_whole(write):
    values = ",".join(f"value{i}" for i in range(300))
    text = MULAN.replace("{rock, 'hip hop', jazz}", f"{{{values}}}")
    with pytest.raises(ValueError, match=r"value0, .* \.\.\. \(300 values\)") as caught:
        load_arff(write(text), labels=["sad"])
    assert len(str(caught.value)) < 500
    with pytest.raises(ValueError, match="line 12, column 'tempo': str of length 5000 is not a"):
        load_arff(write(MULAN.replace("120.5", "x" * 5000)), labels=["sad"])


def test_sparse_files_stay_sparse(write):
    path = write(SPARSE)
    loaded = load_arff(path, labels=-3)
    assert sp.isspmatrix_csr(loaded.data) and loaded.frame is None
    assert loaded.data.dtype == np.float64 and loaded.data.nnz == 3
    np.testing.assert_array_equal(loaded.data.toarray(), [[1, 2.5], [0, 0], [0, np.nan]])
    # What a row leaves out is the first declared value, which is 1 for class3.
    target = [[1, 0, 0], [0, 0, 1], [0, 1, 1]]
    pd.testing.assert_frame_equal(
        loaded.target, pd.DataFrame(target, columns=["class1", "class2", "class3"])
    )
    matrices = load_arff(path, labels=-3, as_frame=False)
    assert sp.isspmatrix_csr(matrices.target) and matrices.target.dtype == np.int64
    np.testing.assert_array_equal(matrices.target.toarray(), target)
    missing = load_arff(write(SPARSE.replace("3 1", "3 ?")), labels=-3, as_frame=False).target
    assert sp.isspmatrix_csr(missing)
    np.testing.assert_array_equal(missing.toarray(), [[1, 0, 0], [0, 0, 1], [0, np.nan, 1]])
    write(SPARSE)
    frames = load_arff(path, labels=-3, as_frame=True)
    np.testing.assert_array_equal(frames.data.to_numpy(), loaded.data.toarray())
    assert frames.frame.shape == (3, 5)


def test_features_of_a_sparse_file_that_are_not_zero_by_default(write):
    text = SPARSE.replace("sun {0,1}", "sun {yes,no}").replace("{0 1,", "{0 no,")
    loaded = load_arff(write(text), labels=-3)
    np.testing.assert_array_equal(loaded.data.toarray()[:, 0], [0, 1, 1])
    frames = load_arff(write(text), labels=-3, as_frame=True)
    assert frames.data["sun"].tolist() == ["no", "yes", "yes"]
    text = SPARSE.replace("sun {0,1}", "sun {red,blue}").replace("{0 1,", "{0 blue,")
    assert load_arff(write(text), labels=-3, as_frame=True).data["sun"].tolist()[:2] == [
        "blue",
        "red",
    ]
    with pytest.raises(ValueError, match="column 'sun': the values red, blue are no numbers"):
        load_arff(write(text), labels=-3)


def test_many_labels_of_a_sparse_file_are_sparse(write):
    labels = "".join(f"@attribute y{i} {{0,1}}\n" for i in range(1001))
    text = f"@relation 'x: -C 1001'\n{labels}@attribute x numeric\n@data\n{{5 1,1001 2}}\n"
    loaded = load_arff(write(text))
    assert sp.isspmatrix_csr(loaded.target) and loaded.target.shape == (1, 1001)
    assert loaded.target[0, 5] == 1 and loaded.target.nnz == 1
    few = load_arff(write(text), labels=["y5"])
    assert isinstance(few.target, pd.DataFrame)


@pytest.mark.parametrize(
    "declared, absent, present",
    [
        ("{0,1}", "0", "1"),
        ("{1,0}", "0", "1"),
        ("{FALSE,TRUE}", "FALSE", "TRUE"),
        ("{no,yes}", "no", "yes"),
        ("{-1,1}", "-1", "1"),
        ("{'0','1'}", "'0'", "0001".lstrip("0")),
        ("numeric", "0", "1.0"),
        ("integer", "0.0", "1"),
        ("real", "-1", "1"),
    ],
)
def test_values_of_labels(write, declared, absent, present):
    rows = f"1,{absent},0\n2,{present},1\n"
    head = f"@relation x\n@attribute x numeric\n@attribute y {declared}\n@attribute z {{0,1}}\n"
    loaded = load_arff(write(f"{head}@data\n{rows}"), labels=-2)
    assert loaded.target["y"].tolist() == [0, 1]
    assert (loaded.target.dtypes == np.int64).all()
    missing = load_arff(write(f"{head}@data\n{rows}3,?,1\n"), labels=-2)
    np.testing.assert_array_equal(missing.target, [[0, 0], [1, 1], [np.nan, 1]])
    assert (missing.target.dtypes == np.float64).all()


def test_hierarchies(write):
    xml = """<labels xmlns="http://mulan.sourceforge.net/labels">
    <label name="animal"><label name="dog"/><label name="cat"><label name="tom"/></label></label>
    <label name="plant"/></labels>"""
    names = ["tom", "animal", "dog", "plant", "cat"]
    head = "".join(f"@attribute {name} {{0,1}}\n" for name in names)
    path = write(f"@relation x\n{head}@attribute x numeric\n@data\n1,1,0,0,1,5\n")
    write(xml, "music.xml")
    loaded = load_arff(path)
    assert loaded.target_names == names
    assert loaded.parents.tolist() == [4, -1, 1, -1, 1]
    decoded = HierarchyClosure(parents=loaded.parents).decode([[0.9, 0.4, 0.1, 0.1, 0.6]])
    assert decoded.tolist() == [[True, True, False, False, True]]


@pytest.mark.parametrize(
    "text",
    [
        MULAN.replace("@", "@").upper().replace("HAPPY", "happy").replace("SAD", "sad"),
        MULAN.replace("\n", "\r\n"),
        "\ufeff" + MULAN,
        MULAN.replace("@attribute ", "@Attribute\t").replace("happy {", "happy\t{"),
        MULAN.replace("numeric\n", "numeric % beats\n").replace("{0,1}\n", "{ 0 , 1 } % x\n"),
        MULAN.replace("120.5,1,rock,0,1", " 120.5 , 1 ,\trock, 0 ,1  "),
        MULAN.rstrip("\n"),
        MULAN.replace("'", '"'),
    ],
    ids=["case", "Windows", "byte order mark", "tabs", "comments", "spaces", "no end", "quotes"],
)
def test_spellings(write, text):
    expected = load_arff(write(MULAN), labels=["happy", "sad"])
    found = load_arff(write(text), labels=["happy", "sad"])
    np.testing.assert_array_equal(found.target, expected.target)
    np.testing.assert_array_equal(found.data.iloc[:, 0], expected.data.iloc[:, 0])
    categories = found.data.iloc[:, 1].str.lower().fillna("none").tolist()
    assert categories == ["rock", "hip hop", "none"]


def test_text_quotes_and_escapes(write):
    text = (
        "@relation 'it\\'s'\n@attribute 'the \\'best\\'' string\n@attribute \"100%\" {'a\\'b',c}\n"
        "@attribute y {0,1}\n@data\n'so, \\'what\\'?','a\\'b',1\n\"?\",c,0\n?,c,0\n"
    )
    loaded = load_arff(write(text), labels=["y"])
    assert loaded.feature_names == ["the 'best'", "100%"]
    assert loaded.data.iloc[:2, 0].tolist() == ["so, 'what'?", "?"]
    assert loaded.data.iloc[:, 0].isna().tolist() == [False, False, True]
    assert loaded.data["100%"].tolist() == ["a'b", "c", "c"]
    assert loaded.DESCR.startswith("it's")


@pytest.mark.parametrize(
    "name, compress",
    [("music.arff.gz", gzip.compress), ("music.arff.bz2", bz2.compress),
     ("music.arff.xz", lzma.compress)],
)  # fmt: skip
def test_compressed_files(music, tmp_path, name, compress):
    packed = compress(MULAN.encode())
    (tmp_path / name).write_bytes(packed)
    pd.testing.assert_frame_equal(load_arff(tmp_path / name).frame, load_arff(music).frame)
    for cut in (packed[:-9], b"not compressed\n"):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(ValueError, match=f"{name}, line .*compressed file is cut or damaged"):
            load_arff(tmp_path / name)


def test_encodings(write):
    text = MULAN.replace("jazz", "fado português")
    text = text.replace("fado português", "'fado português'")
    path = write(text, encoding="latin-1")
    with pytest.raises(ValueError, match="music.arff, line 7: the text is not in encoding='utf-8'"):
        load_arff(path, labels=["happy"])
    loaded = load_arff(path, labels=["happy"], encoding="latin-1")
    assert loaded.data["main genre"].cat.categories[2] == "fado português"


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("@relation music", "tempo,happy", "line 3: expected @relation.*is this an ARFF file"),
        ("@data", "", "line 12: expected @relation, @attribute, @data or a comment"),
        ("tempo numeric", "tempo", "line 5: expected @attribute name type"),
        ("tempo numeric", "main tempo numeric", "line 5, column 'main': the type must be numeric"),
        ("tempo numeric", "tempo date", "line 5, column 'tempo': the type .* dates"),
        ("loud", "tempo", "line 9, column 'tempo': the attribute has the name of .* line 5"),
        ("{rock, 'hip hop', jazz}", "{rock, hip hop}", "line 7, column 'main genre': .* in quotes"),
        ("{rock, 'hip hop', jazz}", "{rock, 'hip hop'", "line 7, .*expected a list of values"),
        ("{rock, 'hip hop', jazz}", "{rock} x", "line 7, .*text after the list"),
        ("jazz", "rock", "line 7, column 'main genre': the value 'rock' is declared twice"),
        ("120.5", "fast", "line 12, column 'tempo': 'fast' is not a number"),
        ("'hip hop',1", "'hip hpo',1", "line 14, column 'main genre': 'hip hpo' is not one of "
         "the declared values rock, hip hop, jazz; did you mean 'hip hop'"),
        ("120.5,1", "120.5,2", "line 12, column 'happy': '2' is not one of the declared .* 0, 1"),
        ("120.5,1", "120.5", "line 12: the row has not 5 values, one per attribute$"),
        ("90,1,?,1,?", "90,1,?,1", "line 16: .*It is the last line: the file may be cut"),
        ("'hip hop',1", "hip hop,1", "line 14: the row cannot be split into values"),
        ("'hip hop',1", "'hip hop,1", "line 14: the row cannot be split into values"),
        ("?,0,'hip", "{0 1},'hip", "line 14: a sparse row in a file of dense rows"),
    ],
)  # fmt: skip
def test_mistakes_name_file_line_and_column(music, write, old, new, message):
    assert old in MULAN
    with pytest.raises(ValueError, match=f"music.arff, {message}"):
        load_arff(write(MULAN.replace(old, new, 1)))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("{}", "1,2,0,0,0", "line 9: a dense row in a file of sparse rows"),
        ("{}", "{7 1}", "line 9: the row has an attribute beyond the last, 4"),
        ("{}", "{1}", "line 9: the row cannot be split"),
        ("{1 ?,3 1}", "{1 ?,3 1", "line 10: the row cannot be split.*may be cut"),
        ("{}", "{1 x}", "line 9, column 'count': 'x' is not a number"),
        ("{}", "{0 2}", "line 9, column 'sun': '2' is not one of the declared values 0, 1"),
        ("count numeric", "count string", "line 3, column 'count': text in a sparse file"),
    ],
)
def test_mistakes_of_sparse_files(write, old, new, message):
    assert old in SPARSE
    with pytest.raises(ValueError, match=f"music.arff, {message}"):
        load_arff(write(SPARSE.replace(old, new)), labels=-3)


@pytest.mark.parametrize("text", ["", "@relation x\n", "@relation x\n@attribute a numeric\n@data"])
def test_files_without_rows(write, text):
    with pytest.raises(ValueError, match="music.arff, line [013]: .*cut"):
        load_arff(write(text))
    with pytest.raises(ValueError, match="line 1: @data before any @attribute"):
        load_arff(write("@data\n"))


def test_a_nominal_attribute_without_its_brace_is_refused_in_no_time(write):
    # liac-arff takes twice as long for each value more.
    values = ",".join(f"value{i}" for i in range(2000))
    with pytest.raises(ValueError, match="line 2, column 'a': expected a list .*be cut"):
        load_arff(write(f"@relation x\n@attribute a {{{values}"))


def test_numbers_close_to_0_and_1_are_no_labels(write):
    text = MULAN.replace("sad {0,1}", "sad real").replace("hop',1", "hop',0.9999999")
    with pytest.raises(ValueError, match="line 14, column 'sad': the values 0, 0.9999999, 1 of"):
        load_arff(write(text), labels=["happy", "sad"])


def test_several_classes_per_label_are_another_task(write):
    text = MEKA.replace("COUNT", "1").replace("a {0,1}", "a {0,1,2}") + "@data\n0,0,1,0\n2,0,1,0\n"
    with pytest.raises(ValueError, match="line 8, column 'a': the values 0, 2 .*multi-target"):
        load_arff(write(text))


def test_without_liac_arff(music, monkeypatch):
    monkeypatch.setitem(sys.modules, "arff", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn_mlloss\[arff\]"'):
        load_arff(music)
