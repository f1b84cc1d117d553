import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekd.core.errors import StageError, UnreachableError
from edgekd.devices import turn
from edgekd.devices.adb.connection import AdbProcess
from edgekd.devices.link import attended, link
from edgekd.devices.link.attendant import LOCK
from edgekd.devices.link.link import Link
from tests.devices.adb_servers import ADBD, Fake, fake_adb, real_adb
from tests.devices.ssh_servers import SSHD, Server, asyncssh_server, openssh_server

NO_SSHD = pytest.mark.skipif(not SSHD, reason="no sshd here: apt-get install openssh-server")
REAL = [pytest.param(real_adb, id="adbd")] if ADBD else []
"""Only where tests/devices/real_adbd.sh runs the tests: adbd must not listen outside of it."""
Device = Server | Fake
SOON = 30
"""Seconds of patience with a busy machine."""


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-S", "-c", code, *words]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(asyncssh_server, id="asyncssh"),
        pytest.param(openssh_server, id="openssh", marks=NO_SSHD),
        pytest.param(fake_adb, id="adb"),
        *REAL,
    ],
)
def device(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with request.param(tmp_path_factory.mktemp("device") / "way") as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param(asyncssh_server, id="asyncssh"),
        pytest.param(fake_adb, id="adb"),
        *REAL,
    ]
)
def own_device(request: Any, tmp_path: Path) -> Iterator[Device]:
    """A device that a test may break."""
    with request.param(tmp_path / "way") as server:
        yield server


def test_a_folder_goes_there_and_comes_back(device: Device, tmp_path: Path) -> None:
    job = tmp_path / "job"
    (job / "in it").mkdir(parents=True)
    content = {
        "in it/a.txt": b"here",
        "it's $(x) `y`\n.bin": bytes(range(256)),
        "-n": b"",
        "é": b"e",
    }
    for name, data in content.items():
        (job / name).write_bytes(data)
    transport = device.reach()
    there = transport.push(job)
    assert not Path(there).is_relative_to(tmp_path)
    transport.run(python("import sys; open(sys.argv[1], 'w').write('there')", f"{there}/b.txt"))
    transport.pull(there, tmp_path / "back")
    back = {str(p.relative_to(tmp_path / "back")): p for p in (tmp_path / "back").rglob("*")}
    assert {n: p.read_bytes() for n, p in back.items() if p.is_file()} == content | {
        "b.txt": b"there"
    }
    transport.pull(f"{there}/b.txt", tmp_path / "one.txt")
    assert Path(transport.push(tmp_path / "one.txt")).read_text() == "there"


def test_words_reach_the_command_as_they_are(device: Device) -> None:
    words = ["two words", "it's", '"', "$HOME `id`", "a\nb", "", "*", "é", "-x", "\\"]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    assert json.loads(device.reach().run(python(code, *words))) == words


def test_only_what_differs_is_sent(device: Device, tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    for name in ("same", "changed"):
        (job / name).write_text("1")
    transport = device.reach()
    there = Path(transport.push(job))
    before = {name: (there / name).stat().st_ino for name in ("same", "changed")}
    (job / "changed").write_text("2")
    transport.push(job)
    assert (there / "same").stat().st_ino == before["same"]
    assert (there / "changed").stat().st_ino != before["changed"]
    assert (there / "changed").read_text() == "2"


def test_nothing_of_the_environment_that_could_change_a_measurement_reaches_the_command(
    own_device: Device,
) -> None:
    (own_device.place / "bin" / "python9").write_text(
        f'#!/bin/sh\nOMP_NUM_THREADS=7 exec {sys.executable} "$@"\n'
    )
    (own_device.place / "bin" / "python9").chmod(0o755)
    transport = own_device.reach(python="python9")
    seen = transport.run(python("import os; print(sorted(os.environ))"))
    assert "PATH" in seen
    assert "OMP_NUM_THREADS" not in seen


def test_a_command_that_fails_says_how(device: Device) -> None:
    transport = device.reach()
    with pytest.raises(StageError, match=rf"(?s)exit status 3 on {device.name}.*last words"):
        transport.run(python("import sys; print('last words', file=sys.stderr); sys.exit(3)"))
    with pytest.raises(StageError, match="was killed by SIGSEGV"):
        transport.run(python("import os; os.kill(os.getpid(), 11)"))
    with pytest.raises(UnreachableError, match=r"refuses: .*No such file"):
        transport.run(["/no/such/program"])


def test_a_command_that_takes_too_long_is_ended_with_its_children(device: Device) -> None:
    transport = device.reach(timeout_s=1.0)
    with pytest.raises(
        StageError, match=rf"(?s)took longer than 1 s on {device.name}.*mode: quick"
    ):
        transport.run(python(TREE))
    pids = [int(pid) for pid in (Path(transport.folder) / "pids").read_text().split()]
    wait(lambda: not any(map(alive, pids)))


def test_the_working_folder_goes_with_the_transport_also_where_the_link_was_cut(
    device: Device,
) -> None:
    transport = device.reach()
    folder = Path(transport.folder)
    assert folder.is_dir()
    device.cut()
    assert transport.run(python("print(1)")) == "1\n"
    assert folder == Path(transport.folder)
    del transport
    assert not folder.exists()


def test_a_transport_may_be_collected_in_the_thread_of_its_link(own_device: Device) -> None:
    held = [own_device.reach()]
    assert own_device.left()
    link._loop().call_soon_threadsafe(held.clear)
    wait(lambda: not own_device.left())


TREE = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
with open("pids.tmp", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename("pids.tmp", "pids")
child.wait()
"""
HOLDER = """
import json, sys
from edgekd.devices.target import Target
way = {**json.loads(sys.argv[1]), "patience_s": 0.2}
about = {"description": "a board", "transport": way, "runtimes": ("onnxruntime",)}
transport = Target.model_validate(about).transport.build()
print(transport.folder, flush=True)
transport.run([sys.executable, "-S", "-c", sys.argv[2]])
"""


def test_a_command_its_children_and_its_folder_go_when_we_are_killed(device: Device) -> None:
    words = [
        sys.executable,
        "-c",
        HOLDER,
        json.dumps({"kind": device.kind, **device.options}),
        TREE,
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        wait((folder / "pids").exists)
        pids = [int(pid) for pid in (folder / "pids").read_text().split()]
        assert all(map(alive, pids))
        holder.send_signal(signal.SIGKILL)
        wait(lambda: not any(map(alive, pids)) and not folder.exists())


COUNTED = """
import os, sys, time
open(f"begun-{os.getpid()}", "w").close()
while not os.path.exists("enough"):
    time.sleep(0.02)
print("done")
"""


def test_a_command_whose_link_is_cut_is_ended_and_run_again(device: Device) -> None:
    transport = device.reach()
    folder = Path(transport.folder)

    def begun() -> list[int]:
        return [int(path.name.partition("-")[2]) for path in folder.glob("begun-*")]

    def cut() -> None:
        wait(lambda: len(begun()) == 1)
        (first,) = begun()
        device.cut()
        wait(lambda: len(begun()) == 2)
        wait(lambda: not alive(first))
        (folder / "enough").touch()

    cutting = threading.Thread(target=cut)
    cutting.start()
    assert transport.run(python(COUNTED)) == "done\n"
    cutting.join()


def test_an_answer_that_nobody_waited_for_is_not_taken_for_that_to_the_next_request(
    device: Device,
) -> None:
    """As after Ctrl-C; what ran is ended before anything else runs."""
    transport = device.reach()
    folder = Path(transport.folder)
    work = transport._held[0].ask("run", command=python(COUNTED), timeout_s=60)
    asked = asyncio.run_coroutine_threadsafe(work, link._loop())
    wait(lambda: bool([*folder.glob("begun-*")]))
    asked.cancel()
    (first,) = [int(path.name.partition("-")[2]) for path in folder.glob("begun-*")]
    assert transport.run(python("print(1)")) == "1\n"
    assert not alive(first)
    del transport
    assert not folder.exists()


LEAVING = """
import json, signal, sys
from threading import Event, Thread
from edgekd.devices.target import Target
signal.signal(signal.SIGINT, signal.default_int_handler)
way = json.loads(sys.argv[1])
about = {"description": "a board", "transport": way, "runtimes": ("onnxruntime",)}
targets = [Target.model_validate(about).transport.build() for _ in range(2)]
for each in targets:
    work = [sys.executable, "-S", "-c", sys.argv[2]]
    Thread(target=each.run, args=(work,), daemon=True).start()
print(*(each.folder for each in targets), flush=True)
Event().wait()
"""


def test_targets_that_are_measured_at_the_same_time_are_left_at_once_by_ctrl_c(
    own_device: Device,
) -> None:
    way = json.dumps({"kind": own_device.kind, **own_device.options})
    words = [sys.executable, "-c", LEAVING, way, COUNTED]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        folders = [Path(name) for name in holder.stdout.readline().split()]
        wait(lambda: any([*folder.glob("begun-*")] for folder in folders))
        began = time.monotonic()
        holder.send_signal(signal.SIGINT)
        holder.wait()
        said = holder.stderr.read()
    assert time.monotonic() - began < attended.LEAVING_S
    assert not [folder for folder in folders if folder.exists()]
    assert "KeyboardInterrupt" in said


def test_a_device_whose_shell_says_what_is_no_answer_is_told(own_device: Device) -> None:
    fake(own_device, "python9", "echo Welcome; sleep 5")
    with pytest.raises(UnreachableError, match="refuses: 'Welcome' is no answer"):
        own_device.reach(python="python9")
    assert own_device.left() == []


def test_a_device_that_does_not_hear_from_us_ends_the_command(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the cable is pulled: neither end sees the connection closed."""
    monkeypatch.setattr(link, "SILENCE_S", 2.0)
    monkeypatch.setattr(attended, "MOST_LOSSES", 2)
    monkeypatch.setattr(Link, "_beat", mute)
    transport = device.reach(patience_s=0.2)
    with pytest.raises(UnreachableError, match=r"(?s)link to the device was cut.*is kept"):
        transport.run(python("import time; time.sleep(60)"))


async def mute(_: Link) -> None:
    """Say nothing."""


def test_a_live_link_is_never_taken_for_cut(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 2.0)
    transport = device.reach(patience_s=0.2)
    assert transport.run(python("import time; time.sleep(3); print('still')")) == "still\n"


def test_a_device_that_is_gone_is_tried_again_and_then_told(own_device: Device) -> None:
    transport = own_device.reach(patience_s=0.5)
    threading.Timer(0.5, own_device.end).start()
    with pytest.raises(UnreachableError) as told:
        transport.run(python("import time; time.sleep(60)"))
    assert told.value.exit_code == 3
    text = str(told.value)
    assert "the link to the device was cut while 'python" in text
    assert "is kept: run the same command again" in text
    began = time.monotonic()
    del transport
    assert time.monotonic() - began < 5


def test_a_transfer_that_is_cut_goes_on_where_it_ended(
    own_device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, large = 3 * 2**20, tmp_path / "large.bin"
    large.write_bytes(os.urandom(size))
    starts: list[int] = []
    whole = Link.send

    async def cut_at_half(self: Link, file: Path, start: int, remote: str) -> None:
        starts.append(start)
        if len(starts) == 1:
            Path(remote).write_bytes(file.read_bytes()[: size // 2])
            own_device.cut()
            while not lost(self):
                await asyncio.sleep(0.01)
            raise link.LostError
        await whole(self, file, start, remote)

    monkeypatch.setattr(Link, "send", cut_at_half)
    transport = own_device.reach()
    there = transport.push(large)
    assert starts[:2] == [0, size // 2]  # what the test server loses at the end is sent again
    assert sha256(Path(there)) == sha256(large)
    assert not [*Path(there).parent.glob("*.part")]


def test_files_come_whole_however_often_the_link_is_cut(device: Device, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(24 * 2**20))
    transport, over = device.reach(), threading.Event()

    def cut_again_and_again() -> None:
        for pause in (0.05, 0.1, 0.4):
            if not over.wait(pause):
                device.cut()

    cutting = threading.Thread(target=cut_again_and_again)
    cutting.start()
    there = transport.push(large)
    transport.pull(there, tmp_path / "back.bin")
    over.set()
    cutting.join()
    assert sha256(Path(there)) == sha256(large) == sha256(tmp_path / "back.bin")


def test_what_was_altered_on_the_way_is_sent_again_and_then_refused(
    own_device: Device, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("as it is")
    transport = own_device.reach()
    fake(own_device, "cat", 'n=$(head -c 1000 | wc -c); head -c "$n" /dev/zero')
    with pytest.raises(UnreachableError, match="does not arrive as it was sent"):
        transport.push(tmp_path / "a")
    assert not (Path(transport.folder) / "a").exists()


def test_a_file_that_the_device_does_not_give_is_told_with_why(
    own_device: Device, tmp_path: Path
) -> None:
    transport = own_device.reach()
    there = transport.push(Path(__file__))
    fake(own_device, "tail", "exit 1")
    with pytest.raises(UnreachableError, match=r"refuses: .*/test_attended.py: exit status 1"):
        transport.pull(there, tmp_path / "back")


def test_a_device_cannot_have_files_written_outside_the_folder(
    own_device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = own_device.reach()

    async def offer(self: Link, do: str, **_: Any) -> dict[str, Any]:
        return {"files": {"../stolen": "00"}} if do == "files" else {}

    monkeypatch.setattr(Link, "ask", offer)
    with pytest.raises(UnreachableError, match=r"outside its folder: ../stolen"):
        transport.pull(transport.folder, tmp_path / "back")
    assert not (tmp_path / "stolen").exists()


def test_one_measurement_at_a_time(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, sys, time; f = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND);"
        "os.write(f, b'('); time.sleep(0.1); os.write(f, b')')"
    )
    transports = [device.reach() for _ in range(2)]
    runs = [
        threading.Thread(target=lambda t=t: [t.run(python(code, str(log))) for _ in range(3)])
        for t in transports
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert log.read_text() == "()" * 6


def test_who_has_the_device_is_named_where_it_is_not_had_in_time(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = device.reach(), device.reach(busy_s=0.2)
    folder = Path(first.folder)
    monkeypatch.setattr(attended, "who", lambda: "ada on board, process 7")
    holding = threading.Thread(target=lambda: first.run(python(COUNTED)))
    holding.start()
    wait(lambda: bool([*folder.glob("begun-*")]))
    with pytest.raises(UnreachableError, match=r"another run measures there: ada on board, pro"):
        second.run(python("print(1)"))
    monkeypatch.setattr(turn, "who", lambda: "ada on board, process 7")
    with pytest.raises(UnreachableError, match="another target of this run measures there"):
        second.run(python("print(1)"))
    (folder / "enough").touch()
    holding.join()
    assert second.run(python("print(1)")) == "1\n"


def test_who_waits_for_a_device_is_told_for_whom(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = device.reach(), device.reach(busy_s=60)
    told: list[str] = []
    second.told = told.append
    monkeypatch.setattr(attended, "PATIENT_S", 0.1)
    monkeypatch.setattr(attended, "who", lambda: "ada on board, process 7")
    folder = Path(first.folder)
    holding = threading.Thread(target=lambda: first.run(python(COUNTED)))
    holding.start()
    wait(lambda: bool([*folder.glob("begun-*")]))
    other = threading.Thread(target=lambda: second.run(python("print(1)")))
    other.start()
    wait(lambda: bool(told))
    (folder / "enough").touch()
    holding.join()
    other.join()
    assert told == ["waiting, at most 60 s, for ada on board, process 7"]


def test_what_killed_runs_left_goes_with_the_next_and_what_is_held_stays(
    own_device: Device,
) -> None:
    held = own_device.reach()
    work = own_device.place / "work"
    for name in ("edgekd-target-old", "edgekd-target-new", "edgekd-other"):
        (work / name / "in").mkdir(parents=True)
    for name in (Path(held.folder).name, "edgekd-target-old", "edgekd-other"):
        os.utime(work / name, (1, 1))
    other = own_device.reach()
    folders = {path.name for path in work.iterdir() if path.is_dir()}
    kept = {Path(t.folder).name for t in (held, other)}
    assert folders == kept | {"edgekd-target-new", "edgekd-other"}


def test_a_missing_or_old_interpreter_is_told(own_device: Device) -> None:
    with pytest.raises(UnreachableError, match=r"(?s)no 'python9' on the device.*python: /"):
        own_device.reach(python="python9")
    fake(own_device, "python9", """echo '{"python": "3.8.1"}'; sleep 5""")
    with pytest.raises(UnreachableError, match=r"'python9' there is Python 3.8.1; 3.9 is the old"):
        own_device.reach(python="python9")
    assert own_device.left() == []
    fake(own_device, "python9", "echo broken >&2; exit 1")
    with pytest.raises(UnreachableError, match="the device refuses: broken"):
        own_device.reach(python="python9")


def test_a_full_disk_and_a_folder_that_is_closed_are_told(
    own_device: Device, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(bytes(8 * 2**20))  # more than is under way when it ends
    transport = own_device.reach()
    fake(own_device, "cat", "echo 'cat: write error: No space left on device' >&2; exit 1")
    with pytest.raises(UnreachableError, match=r"(?s)disk is full.*Free some space there, or name"):
        transport.push(tmp_path / "a")
    (own_device.place / "bin" / "cat").unlink()
    with pytest.raises(UnreachableError, match=r"(?s)refuses: .*No such file.*folder that you can"):
        own_device.reach(folder="/nowhere")


def test_a_lock_that_cannot_be_opened_is_told(own_device: Device) -> None:
    lock = own_device.place / "work" / LOCK
    lock.symlink_to("elsewhere")
    with pytest.raises(UnreachableError, match=rf"(?s)refuses: {lock}: .*chmod a\+r {lock}"):
        own_device.reach().run(python("print(1)"))


def test_a_working_folder_that_is_gone_is_told(own_device: Device) -> None:
    """As where the device was started anew."""
    transport = own_device.reach(patience_s=0.2)
    own_device.cut()
    wait(lambda: lost(transport._held[0]))
    subprocess.run(["rm", "-r", transport.folder], check=True)
    with pytest.raises(UnreachableError, match=r"(?s)link to the device was cut.*is kept"):
        transport.run(python("print(1)"))


def fake(device: Device, name: str, script: str) -> None:
    """Put another program in the place of one."""
    file = device.place / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def lost(of: Link) -> bool:
    process = of.process
    return bool(process.over if isinstance(process, AdbProcess) else process.is_closing())


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"
