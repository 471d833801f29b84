"""Who may import whom, and what is public."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sklearn_mlloss

ROOT = Path(sklearn_mlloss.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = ["sklearn_mlloss"] + [
    info.name for info in pkgutil.walk_packages([str(ROOT)], "sklearn_mlloss.")
]
PUBLIC = [name for name in MODULES if not name.rpartition(".")[2].startswith("_")]


def part(path):
    """Name the place of a file within the package, such as "losses/base.py"."""
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """Return the absolute names of all modules that a file imports, at any depth of nesting."""
    package = ["sklearn_mlloss", *path.relative_to(ROOT).parent.parts]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def reaches(path, *targets):
    return sorted(
        name
        for name in imports(path)
        if any(name == target or name.startswith(target + ".") for target in targets)
    )


def within(*places):
    files = [path for path in FILES if part(path).startswith(places)]
    assert files, places
    return pytest.mark.parametrize("path", files, ids=part)


def test_relative_imports_are_resolved():
    # The tests below would pass with a reader of imports that finds nothing.
    assert "sklearn_mlloss.losses.links" in imports(ROOT / "losses" / "base.py")
    assert "sklearn_mlloss.losses" in imports(ROOT / "training" / "build.py")
    assert "sklearn_mlloss.losses.Loss" in imports(ROOT / "training" / "build.py")
    assert reaches(ROOT / "training" / "net.py", "skorch")


@within("decoders/", "model_selection/", "metrics/", "calibration.py")
def test_decisions_and_splits_know_nothing_of_torch(path):
    if part(path).startswith("model_selection/search"):
        pytest.skip("selection trains")
    allowed = tuple(
        f"sklearn_mlloss.{name}"
        for name in ("_data", "calibration", "decoders", "metrics", "model_selection", "names")
    )
    own = [name for name in reaches(path, "sklearn_mlloss") if not name.startswith(allowed)]
    assert not own
    assert not reaches(path, "torch", "skorch")


@within("deciding.py", "decoded.py", "cross_fit.py", "responses.py", "targets.py", "voting.py")
def test_decisions_of_other_classifiers_know_nothing_of_networks(path):
    networks = ("classifier", "losses", "networks", "training", "held_out")
    assert not reaches(path, "torch", "skorch", *(f"sklearn_mlloss.{name}" for name in networks))


@within("inspection/")
def test_displays_know_arrays_and_fitted_objects_only(path):
    allowed = tuple(
        f"sklearn_mlloss.{name}" for name in ("_data", "inspection", "decoders", "metrics")
    )
    own = [name for name in reaches(path, "sklearn_mlloss") if not name.startswith(allowed)]
    assert [name for name in own if name != "sklearn_mlloss"] == []
    assert not reaches(path, "torch", "skorch")


@within("losses/", "decoders/", "networks/")
def test_losses_decoders_and_networks_do_not_know_each_other(path):
    home = part(path).split("/")[0]
    own = [name for name in reaches(path, "sklearn_mlloss") if name != "sklearn_mlloss"]
    allowed = (f"sklearn_mlloss.{home}", "sklearn_mlloss._data", "sklearn_mlloss.names")
    assert [name for name in own if not name.startswith(allowed)] == []


@within("_data/")
def test_the_ground_floor_knows_nothing_of_the_package(path):
    own = [name for name in reaches(path, "sklearn_mlloss") if name != "sklearn_mlloss"]
    allowed = ("sklearn_mlloss._data", "sklearn_mlloss.names", "sklearn_mlloss.__version__")
    assert [name for name in own if not name.startswith(allowed)] == []
    assert not reaches(path, "torch", "skorch")


@within("")
def test_warnings_find_the_line_of_the_user_themselves(path):
    # A number of calls is wrong as soon as there is another way to get there: use warn_user.
    if part(path) != "_data/validation.py":
        assert "stacklevel" not in path.read_text() and "warnings.warn(" not in path.read_text()


def test_names_know_nothing():
    # What all the parts may import.
    assert not reaches(ROOT / "names.py", "sklearn_mlloss", "numpy", "sklearn", "torch")


def test_parallel_calls_know_nothing_of_the_package():
    assert not reaches(ROOT / "parallel.py", "sklearn_mlloss", "torch", "skorch")


@within("")
def test_skorch_is_touched_in_one_place(path):
    files = ("callbacks", "interface", "net", "user_callbacks")
    places = [f"training/{name}.py" for name in files]
    assert bool(reaches(path, "skorch")) == (part(path) in places)


@within("training/")
def test_training_knows_losses_and_networks_only(path):
    allowed = ("_data", "training", "losses", "names", "networks", "parallel", "parameters")
    own = [name for name in reaches(path, "sklearn_mlloss") if name != "sklearn_mlloss"]
    assert [name for name in own if name.split(".")[1] not in allowed] == []


@within("")
def test_files_can_be_read_in_one_sitting(path):
    # The plan says about 350 lines; docstrings with a formula for everything need some more.
    assert len(path.read_text().splitlines()) <= 700


def loaded_after(statement, names):
    code = f"import sys\n{statement}\nprint(*[n for n in {names!r} if n in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return result.stdout.split()


def test_decoders_and_splitters_load_without_torch():
    statement = "import sklearn_mlloss, sklearn_mlloss.decoders, sklearn_mlloss.model_selection"
    assert loaded_after(statement, ["torch", "skorch", "sklearn.model_selection"]) == [
        "sklearn.model_selection"
    ]


def test_extras_are_loaded_when_they_are_used_only():
    statement = (
        "import sklearn_mlloss, sklearn_mlloss.datasets\n"
        "sklearn_mlloss.MultiLabelNetClassifier().fit"
    )
    extras = ["matplotlib", "river", "torch._dynamo", "torch"]
    assert loaded_after(statement, extras) == ["torch"]


def test_pandas_is_not_loaded_by_the_package():
    # scikit-learn or skorch may load pandas where it is installed: what counts are our files.
    for path in FILES:
        top = {
            alias.name.split(".")[0]
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (
                node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")]
            )
        }
        assert not top & {"pandas", "matplotlib", "river"}, part(path)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_listed_and_exist(name):
    module = importlib.import_module(name)
    assert "__all__" in vars(module), f"{name} does not say what is public"
    assert len(set(module.__all__)) == len(module.__all__)
    missing = [public for public in module.__all__ if not hasattr(module, public)]
    assert not missing
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("name", [n for n in PUBLIC if n.count(".") == 1])
def test_what_is_public_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    bare = [
        public
        for public in module.__all__
        if callable(getattr(module, public)) and not getattr(module, public).__doc__
    ]
    assert not bare


def signatures_of(public):
    """Yield the functions, and the methods of the classes, that a module makes public."""
    for name in public.__all__:
        thing = getattr(public, name)
        if not getattr(thing, "__module__", "").startswith("sklearn_mlloss"):
            continue
        found = vars(thing).items() if inspect.isclass(thing) else [(name, thing)]
        for key, value in found:
            value = getattr(value, "__func__", value)
            if inspect.isfunction(value) and (key == "__init__" or not key.startswith("_")):
                yield f"{name}.{key}", inspect.signature(value)


# What skorch calls has the signatures of skorch.
@pytest.mark.parametrize("name", [n for n in PUBLIC if ".training" not in n])
def test_public_signatures_have_types(name):
    bare = [
        where
        for where, signature in signatures_of(importlib.import_module(name))
        if any(
            parameter.annotation is parameter.empty
            for parameter in signature.parameters.values()
            if parameter.name not in ("self", "cls")
        )
        or (signature.return_annotation is signature.empty and not where.endswith("__init__"))
    ]
    assert not bare


def test_editors_are_told_of_the_types():
    assert (ROOT / "py.typed").exists()
    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["sklearn_mlloss"]


def test_unknown_names_of_the_package_raise():
    with pytest.raises(AttributeError, match="nonsense"):
        sklearn_mlloss.nonsense  # noqa: B018
