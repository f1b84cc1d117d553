import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekd.devices.native.runners import ABOUT, Build, installed_version
from tests.devices.adb_servers import Fake, fake_adb
from tests.devices.ssh_servers import Server, asyncssh_server, small_python


def edgekd(*words: str, cwd: Path) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "edgekd", *words],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with asyncssh_server(tmp_path_factory.mktemp("device") / "ssh") as server:
        small_python(server.place / "python")
        yield server


def describe(folder: Path, device: Server | Fake, **more: Any) -> None:
    way = {"kind": device.kind, **device.options, "python": str(device.place / "python/bin/python")}
    target = {"description": "a board", "transport": way, "runtimes": ["onnxruntime"]}
    (folder / "targets").mkdir(exist_ok=True)
    (folder / "targets" / "board.yaml").write_text(json.dumps(target | more))


def test_a_device_is_told_as_it_is_and_what_its_file_says_untruly(
    device: Server, tmp_path: Path
) -> None:
    describe(tmp_path, device, runtimes=["onnxruntime", "executorch"])
    done = edgekd("targets", "check", "board", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "UNTRUE: runtimes says executorch" in done.stdout
    assert "none that loads: ModuleNotFoundError" in done.stdout
    describe(tmp_path, device)
    done = edgekd("targets", "check", "board", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["true"] is True
    assert found["untrue"] == []
    assert set(found["runtimes"]) == {"onnxruntime"}
    assert found["machine"]["cores"] == str(os.cpu_count())
    assert device.left() == []


def test_a_device_that_is_not_there_is_exit_code_3_and_an_unknown_one_2(
    device: Server, tmp_path: Path
) -> None:
    way = {"kind": "ssh", **device.options, "port": 1}
    describe(tmp_path, device, transport=way)
    done = edgekd("targets", "check", "board", cwd=tmp_path)
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert "cannot be reached: Connection refused" in done.stderr
    done = edgekd("targets", "check", "bord", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'board'" in done.stderr


def test_the_shipped_phone_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build = Build("executorch", installed_version("executorch"), "aarch64")
    build.folder.mkdir(parents=True)
    (build.folder / ABOUT).write_text('{"files": {}}')
    with fake_adb(tmp_path / "adb") as device:
        device.say({})
        done = edgekd("targets", "check", "android-phone", cwd=tmp_path)
        assert done.returncode == 3
        assert "no device is connected" in done.stderr
        assert "USB debugging" in done.stderr
        device.say({"A1": "unauthorized"})
        done = edgekd("targets", "check", "android-phone", cwd=tmp_path)
        assert done.returncode == 3
        assert "adb://A1" in done.stderr


def test_the_list_for_programs_says_how_each_is_reached(tmp_path: Path) -> None:
    done = edgekd("targets", "--json", cwd=tmp_path)
    ways = {name: about["transport"]["kind"] for name, about in json.loads(done.stdout).items()}
    expected = {"cpu": "local", "linux-arm64": "ssh", "raspberry-pi-5": "ssh"}
    expected["android-phone"] = "adb"
    assert (expected | {"cpu-xnnpack": "local", "qemu-arm64": "qemu"}).items() <= ways.items()
