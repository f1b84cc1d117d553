"""Structure-aware mutants of safetensors: the header says something else than the data."""

import json
import random
from typing import Any

from fuzz import hostile

DTYPES = ["F32", "F16", "BF16", "F64", "I64", "I8", "U8", "BOOL", "F8_E4M3", "F4", "X", "", 5, None]
SIZES = [0, 1, -1, 2, 3, 2**31, 2**32, 2**63, 2**64 - 1, 10**30, 1.5, "3", None, True]
BITS = [b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0"]
"""A float that is no number, one that is infinite, and others."""


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return a file whose header was changed in one place, or whose numbers are odd."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    rng.choice(CHANGES)(header, data, rng)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    lengths = [len(text)] * 8 + [0, 1, 2**31, 2**63, 2**64 - 1, len(text) + 1]
    return rng.choice(lengths).to_bytes(8, "little") + text + bytes(data)


def _name(header: dict[str, Any], rng: random.Random) -> str:
    return rng.choice([name for name in header if name != "__metadata__"])


def _dtype(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    header[_name(header, rng)]["dtype"] = rng.choice(DTYPES)


def _shape(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    header[_name(header, rng)]["shape"] = [rng.choice(SIZES) for _ in range(rng.randrange(5))]


def _offsets(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    ends = [rng.choice(SIZES), rng.choice([*SIZES, len(data)])]
    header[_name(header, rng)]["data_offsets"] = ends


def _rename(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    name = _name(header, rng)
    header[rng.choice([f"{name}x", "", rng.choice(hostile.TEXTS)])] = header.pop(name)


def _delete(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    del header[_name(header, rng)]


def _metadata(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    header["__metadata__"] = rng.choice([{"a": 1}, 5, [], {"a": "b"}, {"a": None}])


def _swap(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    one, other = _name(header, rng), _name(header, rng)
    header[one], header[other] = header[other], header[one]


def _numbers(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    at = 4 * rng.randrange(max(1, len(data) // 4))
    data[at : at + 4] = rng.choice(BITS)


def _odd(header: dict[str, Any], data: bytearray, rng: random.Random) -> None:
    header[_name(header, rng)][rng.choice(["extra", "dtype", "shape"])] = _nested(rng)


CHANGES = (_dtype, _shape, _offsets, _rename, _delete, _metadata, _swap, _numbers, _odd)


def _nested(rng: random.Random) -> Any:
    value: Any = 1
    for _ in range(rng.choice([1, 10, 500])):
        value = [value]
    return value
