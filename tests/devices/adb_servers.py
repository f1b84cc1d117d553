"""What stands for devices over adb: a server that speaks adb's protocol, and a real adbd.

    python3 adb_servers.py PLACE PORT

The first is for every machine: its devices are those of PLACE/states.json, their commands run in a
shell of this machine, and programs are looked for in PLACE/bin first. The second is real adb on
both ends with Linux behind it, no Android; tests/devices/real_adbd.sh builds it and runs it apart.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from edgekd.devices.link.attended import AttendedDevice

ADBD = os.environ.get("EDGEKD_ADBD", "")
"""A real adbd, where tests/devices/real_adbd.sh says so."""
PORT = "ANDROID_ADB_SERVER_PORT"
SERIAL = "EDGE0001"
FEATURES = "shell_v2,cmd"


@dataclass
class Fake:
    """A server of our own, with one device unless more are said to be there."""

    place: Path
    """Its folder; `work` in it is where working folders are made, `bin` has programs."""
    port: int
    process: subprocess.Popen[bytes] = field(init=False)
    kind, name = "adb", rf"adb://{SERIAL}"

    @property
    def client(self) -> Path:
        """The folder of a client that starts no server in the place of one that is gone."""
        folder = self.place / "client"
        folder.mkdir(exist_ok=True)
        (folder / "adb").write_text("#!/bin/sh\necho 'no server here' >&2; exit 1\n")
        (folder / "adb").chmod(0o755)
        return folder

    @property
    def options(self) -> dict[str, Any]:
        return {"serial": SERIAL, "folder": str(self.place / "work")}

    def reach(self, **options: Any) -> "AttendedDevice":
        """Return a transport; a server that runs as a script needs none."""
        from edgekd.devices.transports.adb import Adb, AdbTransport

        return AdbTransport(Adb(**{**self.options, **options}))

    def say(self, states: Mapping[str, str], features: str = FEATURES) -> None:
        """Have these devices connected."""
        told = json.dumps({"states": states, "features": features})
        (self.place / "new.json").write_text(told)
        (self.place / "new.json").rename(self.place / "states.json")

    def start(self) -> None:
        """Have the device there, for the first time or again."""
        words = [sys.executable, __file__, str(self.place), str(self.port)]
        self.process = subprocess.Popen(words)
        wait_for(self.port)

    def left(self) -> list[str]:
        """Return the working folders that are there."""
        return sorted(path.name for path in (self.place / "work").glob("edgekd-target-*"))

    def cut(self) -> None:
        """Cut every connection at once, as where a cable is pulled and put back."""
        self.process.send_signal(signal.SIGUSR1)

    def end(self) -> None:
        """Be gone, connections and all."""
        self.process.kill()
        self.process.wait()


@dataclass
class Real(Fake):
    """A real adbd on loopback, and a server of Android's client."""

    device_port: int = 0
    client = Path("/usr/bin")

    @property
    def name(self) -> str:
        return f"adb://127.0.0.1:{self.device_port}"

    @property
    def options(self) -> dict[str, Any]:
        return {
            "serial": f"127.0.0.1:{self.device_port}",
            "folder": str(self.place / "work"),
        }

    def start(self) -> None:
        environment = os.environ | {
            "ADBD_PORT": str(self.device_port),
            "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}",
        }
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen([ADBD], env=environment, stdout=log, stderr=log)
        wait_for(self.device_port)

    def cut(self) -> None:
        command = ["adb", "-s", self.options["serial"], "reconnect"]
        subprocess.run(command, capture_output=True, check=False)


@contextmanager
def fake_adb(place: Path) -> Iterator[Fake]:
    """Give a device of our own server."""
    with _serving(Fake(_made(place), free_port())) as device:
        yield device


@contextmanager
def real_adb(place: Path) -> Iterator[Real]:
    """Give a real adbd."""
    device = Real(_made(place), free_port(), device_port=free_port())
    try:
        with _serving(device):
            yield device
    finally:
        words = ["adb", "-P", str(device.port), "kill-server"]
        subprocess.run(words, capture_output=True, check=False)


@contextmanager
def _serving(device: Any) -> Iterator[Any]:
    """Start a device, and have adb's client and ours know its server."""
    here = {PORT: str(device.port), "PATH": f"{device.client}:{os.environ['PATH']}"}
    with patch.dict(os.environ, here):
        device.start()
        try:
            yield device
        finally:
            if device.process.poll() is None:
                device.end()


def _made(place: Path) -> Path:
    for name in ("work", "bin"):
        (place / name).mkdir(parents=True)
    (place / "states.json").write_text(
        json.dumps({"states": {SERIAL: "device"}, "features": FEATURES})
    )
    return place


def free_port() -> int:
    """Return a port that nobody listens at; adb takes those next to 5555 for emulators."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    """Return when somebody listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


class Speaker:
    """The server's side of adb's protocol, as far as its clients here use it."""

    def __init__(self, place: Path):
        self.place = place
        self.streams: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """End all connections."""
        for stream in self.streams:
            stream.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client."""
        self.streams.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self.answer(reader, writer):
                await writer.drain()
        self.streams.discard(writer)
        writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; tell whether another may follow."""
        size = int(await reader.readexactly(4), 16)
        service = (await reader.readexactly(size)).decode()
        told = json.loads((self.place / "states.json").read_text())
        states = told["states"]
        if service == "host:devices":
            return _said(writer, "".join(f"{name}\t{state}\n" for name, state in states.items()))
        if service.startswith("host:connect:"):
            return _said(writer, "failed to connect to it: Connection refused")
        if service.startswith("host:transport:"):
            return self.transport(writer, states.get(service.split(":", 2)[2]))
        if service.endswith(":features"):
            return _said(writer, told["features"])
        if service.startswith("shell,v2,raw:"):
            writer.write(b"OKAY")
            await self.shell(reader, writer, service.split(":", 1)[1])
            return False
        return _failed(writer, f"unknown host service {service}")

    def transport(self, writer: asyncio.StreamWriter, state: str | None) -> bool:
        if state == "device":
            writer.write(b"OKAY")
            return True
        return _failed(writer, f"device {state or 'not found'}")

    async def shell(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str
    ) -> None:
        """Run a command in a shell, as adbd does."""
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ) | {"PATH": f"{self.place / 'bin'}:{os.environ['PATH']}"},
            start_new_session=True,
        )
        streams: Any = child
        hearing = asyncio.create_task(_hear(reader, streams.stdin))
        hearing.add_done_callback(lambda _: streams.stdin.close())
        await asyncio.gather(_tell(streams.stdout, writer, 1), _tell(streams.stderr, writer, 2))
        writer.write(b"\3" + (1).to_bytes(4, "little") + bytes([await child.wait() % 256]))
        with suppress(ConnectionError):
            await writer.drain()
        hearing.cancel()


def _said(writer: asyncio.StreamWriter, text: str) -> bool:
    writer.write(b"OKAY%04x" % len(text) + text.encode())
    return False


def _failed(writer: asyncio.StreamWriter, text: str) -> bool:
    writer.write(b"FAIL%04x" % len(text) + text.encode())
    return False


async def _hear(reader: asyncio.StreamReader, stdin: asyncio.StreamWriter) -> None:
    """Hand on what the client sends until it ends the input, or is gone."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            header = await reader.readexactly(5)
            data = await reader.readexactly(int.from_bytes(header[1:], "little"))
            if header[0] == 4:
                return
            stdin.write(data)
            await stdin.drain()


async def _tell(stream: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    with suppress(ConnectionError):
        while data := await stream.read(4096):
            writer.write(bytes([number]) + len(data).to_bytes(4, "little") + data)
            await writer.drain()


async def _listen(place: Path, port: int) -> None:
    """Serve for ever; SIGUSR1 cuts all connections."""
    speaker = Speaker(place)
    await asyncio.start_server(speaker.serve, "127.0.0.1", port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, speaker.cut)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_listen(Path(sys.argv[1]), int(sys.argv[2])))
