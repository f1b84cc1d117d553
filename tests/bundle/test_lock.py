"""The lock of packages: everything that is rested on, and builds that can be told apart."""

import importlib
import sys

import pytest

from edgekd.bundle import lock as locks
from edgekd.bundle.lock import as_requirements, lock


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs a made-up distribution, as pip would."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])

    def install(name, version="1.0", requires=(), files=("x.py,sha256=AAA,3",), notes=()):
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(exist_ok=True)
        lines = [f"Requires-Dist: {one}\n" for one in requires]
        head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
        (folder / "METADATA").write_text(head + "".join(lines))
        (folder / "RECORD").write_text("\n".join([*files, *notes, f"{folder.name}/RECORD,,"]))
        importlib.invalidate_caches()
        locks._installed.cache_clear()

    yield install
    locks._installed.cache_clear()


def test_everything_that_edgekd_rests_on_is_in_it():
    found = lock(["edgekd"])
    assert {"edgekd", "torch", "numpy", "onnxruntime", "sympy"} <= {*found}
    assert "pytest" not in found, "extras are left out"
    recorded = [name for name, one in found.items() if one.package.record]
    assert {"torch", "numpy", "onnxruntime"} <= {*recorded}
    # an old pip's build from source leaves no RECORD, which is said of the package and is no digest
    assert recorded == [name for name, one in found.items() if one.distribution.read_text("RECORD")]
    assert "sympy" in found["torch"].needs
    assert [*found] == sorted(found)


def test_extras_and_markers_are_followed_and_circles_end(installed):
    installed("ekd-a", requires=["ekd_B[more]", "absent-one", 'ekd-d; sys_platform == "none"'])
    installed("ekd-b", requires=["ekd-a", 'ekd-c; extra == "more"', 'ekd-d; extra == "other"'])
    installed("ekd-c")
    installed("ekd-d")
    found = lock(["Ekd.A"])
    assert {name: one.needs for name, one in found.items()} == {
        "ekd-a": ("ekd-b",), "ekd-b": ("ekd-a", "ekd-c"), "ekd-c": (),
    }  # fmt: skip


def test_two_installations_of_a_build_are_alike_and_two_builds_are_not(installed):
    def digest(**options):
        installed("ekd-a", **options)
        return lock(["ekd-a"])["ekd-a"].package.record

    first = digest(files=["x.py,sha256=AAA,3", "y.so,sha256=BBB,9"])
    notes = [
        "../../../bin/tool,sha256=ZZZ,5",
        "ekd_a-1.0.dist-info/INSTALLER,sha256=PPP,4",
        "ekd_a-1.0.dist-info/direct_url.json,sha256=UUU,4",
        "__pycache__/x.cpython-311.pyc,,",
    ]
    assert digest(files=["y.so,sha256=BBB,9", "x.py,sha256=AAA,3"], notes=notes) == first
    assert digest(files=["x.py,sha256=AAA,3", "y.so,sha256=CCC,9"]) != first
    assert digest(files=[]) == "", "a distribution without a list of its files"


def test_it_is_a_requirements_file_with_digests(installed):
    installed("ekd-a", "1.0+local")
    installed("ekd-long", "2", files=[])
    text = as_requirements(lock(["ekd-a", "ekd-long"]))
    first, second = text.splitlines()
    assert first.startswith("ekd-a==1.0+local  # RECORD ")
    assert second == "ekd-long==2       # RECORD absent"
