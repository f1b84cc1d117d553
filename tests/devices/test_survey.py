import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekd.core.errors import UnreachableError
from edgekd.core.signature import Signature
from edgekd.devices import survey as surveying
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import PRESETS
from edgekd.devices.survey import lacking, survey
from edgekd.devices.target import Target
from edgekd.devices.transports.local import LocalTransport

MACHINE = {"arch": "aarch64", "cores": "4", "affinity": "0 1 2 3", "memory_mib": "8062"}
FAILED = {"how": "ended with exit status 1 while starting", "late": False}


def board(**more: Any) -> Target:
    about = {"description": "a board", "transport": "local", "runtimes": ("onnxruntime",)}
    hardware = {"arch": "aarch64", "cores": 4, "memory_mib": 8192}
    return Target.model_validate(about | {"hardware": hardware, "threads": 4} | more)


def look(monkeypatch: pytest.MonkeyPatch, target: Target, **machine: str) -> surveying.Survey:
    """Return what is said of a device that would tell this of itself."""
    told = {"machine": MACHINE | machine, "versions": {"onnxruntime": "1.0"}}
    told["failed"] = {"executorch": FAILED | {"lines": ["first", "No module named 'x'"]}}
    monkeypatch.setattr(surveying, "_identity", lambda *_: told)
    return survey(target)


def test_a_device_that_is_as_it_is_described_bears_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, board())
    assert (found.untrue, found.notes) == ([], [])


@pytest.mark.parametrize(
    ("target", "machine", "said"),
    [
        ({}, {"arch": "x86_64"}, "hardware.arch says aarch64, the device has x86_64"),
        ({"threads": 1}, {"cores": "2"}, "hardware.cores says 4, the device has 2"),
        ({}, {"memory_mib": "3790"}, "hardware.memory_mib says 8192, the device has 3790"),
        ({}, {"affinity": "0 1"}, "threads says 4, the device has 2 cores that may be used"),
        (
            {"runtimes": ("onnxruntime", "executorch")},
            {},
            "runtimes says executorch, the device has none that loads: No module named 'x'",
        ),
    ],
)
def test_each_claim_that_is_untrue_is_told(
    monkeypatch: pytest.MonkeyPatch, target: dict[str, Any], machine: dict[str, str], said: str
) -> None:
    assert [str(c) for c in look(monkeypatch, board(**target), **machine).untrue] == [said]


def test_what_makes_a_device_unsteady_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    target = board(runtimes=("executorch",))
    found = look(monkeypatch, target, governor="ondemand", temperature_c="81.5")
    assert [note.partition(":")[0] for note in found.notes] == [
        "the frequency governor is ondemand",
        "it is hot",
        "onnxruntime 1.0 is there too and is not listed under runtimes",
    ]


def test_a_device_without_the_runtime_is_told_before_any_program_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    monkeypatch.setattr(LocalTransport, "python", str(bare / "bin" / "python"))
    (tmp_path / "program.ort").touch()
    (tmp_path / "rows").mkdir()
    job = Job("one", tmp_path / "program.ort", "onnxruntime", Signature((), ()))
    session = Session(board(), [job], Journal(tmp_path / "journal"))
    with pytest.raises(
        UnreachableError, match="a board: numpy and onnxruntime are missing"
    ) as told:
        session.score("one", tmp_path / "rows", PRESETS["quick"])
    assert told.value.exit_code == 3


def test_a_missing_package_says_how_to_install_it() -> None:
    here = str(lacking(board(), ["numpy"], sys.executable))
    assert here.endswith(f"Install it: {sys.executable} -m pip install numpy")  # no other way
    there = board(transport={"kind": "ssh", "host": "pi"})
    text = str(lacking(there, ["numpy", "onnxruntime"], "/usr/bin/python3"))
    assert "a board: numpy and onnxruntime are missing for its /usr/bin/python3." in text
    assert "/usr/bin/python3 -m pip install numpy onnxruntime;" in text
    assert "python: /home/pi/venv/bin/python" in text
