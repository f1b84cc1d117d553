import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from edgekd.core.errors import RequestError, UnreachableError
from edgekd.devices.link import link
from edgekd.devices.transports import adb
from edgekd.devices.transports.adb import Adb, AdbTransport, check
from tests.devices import adb_servers
from tests.devices.adb_servers import PORT, SERIAL, Fake, fake_adb, free_port, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    with fake_adb(tmp_path_factory.mktemp("device") / "adb") as server:
        yield server


@pytest.fixture
def device(server: Fake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A server that tells of one device, and waits for no other."""
    monkeypatch.setattr(adb, "SETTLE_S", 0.1)
    monkeypatch.setattr(adb, "STARTING_S", 0.0)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    yield server
    server.say({SERIAL: "device"})


def folder(device: Fake) -> str:
    return str(device.options["folder"])


def test_the_only_device_needs_no_name(device: Fake) -> None:
    transport = AdbTransport(Adb(folder=folder(device)))
    assert str(transport.address) == f"adb://{SERIAL}"
    assert transport.run(["echo", "here"]) == "here\n"


def test_the_device_that_was_found_stays_the_one(device: Fake) -> None:
    transport = AdbTransport(Adb(folder=folder(device), patience_s=0.2))
    device.say({"OTHER": "device"})
    device.cut()
    with pytest.raises(UnreachableError, match=f"adb://{SERIAL}"):
        transport.run(["true"])


def test_of_several_one_is_to_be_named(device: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    device.say({"A1": "device", SERIAL: "device", "B2": "offline"})
    with pytest.raises(UnreachableError) as told:
        AdbTransport(Adb(folder=folder(device)))
    assert str(told.value).splitlines() == [
        "adb",
        f"  several devices are connected: A1 (device), {SERIAL} (device), B2 (offline).",
        "  Say which: transport: {kind: adb, serial: A1}; or in the environment: ANDROID_SERIAL.",
    ]
    assert device.reach().run(["echo", "named"]) == "named\n"
    monkeypatch.setenv("ANDROID_SERIAL", SERIAL)
    assert str(AdbTransport(Adb(folder=folder(device))).address) == f"adb://{SERIAL}"
    with pytest.raises(UnreachableError, match="adb://B2"):  # what a file names goes before that
        device.reach(serial="B2")


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({}, r"no device has this serial. None is connected.\n.*USB debugging"),
        ({"A1": "device", "B2": "offline"}, r"serial. Connected: A1 \(device\), B2 \(offline\)."),
        ({SERIAL: "unauthorized"}, r"does not trust this computer's adb key.*\n.*Unlock it"),
        ({SERIAL: "offline"}, rf"does not answer \(offline\).\n.*adb -s {SERIAL} reconnect"),
        ({SERIAL: "authorizing"}, r"does not answer \(authorizing\)"),
        ({SERIAL: "no permissions (missing udev rules?); see [x]"}, r"USB port.*\n.*plugdev"),
        ({SERIAL: "recovery"}, rf"another state than needed: recovery.\n.*adb -s {SERIAL} reboot"),
    ],
)
def test_a_device_that_takes_no_commands_says_why_and_what_to_do(
    device: Fake, states: Mapping[str, str], said: str
) -> None:
    device.say(states)
    with pytest.raises(UnreachableError, match=rf"adb://{SERIAL}\n  .*{said}") as told:
        device.reach()
    assert told.value.exit_code == 3


def test_no_device_at_all_is_told(device: Fake) -> None:
    device.say({})
    with pytest.raises(UnreachableError, match=r"no device is connected.\n.*USB debugging"):
        AdbTransport(Adb())


def test_a_device_that_comes_up_soon_is_waited_for(
    device: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adb, "SETTLE_S", 30.0)
    device.say({SERIAL: "offline"})
    coming = threading.Timer(0.5, device.say, [{SERIAL: "device"}])
    coming.start()
    assert device.reach().run(["echo", "up"]) == "up\n"
    coming.join()


def test_a_device_in_the_network_is_called_and_why_that_failed_is_told(device: Fake) -> None:
    said = r"serial \(failed to connect to it: Connection refused\).*\n.*in this network"
    with pytest.raises(UnreachableError, match=said):
        device.reach(serial="192.0.2.1:5555")


def test_a_device_that_cannot_tell_how_commands_end_is_refused(device: Fake) -> None:
    device.say({SERIAL: "device"}, features="cmd,stat_v2")
    with pytest.raises(UnreachableError, match=r"(?s)it has cmd, stat_v2.*Android 7"):
        device.reach()


def test_a_phone_without_python_says_that_android_brings_none(device: Fake) -> None:
    with pytest.raises(
        UnreachableError, match=r"no 'python9' on the device.\n.*brings none.*/data"
    ):
        device.reach(python="python9")


def test_a_missing_client_is_told_before_anything_runs(
    device: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not [*check(Adb())]  # a server elsewhere needs none
    monkeypatch.delenv(PORT)
    with pytest.raises(RequestError, match=r"(?s)client 'adb', which is missing.*apt-get install"):
        AdbTransport(Adb())


def test_a_port_that_is_none_is_told(device: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PORT, "5o37")
    with pytest.raises(RequestError, match="ANDROID_ADB_SERVER_PORT is no port: '5o37'"):
        AdbTransport(Adb())


def client(place: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in the place of Android's client."""
    place.mkdir(exist_ok=True)
    (place / "adb").write_text(f"#!/bin/sh\n{script}\n")
    (place / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")


def test_a_server_is_started_where_none_runs(
    device: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv(PORT, str(port))
    words = f"{sys.executable} {adb_servers.__file__} {device.place} {port}"
    start = (
        f'test "$1" = start-server && {words} >/dev/null 2>&1 & echo $! >{tmp_path}/pid; sleep 1'
    )
    client(tmp_path / "bin", start, monkeypatch)
    monkeypatch.setattr(adb, "_start", lambda start=adb._start: (start(), wait_for(port)))
    try:
        assert device.reach().run(["echo", "up"]) == "up\n"
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_server_that_does_not_start_says_why(
    device: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PORT, str(port := free_port()))
    client(tmp_path / "bin", "echo 'cannot bind: in use' >&2; exit 1", monkeypatch)
    said = rf"adb server at 127.0.0.1:{port} does not answer: cannot bind: in use.\n.*start-server"
    with pytest.raises(UnreachableError, match=said):
        device.reach()


def test_what_listens_and_is_no_adb_server_is_told(
    device: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv(PORT, str(other.getsockname()[1]))
        with pytest.raises(UnreachableError, match="does not answer: no answer in time"):
            device.reach(connect_s=0.3)

        def greet() -> None:
            for _ in range(2):
                connection = other.accept()[0]
                connection.sendall(b"HTTP/1.1 400\r\n")
                connection.recv(99)
                connection.close()

        greeting = threading.Thread(target=greet)
        greeting.start()
        with pytest.raises(UnreachableError, match="its answer is not adb's"):
            device.reach()
        greeting.join(10)


def test_a_server_that_falls_silent_in_a_command_is_taken_for_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a phone leaves the network: neither adb nor the system sees it go for long."""
    monkeypatch.setattr(link, "SILENCE_S", 3.0)
    with fake_adb(tmp_path / "adb") as device:
        transport = device.reach(patience_s=0.2, connect_s=3.0)
        stop = threading.Timer(1.5, device.process.send_signal, [signal.SIGSTOP])
        stop.start()
        with pytest.raises(UnreachableError, match=r"(?s)link to the device was cut.*is kept"):
            transport.run(["sleep", "60"])
        stop.join()
