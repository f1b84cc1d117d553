"""What a shell does in the place of Python's attendant: the rest of a transport is as ever."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from edgekd.core.artifact import digest_file
from edgekd.core.errors import StageError, UnreachableError
from edgekd.devices.link import attended, link
from edgekd.devices.link.attendant import LOCK
from edgekd.devices.link.attended import AttendedDevice
from edgekd.devices.link.bare_link import BareLink
from edgekd.devices.link.link import Link, LostError, wait_for
from edgekd.devices.link.refusals import Address
from tests.devices.bare_devices import WAYS, bare
from tests.devices.link.test_attended import (
    COUNTED,
    HOLDER,
    TREE,
    Device,
    alive,
    mute,
    python,
    wait,
)
from tests.devices.ssh_servers import asyncssh_server


@pytest.fixture(scope="module", params=WAYS)
def device(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with bare(request.param, tmp_path_factory.mktemp("device")) as server:
        yield server


def reach(device: Device, **options: Any) -> AttendedDevice:
    return device.reach(**{"python": None, **options})


def test_files_go_there_and_come_back_and_only_what_differs_is_sent(
    device: Device, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    (job / "in it").mkdir(parents=True)
    content = {
        "in it/a.txt": b"here",
        "it's $(x) `y`\\\n.bin": bytes(range(256)) * 300,
        "-n": b"",
        "é": b"e",
    }
    for name, data in content.items():
        (job / name).write_bytes(data)
    transport = reach(device)
    there = Path(transport.push(job))
    before = {name: (there / name).stat().st_ino for name in content}
    (job / "é").write_bytes(b"changed")
    transport.push(job)
    after = {name: (there / name).stat().st_ino for name in content}
    assert {name for name in content if before[name] != after[name]} == {"é"}
    transport.pull(str(there), tmp_path / "back")
    back = {str(p.relative_to(tmp_path / "back")): p for p in (tmp_path / "back").rglob("*")}
    found = {name: path.read_bytes() for name, path in back.items() if path.is_file()}
    assert found == content | {"é": b"changed"}
    transport.pull(f"{there}/-n", tmp_path / "one.txt")
    assert (tmp_path / "one.txt").read_bytes() == b""
    del transport
    assert device.left() == []


def test_a_file_that_was_cut_goes_on_where_it_ended_and_an_altered_part_does_not(
    device: Device, tmp_path: Path
) -> None:
    data = os.urandom(200_000)
    (tmp_path / "a").write_bytes(data)
    transport = reach(device)
    part = Path(transport.folder) / f"a.{digest_file(tmp_path / 'a')[:16]}.part"
    for begun in (data[:90_000], b"x" * 90_000):
        part.write_bytes(begun)
        assert Path(transport.push(tmp_path / "a")).read_bytes() == data
        assert not part.exists()
        (Path(transport.folder) / "a").unlink()


def test_commands_run_without_python_in_a_bare_environment_and_tell_how_they_end(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    transport = reach(device)
    words = ["two words", "it's", '"', "$HOME `id`", "a\nb", "", "*", "é", "-x", "\\"]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    assert json.loads(transport.run(python(code, *words))) == words
    script = "command -v python3 || env; pwd"
    shown = transport.run(["sh", "-c", script]).splitlines()
    assert {line.partition("=")[0] for line in shown[:-1]} <= {"HOME", "PATH", "PWD", "TMPDIR"}
    assert shown[-1] == transport.folder
    with pytest.raises(StageError, match=r"(?s)exit status 3 on adb.*last words"):
        transport.run(["sh", "-c", "echo last words >&2; exit 3"])
    with pytest.raises(StageError, match="ended with exit status 200"):
        transport.run(["sh", "-c", "exit 200"])
    with pytest.raises(StageError, match="was killed by signal 40"):
        transport.run(["sh", "-c", "kill -40 $$"])
    with pytest.raises(StageError, match="was killed by SIGSEGV"):
        transport.run(["sh", "-c", "kill -SEGV $$"])
    with pytest.raises(StageError, match="was killed by SIGKILL"):
        transport.run(["sh", "-c", "kill -KILL $$"])
    with pytest.raises(UnreachableError, match=r"refuses: .*No such file"):
        transport.run(["/no/such/program"])


def test_a_command_that_takes_too_long_is_ended_with_its_children(device: Device) -> None:
    transport = reach(device, timeout_s=0.6)
    with pytest.raises(StageError, match=r"(?s)took longer than 0.6 s on adb.*mode: quick"):
        transport.run(python(TREE))
    pids = [int(pid) for pid in (Path(transport.folder) / "pids").read_text().split()]
    wait(lambda: not any(map(alive, pids)))


def test_a_command_its_children_and_its_folder_go_when_we_are_killed(device: Device) -> None:
    about = {"kind": device.kind, **device.options, "python": None}
    holder = HOLDER.replace('("onnxruntime",)}', '("executorch",), "native": ("executorch",)}')
    words = [sys.executable, "-c", holder, json.dumps(about), TREE]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        wait((folder / "pids").exists)
        pids = [int(pid) for pid in (folder / "pids").read_text().split()]
        assert all(map(alive, pids))
        process.send_signal(signal.SIGKILL)
        wait(lambda: not any(map(alive, pids)) and not folder.exists())


def test_a_command_whose_link_is_cut_is_ended_and_run_again(device: Device) -> None:
    transport = reach(device)
    folder = Path(transport.folder)

    def begun() -> list[int]:
        return [int(path.name.partition("-")[2]) for path in folder.glob("begun-*")]

    def cut() -> None:
        wait(lambda: len(begun()) == 1)
        device.cut()
        wait(lambda: len(begun()) == 2)
        (folder / "enough").touch()

    cutting = threading.Thread(target=cut)
    cutting.start()
    assert transport.run(python(COUNTED)) == "done\n"
    cutting.join()
    assert not any(map(alive, begun()))
    assert folder == Path(transport.folder)


def test_a_device_that_does_not_hear_from_us_ends_the_command(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 0.5)
    monkeypatch.setattr(Link, "_beat", mute)
    transport = reach(device, patience_s=0.2)
    with pytest.raises(UnreachableError, match=r"(?s)link to the device was cut.*is kept"):
        transport.run(["sleep", "60"])


def test_a_program_may_be_silent_for_longer_than_a_link(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 2.0)
    assert reach(device).run(["sh", "-c", "sleep 3; echo said"]) == "said\n"


def test_it_waits_its_turn_behind_a_run_that_drives_the_same_device_by_python(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_python = device.reach(python=sys.executable)
    patient, hasty = reach(device), reach(device, busy_s=0.1)
    told: list[str] = []
    patient.told = told.append
    monkeypatch.setattr(attended, "PATIENT_S", 0.1)
    monkeypatch.setattr(attended, "who", lambda: 'ada "on" board, process 7')
    folder = Path(with_python.folder)
    holding = threading.Thread(target=lambda: with_python.run(python(COUNTED)))
    holding.start()
    wait(lambda: bool([*folder.glob("begun-*")]))
    with pytest.raises(UnreachableError, match=r"measures there: ada .on. board, process 7"):
        hasty.run(["true"])
    waiting = threading.Thread(target=lambda: patient.run(["true"]))
    waiting.start()
    wait(lambda: bool(told))
    (folder / "enough").touch()
    holding.join()
    waiting.join()
    assert told == ["waiting, at most 21600 s, for ada ?on? board, process 7"]
    assert hasty.run(["sh", "-c", "echo free"]) == "free\n"
    assert with_python.run(["sh", "-c", "echo free"]) == "free\n"


def test_an_answer_that_nobody_waited_for_is_not_taken_for_that_to_the_next_request(
    device: Device,
) -> None:
    """As after Ctrl-C: the device would be taken for ours while another run has it."""
    holder, other = reach(device), reach(device, busy_s=0.1)
    wait_for(holder._held[0].ask("take", wait_s=1, who="ada"))
    bare_link = other._held[0]
    assert isinstance(bare_link, BareLink)

    async def interrupted() -> None:
        asking = asyncio.create_task(bare_link._told("still"))
        await asyncio.sleep(0.1)
        asking.cancel()

    with patch.object(bare_link._answers, "get", lambda: asyncio.sleep(60)):
        wait_for(interrupted())
    with pytest.raises(UnreachableError, match="measures there: ada"):
        other.run(["true"])
    wait_for(holder._held[0].ask("leave"))
    assert other.run(["sh", "-c", "echo mine"]) == "mine\n"


def test_a_run_that_is_interrupted_ends_what_it_had_begun(device: Device) -> None:
    transport = reach(device)
    folder = Path(transport.folder)
    work = transport._held[0].ask("run", command=python(COUNTED), timeout_s=60)
    asked = asyncio.run_coroutine_threadsafe(work, link._loop())
    wait(lambda: bool([*folder.glob("begun-*")]))
    (pid,) = [int(path.name.partition("-")[2]) for path in folder.glob("begun-*")]
    asked.cancel()
    wait(lambda: not alive(pid))
    assert transport.run(["sh", "-c", "echo next"]) == "next\n"


def test_whatever_is_written_in_the_lock_is_shown_in_one_line(device: Device) -> None:
    """It lies where every user of the device can write."""
    holder, other = reach(device), reach(device, busy_s=0.1)
    wait_for(holder._held[0].ask("take", wait_s=1, who="ada"))
    (device.place / "work" / LOCK).write_bytes(b'ada "l"\xff\nand others\n')
    with pytest.raises(UnreachableError, match=r"measures there: ada \?l\?."):
        other.run(["true"])
    wait_for(holder._held[0].ask("leave"))


def test_an_attendant_that_says_what_is_no_answer_is_not_waited_for() -> None:
    async def listen() -> None:
        address = Address("adb://1", "adb shell", "adb", "/tmp", "/data")
        bare_link, said = BareLink(NotImplemented, address), asyncio.StreamReader()
        bare_link.process = SimpleNamespace(stdout=said, stdin=io.BytesIO())
        bare_link._answers = asyncio.Queue()
        said.feed_data(b"Killed\n")
        await asyncio.wait({asyncio.create_task(bare_link._hear())})
        for _ in range(2):
            with pytest.raises(LostError):
                await asyncio.wait_for(bare_link._told("still"), 5)

    wait_for(listen())


def test_what_killed_runs_left_goes_with_the_next_and_what_is_held_stays(device: Device) -> None:
    held = [reach(device), device.reach(python=sys.executable)]
    work = device.place / "work"
    for name in ("edgekd-target-old", "edgekd-target-new", "edgekd-other"):
        (work / name / "in").mkdir(parents=True)
    folders = {Path(one.folder).name for one in held}
    for name in (*folders, "edgekd-target-old", "edgekd-other"):
        os.utime(work / name, (1, 1))
    other = reach(device)
    left = {path.name for path in work.iterdir() if path.is_dir()}
    assert left == folders | {Path(other.folder).name, "edgekd-target-new", "edgekd-other"}
    for name in ("edgekd-target-new", "edgekd-other"):
        subprocess.run(["rm", "-r", str(work / name)], check=True)


def test_a_shell_that_lacks_what_is_needed_is_told(tmp_path: Path) -> None:
    with bare(asyncssh_server, tmp_path) as device:
        for name in ("flock", "wc"):
            (tmp_path / "tools" / name).unlink()
        with pytest.raises(UnreachableError, match=r"(?s)shell has no flock, wc\..*toybox has"):
            reach(device)
        assert device.left() == []
