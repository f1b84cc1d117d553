"""The link to a device: one connection, and the attendant that answers at its end."""

import asyncio
import errno
import json
import shlex
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Thread, current_thread
from typing import Any, Protocol, TypeVar

from edgekd.devices.link import attendant
from edgekd.devices.link.refusals import Address

SILENCE_S = 60.0
"""How long either end waits for a sign of life before it takes the link for cut."""
BEATS = 6
"""Signs of life in that time."""
PIECE = 2**16
NOT_FOUND = 127
LEAST_PYTHON = (3, 9)
AWAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)
"""What the system says of a connection whose other end it finds no way to any more."""
THREAD = "links to devices"
T = TypeVar("T")


class LostError(Exception):
    """The link was cut; what it was used for can be tried again."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of all links of this process, in a thread of its own."""
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name=THREAD, daemon=True).start()
    return loop


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine comes to; it is cancelled where the wait for it is interrupted."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
    finally:
        del future  # an error that it holds leads back to this frame, and to the transport


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Wait for a coroutine that ends something, but not in the loop's own thread.

    The garbage collector may call for the end of a transport in whichever thread it happens to run.
    """
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    if current_thread().name != THREAD:
        future.result()


def quoted(command: Sequence[str]) -> str:
    """Return a command as a shell takes it: the one place where words are quoted."""
    return " ".join(map(shlex.quote, command))


class Connection(Protocol):
    """What a link takes of a way to a device; asyncssh's connections are so by themselves.

    A command is a line of shell. What runs has `stdin`, `stdout` and `stderr`, and at its end an
    `exit_status`, or None where its end was not seen.
    """

    async def run(self, command: str, *, input: bytes, encoding: None) -> Any:  # noqa: A002
        """Return a command that has ended."""

    async def create_process(self, command: str, *, encoding: None) -> Any:
        """Return a command that has begun."""

    def close(self) -> None:
        """Let the device go, and what runs there."""

    async def wait_closed(self) -> None:
        """Return when it is let go."""


class Link:
    """An open connection with the attendant of a working folder.

    `cut_by` are the errors of the connection that tell that it is gone, beside those of the system.
    """

    def __init__(
        self, connection: Connection, address: Address, cut_by: tuple[type[Exception], ...] = ()
    ):
        self.connection, self.address, self.cut_by = connection, address, cut_by
        self.process: Any = None
        self._asking = asyncio.Lock()
        self._waiting: asyncio.Task[Any] | None = None
        """Who waits for an answer."""
        self._owed = False
        """Whether an answer may still come, waited for or not."""
        self._heart: asyncio.Task[None] | None = None
        self._read = b""

    async def attend(self, python: str | None, folder: str, linger_s: float) -> None:
        """Start the attendant of a folder, which ends the one that was there before."""
        assert python is not None
        script = f"{folder}/attendant.py"
        await self.shell('cat > "$1"', script, content=Path(attendant.__file__).read_bytes())
        words = [python, "-I", "-S", script, folder, f"{SILENCE_S:g}", f"{linger_s:g}"]
        with lost(self.cut_by):
            self.process = await self.connection.create_process(quoted(words), encoding=None)
        try:
            hello = await self._line()
        except LostError:
            await self._say_why(python)
            raise
        if tuple(map(int, hello["python"].split(".")[:2])) < LEAST_PYTHON:
            least = ".".join(map(str, LEAST_PYTHON))
            raise self.address.error(
                f"'{python}' there is Python {hello['python']}; {least} is the oldest.",
                f"Name another interpreter: {self.address.option('python: ...')}",
            )
        self._heart = asyncio.create_task(self._beat())

    async def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Return the attendant's answer; LostError where the link is cut before it comes."""
        async with self._asked():
            self._write(json.dumps({"do": do, **request}).encode() + b"\n")
            answer = await self._line()
        return self._sound(answer)

    async def go(self) -> None:
        """Have the folder removed, whatever else was asked; return when the attendant has ended."""
        if self._waiting:
            self._waiting.cancel()
        async with self._asking:
            self._write(json.dumps({"do": "go"}).encode() + b"\n")
            with suppress(LostError):
                while True:
                    await self._line()

    async def shell(self, script: str, *words: str, content: bytes = b"") -> str:
        """Return what a line of shell prints, `words` being its $1 and so on."""
        with lost(self.cut_by):
            done = await self.connection.run(
                quoted(["sh", "-c", script, "sh", *words]), input=content, encoding=None
            )
        self._check(done)
        return _text(done.stdout)

    async def send(self, file: Path, start: int, remote: str) -> None:
        """Append a file's bytes from `start` on to one over there."""
        with lost(self.cut_by), file.open("rb") as stream:
            process = await self.connection.create_process(
                quoted(["sh", "-c", 'cat >> "$1"', "sh", remote]), encoding=None
            )
            stream.seek(start)
            with suppress(BrokenPipeError):  # it ended early: why is in its error stream
                while piece := stream.read(PIECE):
                    process.stdin.write(piece)
                    await process.stdin.drain()
                process.stdin.write_eof()
            self._check(await process.wait(), remote)

    async def fetch(self, remote: str, start: int) -> AsyncIterator[bytes]:
        """Yield a file's bytes from `start` on; LostError where the link is cut before its end."""
        with lost(self.cut_by):
            command = quoted(["tail", "-c", f"+{start + 1}", remote])
            process = await self.connection.create_process(command, encoding=None)
            while piece := await process.stdout.read(PIECE):
                yield piece
            self._check(await process.wait(), remote)

    def _check(self, done: Any, path: str | None = None) -> None:
        """Raise LostError where a command's end was not seen, UnreachableError where it failed."""
        if done.exit_status is None:
            raise LostError
        if done.exit_status:
            why = _text(done.stderr) or f"exit status {done.exit_status}"
            raise self.address.refused(why, path)

    async def close(self) -> None:
        """End the connection."""
        if self._heart:
            self._heart.cancel()
        self.connection.close()
        with suppress(Exception):
            await asyncio.wait_for(self.connection.wait_closed(), 5)

    def _write(self, data: bytes) -> None:
        with lost(self.cut_by):
            self.process.stdin.write(data)

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        """Have the attendant to ourselves until its answer is read.

        LostError where somebody was interrupted who waited for one, as by Ctrl-C: the next to ask
        would take it for its own.
        """
        async with self._asking:
            if self._owed:
                raise LostError
            self._owed, self._waiting = True, asyncio.current_task()
            try:
                yield
            finally:
                self._waiting = None
            self._owed = False

    def _sound(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return an answer; UnreachableError where it tells what the device's system refuses."""
        if "refused" in answer:
            raise self.address.refused(answer["refused"], answer.get("path"))
        return answer

    async def _line(self) -> dict[str, Any]:
        """Return the next answer, of any length; UnreachableError where it is none."""
        while b"\n" not in self._read:
            with lost(self.cut_by):
                piece = await self.process.stdout.read(PIECE)
            if not piece:
                raise LostError
            self._read = (self._read + piece).lstrip(b"\n")  # an empty line is a sign of life
        line, _, left = self._read.partition(b"\n")
        self._read = left.lstrip(b"\n")
        text = line.decode("utf-8", "replace")
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            raise self.address.refused(f"'{text}' is no answer") from None
        return answer

    async def _beat(self) -> None:
        """Say again and again that we are there."""
        with suppress(LostError):
            while True:
                await asyncio.sleep(SILENCE_S / BEATS)
                self._write(b"\n")

    async def _say_why(self, python: str) -> None:
        """Raise UnreachableError where the attendant could not start, and not for the link."""
        with lost(self.cut_by):
            done = await self.process.wait()
        if done.exit_status == NOT_FOUND:
            raise self.address.no_python(python)
        if done.exit_status is not None:
            last = _text(done.stderr).splitlines()[-1:]
            raise self.address.refused(*last or [f"'{python}' ended at once"])


class lost:  # noqa: N801  (used like a function)
    """Turn the errors of a connection that is gone into LostError."""

    def __init__(self, cut_by: tuple[type[Exception], ...]):
        self.cut_by = (*cut_by, ConnectionError, TimeoutError)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: object) -> None:
        gone = isinstance(error, self.cut_by)
        if gone or (isinstance(error, OSError) and error.errno in AWAY):
            raise LostError from error


def _text(data: Any) -> str:
    """Return what a program printed."""
    return (data or b"").decode("utf-8", "replace").strip()
