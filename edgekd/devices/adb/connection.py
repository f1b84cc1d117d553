"""Commands on a device over adb.

Source: shell_protocol.h of adb. Commands run by its service `shell,v2`, which keeps the streams
apart and ends with the exit status. The client's executable is not used for that: where the device
goes away, `adb shell` of version 29 ends with status 0, as after a command that was well.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from edgekd.devices.adb.server import Server, exactly
from edgekd.devices.link import link

STDIN, STDOUT, STDERR, EXIT, END_OF_STDIN = range(5)
HEADER_BYTES = 5
"""Of a packet: one for its stream, four for its length, the lowest first."""
AHEAD = 16
"""Packets that are read before somebody wants them; then the device has to wait."""
PIECE = 2**15
LAST_WORDS = 2**16
"""Bytes of an error stream that are kept."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended, or whose link was cut."""

    exit_status: int | None
    """None where its end was not seen."""
    stdout: bytes
    stderr: bytes


class AdbConnection:
    """A device that the server has; see `link.Connection`."""

    def __init__(self, server: Server, serial: str):
        self.server, self.serial = server, serial
        self._running: list[AdbProcess] = []

    async def create_process(self, command: str, *, encoding: None) -> "AdbProcess":  # noqa: ARG002
        """Return a command that has begun."""
        way = (f"host:transport:{self.serial}", f"shell,v2,raw:{command}")
        process = AdbProcess(*await asyncio.wait_for(self.server.open(*way), link.SILENCE_S))
        self._running = [one for one in self._running if not one.over]
        self._running.append(process)
        return process

    async def run(self, command: str, *, input: bytes, encoding: None) -> Ended:  # noqa: A002
        """Return a command that has ended."""
        process = await self.create_process(command, encoding=encoding)
        with suppress(BrokenPipeError):
            for start in range(0, len(input), PIECE):
                process.stdin.write(input[start : start + PIECE])
                await process.stdin.drain()
            process.stdin.write_eof()
        return await process.wait()

    def close(self) -> None:
        """Let the device go, and what runs there."""
        for process in self._running:
            process.leave()

    async def wait_closed(self) -> None:
        """Return when it is let go."""
        await asyncio.gather(*(one.reading for one in self._running), return_exceptions=True)


class AdbProcess:
    """A command on the device, and its three streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader, self._writer = reader, writer
        self._out: asyncio.Queue[bytes] = asyncio.Queue(AHEAD)
        self._all_read = False
        self._errors = b""
        self.status: int | None = None
        self.reading = asyncio.create_task(self._read())
        self.stdin = self.stdout = self

    @property
    def over(self) -> bool:
        """Whether nothing comes from the command any more."""
        return self._writer.is_closing()

    def write(self, data: bytes) -> None:
        """Send it something; BrokenPipeError where it has ended."""
        for start in range(0, len(data), PIECE):
            self._send(STDIN, data[start : start + PIECE])

    async def drain(self) -> None:
        """Return when there is room for more; BrokenPipeError where it has ended."""
        try:
            await asyncio.wait_for(self._writer.drain(), link.SILENCE_S)
        except ConnectionError as error:
            raise BrokenPipeError from error

    def write_eof(self) -> None:
        """Tell it that nothing more comes."""
        self._send(END_OF_STDIN, b"")

    async def read(self, size: int) -> bytes:  # noqa: ARG002  (a packet is small)
        """Return what it printed next, or nothing at its end."""
        if not self._all_read:
            piece = await asyncio.wait_for(self._out.get(), link.SILENCE_S)
            self._all_read = not piece
            return piece
        return b""

    async def wait(self) -> Ended:
        """Return how it ended, with what of its output nobody has read."""
        pieces: list[bytes] = []
        while piece := await self.read(PIECE):
            pieces.append(piece)
        return Ended(self.status, b"".join(pieces), self._errors)

    def leave(self) -> None:
        """Let it go: its input ends, and nobody waits for its output."""
        self.reading.cancel()
        self._writer.close()
        while self._out.full():
            self._out.get_nowait()
        self._out.put_nowait(b"")

    def _send(self, stream: int, data: bytes) -> None:
        if self.over:
            raise BrokenPipeError
        self._writer.write(bytes([stream]) + len(data).to_bytes(4, "little") + data)

    async def _read(self) -> None:
        """Sort what comes until the command has ended, or the link was cut.

        Reading goes on while nobody listens, so that the reason why a command ended early is not
        lost where sending to it fails.
        """
        with suppress(OSError):
            while self.status is None:
                header = await exactly(self._reader, HEADER_BYTES)
                data = await exactly(self._reader, int.from_bytes(header[1:], "little"))
                await self._sort(header[0], data)
        self._writer.close()
        await self._out.put(b"")

    async def _sort(self, stream: int, data: bytes) -> None:
        if stream == EXIT and data:
            self.status = data[0]
        elif stream == STDERR:
            self._errors = (self._errors + data)[-LAST_WORDS:]
        elif stream == STDOUT and data:
            await self._out.put(data)
