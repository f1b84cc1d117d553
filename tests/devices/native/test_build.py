import os
import zipfile
from pathlib import Path

import pytest

from edgekd.cli.runner import build_for
from edgekd.core.errors import RequestError, StageError
from edgekd.devices.native import build as native_build
from edgekd.devices.native import wheel
from edgekd.devices.native.build import build_runner
from edgekd.devices.native.runners import (
    LIBRARIES,
    SYSTEM_LIBRARIES,
    Build,
    installed_version,
    this_machine,
)

HERE = installed_version("executorch")
OTHER = "aarch64" if this_machine() != "aarch64" else "x86_64"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have compilers for both machines that write next to nothing; return the folder of theirs."""
    folder = tmp_path / "compilers"
    folder.mkdir()
    for name in ("g++", f"{OTHER}-linux-gnu-g++"):
        script = """\
case $1 in -print-file-name=*) echo made >"$0.${1#*=}"; echo "$0.${1#*=}"; exit ;; esac
while [ $# -gt 0 ]; do
  [ "$1" != -o ] || printf '\\000/lib/ld-made.so.1\\000' >"$2"
  shift
done
echo made"""
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def wheel_of(
    folder: Path, *more: str, name: str = "executorch", version: str = HERE, arch: str = OTHER
) -> Path:
    """Write a wheel with empty libraries."""
    path = folder / f"{name}-{version}-cp311-cp311-manylinux_2_28_{arch}.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{about}/METADATA", f"Name: {name}\nVersion: {version}\n\nVersion: 7\n")
        archive.writestr(f"{about}/WHEEL", f"Tag: cp311-cp311-manylinux_2_28_{arch}\n")
        archive.writestr("executorch/include/executorch/version.h", "")
        for each in (*(f"executorch/lib/lib{library}.so" for library in LIBRARIES), *more):
            archive.writestr(each, "")
    return path


def test_a_wheel_of_the_same_version_makes_a_runner_for_its_machine_once(
    compilers: Path, cache: Path, tmp_path: Path
) -> None:
    assert compilers.is_dir()
    file = wheel_of(tmp_path, "executorch/lib/../../../outside", "executorch/exir/x.py")
    build, fresh = build_runner("executorch", OTHER, file)
    assert fresh
    assert build == Build("executorch", HERE, OTHER)
    assert build.folder.is_relative_to(cache)
    assert build.whole()
    assert sorted(path.name for path in (build.folder / "lib").iterdir()) == sorted(
        f"lib{name}.so" for name in LIBRARIES
    )
    assert {path.name for path in (build.folder / "system").iterdir()} == {
        "ld.so",
        *SYSTEM_LIBRARIES,
    }
    assert not [*tmp_path.rglob("outside")]
    assert [path.name for path in build.folder.parent.iterdir()] == [build.folder.name]
    assert build_runner("executorch", OTHER, file) == (build, False)
    assert build_runner("executorch", OTHER, None) == (build, False)  # nothing is fetched
    (build.folder / build.program).write_text("damaged")
    assert build_runner("executorch", OTHER, file) == (build, True)


@pytest.mark.usefixtures("compilers")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"version": "1.0.0"}, f"the wheel is executorch 1.0.0, and programs are made by {HERE}"),
        ({"arch": this_machine()}, f"is for manylinux_2_28_{this_machine()}, not for {OTHER}"),
        ({"name": "numpy"}, "is a wheel of numpy, not of executorch"),
    ],
)
def test_another_wheel_is_refused(tmp_path: Path, given: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        build_runner("executorch", OTHER, wheel_of(tmp_path, **given))


@pytest.mark.usefixtures("compilers")
def test_what_is_no_wheel_or_lacks_the_libraries_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.whl").write_text("no archive")
    for name in ("text.whl", "absent.whl"):
        with pytest.raises(RequestError, match="cannot be read as a wheel") as refused:
            build_runner("executorch", OTHER, tmp_path / name)
        assert "pip download --no-deps --only-binary=:all:" in str(refused.value)
    file = wheel_of(tmp_path)
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(tmp_path / "less.whl", "w") as less:
        for entry in whole.namelist():
            if "xnnpack" not in entry:
                less.writestr(entry, whole.read(entry))
    with pytest.raises(RequestError, match=r"has no libexecutorch_backend_xnnpack\.so"):
        build_runner("executorch", OTHER, tmp_path / "less.whl")


def test_without_a_compiler_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RequestError, match=r"'g\+\+' is not found") as refused:
        build_runner("executorch", this_machine(), None)
    assert "apt install g++" in str(refused.value)
    with pytest.raises(RequestError, match=f"no C.. compiler for {OTHER} here") as refused:
        build_runner("executorch", OTHER, None)
    assert f"apt install g++-{OTHER.replace('_', '-')}-linux-gnu" in str(refused.value)


@pytest.mark.usefixtures("compilers")
def test_where_pip_finds_no_wheel_it_is_asked_for_as_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(wheel, "PLATFORMS", ("nowhere",))
    with pytest.raises(RequestError, match=f"pip finds no wheel of executorch {HERE}") as refused:
        build_runner("executorch", OTHER, None)
    assert "edgekd runner build --wheel FILE.whl" in str(refused.value)


@pytest.mark.usefixtures("compilers")
def test_where_the_package_is_not_installed_its_wheel_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native_build, "installed_version", lambda _: "")
    monkeypatch.setattr(native_build, "installed", lambda _: wheel.installed("executorch-absent"))
    with pytest.raises(RequestError, match="is not installed here") as refused:
        build_runner("executorch", this_machine(), None)
    assert "--wheel FILE.whl" in str(refused.value)


def test_what_the_compiler_objects_is_told_and_nothing_is_left(
    compilers: Path, cache: Path
) -> None:
    (compilers / "g++").write_text("#!/bin/sh\necho 'a.cpp:1: error: no such thing' >&2; exit 1\n")
    with pytest.raises(StageError, match="could not build the runner") as failed:
        build_runner("executorch", this_machine(), None)
    assert "error: no such thing" in str(failed.value)
    assert [*(cache / "edgekd/runners").iterdir()] == []


def test_a_compiler_without_glibc_is_told(compilers: Path, cache: Path, tmp_path: Path) -> None:
    compiler = compilers / f"{OTHER}-linux-gnu-g++"
    made = compiler.read_text()
    for change, said in (
        (('echo "$0.${1#*=}"', 'echo "${1#*=}"'), r"has no ld-made\.so\.1 to bring along"),
        (("/lib/ld-made", "/lib/other"), "built a runner without a loader"),
    ):
        compiler.write_text(made.replace(*change))
        with pytest.raises(StageError, match=said):
            build_runner("executorch", OTHER, wheel_of(tmp_path))
    assert [*(cache / "edgekd/runners").iterdir()] == []


@pytest.mark.usefixtures("compilers")
def test_a_runner_that_does_not_start_here_is_not_kept(cache: Path) -> None:
    with pytest.raises(StageError, match="does not start here"):
        build_runner("executorch", this_machine(), None)
    assert [*(cache / "edgekd/runners").iterdir()] == []


def test_the_command_says_what_is_kept_and_refuses_a_target_without_a_runner(
    runners: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(runners))
    build_for("cpu-xnnpack", None, as_json=False)
    said = capsys.readouterr().out
    assert said.startswith(f"kept   executorch {HERE} (C++ runner ")
    with pytest.raises(RequestError, match="target 'cpu' runs nothing by a C"):
        build_for("cpu", None, as_json=False)
