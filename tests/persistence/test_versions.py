"""Files of earlier versions, and what a change of the format would be."""

import warnings

import numpy as np
import pytest
from persistence.freeze import FILES, table

from sklearn_mlloss import __version__

pytest.importorskip("safetensors")
from sklearn_mlloss.persistence import describe, load  # noqa: E402

SAVED = sorted(FILES.glob("*.safetensors"))


def test_each_model_of_this_version_is_there():
    names = [path.stem.removeprefix(f"{__version__}-") for path in SAVED]
    assert {"decoded", "net", "vote"} <= set(names)


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_files_of_earlier_versions_predict_the_same(path):
    X, Y = table()
    if path.stem.endswith("decoded"):
        pytest.importorskip("skops")
        X = X.drop(columns="place").fillna(0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of another version of scikit-learn
        model = load(path)
    expected = np.load(path.with_suffix(".npz"))
    np.testing.assert_allclose(model.predict_proba(X), expected["proba"], atol=1e-6)
    assert np.array_equal(model.predict(X), expected["labels"])
    assert describe(path).startswith("# ")
    if hasattr(model, "fit_decoder"):
        model.fit_decoder(X, Y)
