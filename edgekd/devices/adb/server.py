"""The adb server of this machine, spoken to as its own client does.

Source: OVERVIEW.TXT and SERVICES.TXT of adb. A request is its length in four hex
digits and its text; OKAY or FAIL comes back, then what was asked for.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST = 0xFFFF
PORT = 5037


class AdbError(Exception):
    """What the server says of a request that it does not do."""


@dataclass(frozen=True)
class Server:
    """Where the server listens."""

    host: str
    port: int

    async def ask(self, service: str) -> str:
        """Return the answer to a request; AdbError, OSError where there is none."""
        reader, writer = await self.open(service)
        try:
            return await _text(reader)
        finally:
            writer.close()

    async def devices(self) -> Mapping[str, str]:
        """Return the state of every device that is connected, by its serial."""
        lines = (await self.ask("host:devices")).splitlines()
        return {serial: state for serial, _, state in (line.partition("\t") for line in lines)}

    async def open(self, *services: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the streams of the last of some services, each asked for over the one before."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            for service in services:
                await _request(reader, writer, service)
        except BaseException:
            writer.close()
            raise
        return reader, writer


def server() -> Server:
    """Return where the server is, as adb's own client is told; ValueError where it is no port."""
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1"
    return Server(host, int(os.environ.get("ANDROID_ADB_SERVER_PORT") or PORT))


async def _request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: str
) -> None:
    """Ask for something; AdbError where it is refused."""
    text = service.encode()
    if len(text) > LONGEST:
        raise AdbError(f"a request of {len(text)} bytes is longer than adb takes")
    writer.write(b"%04x" % len(text) + text)
    status = await exactly(reader, 4)
    if status != b"OKAY":
        raise AdbError(await _text(reader) if status == b"FAIL" else "its answer is not adb's")


async def _text(reader: asyncio.StreamReader) -> str:
    """Return a text that comes with its length."""
    try:
        size = int(await exactly(reader, 4), 16)
    except ValueError as error:
        raise AdbError("its answer is not adb's") from error
    return (await exactly(reader, size)).decode("utf-8", "replace")


async def exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    """Return so many bytes; ConnectionError where the stream ends before."""
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the stream ended") from error
