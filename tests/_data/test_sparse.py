"""Sparse matrices become CSR, and what would crash compiled code is refused."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_mlloss._data.sparse import as_csr

DENSE = np.array([[0, 1.0, 0, 0], [2, 0, 3, 0]])
FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
def test_all_formats(form, kind):
    given = getattr(sp, f"{form}_{kind}")(DENSE)
    found = as_csr(given, "X")
    assert type(found) is getattr(sp, f"csr_{kind}") and found.has_canonical_format
    np.testing.assert_array_equal(found.toarray(), DENSE)


def test_duplicates_are_summed_in_a_copy():
    given = sp.csr_array((np.array([1.0, 2, 4]), [2, 0, 2], [0, 3]), shape=(1, 3))
    found = as_csr(given, "X")
    np.testing.assert_array_equal(found.toarray(), [[2, 0, 5]])
    assert found.indices.tolist() == [0, 2] and given.indices.tolist() == [2, 0, 2]
    clean = sp.csr_array(DENSE)
    assert as_csr(clean, "X") is clean


def broken(form, attribute, place, value):
    matrix = getattr(sp, f"{form}_array")(DENSE)
    array = getattr(matrix, attribute).copy()
    array[place] = value
    setattr(matrix, attribute, array)
    return matrix


def with_rows_of_a_list():
    matrix = sp.lil_array(DENSE)
    matrix.rows[1] = [0, 99]
    return matrix


MALFORMED = {
    "csr column": broken("csr", "indices", 0, 10**8),
    "csr negative": broken("csr", "indices", 0, -1),
    "csc row": broken("csc", "indices", 0, 2),
    "bsr block": broken("bsr", "indices", 0, 9),
    "falling": broken("csr", "indptr", 1, 9),
    "beyond the entries": broken("csr", "indptr", 2, 4),
    "not from 0": broken("csr", "indptr", 0, -1),
    "coo row": broken("coo", "row", 0, 2),
    "coo column": broken("coo", "col", 0, -4),
    "lil": with_rows_of_a_list(),
}


@pytest.mark.parametrize("matrix", MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_matrices_are_refused(matrix):
    # The rest of the message is scipy's, and changes with its version.
    kind = type(matrix).__name__
    with pytest.raises(ValueError, match=f"y is a malformed {kind}: .*(ind(ex|ices|ptr)|row|col)"):
        as_csr(matrix, "y")


def test_checks_leave_the_matrix_as_it_was():
    matrix = sp.csr_array(DENSE)
    matrix.data, matrix.indices = np.append(matrix.data, 9), np.append(matrix.indices, 9)
    np.testing.assert_array_equal(as_csr(matrix, "y").toarray(), DENSE)
    assert len(matrix.data) == len(matrix.indices) == 4


def test_arrays_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match=r"X must be 2-D, got a sparse array of shape \(3,\)"):
        as_csr(sp.coo_array(np.ones(3)), "X")
