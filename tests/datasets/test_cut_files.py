"""A file that is cut or damaged anywhere loads what is left, or raises one error that names it."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklearn_mlloss.datasets import load_arff, load_svmlight

pytest.importorskip("arff")

DENSE = b"""% Comment
@relation 'Music: -C 2'
@attribute 'a \\'b' {0,1}
@attribute c {0, 1}
@attribute d numeric
@attribute e {x, 'y z',w}
@attribute f string
@data
1,0,2.5,x,'some, \\'text\\''
% comment
0,?,-1e3,'y z',?
"""
SPARSE = b"""@relation x
@attribute c {0,1}
@attribute d numeric
@attribute e {1,0}
@attribute y {0,1}
@data
{0 1, 1 2.5,3 1}
{}
{1 ?, 2 0}
"""
XML = b"""<?xml version="1.0" encoding="utf-8"?>
<labels xmlns="http://mulan.sourceforge.net/labels">
<label name="y"><label name="e"></label></label>
</labels>
"""
SVMLIGHT = b"# x\n3,7 1:0.5 4:2\n 2:1\n7 qid:3 3:-1.5\n"
EXTREME = b"3 5 9\n3,7 1:0.5 4:2\n 2:1\n\n"

FILES = {
    "dense.arff": (DENSE, load_arff),
    "sparse.arff": (SPARSE, lambda path: load_arff(path, labels=["y", "e"])),
    "whole.xml": (XML, lambda path: load_arff(path.with_name("sparse.arff"), labels=path)),
    "plain.svm": (SVMLIGHT, load_svmlight),
    "extreme.txt": (EXTREME, load_svmlight),
}


def loads_or_names_the_file(path, data, load):
    path.write_bytes(data)
    try:
        loaded = load(path)
    except ValueError as error:
        message = str(error)
        assert path.name in message and ("line" in message or "labels" in message)
        assert len(message) < 600
    else:
        assert len(loaded.target_names) == loaded.target.shape[1] > 0
        assert loaded.data.shape[0] == loaded.target.shape[0] > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, (data, _) in FILES.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_files_cut_at_any_byte(folder, name):
    data, load = FILES[name]
    assert load(folder / name).target.shape[0] == (2 if name == "dense.arff" else 3)
    for end in range(len(data)):
        loads_or_names_the_file(folder / f"cut_{name}", data[:end], load)


# Bytes that mean something in one of the formats, and others.
PIECES = st.sampled_from(
    [c.encode() for c in string.printable]
    + [b"\xff", b"\x00", b"\xef\xbb\xbf", b"99999999999999999999", b"1e999", b"nan", b"\\", b"&x;"]
)


@pytest.mark.parametrize("name", FILES)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), PIECES), min_size=1, max_size=3)
)
def test_files_damaged_anywhere(folder, name, changes):
    data, load = FILES[name]
    for where, length, piece in changes:
        start = int(where * len(data))
        data = data[:start] + piece + data[start + length :]
    loads_or_names_the_file(folder / f"damaged_{name}", data, load)
