"""The link to a device that has a shell and no Python."""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgekd.core.errors import UnreachableError
from edgekd.devices.link import link
from edgekd.devices.link.link import NOT_FOUND, PIECE, Link, LostError, lost, quoted

ATTENDANT = Path(__file__).with_name("attendant.sh")
CONFINED = Path(__file__).with_name("confined.sh")
POLL_S = 0.3
"""How often it is asked for a device that another run has."""
LAST_BYTES = 2**16
SIGNALLED = 128
"""A shell's exit status of what a signal ended lies above this by the number of the signal."""
MOST_SIGNALS = 64
"""Of Linux; what lies higher is a program's own exit status."""
BLOCK = 512
"""Bytes of a block, by which a shell limits files."""
DIGESTS = """
if [ -d "$1" ]; then cd "$1" && find . -type f -exec sha256sum {} +
elif [ -f "$1" ]; then sha256sum <"$1"
fi"""
PART = """
mkdir -p "${1%/*}"
[ ! -f "$1" ] || { wc -c <"$1"; sha256sum <"$1"; }"""
PLACE = """
found=$(sha256sum <"$1")
if [ "${found%% *}" = "$3" ]; then mv -f "$1" "$2" && echo whole; else rm -f "$1"; fi"""
KILL = """
read -r it <"$1" && { kill -9 "-$it" || kill -9 "$it"; } 2>/dev/null || true"""


class BareLink(Link):
    """A link whose attendant is a script of a shell; what that does not do, single commands do."""

    async def attend(self, python: str | None, folder: str, linger_s: float) -> None:  # noqa: ARG002
        """Start the attendant of a folder, which ends the one that was there before."""
        self.folder, self.started = folder, 0
        self._answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        for script in (ATTENDANT, CONFINED):
            there = f"{folder}/{script.name}"
            await self.shell('cat > "$1"', there, content=script.read_bytes())
        words = ["sh", f"{folder}/{ATTENDANT.name}", folder, f"{link.SILENCE_S:g}", f"{linger_s:g}"]
        with lost(self.cut_by):
            self.process = await self.connection.create_process(quoted(words), encoding=None)
        try:
            hello = await self._line()
        except LostError:
            await self._say_why("sh")
            raise
        if hello["missing"]:
            raise self.address.error(
                f"its shell has no {hello['missing'].replace(' ', ', ')}.",
                "toybox has all that is needed, and busybox unless it was built without: put one "
                "into the PATH there.",
            )
        self._heart = asyncio.create_task(self._beat())
        self._ear = asyncio.create_task(self._hear())

    async def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Return what the attendant of a device with Python would answer."""
        answer: dict[str, Any] = await getattr(self, f"_{do}")(**request)
        return answer

    async def start(self, command: Sequence[str], limits: Mapping[str, int]) -> "Started":
        """Return a program that has begun, under the limits of `limits.confine`.

        Of these `memory_mib` is left as it is where it is 0, as are the others.
        """
        self.started += 1
        kept = (limits["seconds"], limits["written_mib"] * 2**20 // BLOCK)
        told = (self.started, *kept, limits["memory_mib"] * 1024)
        words = ["sh", f"{self.folder}/{CONFINED.name}", self.folder, *map(str, told), *command]
        with lost(self.cut_by):
            process = await self.connection.create_process(quoted(words), encoding=None)
        return Started(self, self.started, process)

    async def go(self) -> None:
        """Have the folder removed; return when the attendant has ended."""
        self._write(b"go\n")
        await asyncio.wait({self._ear})

    async def is_there(self) -> None:
        """Ask the attendant for a sign of life; LostError where it gives none."""
        await self._told("still")

    @property
    def is_cut(self) -> bool:
        """Whether the attendant is not heard any more."""
        return self._ear.done()

    async def close(self) -> None:
        """End the connection."""
        if self._heart:
            self._ear.cancel()
        await super().close()

    async def _hear(self) -> None:
        """Take the attendant's answers, and its signs of life, until nothing comes any more."""
        try:
            with suppress(LostError, UnreachableError):
                while True:
                    self._answers.put_nowait(await self._line())
        finally:
            self._answers.put_nowait(None)

    async def _told(self, request: str) -> dict[str, Any]:
        """Return the attendant's answer to a line."""
        async with self._asked():
            self._write(request.encode("ascii", "replace").replace(b"\n", b" ") + b"\n")
            answer = await self._answers.get()
        if answer is None:
            self._answers.put_nowait(None)  # whoever asks next must know
            raise LostError
        return self._sound(answer)

    async def _files(self, path: str) -> dict[str, Any]:
        lines = (await self.shell(DIGESTS, path)).splitlines()
        found = dict(map(_digest, lines))
        return {"files": found}

    async def _part(self, path: str) -> dict[str, Any]:
        size, sha256, *_ = [*(await self.shell(PART, path)).split(), "", ""]
        return {"bytes": int(size or 0), "sha256": sha256}

    async def _place(self, part: str, path: str, sha256: str) -> dict[str, Any]:
        return {"whole": bool(await self.shell(PLACE, part, path, sha256))}

    async def _run(self, command: Sequence[str], timeout_s: float) -> dict[str, Any]:
        unlimited = {"memory_mib": 0, "seconds": 0, "written_mib": 0}
        program = await self.start(command, unlimited)
        await program.say_no_more()
        try:
            out = await asyncio.wait_for(program.rest(), timeout_s)
        except asyncio.CancelledError:
            await program.kill()
            raise
        except TimeoutError:
            await program.kill()
            out, late = b"", True
        else:
            late = False
        status, errors = await program.end(), await program.wrote()
        if status == NOT_FOUND:
            raise self.address.refused(errors.decode("utf-8", "replace").strip())
        texts = {"out": out.decode("utf-8", "replace"), "errors": errors.decode("utf-8", "replace")}
        return {"status": status, "late": late, **texts}

    async def _take(self, wait_s: float, who: str) -> dict[str, Any]:
        deadline = time.monotonic() + wait_s
        while "held_by" in (answer := await self._told(f"take {who}")):
            if time.monotonic() > deadline:
                await self._told("leave")
                break
            await asyncio.sleep(POLL_S)
        return answer

    async def _leave(self) -> dict[str, Any]:
        return await self._told("leave")


class Started:
    """A program on the device, which reads and writes lines."""

    def __init__(self, link: BareLink, number: int, process: Any):
        self.link, self.number, self.process = link, number, process
        self._read = b""

    async def say(self, line: bytes) -> None:
        """Send it something; that it is gone shows where its answer is awaited."""
        with suppress(BrokenPipeError), lost(self.link.cut_by):
            self.process.stdin.write(line)

    async def say_no_more(self) -> None:
        """End its input."""
        with suppress(BrokenPipeError), lost(self.link.cut_by):
            self.process.stdin.write_eof()

    async def line(self) -> bytes:
        """Return what it says next, empty or half a line where it has ended."""
        while b"\n" not in self._read and (piece := await self._piece()):
            self._read += piece
        line, end, self._read = self._read.partition(b"\n")
        return line + end

    async def rest(self) -> bytes:
        """Return all that it says until its end."""
        while piece := await self._piece():
            self._read += piece
        return self._read

    async def end(self) -> int:
        """Return its exit status, below 0 by a signal; LostError where its end was not seen."""
        with lost(self.link.cut_by):
            done = await self.process.wait()
        if done.exit_status is None:
            raise LostError
        status = int(done.exit_status)
        if status == SIGNALLED + signal.SIGKILL:  # the attendant does that where it hears nothing
            await self.link.is_there()
        return SIGNALLED - status if 0 < status - SIGNALLED <= MOST_SIGNALS else status

    async def wrote(self) -> bytes:
        """Return what it wrote last on its error stream."""
        script = 'tail -c "$2" "$1" 2>/dev/null || true'
        place = f"{self.link.folder}/errors/{self.number}"
        return (await self.link.shell(script, place, str(LAST_BYTES))).encode()

    async def kill(self) -> None:
        """End it, and what it started."""
        await self.link.shell(KILL, f"{self.link.folder}/running/{self.number}")

    async def _piece(self) -> bytes:
        """Return what it says next, however long it is silent before."""
        while True:
            with lost(self.link.cut_by):
                try:
                    piece: bytes = await self.process.stdout.read(PIECE)
                except TimeoutError:
                    if self.link.is_cut:
                        raise
                else:
                    return piece


def _digest(line: str) -> tuple[str, str]:
    """Return a file's path from its folder, empty for the file itself, and its digest."""
    sha256, _, name = line.partition("  ")
    if sha256.startswith("\\"):  # GNU's way to write names of more than one line
        parts = (part.replace("\\n", "\n") for part in name.split("\\\\"))
        sha256, name = sha256[1:], "\\".join(parts)
    return ("" if name == "-" else name.removeprefix("./")), sha256
