"""Servers on loopback that stand for a device: OpenSSH's own, and one of asyncssh.

    python3 ssh_servers.py PLACE PORT

The second is for machines without sshd, and looks for programs in PLACE/bin first, so that a test
can put others in their place.
"""

import asyncio
import getpass
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import psutil

if TYPE_CHECKING:
    from edgekd.devices.link.attended import AttendedDevice

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


@dataclass
class Server:
    """A server, and what a transport must say to be let in."""

    port: int
    place: Path
    """Folder with its keys; `work` in it is where working folders are made."""
    command: Sequence[str]
    process: subprocess.Popen[bytes] = field(init=False)
    kind, name = "ssh", "ssh://.*127.0.0.1"

    def start(self) -> None:
        """Listen, for the first time or again."""
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        _wait_for(self.port)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "key": str(self.place / "user"),
            "known_hosts": str(self.place / "known_hosts"),
            "folder": str(self.place / "work"),
        }

    def reach(self, **options: Any) -> "AttendedDevice":
        """Return a transport; a server that runs as a script needs none."""
        from edgekd.devices.transports.ssh import Ssh, SshTransport

        return SshTransport(Ssh(**{**self.options, **options}))

    def left(self) -> list[str]:
        """Return the working folders that are there."""
        return sorted(path.name for path in (self.place / "work").glob("edgekd-target-*"))

    def cut(self) -> None:
        """Cut every connection at once, as where a device loses its network."""
        if (self.place / "sshd_config").exists():
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if child.name().startswith("sshd"):
                        child.kill()
        else:
            self.process.send_signal(signal.SIGUSR1)

    def end(self) -> None:
        """Be gone, connections and all."""
        self.cut()
        self.process.kill()
        self.process.wait()


@contextmanager
def asyncssh_server(place: Path) -> Iterator[Server]:
    """Give a server that needs nothing installed; its commands run in a shell of this machine."""
    port = _keys(place)
    (place / "bin").mkdir()
    with _serving(place, port, [sys.executable, __file__, str(place), str(port)]) as server:
        yield server


@contextmanager
def openssh_server(place: Path) -> Iterator[Server]:
    """Give OpenSSH's server, run by whoever runs the tests."""
    assert SSHD is not None
    port = _keys(place)
    settings: Mapping[str, object] = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": place / "host",
        "AuthorizedKeysFile": place / "user.pub",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PidFile": "none",
    }
    config = place / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # it asks for it where it may separate privileges
    with _serving(place, port, [SSHD, "-D", "-e", "-f", str(config)]) as server:
        yield server


def small_python(folder: Path) -> str:
    """Return an interpreter as on a device: with numpy and onnxruntime, and no torch."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/*/site-packages")
    for name in ("numpy", "onnxruntime"):
        (found,) = importlib.import_module(name).__path__
        (site / name).symlink_to(found)
        if (libraries := Path(f"{found}.libs")).is_dir():
            (site / libraries.name).symlink_to(libraries)
    return str(folder / "bin" / "python")


def _keys(place: Path) -> int:
    """Make the keys of host and user; return a port that nobody listens at."""
    (place / "work").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    for name in ("host", "user"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(place / name)
        key.write_public_key(place / f"{name}.pub")
        (place / name).chmod(0o600)
    public = (place / "host.pub").read_text()
    (place / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    return port


@contextmanager
def _serving(place: Path, port: int, command: Sequence[str]) -> Iterator[Server]:
    """Start a server and wait until it listens."""
    server = Server(port, place, command)
    try:
        server.start()
        yield server
    finally:
        if server.process.poll() is None:
            server.end()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


async def _listen(place: Path, port: int) -> None:
    """Serve for ever; SIGUSR1 cuts all connections."""
    connections: list[Any] = []

    class Door(asyncssh.SSHServer):
        def connection_made(self, conn: Any) -> None:
            connections.append(conn)

    def cut() -> None:
        for connection in connections:
            connection.abort()
        connections.clear()

    await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=Door,
        server_host_keys=[str(place / "host")],
        authorized_client_keys=str(place / "user.pub"),
        process_factory=lambda process: _run(process, place),
        encoding=None,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, cut)
    await asyncio.Event().wait()


async def _run(process: Any, place: Path) -> None:
    """Run a command in a shell, as sshd does."""
    child: Any = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        process.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    hearing = asyncio.create_task(_hand_on(process.stdin, child.stdin))
    hearing.add_done_callback(lambda _: child.stdin.close())
    await asyncio.gather(
        _hand_on(child.stdout, process.stdout), _hand_on(child.stderr, process.stderr)
    )
    with suppress(OSError, asyncssh.Error):
        process.exit(await child.wait() % 256)
    hearing.cancel()


async def _hand_on(source: Any, sink: Any) -> None:
    """Hand on what comes until it ends; asyncssh's own redirect loses the end of a long input."""
    with suppress(OSError, asyncssh.Error):
        while data := await source.read(4096):
            sink.write(data)
            await sink.drain()


if __name__ == "__main__":
    asyncio.run(_listen(Path(sys.argv[1]), int(sys.argv[2])))
