"""Reads how long an ExecuTorch program took, and how much of it outside its delegates.

What ExecuTorch notes of it, an ETDump, is a flatbuffer (etdump_schema_flatcc.fbs in its devtools).
No library is needed for what is wanted of it: the name, start and end of every event.
"""

import re
import struct

from operators import summed

IDENTIFIER = b"ED00"
RUNS, EVENTS, EVENT, NAME, INSIDE, START, END = 1, 3, 0, 0, 4, 6, 7
"""Places of fields in their tables, as the schema orders them."""
WHOLE, OUTSIDE, DELEGATE, KERNEL = (
    "Method::execute",
    "OPERATOR_CALL",
    "DELEGATE_CALL",
    "native_call_",
)
NUMBER = re.compile(r" #\d+$")
BETWEEN, VIEW = "between operators of the delegate", "view"


def undelegated(data):
    """Return the share of the time of all runs but the first that kernels outside delegates took.

    ValueError where there is no such run in it, or it is no ETDump.
    """
    runs = [spent(data, run) for run in _runs(data)]
    runs = [run for run in runs if run[WHOLE]][1:]
    if not runs:
        raise ValueError("ExecuTorch noted no time of a second run")
    return sum(run[OUTSIDE] for run in runs) / sum(run[WHOLE] for run in runs)


def operators(data, skipped):
    """Return what `summed` does of all runs but the first that are `skipped`.

    Operators of the file stand for kernels outside delegates, with all that calling them costs;
    those inside are called as the delegate calls them. A .pte names no modules.
    """
    return of_events([[*_events(data, run)] for run in _runs(data)], skipped)


def of_events(runs, skipped=0):
    """Return what `operators` does of the events of every run: name, the delegate's own, ns."""
    runs = [run for run in runs if any(name == WHOLE for name, _, _ in run)][skipped:]
    whole = [sum(ns for name, _, ns in run if name == WHOLE) / 1e3 for run in runs]
    return summed([[*_kernels(run)] for run in runs], whole)


def _kernels(run):
    """Yield (operator, no module, whether it is delegated) and microseconds."""
    inside, kernel = 0, VIEW
    for name, of_delegate, ns in run:
        if of_delegate:
            inside += ns
            yield (NUMBER.sub("", of_delegate), "", True), ns / 1e3
        elif name == DELEGATE:
            yield (BETWEEN, "", True), max(0, ns - inside) / 1e3
            inside = 0
        elif name.startswith(KERNEL):
            kernel = name[len(KERNEL) :]
        elif name == OUTSIDE:
            yield (kernel, "", False), ns / 1e3
            kernel = VIEW


def _runs(data):
    """Return where the tables of all runs begin; ValueError where it is no ETDump."""
    if IDENTIFIER not in (data[4:8], data[8:12]):
        raise ValueError("what ExecuTorch wrote about its time is no ETDump")
    root = 4 if data[8:12] == IDENTIFIER else 0  # one with its size before it
    return _tables(data, _follow(data, root), RUNS)


def _events(data, run):
    """Yield name, the delegate's own name, and nanoseconds of every event of a run."""
    for event in _tables(data, run, EVENTS):
        place = _field(data, event, EVENT)
        if place:
            yield _event(data, _follow(data, place))


def spent(data, run):
    """Return nanoseconds of one run: the whole of it, and kernels outside delegates."""
    found = {WHOLE: 0, OUTSIDE: 0}
    for name, _, nanoseconds in _events(data, run):
        if name in found:
            found[name] += nanoseconds
    return found


def _event(data, table):
    places = (_field(data, table, field) for field in (NAME, INSIDE))
    names = [_text(data, _follow(data, place)) if place else "" for place in places]
    start, end = (_unsigned(data, _field(data, table, field)) for field in (START, END))
    return *names, end - start


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
