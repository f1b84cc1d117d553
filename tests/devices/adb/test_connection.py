import asyncio
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.devices.adb.connection import EXIT, PIECE, STDERR, STDOUT, AdbProcess, Ended

PACKETS = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40)))


class Sent:
    """What a process writes to the server, kept."""

    def __init__(self) -> None:
        self.data, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def packet(stream: int, data: bytes) -> bytes:
    return bytes([stream]) + len(data).to_bytes(4, "little") + data


async def ended(stream: bytes, cuts: list[int]) -> Ended:
    """Return how a process ends whose packets come in such pieces."""
    reader, sent = asyncio.StreamReader(), Sent()
    writer: Any = sent
    process = AdbProcess(reader, writer)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        reader.feed_data(stream[start:end])
        await asyncio.sleep(0)
    reader.feed_eof()
    return await process.wait()


@settings(max_examples=40)
@given(PACKETS, st.integers(0, 255), st.lists(st.integers(0, 500)))
def test_streams_come_apart_however_packets_are_cut(
    packets: list[tuple[int, bytes]], status: int, cuts: list[int]
) -> None:
    stream = b"".join(packet(*one) for one in packets) + packet(EXIT, bytes([status]))
    done = asyncio.run(ended(stream, cuts))
    out, errors = (b"".join(d for s, d in packets if s == which) for which in (STDOUT, STDERR))
    assert done == Ended(status, out, errors)


@settings(max_examples=20)
@given(PACKETS, st.integers(1, 6))
def test_a_command_whose_end_does_not_come_whole_has_no_status(
    packets: list[tuple[int, bytes]], missing: int
) -> None:
    stream = b"".join(packet(*one) for one in packets) + packet(EXIT, b"\0")
    done = asyncio.run(ended(stream[:-missing], []))
    assert done.exit_status is None


def test_what_is_sent_goes_in_packets_that_any_device_takes() -> None:
    async def sent() -> bytes:
        to: Any = Sent()
        process = AdbProcess(asyncio.StreamReader(), to)
        process.write(b"x" * (PIECE + 1))
        process.write_eof()
        process.leave()
        return bytes(to.data)

    assert asyncio.run(sent()) == packet(0, b"x" * PIECE) + packet(0, b"x") + packet(4, b"")
