"""What only a real adbd and Android's client can show; run by real_adbd.sh, never elsewhere."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.core.errors import UnreachableError
from edgekd.devices.link import link
from edgekd.devices.transports.adb import Adb, AdbTransport
from tests.cli.test_targets import describe, edgekd
from tests.devices.adb_servers import ADBD, Real, free_port, real_adb
from tests.devices.ssh_servers import small_python

assert ADBD, "tests/devices/real_adbd.sh runs these"
CUTS = 50
LARGE = 12 * 2**20
COUNT = "import time; time.sleep(0.2); print('counted')"


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Real]:
    with real_adb(tmp_path / "way") as device:
        yield device


def cut(device: Real, how: str) -> None:
    """Cut the link in one of the ways in which it goes in life."""
    if how == "reconnect":
        device.cut()
    elif how == "daemon":
        device.end()
        device.start()
    else:
        subprocess.run(["adb", "kill-server"], capture_output=True, check=False)


def test_nothing_is_lost_however_often_the_link_is_cut_at_random(
    device: Real, tmp_path: Path
) -> None:
    chance, done, rounds = random.Random(6), threading.Event(), 0
    ways = [chance.choice(["reconnect", "daemon", "server"]) for _ in range(CUTS)]
    cuts: list[str] = []

    def cutting() -> None:
        for how in ways:
            time.sleep(chance.uniform(0.0, 1.5))
            cut(device, how)
            cuts.append(how)
        done.set()

    transport = device.reach(patience_s=60)
    thread = threading.Thread(target=cutting)
    thread.start()
    while not done.is_set():
        file = tmp_path / f"large-{rounds % 3}.bin"
        file.write_bytes(os.urandom(LARGE))
        there = transport.push(file)
        assert transport.run([sys.executable, "-S", "-c", COUNT]) == "counted\n"
        transport.pull(there, tmp_path / "back.bin")
        assert digest(Path(there)) == digest(file) == digest(tmp_path / "back.bin")
        rounds += 1
    thread.join()
    assert len(cuts) == CUTS
    print(f"{rounds} rounds of push, run and pull; cuts: {[(w, cuts.count(w)) for w in {*cuts}]}")
    assert transport.run(["echo", "end"]) == "end\n"
    assert not [*Path(transport.folder).glob("*.part")]
    del transport
    assert device.left() == []


def test_of_two_devices_each_is_reached_by_its_serial(
    device: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other" / "work").mkdir(parents=True)
    (tmp_path / "other" / "bin").mkdir()
    other = Real(tmp_path / "other", device.port, device_port=free_port())
    other.start()
    try:
        transports = [one.reach() for one in (device, other)]
        monkeypatch.setenv("ANDROID_SERIAL", "")
        with pytest.raises(UnreachableError, match="several devices are connected"):
            AdbTransport(Adb())
        for one, transport in zip((device, other), transports, strict=True):
            assert transport.folder.startswith(str(one.place))
            daemon = transport.run([sys.executable, "-S", "-c", ANCESTORS])
            assert str(one.process.pid) in daemon.split()
        other.end()
        assert transports[0].run(["echo", "still"]) == "still\n"
    finally:
        other.end()


ANCESTORS = """
import os, pathlib
pid = os.getpid()
while pid > 1:
    pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    print(pid)
"""


def test_a_device_that_falls_silent_is_taken_for_cut_and_gone_on_with_when_it_is_back(
    device: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 2.0)
    transport = device.reach(patience_s=30)
    device.process.send_signal(signal.SIGSTOP)
    waking = threading.Timer(4, device.process.send_signal, [signal.SIGCONT])
    waking.start()
    assert transport.run(["echo", "back"]) == "back\n"
    waking.join()


def test_a_device_that_stays_silent_is_told(device: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 1.0)
    transport = device.reach(patience_s=1, connect_s=2)
    device.process.send_signal(signal.SIGSTOP)
    with pytest.raises(UnreachableError, match="link to the device was cut"):
        transport.run(["echo", "back"])


def test_the_clients_own_shell_takes_a_cut_for_a_success(device: Real) -> None:
    """Why its executable runs no commands here; where this fails, it may be thought over."""
    device.reach()
    words = ["adb", "-s", device.options["serial"], "shell", "sleep 30"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as shell:
        time.sleep(1)
        device.end()
        assert shell.wait(20) == 0


def test_what_it_really_is_can_be_asked(device: Real, tmp_path: Path) -> None:
    small_python(device.place / "python")
    describe(tmp_path, device)
    done = edgekd("targets", "check", "board", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["machine"]["cores"] == str(os.cpu_count())


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
