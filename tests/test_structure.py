"""Allowed imports between modules, and public names."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sklearn_mlloss
from sklearn_mlloss import model_selection

ROOT = Path(sklearn_mlloss.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = ["sklearn_mlloss"] + [
    info.name for info in pkgutil.walk_packages([str(ROOT)], "sklearn_mlloss.")
]
LISTED = [name for name in MODULES if not name.rpartition(".")[2].startswith("_")]
PUBLIC = [name for name in MODULES if "._" not in name]

# The rooms of the package, and which other rooms each may import: those further up in this list.
# Rooms that begin with an underscore are private.
MAY_IMPORT = {
    "_versions": (),
    "_sklearn": (),
    "_data": ("_versions", "_sklearn"),
    "datasets": ("_data",),
    "model_selection": ("_data",),
    "metrics": ("_sklearn", "_data"),
    "decoders": ("_data",),
    "losses": ("_data",),
    "networks": ("_data",),
    "calibration": ("_data",),
    "streaming": ("_data",),
    "testing": ("decoders", "losses"),
    "_decision": ("_sklearn", "_data", "calibration", "decoders", "model_selection"),
    "_training": ("_versions", "_sklearn", "_data", "losses", "model_selection", "networks",
                  "streaming"),
    "classifier": ("_sklearn", "_data", "_decision", "_training", "calibration", "decoders",
                   "losses", "networks"),
    "inspection": ("_versions", "_sklearn", "_data", "_training", "classifier", "decoders",
                   "metrics", "model_selection"),
    "voting": ("_sklearn", "_data", "_decision"),
    "members": ("_data", "_decision", "_training", "classifier", "networks", "voting"),
    "decoded": ("_sklearn", "_data", "_decision", "calibration", "decoders", "members",
                "voting"),
    "_search": ("_sklearn", "_data", "_decision", "_training", "calibration", "classifier",
                "decoders", "losses", "metrics", "model_selection"),
    "persistence": ("_versions", "_data", "_decision", "_training", "calibration", "classifier",
                    "decoded", "decoders", "losses", "members", "networks", "voting"),
}  # fmt: skip
WITHOUT_TORCH = (
    "_sklearn", "_data", "datasets", "model_selection", "metrics", "decoders", "calibration",
    "streaming", "inspection", "_decision", "voting", "decoded", "persistence/__init__",
    "persistence/card", "persistence/classes", "persistence/files", "persistence/members",
    "persistence/state",
)  # fmt: skip
LARGEST_HOUSE, MOST_FLOORS = 22, 8


def part(path):
    """Return the place of a file within the package, such as "losses/base.py"."""
    return path.relative_to(ROOT).as_posix()


def room(path):
    """Return the module or package at the top of the package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def statements(tree):
    """Yield all nodes but those that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"):
            yield node
            yield from statements(node)


def imports(path):
    """Return the absolute names of all modules that a file imports, at any depth of nesting."""
    package = ["sklearn_mlloss", *path.relative_to(ROOT).parent.parts]
    names = set()
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def rooms_of(path):
    """Return the other rooms of the package that a file imports from."""
    names = [name.split(".") for name in imports(path)]
    return {name[1] for name in names if name[0] == "sklearn_mlloss"} - {room(path)}


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
    assert "sklearn_mlloss.losses.links.strictly_increasing" in imports(ROOT / "losses" / "base.py")
    assert "sklearn_mlloss.losses.Loss" in imports(ROOT / "_training" / "build.py")
    assert rooms_of(ROOT / "calibration.py") == {"_data"}
    assert reaches(ROOT / "_training" / "net.py", "skorch")


def test_the_rooms_are_those_of_the_plan():
    assert {room(path) for path in FILES} == {*MAY_IMPORT, "__init__"}
    assert len(MAY_IMPORT) + 1 <= LARGEST_HOUSE
    order = list(MAY_IMPORT)
    for name, below in MAY_IMPORT.items():
        assert all(order.index(other) < order.index(name) for other in below), name


@within("")
def test_imports_go_down_only(path):
    if room(path) != "__init__":
        assert rooms_of(path) <= set(MAY_IMPORT[room(path)])


def test_there_are_few_floors():
    below = {name: set() for name in MAY_IMPORT}
    for path in FILES:
        if room(path) != "__init__":
            below[room(path)] |= rooms_of(path)
    floors = {}
    for name in TopologicalSorter(below).static_order():
        floors[name] = 1 + max((floors[other] for other in below[name]), default=0)
    assert max(floors.values()) <= MOST_FLOORS


@within(*WITHOUT_TORCH)
def test_what_needs_no_torch_does_not_import_it(path):
    assert not reaches(path, "torch", "skorch")


@within("losses/", "decoders/", "networks/")
def test_losses_decoders_and_networks_do_not_know_each_other(path):
    assert rooms_of(path) <= {"_data"}


@within("")
def test_warnings_find_the_line_of_the_user_themselves(path):
    # A number of calls is wrong as soon as there is another way to get there: use warn_user.
    if part(path) != "_data/messages.py":
        assert "stacklevel" not in path.read_text() and "warnings.warn(" not in path.read_text()


@within("")
def test_skorch_is_imported_for_the_net_and_its_callbacks_only(path):
    files = ("callbacks", "net")
    places = [f"_training/{name}.py" for name in files]
    assert bool(reaches(path, "skorch")) == (part(path) in places)


@within("")
def test_private_names_of_scikit_learn_are_in_one_file(path):
    # Also what not all versions have: a new version of scikit-learn then breaks one file.
    names = reaches(path, "sklearn")
    private = [name for name in names if "._" in name or name.startswith("sklearn.callback")]
    assert bool(private) == (part(path) == "_sklearn.py"), private


@within("")
def test_files_can_be_read_in_one_sitting(path):
    # About 350 lines are the aim; docstrings with a formula for everything need some more.
    assert len(path.read_text().splitlines()) <= 700


def loaded_after(statement, names):
    code = f"import sys\n{statement}\nprint(*[n for n in {names!r} if n in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return result.stdout.split()


def test_decisions_and_splitters_load_without_torch():
    modules = "calibration", "decoders", "model_selection"
    statement = "\n".join(f"import sklearn_mlloss.{name}" for name in modules)
    names = ["torch", "skorch", "sklearn.model_selection", "sklearn_mlloss.calibration"]
    assert loaded_after(statement, names) == names[2:]


def test_the_search_is_a_name_of_model_selection_too():
    assert "LossDecoderSearchCV" in dir(model_selection)
    assert model_selection.LossDecoderSearchCV is sklearn_mlloss.LossDecoderSearchCV
    with pytest.raises(AttributeError, match="nonsense"):
        model_selection.nonsense  # noqa: B018


def test_extras_are_loaded_when_they_are_used_only():
    statement = (
        "import sklearn_mlloss, sklearn_mlloss.datasets\n"
        "sklearn_mlloss.MultiLabelNetClassifier().fit"
    )
    extras = ["arff", "matplotlib", "river", "torch._dynamo", "torch"]
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


@pytest.mark.parametrize("name", LISTED)
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
@pytest.mark.parametrize("name", [n for n in LISTED if "._training" not in n])
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


def test_types_are_declared_for_editors():
    assert (ROOT / "py.typed").exists()
    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["sklearn_mlloss"]


def test_unknown_names_of_the_package_raise():
    with pytest.raises(AttributeError, match="nonsense"):
        sklearn_mlloss.nonsense  # noqa: B018
