"""An Android device, or another with adbd: files and commands go there over adb, USB or network.

Android's client `adb` must be installed here; its server is used, and started where none runs. The
device needs Android 7 or newer, debugging switched on and allowed for this computer, a shell with
`cat`, `tail` and `mktemp`, and Python 3.9 or newer with the runtimes, which Android does not bring;
or, for programs that the C++ runner runs, `python: null` and a shell of Android 8.
"""

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pydantic import Field

from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import transport
from edgekd.devices.adb.connection import AdbConnection
from edgekd.devices.adb.refusals import (
    PASSING,
    READY,
    AdbAddress,
    adb_address,
    no_client,
    no_server,
    none_chosen,
    not_ready,
    too_old,
    unknown,
)
from edgekd.devices.adb.server import AdbError, Server, server
from edgekd.devices.link.attended import Attended, AttendedDevice
from edgekd.devices.link.link import Link, wait_for

SETTLE_S = 3.0
"""How long a device may take to be seen after the server was started or the device called."""
STARTING_S = 1.0
"""How long a server that was just started takes to see what is connected by USB."""
POLL_S = 0.2
IN_NETWORK = re.compile(r".+:\d+$")
SERVER = ("ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT")
"""Variables that say where adb's server is; its client follows them too."""
States = Mapping[str, str]


class Adb(Attended):
    """Which device it is, and how patient to be."""

    serial: str | None = Field(default=None, pattern=r"^\S+$")
    """Serial as `adb devices` shows it, or `HOST:PORT` in the network; without it, that of
    ANDROID_SERIAL, else that of the only device that is connected."""
    folder: str = Field(default="/data/local/tmp", pattern=r"^/")
    """Folder of the device in which the working folder is made, with the lock of the device."""


def check(config: Adb) -> Iterator[Problem]:  # noqa: ARG001  (the same for every device)
    """Yield what must be installed here before any device can be reached."""
    port = os.environ.get("ANDROID_ADB_SERVER_PORT") or "1"
    if not (port.isdecimal() and 0 < int(port) < 2**16):
        message = f"ANDROID_ADB_SERVER_PORT is no port: '{port}'."
        yield Problem("transport", message, "Set it to a number, or unset it.")
    elif not any(map(os.environ.get, SERVER)) and shutil.which("adb") is None:
        yield no_client()


@transport(config=Adb, check=check)
class AdbTransport(AttendedDevice):
    """A working folder of the device, removed with the object, or soon after the link is cut."""

    def __init__(self, config: Adb):
        if problems := [*check(config)]:
            raise RequestError(problems)
        asked = server()
        address = adb_address(wait_for(_serial(asked, config)), config.folder)
        super().__init__(config, address, lambda: _connected(asked, address, config.connect_s))


async def _serial(asked: Server, config: Adb) -> str:
    """Return the serial that is named, or that of the only device."""
    if named := config.serial or os.environ.get("ANDROID_SERIAL"):
        return named
    with _answering(asked):
        states = await asyncio.wait_for(_settled(asked, bool), config.connect_s)
    if len(states) != 1:
        raise none_chosen(states)
    return next(iter(states))


async def _connected(asked: Server, address: AdbAddress, within_s: float) -> Link:
    """Return a link; UnreachableError where there is none to be had, with what to do."""
    with _answering(asked):
        await asyncio.wait_for(_ready(asked, address), within_s)
    return Link(AdbConnection(asked, address.serial), address, (AdbError,))


async def _ready(asked: Server, address: AdbAddress) -> None:
    """Return when the device takes commands; UnreachableError where it does not."""
    serial, called = address.serial, ""
    if IN_NETWORK.match(serial) and (await _states(asked)).get(serial) != READY:
        called = await asked.ask(f"host:connect:{serial}")
    states = await _settled(asked, lambda states: states.get(serial, PASSING[0]) not in PASSING)
    state = states.get(serial)
    if state is None:
        raise unknown(address, states, called)
    if state != READY:
        raise not_ready(address, state)
    features = (await asked.ask(f"host-serial:{serial}:features")).split(",")
    if "shell_v2" not in features:
        raise too_old(address, features)


async def _settled(asked: Server, settled: Callable[[States], bool]) -> States:
    """Return the devices' states once they are as they are to be, or soon after."""
    deadline = time.monotonic() + SETTLE_S
    while not settled(states := await _states(asked)) and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
    return states


async def _states(asked: Server) -> States:
    """Return the devices' states; the server is started where none runs."""
    try:
        return await asked.devices()
    except ConnectionRefusedError:
        await asyncio.to_thread(_start)
        await asyncio.sleep(STARTING_S)
        return await asked.devices()


def _start() -> None:
    """Start adb's server; OSError where it does not start."""
    done = subprocess.run(["adb", "start-server"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError((done.stderr.strip().splitlines() or ["adb start-server failed"])[-1])


@contextmanager
def _answering(asked: Server) -> Iterator[None]:
    """Tell of a server that does not answer."""
    try:
        yield
    except (AdbError, OSError, TimeoutError) as error:
        why = str(error) or "no answer in time"
        raise no_server(f"{asked.host}:{asked.port}", why.rstrip(".")) from error
