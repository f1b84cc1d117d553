"""A device minded by an attendant: work over a link, begun anew where that is cut."""

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from pydantic import Field

from edgekd.core.config import Config, Positive
from edgekd.core.errors import StageError, UnreachableError
from edgekd.devices.commands import failed, shown, too_long
from edgekd.devices.link.attendant import PREFIX
from edgekd.devices.link.bare_link import BareLink
from edgekd.devices.link.link import Link, LostError, finish, wait_for
from edgekd.devices.link.refusals import Address
from edgekd.devices.link.transfer import pull, push
from edgekd.devices.turn import PATIENT_S, Told, tell_of, too_busy, unheard, who

LEAVING_S = 10
MOST_LOSSES = 5
"""How often the link may be cut while one thing is done."""
T = TypeVar("T")


class Attended(Config):
    """Where on the device work is done, and how patient to be."""

    folder: str = Field(default="/tmp", pattern=r"^/")  # noqa: S108  (mktemp makes a folder in it)
    """Folder of the device in which the working folder is made, with the lock of the device."""
    python: str | None = Field(default="python3", min_length=1)
    """Interpreter on the device that has the runtimes; with a path where it is in no `PATH`. `null`
    where there is none: then all runtimes are `native`."""
    timeout_s: Positive = 7200
    """Longest time that one command may take, in seconds."""
    connect_s: Positive = 20
    """Longest time that connecting may take, in seconds."""
    patience_s: Positive = 60
    """How long a device is tried again whose link was cut, in seconds."""
    busy_s: Positive = 21600
    """How long to wait for others that measure on the device, in seconds: other runs, and other
    targets of this one, of which each may take `timeout_s` at a time."""


class AttendedDevice:
    """A working folder of the device, removed with the object, or soon after the link is cut."""

    def __init__(
        self, config: Attended, address: Address, open_link: Callable[[], Awaitable[Link]]
    ):
        self.config, self.python, self.address = config, config.python, address
        self.told: Told = unheard
        self._open = open_link
        self._held: list[Link] = []
        self._left = Event()
        self.folder = ""
        try:
            wait_for(self._start())
        except LostError as error:
            raise self._gone("it was being set up") from error
        weakref.finalize(self, _leave, self._held, self._left)

    def push(self, local: Path) -> str:
        """Bring a file or folder to the working folder, what is there already left out."""
        there = f"{self.folder}/{local.name}"
        self.drive(
            f"{local.name} was brought there", lambda link: wait_for(push(link, local, there))
        )
        return there

    def pull(self, remote: str, local: Path) -> None:
        """Bring a file or folder back."""
        self.drive(
            f"{Path(remote).name} was brought back",
            lambda link: wait_for(pull(link, remote, local)),
        )

    def run(self, command: Sequence[str]) -> str:
        """Return what the command printed; StageError where it fails or takes too long.

        It ends when this process does, or soon after the link is cut; then it is run again.
        """

        def work(link: Link) -> dict[str, Any]:
            asked = {"command": [*command], "timeout_s": self.config.timeout_s}
            return wait_for(link.ask("run", **asked))

        done = self.drive(f"{shown(command)} ran", work)
        if done["late"]:
            raise self.too_long(shown(command))
        if done["status"]:
            raise failed(shown(command), done["status"], done["errors"], f" on {self.address}")
        return str(done["out"])

    def too_long(self, what: str) -> StageError:
        """Return what to say of something that took longer than it may."""
        return too_long(what, self.config.timeout_s, f" on {self.address}")

    def drive(self, doing: str, work: Callable[[Link], T]) -> T:
        """Return what work comes to, with the device to ourselves, begun anew over a new link."""
        for _ in range(MOST_LOSSES):
            with suppress(LostError):
                return self._alone(work)
            wait_for(self._again(doing))
        raise self._gone(doing)

    def _alone(self, work: Callable[[Link], T]) -> T:
        """Do something while nobody else uses the device."""
        if not self._held:  # it was given up before
            raise LostError
        link = self._held[0]
        with _turn(link, self.config.busy_s, self.told):
            return work(link)

    async def _again(self, doing: str) -> None:
        """Replace a link that was cut; UnreachableError where none is to be had for too long."""
        while self._held:
            await self._held.pop().close()
        deadline, pause = time.monotonic() + self.config.patience_s, 0.2
        while True:
            if self._left.is_set():  # another thread's work: this process ends
                raise self._gone(doing)
            try:
                await self._start()
            except (LostError, UnreachableError) as error:
                if time.monotonic() + pause > deadline:
                    raise self._gone(doing) from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5)
            else:
                return

    async def _start(self) -> None:
        """Open a link, with a working folder or with the one that we had."""
        link, made = await self._open(), ""
        if self.python is None:
            link = BareLink(link.connection, link.address, link.cut_by)
        try:
            if not self.folder:
                script = 'umask 077; mktemp -d "$1"'
                made = await link.shell(script, f"{self.config.folder}/{PREFIX}XXXXXXXX")
                self.folder = made
            # long enough for us to come back, and for the device to learn that we were away
            await link.attend(self.python, self.folder, 2 * self.config.patience_s)
        except BaseException:
            with suppress(LostError, UnreachableError):
                if made:  # nobody minds it
                    await link.shell('rm -r "$1"', made)
            await link.close()
            raise
        self._held[:] = [link]

    def _gone(self, doing: str) -> UnreachableError:
        step = (
            "What was measured so far is kept: run the same command again when it is back "
            f"({self.address.shell} true)."
        )
        return self.address.error(f"the link to the device was cut while {doing}.", step)


@contextmanager
def _turn(link: Link, busy_s: float, told: Told) -> Iterator[None]:
    """Have the device alone; UnreachableError where others do not leave it in time."""
    answer = wait_for(link.ask("take", wait_s=min(PATIENT_S, busy_s), who=who()))
    if "held_by" in answer and busy_s > PATIENT_S:
        tell_of(answer["held_by"], busy_s, told)
        answer = wait_for(link.ask("take", wait_s=busy_s - PATIENT_S, who=who()))
    if "held_by" in answer:
        raise link.address.error(*too_busy(answer["held_by"], "there", busy_s))
    try:
        yield
    finally:
        with suppress(LostError):
            wait_for(link.ask("leave"))


def _leave(held: list[Link], left: Event) -> None:
    """Have the working folder removed, and end the link."""
    left.set()

    async def leaving() -> None:
        for link in held:
            with suppress(LostError, UnreachableError, TimeoutError):
                await asyncio.wait_for(link.go(), LEAVING_S)
            await link.close()

    finish(leaving())
