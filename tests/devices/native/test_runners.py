import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekd.core.errors import RequestError
from edgekd.core.shipped import shipped
from edgekd.devices.bench import Session
from edgekd.devices.kept import Journal
from edgekd.devices.native import runners
from edgekd.devices.native.runners import Build, copy_runners, find, this_machine
from edgekd.devices.survey import survey
from edgekd.devices.target import Target
from edgekd.pipeline.targets import check_runners, find_targets, read_target


def described(**more: Any) -> Target:
    about = {"description": "here", "transport": "local", "runtimes": ("executorch",)}
    return Target.model_validate(about | {"native": ("executorch",)} | more)


def test_only_a_runtime_of_the_target_runs_by_a_runner_and_only_where_there_is_one() -> None:
    for more, said in (
        ({"runtimes": ("onnxruntime",)}, "'executorch' is not among the runtimes of this target"),
        (
            {"runtimes": ("onnxruntime",), "native": ("onnxruntime",)},
            "there is no C\\+\\+ runner for 'onnxruntime'",
        ),
    ):
        with pytest.raises(ValidationError, match=said):
            described(**more)


def test_without_its_runner_a_target_is_refused_with_the_command_that_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = read_target("cpu-xnnpack", find_targets(tmp_path))
    step = "Build it once: edgekd runner build --target cpu-xnnpack"
    with pytest.raises(RequestError, match=step) as refused:
        check_runners("cpu-xnnpack", here)
    assert f"for {this_machine()} is not built" in str(refused.value)
    check_runners("cpu", read_target("cpu", find_targets(tmp_path)))
    with pytest.raises(RequestError, match="edgekd runner build --target NAME"):
        assert Session(described(), (), Journal(tmp_path / "journal"))._brought


def test_a_runner_is_found_for_its_machine_as_long_as_every_file_is_as_it_was_built(
    runners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(shutil.copytree(runners, tmp_path / "cache")))
    build = find("executorch", this_machine())
    assert build is not None
    assert find("executorch", "riscv64") is None
    library = build.folder / "lib/libexecutorch.so"
    library.write_bytes(library.read_bytes()[:-1])
    assert find("executorch", this_machine()) is None


@pytest.mark.usefixtures("native")
def test_where_the_runtime_is_not_installed_the_runner_that_is_kept_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = find("executorch", this_machine())
    monkeypatch.setattr(runners, "installed_version", lambda _: "")
    assert find("executorch", this_machine()) == build
    monkeypatch.setattr(runners, "installed_version", lambda _: "9.9")
    assert find("executorch", this_machine()) is None


def test_another_source_version_or_machine_is_another_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runners/executorch"
    shutil.copytree(shipped("targets") / "runners/executorch", folder)
    monkeypatch.setattr(runners, "shipped", lambda _: tmp_path)
    keys = [Build("executorch", "1.5.1", "x86_64").key, Build("executorch", "1.5.0", "x86_64").key]
    keys.append(Build("executorch", "1.5.1", "aarch64").key)
    (folder / "plan.h").write_text("// nothing\n")
    keys.append(Build("executorch", "1.5.1", "x86_64").key)
    assert len({*keys}) == 4


@pytest.mark.usefixtures("native")
def test_a_device_gets_the_runner_beside_the_scripts_and_no_source(tmp_path: Path) -> None:
    copy_runners(described(), tmp_path / "work")
    names = {str(path.relative_to(tmp_path / "work")) for path in (tmp_path / "work").rglob("*")}
    assert {"bench.py", "native/executorch/edgekd-executorch"} <= names
    assert "native/executorch/lib/libexecutorch_backend_xnnpack.so" in names
    assert not [name for name in names if name.endswith((".cpp", ".h", ".txt"))]


@pytest.mark.usefixtures("native")
def test_a_target_is_told_to_have_the_runner_and_its_version() -> None:
    found = survey(described())
    assert found.untrue == []
    assert "(C++ runner " in found.runtimes["executorch"]
