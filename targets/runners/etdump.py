"""Reads how long an ExecuTorch program took, and how much of it outside its delegates.

What ExecuTorch notes of it, an ETDump, is a flatbuffer (etdump_schema_flatcc.fbs in its devtools).
No library is needed for what is wanted of it: the name, start and end of every event.
"""

import struct

IDENTIFIER = b"ED00"
RUNS, EVENTS, EVENT, NAME, START, END = 1, 3, 0, 0, 6, 7
"""Places of fields in their tables, as the schema orders them."""
WHOLE, OUTSIDE = "Method::execute", "OPERATOR_CALL"


def undelegated(data):
    """Return the share of the time of all runs but the first that kernels outside delegates took.

    ValueError where there is no such run in it, or it is no ETDump.
    """
    if IDENTIFIER not in (data[4:8], data[8:12]):
        raise ValueError("what ExecuTorch wrote about its time is no ETDump")
    root = 4 if data[8:12] == IDENTIFIER else 0  # one with its size before it
    runs = [spent(data, run) for run in _tables(data, _follow(data, root), RUNS)]
    runs = [run for run in runs if run[WHOLE]][1:]
    if not runs:
        raise ValueError("ExecuTorch noted no time of a second run")
    return sum(run[OUTSIDE] for run in runs) / sum(run[WHOLE] for run in runs)


def spent(data, run):
    """Return nanoseconds of one run: the whole of it, and kernels outside delegates."""
    found = {WHOLE: 0, OUTSIDE: 0}
    for event in _tables(data, run, EVENTS):
        place = _field(data, event, EVENT)
        name, nanoseconds = _event(data, _follow(data, place)) if place else ("", 0)
        if name in found:
            found[name] += nanoseconds
    return found


def _event(data, table):
    place = _field(data, table, NAME)
    name = _text(data, _follow(data, place)) if place else ""
    start, end = (_unsigned(data, _field(data, table, field)) for field in (START, END))
    return name, end - start


def _tables(data, table, field):
    """Yield where the tables of a vector begin."""
    place = _field(data, table, field)
    if place:
        vector = _follow(data, place)
        (count,) = struct.unpack_from("<I", data, vector)
        yield from (_follow(data, vector + 4 + 4 * index) for index in range(count))


def _field(data, table, field):
    """Return where a field of a table lies; 0 where the table does not have it."""
    (back,) = struct.unpack_from("<i", data, table)
    (size,) = struct.unpack_from("<H", data, table - back)
    if 4 + 2 * field >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, table - back + 4 + 2 * field)
    return table + offset if offset else 0


def _follow(data, place):
    return place + struct.unpack_from("<I", data, place)[0]


def _text(data, place):
    (size,) = struct.unpack_from("<I", data, place)
    return bytes(data[place + 4 : place + 4 + size]).decode("utf-8", "replace")


def _unsigned(data, place):
    return struct.unpack_from("<Q", data, place)[0] if place else 0
