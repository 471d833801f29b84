"""ARFF files of Mulan, MEKA and Weka."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch

from .._data.messages import describe, did_you_mean
from .._data.validation import InvalidParameterError, check_flag, is_auto
from .arff_rows import ArffTable, Values
from .bunches import MANY_LABELS
from .files import FileFormatError, check_path, without_compression
from .label_xml import Label, read_label_xml

__all__ = ["load_arff"]

_COUNT_OF_MEKA = re.compile(r"(?:^|[\s:])-[Cc]\s+(-?\d+)")
# A filter of Weka that adds, removes or moves attributes leaves the count in the name as it was.
_FILTER_OF_ATTRIBUTES = re.compile(r"filters\.\w+\.attribute\.")
_PART_OF_TABLE = re.compile(r"[-_. ]?(train|test|sparse)([-_]\w+)*$", re.I)


def load_arff(
    path: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | int | Sequence[str] | None = None,
    as_frame: bool | str = "auto",
    encoding: str = "utf-8",
    return_X_y: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load a multi-label data set from an ARFF file of Mulan, MEKA or Weka.

    Dense and sparse files of Mulan [1]_ and MEKA [2]_ are read. Names of attributes and labels are
    kept, nominal attributes become pandas categories, and ``?`` is missing (NaN).

    Parameters
    ----------
    path : str or path-like
        The ARFF file. If its name ends in .gz, .bz2 or .xz, it is decompressed.
    labels : str, path-like, int or sequence of str, optional
        Which attributes are the labels:

        - the path of the XML file of Mulan. The labels need not be the last attributes, and the
          order of the attributes is kept. Nested labels are a hierarchy: see `parents` below;
        - a count, with the sign that MEKA uses: 6 for the first six attributes, -6 for the last
          six;
        - the names of the attributes, in the order of the columns of the target.

        None looks for an XML file beside the file: ``music.xml`` for ``music.arff``,
        ``music-train.arff`` and ``musicTest.arff.gz``. If there is none, the count that MEKA
        writes into the name of the relation, such as ``-C 6``, is used.
    as_frame : {"auto", True, False}, default="auto"
        "auto" returns DataFrames, except for what is sparse: the data of a sparse file, and its
        target if there are more than 1000 labels, are CSR matrices. True returns DataFrames, also
        of a sparse file. False returns arrays of a dense file, and CSR matrices of a sparse file.
    encoding : str, default="utf-8"
        Encoding of the ARFF file, with or without a byte order mark. Many older files are in
        "latin-1". An XML file declares its own encoding.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : {DataFrame, ndarray, CSR matrix} of shape (n_samples, n_features)
            Numbers are float64. In a DataFrame nominal attributes are categories, except for those
            with the values 0 and 1, which are numbers, and text is text. In arrays and CSR
            matrices nominal attributes must be numbers or a pair such as no and yes.
        target : {DataFrame, ndarray, CSR matrix} of shape (n_samples, n_labels)
            int64, 0 or 1; float64 if labels are missing (NaN). In the file a label is 0 and 1,
            FALSE and TRUE, no and yes, or -1 and 1.
        feature_names, target_names : list of str
            Names of the columns.
        parents : ndarray of int, shape (n_labels,), or None
            For a hierarchy of labels the index of the parent of each label, -1 for a root, as
            `HierarchyClosure` takes it.
        frame : DataFrame or None
            Data and target side by side, if both are DataFrames.
        DESCR : str
            Relation and comments of the file, and where the labels were taken from.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If a file is cut or not in its format. The message names the file, the line and the column.
        If `labels` do not fit the attributes, or are not given where the files do not name them.
        If the XML file has a DOCTYPE or declares entities.
    OSError
        If a file cannot be opened.
    ImportError
        If liac-arff, or pandas for DataFrames, is not installed:
        ``pip install "sklearn_mlloss[arff]"``.

    See Also
    --------
    load_svmlight : Files of SVMlight and of the extreme classification repository.
    split_tags : A column of tags of a CSV file.

    Notes
    -----
    The XML file precedes the name of the relation, in which filters of Weka leave a count that may
    be no longer right: the relation of Mulan's medical data set has ``-C 45``, and its labels are
    the last attributes. Such a count is not used.

    As in Weka, a value that a sparse row leaves out is 0, or the first of the declared values.

    References
    ----------
    .. [1] G. Tsoumakas et al., "MULAN: a Java library for multi-label learning", JMLR 12, 2011.
    .. [2] J. Read et al., "MEKA: a multi-label/multi-target extension to WEKA", JMLR 17, 2016.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_mlloss.datasets import load_arff
    >>> text = '''@relation 'Music: -C 2'
    ... @attribute happy {0,1}
    ... @attribute sad {0,1}
    ... @attribute tempo numeric
    ... @attribute genre {rock,jazz}
    ... @data
    ... 1,0,120.5,rock
    ... 0,1,?,jazz
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "music.arff"
    ...     _ = path.write_text(text)
    ...     music = load_arff(path)
    >>> music.frame
       tempo genre  happy  sad
    0  120.5  rock      1    0
    1    NaN  jazz      0    1
    """
    file = check_path(path, "path")
    auto = is_auto(as_frame)
    if not auto:
        check_flag(as_frame, "as_frame", other="'auto', ")
    check_flag(return_X_y, "return_X_y")
    try:
        "text".encode(encoding)
    except (LookupError, TypeError, ValueError):
        raise ValueError(
            f"encoding must be an encoding that Python knows, got {describe(encoding)}"
        ) from None
    table = ArffTable(file, encoding)
    chosen, source, tree = _find_labels(table, file, labels)
    names = [attribute.name for attribute in table.head.attributes]
    features = [index for index in range(len(names)) if index not in set(chosen)]
    if not features:
        raise ValueError(f"labels: all {len(names)} attributes of {file} are labels")
    frames = bool(as_frame)
    sparse = table.is_sparse and (auto or not frames)
    sparse_target = sparse and (not frames or len(chosen) > MANY_LABELS)
    loaded = Bunch(
        data=_columns(table, features) if frames and not sparse else _numbers(table, features),
        target=_target(table, chosen, sparse_target, frames),
        feature_names=[names[index] for index in features],
        target_names=[names[index] for index in chosen],
        parents=_parents([names[index] for index in chosen], tree),
        frame=None,
        DESCR="\n\n".join(filter(None, [table.head.relation, table.head.comments, source])),
    )
    if hasattr(loaded.data, "columns") and hasattr(loaded.target, "columns"):
        import pandas as pd

        loaded.frame = pd.concat([loaded.data, loaded.target], axis=1)
    return (loaded.data, loaded.target) if return_X_y else loaded


def _find_labels(
    table: ArffTable, file: Path, labels: Any
) -> tuple[list[int], str, dict[str, Label]]:
    """Return the positions of the labels, where they were taken from, and the labels of XML."""
    names = [attribute.name for attribute in table.head.attributes]
    if labels is None:
        labels = _xml_beside(file)
    if labels is None:
        count, hint = _count_of_relation(table.head.relation)
        if count is None:
            raise ValueError(
                f"labels=None: {file} has no XML file of labels beside it, and {hint}. Give "
                "labels= the path of the XML file, the count of labels (6 for the first six "
                "attributes, -6 for the last six) or their names"
            )
        return _counted(count, names, file, " in the relation"), f"Labels by -C {count}.", {}
    if isinstance(labels, str | os.PathLike):
        xml = check_path(labels, "labels")
        if not xml.exists() and os.fspath(labels) in names:
            raise ValueError(f"labels={labels!r} is the path of a file: give a list of names")
        tree = read_label_xml(xml)
        missing = next((name for name in tree if name not in names), None)
        if missing is not None:
            raise FileFormatError(
                f"the label {missing!r} is not an attribute of {file}"
                f"{did_you_mean(missing, names)}",
                xml,
                tree[missing].line,
            )
        return [i for i, name in enumerate(names) if name in tree], f"Labels by {xml.name}.", tree
    if isinstance(labels, int | np.integer) and not isinstance(labels, bool):
        return _counted(int(labels), names, file, ""), f"Labels by labels={labels}.", {}
    listed = list(labels) if isinstance(labels, Sequence | np.ndarray) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        raise InvalidParameterError(
            "labels must be the path of an XML file, a count, or a list of names of attributes, "
            f"got {describe(labels)}"
        )
    for name in listed:
        if name not in names:
            raise ValueError(f"labels: {file} has no attribute {name!r}{did_you_mean(name, names)}")
        if listed.count(name) > 1:
            raise ValueError(f"labels names {name!r} twice")
    return [names.index(name) for name in listed], "Labels by name.", {}


def _xml_beside(file: Path) -> Path | None:
    """Return the XML file of the same name, or of the table that the file is a part of."""
    stem = without_compression(file).stem
    for name in dict.fromkeys([stem, _PART_OF_TABLE.sub("", stem)]):
        xml = file.with_name(f"{name}.xml")
        if name and xml.is_file():
            return xml
    return None


def _count_of_relation(relation: str) -> tuple[int | None, str]:
    """Return the count of labels in the name of a relation, or None and why there is none."""
    counts = {int(count) for count in _COUNT_OF_MEKA.findall(relation)}
    if not counts:
        return None, "its relation names no count, such as 'name: -C 6'"
    if len(counts) > 1 or _FILTER_OF_ATTRIBUTES.search(relation):
        return None, "the count in its relation precedes filters of attributes, and may be wrong"
    return counts.pop(), ""


def _counted(count: int, names: list[str], file: Path, where: str) -> list[int]:
    """Return the positions of the first labels, or for a negative count of the last ones."""
    if not 0 < abs(count) < len(names):
        raise ValueError(
            f"the count of labels{where} must be from 1 to {len(names) - 1}, or negative for the "
            f"last attributes, as {file} has {len(names)} attributes; got {count}"
        )
    positions = list(range(len(names)))
    return positions[:count] if count > 0 else positions[count:]


def _parents(names: list[str], tree: dict[str, Label]) -> np.ndarray | None:
    """Return the index of the parent of each label, or None if no label has one."""
    above = [tree[name].parent for name in names if name in tree]
    if not any(above):
        return None
    return np.array([-1 if parent is None else names.index(parent) for parent in above])


def _columns(table: ArffTable, indices: list[int]) -> Any:
    """Return attributes as a DataFrame."""
    import pandas as pd

    names = [table.head.attributes[index].name for index in indices]
    columns = {name: table.column(i) for name, i in zip(names, indices, strict=True)}
    return pd.DataFrame(columns, columns=names)


def _numbers(table: ArffTable, indices: list[int]) -> Any:
    """Return attributes as an array, or as a CSR matrix of a sparse file."""
    if not table.is_sparse:
        return np.column_stack([table.numbers(index).values for index in indices])
    return _csr([table.numbers(index) for index in indices], table.n_rows)


def _target(table: ArffTable, indices: list[int], sparse: bool, frames: bool) -> Any:
    """Return labels as a DataFrame, an array or a CSR matrix."""
    columns = [table.label(index) for index in indices]
    missing = any(np.isnan(column.values).any() for column in columns)
    dtype = np.float64 if missing else np.int64
    if sparse:
        return _csr(columns, table.n_rows).astype(dtype)
    target = np.column_stack([column.dense(table.n_rows) for column in columns]).astype(dtype)
    if not frames:
        return target
    import pandas as pd

    return pd.DataFrame(target, columns=[table.head.attributes[index].name for index in indices])


def _csr(columns: list[Values], n_rows: int) -> Any:
    rows, values = [], []
    for column in columns:
        if column.default == 0:
            rows.append(column.rows)
            values.append(column.values)
        else:  # what the file leaves out is not 0
            rows.append(np.arange(n_rows))
            values.append(column.dense(n_rows))
    ends = np.concatenate([[0], np.cumsum([len(part) for part in rows])])
    shape = (n_rows, len(columns))
    matrix = sp.csc_matrix((np.concatenate(values), np.concatenate(rows), ends), shape=shape)
    matrix.eliminate_zeros()
    return matrix.tocsr()
