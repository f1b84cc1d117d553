"""A pipeline that measures on a device, with a Python on the other side that has no torch."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import edgekd
from edgekd.core.errors import UnreachableError
from tests.devices.adb_servers import ADBD, Fake, real_adb
from tests.devices.ssh_servers import (
    SSHD,
    Server,
    asyncssh_server,
    openssh_server,
    small_python,
)
from tests.pipeline.conftest import TINY

MEASURED = (
    TINY.partition("  smaller:")[0]
    + """\
  onnx: {kind: export, model: $student, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    targets: [cpu, board]
    bench: {mode: quick, restarts: 2, max_restarts: 2, min_runs: 25, min_s: 0.05, warmup_s: 0.05}
    gates: {accuracy_drop: "<= 0.9"}
  report: {kind: report, of: [$check]}
"""
)
SCORED = 2
"""Documents that there are once both programs were scored: timing follows."""
WAYS = [pytest.param(openssh_server if SSHD else asyncssh_server, id="ssh")]
if ADBD:
    WAYS.append(pytest.param(real_adb, id="adbd"))
Device = Server | Fake


@pytest.fixture(scope="module", params=WAYS)
def device(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with request.param(tmp_path_factory.mktemp("device") / "way") as server:
        small_python(server.place / "python")
        yield server


def describe(folder: Path, device: Device) -> None:
    way = {"kind": device.kind, **device.options, "patience_s": 0.5}
    way["python"] = str(device.place / "python/bin/python")
    target = {"description": "a board", "transport": way, "runtimes": ["onnxruntime"]}
    (folder / "targets").mkdir()
    (folder / "targets" / "board.yaml").write_text(json.dumps(target))


def taken(folder: Path) -> dict[str, bytes]:
    """Return what is written down of measurements on the board."""
    files = folder.glob("store/unfinished/*/measured/board/*.json")
    return {file.name: file.read_bytes() for file in files}


def test_a_device_that_vanishes_ends_the_run_and_the_next_goes_on_to_its_report(
    device: Device, tmp_path: Path
) -> None:
    describe(tmp_path, device)
    (tmp_path / "tiny.yaml").write_text(MEASURED)
    places = {"store": tmp_path / "store", "runs": tmp_path / "runs"}
    ended: dict[str, bytes] = {}

    def vanish() -> None:
        while len(taken(tmp_path)) < SCORED:
            time.sleep(0.02)
        device.end()
        ended.update(taken(tmp_path))

    vanishing = threading.Thread(target=vanish, daemon=True)
    vanishing.start()
    with pytest.raises(UnreachableError, match=r"(?s)link to the device was cut.*is kept") as told:
        edgekd.run(tmp_path / "tiny.yaml", **places)
    assert told.value.exit_code == 3
    assert ended.items() <= taken(tmp_path).items()

    device.start()
    assert edgekd.run(tmp_path / "tiny.yaml", **places).exit_code == 0
    (file,) = (tmp_path / "store" / "results").glob("*/measurements.json")
    found = json.loads(file.read_text())
    assert [target["name"] for target in found["targets"]] == ["cpu", "board"]
    assert len(found["targets"][1]["sittings"]) == 2
    assert len(found["gates"]) == 2
    quality = {q["target"]: {**q, "target": ""} for q in found["quality"] if q["program"] == "onnx"}
    assert quality["cpu"] == quality["board"]
    board = [m for m in found["measurements"] if m["target"] == "board"]
    assert [len(m["restarts"]) for m in board] == [2, 2]
    assert not any("torch" in note for m in board for note in m["notes"])
