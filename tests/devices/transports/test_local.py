import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.core.errors import StageError
from edgekd.devices.transports.local import Local, LocalTransport


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_folder_goes_there_and_comes_back(tmp_path: Path) -> None:
    (tmp_path / "job" / "inner").mkdir(parents=True)
    (tmp_path / "job" / "inner" / "a.txt").write_text("here")
    transport = LocalTransport(Local())
    there = transport.push(tmp_path / "job")
    assert not Path(there).is_relative_to(tmp_path)
    transport.run(python(f"open({there + '/b.txt'!r}, 'w').write('there')"))
    transport.pull(there, tmp_path / "back")
    assert (tmp_path / "back" / "inner" / "a.txt").read_text() == "here"
    assert (tmp_path / "back" / "b.txt").read_text() == "there"
    transport.pull(f"{there}/b.txt", tmp_path / "one.txt")
    assert (tmp_path / "one.txt").read_text() == "there"
    assert Path(transport.push(tmp_path / "one.txt")).read_text() == "there"


def test_the_working_folder_goes_with_the_transport() -> None:
    transport = LocalTransport(Local())
    folder = transport.folder
    assert folder.is_dir()
    del transport
    assert not folder.exists()


def test_nothing_of_our_environment_reaches_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    seen = LocalTransport(Local()).run(python("import os; print(sorted(os.environ))"))
    assert "PYTHONPATH" not in seen
    assert "OMP_NUM_THREADS" not in seen


def test_a_failing_command_is_shown_with_its_status_and_last_lines() -> None:
    with pytest.raises(StageError, match=r"(?s)ended with exit status 3.*last words"):
        LocalTransport(Local()).run(
            python("import sys; print('last words', file=sys.stderr); sys.exit(3)")
        )


def test_a_command_that_dies_of_a_signal_says_which() -> None:
    with pytest.raises(StageError, match="was killed by SIGSEGV"):
        LocalTransport(Local()).run(python("import os; os.kill(os.getpid(), 11)"))


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(note)!r}, 'w').write(str(child.pid)); child.wait()"
    )
    with pytest.raises(StageError, match=r"(?s)took longer than 1 s.*mode: quick"):
        LocalTransport(Local(timeout_s=1.0)).run(python(code))
    _wait(lambda: not _alive(int(note.read_text())), 5)


HOLDER = """
import sys
from edgekd.devices.transports.local import Local, LocalTransport
transport = LocalTransport(Local())
print(transport.folder, flush=True)
transport.run([sys.executable, "-c", sys.argv[1]])
"""
TREE = """
import os, subprocess, sys, time
for number in range(500):
    open(str(number), "w").close()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open("pids.tmp", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename("pids.tmp", "pids")
child.wait()
"""


ATTENTIVE = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""What a shell starts in the background ignores SIGINT, and so would all that it starts."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_command_its_children_and_its_folder_go_when_we_are_ended(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ATTENTIVE + HOLDER, TREE],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        _wait((folder / "pids").exists, 30)
        pids = [int(pid) for pid in (folder / "pids").read_text().split()]
        assert all(map(_alive, pids))
        holder.send_signal(number)
        # in well under a second; the rest is patience with a busy machine
        _wait(lambda: not any(map(_alive, pids)) and not folder.exists(), 30)


def test_a_folder_goes_with_us_where_no_command_runs() -> None:
    code = HOLDER.rpartition("transport.run")[0] + "sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        assert folder.is_dir()
        holder.kill()
        _wait(lambda: not folder.exists(), 30)


def test_what_a_killed_keeper_left_goes_with_the_next_run_and_what_is_held_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = LocalTransport(Local())
    for name in ("edgekd-target-old", "edgekd-target-new", "edgekd-other"):
        (tmp_path / name / "work").mkdir(parents=True)
    for folder in (held.folder, tmp_path / "edgekd-target-old", tmp_path / "edgekd-other"):
        os.utime(folder, (1, 1))
    other = LocalTransport(Local())
    left = {folder.name for folder in tmp_path.iterdir()}
    assert left == {held.folder.name, other.folder.name, "edgekd-target-new", "edgekd-other"}


def _wait(until: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        os.kill(pid, 0)
    except (OSError, FileNotFoundError):
        return False
    return status != "Z"
