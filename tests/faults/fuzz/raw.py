"""Mutants of bytes, of any kind of file."""

import random
from collections.abc import Callable, Sequence

NASTY = (
    b"\0",
    b"\xff",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\r",
    b"\r\n",
    b"\n",
    b"\t",
    b"\x1b[2J",
    b"\x7f",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xae",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xff" * 8,
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
)
"""Bytes that mean something to somebody."""

YAML = b"""
: |- |+ >- & * ! % @ ` ? - -- --- ... # [ ] { } , " ' \\ << <<: ? : !! !<> &a *a $ $student !!python
|0 |9 >1- %YAML %TAG ~ .inf .nan 0x 1e999 <use> options kind: seed: stages: plugins: =
""".split()

Change = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def mutated(
    content: bytes,
    rng: random.Random,
    others: Sequence[bytes],
    *,
    changes: int,
    words: Sequence[bytes] = (),
) -> bytes:
    """Return the content after some changes; `others` give parts, `words` may be put in."""
    data = bytearray(content)
    for _ in range(changes):
        if words and rng.random() < 0.25:
            at = rng.randrange(len(data) + 1)
            data[at:at] = rng.choice(words)
        else:
            rng.choice(CHANGES)(data, rng, others)
    return bytes(data)


def _span(data: bytearray, rng: random.Random) -> slice:
    start = rng.randrange(len(data) + 1)
    longest = rng.choice([1, 4, 16, 64, 1024, len(data) + 1])
    return slice(start, start + rng.randrange(longest) + 1)


def _flip(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])


def _insert(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.choice([rng.choice(NASTY), rng.randbytes(rng.randrange(1, 20))])


def _overwrite(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, nasty = rng.randrange(len(data) + 1), rng.choice(NASTY)
    data[at : at + len(nasty)] = nasty


def _delete(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del data[_span(data, rng)]


def _repeat(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    block = bytes(data[_span(data, rng)])[:4096]
    at = rng.randrange(len(data) + 1)
    data[at:at] = block * rng.choice([1, 1, 2, 10, 50])


def _move(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    span = _span(data, rng)
    block = bytes(data[span])
    del data[span]
    at = rng.randrange(len(data) + 1)
    data[at:at] = block


def _splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    donor = bytearray(rng.choice(others) if others else b"x")
    data[_span(data, rng)] = donor[_span(donor, rng)]


def _join(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    donor = rng.choice(others) if others else b"x"
    data[rng.randrange(len(data) + 1) :] = donor[rng.randrange(len(donor) + 1) :]


def _truncate(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _lines(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Shuffle, repeat or indent lines, or end them as another system does."""
    lines = bytes(data).split(b"\n")
    at = rng.randrange(len(lines))
    done = rng.randrange(5)
    if done == 0:
        lines.insert(rng.randrange(len(lines) + 1), lines[at])
    elif done == 1:
        lines[at] = b" " * rng.randrange(5) + lines[at].lstrip()
    elif done == 2:
        lines[at] = lines[at] + b"x" * rng.choice([100, 10_000, 100_000])
    elif done == 3:
        lines[at] = b"\t" + lines[at]
    data[:] = (b"\r\n" if done == 4 else b"\n").join(lines)


def _encode(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    text = bytes(data).decode("utf-8", "replace")
    data[:] = text.encode(rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7"]))


CHANGES: Sequence[Change] = (
    *(_flip, _flip, _flip, _set, _set, _insert, _insert, _overwrite, _delete, _delete, _repeat),
    *(_move, _splice, _splice, _join, _truncate, _lines, _lines, _encode),
)
