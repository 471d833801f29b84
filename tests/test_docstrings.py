"""Docstrings of all public names: numpydoc's rules, and an example that doctest runs."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.validate import validate

import sklearn_mlloss

PARTS = (
    "calibration", "datasets", "decoders", "inspection", "losses", "metrics", "model_selection",
    "networks", "persistence", "streaming", "testing",
)  # fmt: skip
MODULES = ["sklearn_mlloss", *(f"sklearn_mlloss.{name}" for name in PARTS)]
# All checks of numpydoc have to pass, except for these.
IGNORED = {
    "GL01": "the summary begins beside the quotes; numpydoc before 1.11 wants it below",
    "ES01": "one sentence often says all",
    "SA01": "the text itself links to what is near",
    "RT02": "scikit-learn names what is returned as well",
    "RT03": "the type of what is returned often says all",
}
METHODS = {
    "EX01": "the example of the class shows its methods",
    "RT01": "short docstrings say in the first line what is returned",
}
# A parameter that is described in one place only, which the docstring names.
ELSEWHERE = {"PR03", "PR04", "PR07"}
# Methods that a base class declares are documented there.
OVERRIDES = {"PR01", "RT01"}

PUBLIC = {
    f"{module}.{name}": getattr(importlib.import_module(module), name)
    for module in MODULES
    for name in importlib.import_module(module).__all__
    if callable(getattr(importlib.import_module(module), name))
}


def methods(cls):
    """Return the public methods and properties of a class that this package wrote, by name."""
    found = {}
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        member = getattr(member, "fget", getattr(member, "__func__", member))
        ours = (getattr(member, "__module__", None) or "").startswith("sklearn_mlloss")
        if ours and not name.startswith("_") and callable(member):
            found[name] = getattr(cls, name)
    return found


METHODS_OF = {
    f"{path}.{name}": (cls, name)
    for path, cls in PUBLIC.items()
    if inspect.isclass(cls)
    for name in methods(cls)
}


def complaints(path, doc, waived):
    """Return the errors of numpydoc, without those that are waived here."""
    found = []
    for code, message in validate(path)["errors"]:
        named = re.findall(r"'(\w+)'", message)
        if code in waived or code in IGNORED:
            continue
        if code in ELSEWHERE and re.search(r"[Ss]ee `", doc):
            continue
        # A short docstring need not have a table of parameters, but it must name them.
        if code == "PR01" and "-----" not in doc and all(f"`{n}`" in doc for n in named):
            continue
        found.append(f"{code} {message}")
    return found


def test_the_reference_lists_all_public_modules():
    reference = Path(__file__).parents[1] / "docs" / "api.md"
    listed = re.findall(r"^   (sklearn_mlloss[\w.]*)$", reference.read_text(), re.M)
    assert sorted(listed) == sorted(MODULES)


@pytest.mark.parametrize("path", PUBLIC)
def test_public_names_keep_the_rules_and_show_an_example(path):
    doc = inspect.getdoc(PUBLIC[path])
    # The fields of a result are its attributes; those of an estimator are its parameters.
    result = inspect.isclass(PUBLIC[path]) and (
        issubclass(PUBLIC[path], tuple)
        or (hasattr(PUBLIC[path], "__dataclass_fields__") and "\nParameters\n" not in doc)
    )
    assert complaints(path, doc, {"PR01"} if result else set()) == []
    assert ">>> " in doc


@pytest.mark.parametrize("path", METHODS_OF)
def test_methods_keep_the_rules(path):
    cls, name = METHODS_OF[path]
    declared = [base for base in cls.__mro__ if name in vars(base)]
    waived = set(METHODS) | (OVERRIDES if len(declared) > 1 else set())
    assert complaints(path, inspect.getdoc(getattr(cls, name)) or "", waived) == []


def paragraph(cls, parameter):
    """Return the description of a parameter in the docstring of a class."""
    return re.search(rf"^{parameter} : .*\n((?: +.*\n)+)", inspect.getdoc(cls), re.M)[1]


def test_the_network_names_all_losses_decoders_and_calibrators():
    net = sklearn_mlloss.MultiLabelNetClassifier
    for parameter, registry in (
        ("loss", sklearn_mlloss.losses.LOSSES),
        ("decoder", sklearn_mlloss.decoders.DECODERS),
        ("calibration", sklearn_mlloss.calibration.CALIBRATORS),
    ):
        text = paragraph(net, parameter)
        names = [name for name in registry if re.search(rf"(?<![.\w]){name}(?!\w)", text)]
        assert names == list(registry), parameter


def test_the_network_groups_each_parameter_once():
    net = sklearn_mlloss.MultiLabelNetClassifier
    groups = re.search(r"by purpose:\n\n((?:[- ] .*\n)+)", inspect.getdoc(net))[1]
    assert sorted(re.findall(r"`(\w+)`", groups)) == sorted(inspect.signature(net).parameters)
