"""What is installed."""

import importlib.metadata

import pytest

from edgekd.cli.checks import packages


def told(findings):
    return [(f.what, f.level, f.found, f.cure) for f in findings]


def test_an_old_python_is_told():
    (only,) = packages.python("3.10.4")
    assert (only.level, only.cure) == ("wrong", "edgekd needs Python >=3.11.")
    assert next(packages.python()).ok


@pytest.fixture
def require(monkeypatch):
    """Return a function that makes up what edgekd asks for."""
    return lambda *texts: monkeypatch.setattr(importlib.metadata, "requires", lambda _: texts)


def test_every_package_is_compared_with_what_is_asked_for(require):
    require("numpy>=2,<3", "numpy>=99", "nobody-has-this", "pytest; extra == 'test'")
    good, old, absent = packages.versions()
    assert good.level == "ok"
    assert (old.level, old.cure) == ("wrong", "pip install 'numpy>=99' is needed.")
    assert (absent.found, absent.cure) == ("not installed", "pip install 'nobody-has-this'")


def test_two_onnxruntimes_overwrite_each_other():
    pairs = [("onnxruntime", "1.31"), ("onnxruntime-gpu", "1.31"), ("numpy", "2.4")]
    (only,) = packages.clashes(pairs)
    assert only.found.startswith("onnxruntime and onnxruntime-gpu are both installed")
    assert only.cure == (
        "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install one of them."
    )
    assert not list(packages.clashes(pairs[1:]))


def test_a_package_that_is_recorded_twice_is_told():
    (only,) = packages.clashes(
        [("torch", "2.13"), ("torch", "2.12"), ("numpy", "2"), ("numpy", "2")]
    )
    assert only.what == "torch"
    assert "2.12 and 2.13" in only.found
    assert "pip uninstall -y torch" in only.cure


def test_nothing_clashes_here():
    assert not list(packages.clashes())
