"""Which files an ONNX file wants read beside it, and whether they are its own.

    python3 -s -E external_data.py MODEL.onnx SECONDS MEMORY_MIB

Reads nothing but the framing of the protocol buffer: weights are stepped over, and neither onnx
nor a runtime is needed.
"""

import mmap
from pathlib import Path

INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""By message, the fields that lead to a tensor's `external_data` (onnx.proto, IR version 13)."""
VARINT, EIGHT_BYTES, DELIMITED, FOUR_BYTES = 0, 1, 2, 5
LONGEST_VARINT = 10


class RefusedError(Exception):
    """The file is none, or names what it may not read; the text says which."""


def check(path):
    """Return the files that hold an ONNX file's tensors, by their paths from its folder.

    RefusedError where it is no such file, or names one that is not in its folder.
    """
    path = Path(path)
    folder, found = path.parent.resolve(), set()
    for name in locations(path):
        place = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts or set(name) & {"\\", "\0"}:
            raise RefusedError(f"it names external data outside its folder: {name!r}")
        if not place.resolve().is_relative_to(folder):
            raise RefusedError(f"it names external data that is a link out of its folder: {name!r}")
        if not place.is_file():
            raise RefusedError(f"it names external data that is no file beside it: {name!r}")
        found.add(str(Path(name)))
    return sorted(found)


def locations(path):
    """Return every external location that a file names, sorted."""
    with Path(path).open("rb") as stream:
        try:
            held = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise RefusedError("it is empty") from error
        with held:
            return sorted(set(_named(held)))


def _named(held):
    """Yield the locations, walking message by message."""
    waiting = [("model", 0, len(held))]
    while waiting:
        message, start, end = waiting.pop()
        if message == "entry":
            key, value = (_text(held, start, end, field) for field in (1, 2))
            if key == "location":
                yield value
            continue
        for field, kind, begin, after in fields(held, start, end):
            inner = INSIDE[message].get(field)
            if inner and kind == DELIMITED:
                waiting.append((inner, begin, after))


def _text(held, start, end, wanted):
    """Return a text field of a message, the last where it is there twice, as parsers do."""
    text = ""
    for field, kind, begin, after in fields(held, start, end):
        if field == wanted and kind == DELIMITED:
            text = held[begin:after].decode("utf-8", "surrogateescape")
    return text


def fields(held, at, end):
    """Yield number, wire type, and begin and end of the value of each field."""
    while at < end:
        tag, at = _varint(held, at, end)
        kind, begin = tag & 7, at
        if kind == VARINT:
            at = _varint(held, at, end)[1]
        elif kind == DELIMITED:
            length, begin = _varint(held, at, end)
            at = begin + length
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if kind == EIGHT_BYTES else 4
        else:
            raise RefusedError("it is no ONNX file")
        if at > end:
            raise RefusedError("it is cut short, or no ONNX file")
        yield tag >> 3, kind, begin, at


def _varint(held, at, end):
    """Return a number in base 128, the lowest digits first, and where it ends."""
    number = 0
    for index in range(LONGEST_VARINT):
        if at + index >= end:
            break
        byte = held[at + index]
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, at + index + 1
    raise RefusedError("it is cut short, or no ONNX file")


def described(path):
    """Return the names of the files that belong to an ONNX file."""
    return {"beside": check(path)}


if __name__ == "__main__":
    from describing import answer

    answer(described)
