"""XML files of labels, beside an ARFF file."""

import pytest

from sklearn_mlloss.datasets import load_arff

pytest.importorskip("arff")

ARFF = (
    "@relation x\n@attribute x numeric\n@attribute a&b {0,1}\n@attribute sad {0,1}\n@data\n1,1,0\n"
)
BILLION_LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE labels [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>
<labels><label name="&b;"/></labels>"""


def load(folder, xml, encoding="utf-8"):
    (folder / "music.arff").write_text(ARFF)
    (folder / "music.xml").write_bytes(xml if isinstance(xml, bytes) else xml.encode(encoding))
    return load_arff(folder / "music.arff")


@pytest.mark.parametrize(
    "xml",
    [
        '<labels><label name="sad"/><label name="a&amp;b"/></labels>',
        '\ufeff<labels><label name="sad"/><!-- x --><label name="a&amp;b"></label>\r\n</labels>',
        '<m:labels xmlns:m="http://mulan.sourceforge.net/labels"><m:label name="a&#38;b"/>'
        '<m:label name="sad"/></m:labels>',
    ],
)
def test_forms(tmp_path, xml):
    assert load(tmp_path, xml).target_names == ["a&b", "sad"]


def test_declared_encoding(tmp_path):
    xml = '<?xml version="1.0" encoding="utf-16"?><labels><label name="sad"/></labels>'
    assert load(tmp_path, xml, "utf-16").target_names == ["sad"]


@pytest.mark.parametrize(
    "xml, message",
    [
        (BILLION_LAUGHS, "line 2, column 18: DOCTYPE and ENTITY are not allowed"),
        ('<!DOCTYPE labels SYSTEM "file:///etc/passwd"><labels/>', "DOCTYPE and ENTITY"),
        ("<project/>", "line 1, column 1: expected <labels> as in label files of Mulan"),
        ('<labels>\n<tag name="x"/></labels>', 'line 2, column 1: expected <label name="...">'),
        ("<labels>\n <label/></labels>", "line 2, column 2: expected <label"),
        ('<labels><label name=""/></labels>', "expected <label"),
        ("<labels/>", "names no label"),
        ('<labels><label name="sad"/>\n<label name="sad"/></labels>', "line 2.*also in line 1"),
        ('<labels>\n<label name="sda"/></labels>', "line 2: the label 'sda' is not an attribute "
         "of .*music.arff; did you mean 'sad'"),
        ('<labels><label name="sad"/>', "line 1, column 28: not a whole XML file"),
        ("<labels>&x;</labels>", "not a whole XML file: undefined entity"),
        ('<?xml version="1.0" encoding="no-such"?><labels/>', "not a whole XML file"),
        (b"<labels>\xe9</labels>", "not a whole XML file"),
        ("", "not a whole XML file: no element found"),
    ],
)  # fmt: skip
def test_mistakes_name_file_line_and_column(tmp_path, xml, message):
    with pytest.raises(ValueError, match=f"music.xml, .*{message}"):
        load(tmp_path, xml)
