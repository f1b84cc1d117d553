"""Imports in a process of their own, with packages made for failing."""

import textwrap

import pytest

from edgekd.cli.checks import imports as module
from edgekd.cli.checks.imports import gpu, imports, openmp, probe


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return a function that writes a module which the probe can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name, code=""):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        return name

    return write


def cure(error, make):
    make("broken", f"raise ImportError({error!r})")
    (only,) = imports(("broken",))
    assert (only.what, only.level) == ("broken", "wrong")
    assert error.splitlines()[0] in only.found
    return only.cure


def test_what_imports_is_one_line(make):
    make("fine1", "print('{\"noise\": 1}'); print('more')")
    first, *rest = imports((make("fine2"), "fine1"))
    assert (first.level, first.found) == ("ok", "2 packages, 0 plug-ins of other packages")
    assert not rest


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("numpy.dtype size changed, may indicate binary incompatibility",
         "It was built for another NumPy: pip install --force-reinstall --no-cache-dir broken"),
        ("A module that was compiled using NumPy 1.x cannot be run in NumPy 2.4",
         "It was built for another NumPy: pip install --force-reinstall --no-cache-dir broken"),
        ("x.so: undefined symbol: _ZN3c10", "It was built for another version of what it rests on: "
         "pip install --force-reinstall edgekd broken"),
        ("libcudart.so.12: cannot open shared object file", "Libraries of CUDA are missing. "
         "Without a GPU, install PyTorch's build for the processor (its page 'Get Started' has the "
         "command)."),
        ("No module named 'else'", "pip install --force-reinstall broken"),
    ],
)  # fmt: skip
def test_the_cure_fits_the_error(error, advice, make):
    assert cure(error, make) == advice


def test_a_crash_and_an_exit_are_findings_and_the_others_are_still_looked_at(make):
    make("crashes", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    make("exits", "import os; os._exit(3)")
    found = probe(["crashes", make("good"), "exits", make("last")])
    assert found.errors == {
        "crashes": "it crashed with SIGSEGV",
        "good": "",
        "exits": "it ended the process with status 3",
        "last": "",
    }
    assert found.about["cuda"] is None


def test_a_package_that_never_ends_loading_is_a_finding(make):
    make("hangs", "import time; time.sleep(60)")
    found = probe(["hangs", make("good")], time_limit_s=3)
    assert found.errors == {"hangs": "it did not load within 3 s", "good": ""}


def test_an_optional_package_that_does_not_fit_is_to_be_removed(make, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "OPTIONAL", ("broken", "nowhere"))
    monkeypatch.syspath_prepend(tmp_path)
    assert cure("operator torchvision::nms does not exist", make) == (
        "pip uninstall -y broken: edgekd does not need it."
    )
    (only,) = imports((make("good"), "nowhere"))
    assert only.level == "ok"


def test_a_plug_in_of_another_package_that_does_not_import_is_named_with_it(
    make, tmp_path, monkeypatch
):
    make("theirs", "raise RuntimeError('no licence')")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekd.models]\nodd = theirs:model\n")
    monkeypatch.syspath_prepend(tmp_path)
    (only,) = imports(())
    assert only.what == "plug-in edgekd.models:odd"
    assert "no licence" in only.found
    assert only.cure == "Mend or remove the package theirs."


@pytest.fixture
def driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidiactl").touch()
    return tmp_path / "nvidiactl"


def test_a_driver_that_is_too_old_is_told_in_torchs_words(driver):
    cuda = {
        "built": "13.0",
        "usable": False,
        "error": "The NVIDIA driver on your system is too old",
    }
    (only,) = gpu(cuda, driver)
    assert only.level == "wrong"
    assert "built for CUDA 13.0 and cannot use the GPU: The NVIDIA driver" in only.found
    assert "Update the NVIDIA driver" in only.cure


def test_other_pairs_of_gpu_and_build_are_at_most_hints(driver, tmp_path):
    built = {"built": "13.0", "usable": False, "error": "Found no NVIDIA driver"}
    plain = {"built": "", "usable": False, "error": ""}
    levels = [
        next(gpu(cuda, device)).level
        for cuda, device in (
            (built, tmp_path / "none"), (plain, driver), (plain, tmp_path / "none"),
            (built | {"usable": True}, driver),
        )
    ]  # fmt: skip
    assert levels == ["hint", "hint", "ok", "ok"]
    assert not list(gpu(None))


def test_two_kinds_of_openmp_are_wrong_and_two_copies_a_hint():
    assert not list(openmp(["/a/libgomp.so.1"]))
    (copies,) = openmp(["/a/libgomp.so.1", "/b/libgomp-e985.so.1"])
    (kinds,) = openmp(["/a/libgomp.so.1", "/b/libiomp5.so"])
    assert (copies.level, kinds.level) == ("hint", "wrong")
    assert "/b/libiomp5.so" in kinds.found
