from importlib.metadata import version

import pytest
import torch

import sklearn_mlloss
from sklearn_mlloss import _versions as versions
from sklearn_mlloss import show_versions


def lines_of(text):
    pairs = (line.partition(":")[::2] for line in text.splitlines())
    return {name.strip(): value.strip() for name, value in pairs if value}


@pytest.fixture
def shown(capsys):
    show_versions()
    return lines_of(capsys.readouterr().out)


def test_versions_of_all_dependencies(shown):
    assert shown["sklearn_mlloss"] == sklearn_mlloss.__version__
    for name in ("numpy", "scipy", "scikit-learn", "torch", "skorch", "matplotlib"):
        assert shown[name] == version(name)
    assert shown["threads"] == str(torch.get_num_threads())
    assert shown["CUDA devices"] == str(torch.cuda.device_count())


def test_devices_are_named(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"Model {number}")
    show_versions()
    out = capsys.readouterr().out
    assert "cuda:0: Model 0" in out and "cuda:1: Model 1" in out


def test_packages_that_are_not_installed(monkeypatch, capsys):
    monkeypatch.setattr(versions, "OPTIONAL", ("surely_no_such_package",))
    show_versions()
    assert lines_of(capsys.readouterr().out)["surely_no_such_package"] == "not installed"
