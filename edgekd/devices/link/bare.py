"""Measuring on a device that has no Python: its C++ runners are asked from here, over the link.

What is asked, in which turns, and what becomes of the answers is `targets/runners/bench.py`, as on
every other device; only its processes are at the other end of a link.
"""

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgekd.core.errors import UnreachableError
from edgekd.core.protocols.transport import Transport
from edgekd.devices.link.attended import AttendedDevice
from edgekd.devices.link.bare_link import BareLink, Started
from edgekd.devices.link.facts import told
from edgekd.devices.link.link import Link, LostError, wait_for
from edgekd.devices.native.runners import bare_command
from edgekd.devices.scripts import scripts

KILLING_S = 30
"""How long a program may take to be gone after it was killed."""
MIB = 2**20
Words = Mapping[str, Sequence[str]]


def conduct(
    transport: Transport, there: str, job: Mapping[str, Any], words: Words
) -> dict[str, Any]:
    """Do a job of `bench.py`; return its document.

    The runners lie in the folder `there` on the device; `words` is what `bring` returned, nothing
    where only versions are asked for.
    """
    assert isinstance(transport, AttendedDevice)

    def work(link: Link) -> dict[str, Any]:
        assert isinstance(link, BareLink)
        far = Far(link, there, words, time.monotonic() + transport.config.timeout_s)
        document: dict[str, Any] = scripts().bench.document(job, far)
        return document

    try:
        return transport.drive(f"'{job['do']}' was done", work)
    except TimeoutError as error:
        raise transport.too_long(f"'{job['do']}'") from error


def bring(
    transport: Transport,
    programs: Sequence[Mapping[str, Any]],
    threads: int,
    samples: Path,
    made: Path,
) -> Words:
    """Bring samples there, for all jobs to come; return the command line of every runner.

    `samples` has one .npy per input; `made` is an empty folder for them as the programs take them.
    """
    here, said = made / samples.name, scripts().command_line
    here.mkdir()
    for file in samples.iterdir():
        (here / file.name).symlink_to(file.absolute())
    for program in programs:
        said.columns(program, here)  # makes files of what it takes in another type or order
    there, job = {"samples": transport.push(here)}, {"threads": threads}
    return {each["name"]: said.said(job, {**each, **there}, here) for each in programs}


class Far:
    """A device without Python, for `bench.py` what `bench.Place` is for the machine it runs on."""

    starting_ns = 1_000_000_000
    """Until all streams are asked that are to begin together, over a slow link too."""

    def __init__(self, link: BareLink, there: str, words: Words, until: float):
        self.link, self.there, self.words, self.until = link, there, words, until

    def child(self, job: Mapping[str, Any], program: Mapping[str, Any]) -> "FarChild":
        """Return a fresh process of a program."""
        confined = scripts().children.confined(job)
        if not confined["memory_mib"]:
            limits = scripts().limits
            most = limits.SHARE * limits.memory_bytes(self.machine())
            confined["memory_mib"] = math.floor(most / MIB) if most < limits.NO_LIMIT / 2 else 0
        command = bare_command(self.there, program["runner"])
        command += self.words.get(program["name"], ())
        started = wait_for(self.link.start(command, confined))
        return FarChild(program["name"], job["timeout_s"], started, self.until)

    def machine(self) -> Any:
        """Return the device as it is now, for what `machine.py` reads of it."""
        return wait_for(told(self.link))

    def folder(self, path: str) -> None:
        """Make a folder for what a program writes."""
        wait_for(self.link.shell('mkdir -p "$1"', path))


class FarChild:
    """The process of one program on a device; what `children.Child` is for one beside it."""

    def __init__(self, name: str, timeout_s: float, started: Started, until: float):
        self.name, self.timeout_s, self.doing = name, timeout_s, "starting"
        self._started, self._until = started, until

    def __enter__(self) -> "FarChild":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(LostError, UnreachableError):
            wait_for(self._started.kill())

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one line."""
        wait_for(self._started.say(json.dumps(message).encode() + b"\n"))

    def ask(self, do: str, **request: Any) -> Mapping[str, Any]:
        """Return the answer to a request; FailedError where the process ends or takes too long."""
        answer: Mapping[str, Any] = scripts().children.together([self], do, **request)[0]
        return answer

    def answer(self) -> Mapping[str, Any]:
        """Return the answer to what was sent; FailedError as of `ask`.

        TimeoutError where the time of the whole job is over.
        """
        left = self._until - time.monotonic()
        try:
            line = wait_for(asyncio.wait_for(self._started.line(), min(self.timeout_s, left)))
        except TimeoutError:
            if left < self.timeout_s:
                raise
            raise wait_for(self._failure(in_time=False)) from None
        try:
            answer: Mapping[str, Any] = json.loads(line)
        except ValueError:  # nothing, or a part of a line
            raise wait_for(self._failure(in_time=True)) from None
        return answer

    async def _failure(self, *, in_time: bool) -> Exception:
        """Return what is known of the end of the process."""
        if not in_time:
            await self._started.kill()
        try:
            status = await asyncio.wait_for(self._started.end(), KILLING_S)
        except TimeoutError:  # it closed its end and lives on
            await self._started.kill()
            status = await self._started.end()
        wrote = await self._started.wrote()
        failed: Exception = scripts().children.ended(self, status if in_time else None, wrote)
        return failed
