"""Reads what ONNX Runtime noted of its operators, and finds the module of each in the model file.

ONNX Runtime rewrites the graph: it joins operators, lays channels out anew, and calls what comes of
it after a node or after a value of the file, with something before or behind. What it puts in
itself, as ReorderInput, has no module. Its clock counts whole microseconds.
"""

import json
import mmap
import re
from pathlib import Path

from external_data import fields
from operators import summed

RUN, KERNEL = "model_run", "_kernel_time"
ADDED = re.compile(r"^fused | ?(_token_\d+|_nchwc|_(?:De)?[qQ]uantize(?:Linear)?|_q|_dq)$")
CONTROL = ("If", "Loop", "Scan")
"""Operators whose time holds that of others."""
MOST_JOINED = 4
UNKNOWN = "_empty_nn_module_stack"
GRAPH, NODE, INPUT, OUTPUT, NAME, OPERATOR = 7, 1, 1, 2, 3, 4
"""Fields of the messages of onnx.proto."""
DELIMITED = 2


def operators(noted, file, skipped):
    """Return what `summed` does of a profile; the first runs that are `skipped` do not count."""
    nodes = described_nodes(file)
    runs, whole, waiting = [], [], []
    for event in json.loads(Path(noted).read_text("utf-8")):
        if event["name"] == RUN:
            runs.append(
                [((kind, module(kind, name, nodes), None), us) for kind, name, us in own(waiting)]
            )
            whole.append(event["dur"])
            waiting = []
        elif event["cat"] == "Node" and event["name"].endswith(KERNEL):
            waiting.append(event)
    return summed(runs[skipped:], whole[skipped:])


def own(events):
    """Yield operator, name and microseconds of each event, without what others in it took."""
    events = sorted(events, key=lambda event: (event["ts"], -event["dur"]))
    holders, taken = [], [event["dur"] for event in events]
    for index, event in enumerate(events):
        while holders and event["ts"] >= events[holders[-1]]["ts"] + events[holders[-1]]["dur"]:
            holders.pop()
        if holders:
            taken[holders[-1]] -= event["dur"]
        if event["args"]["op_name"] in CONTROL:
            holders.append(index)
    for event, us in zip(events, taken):  # noqa: B905  (Python 3.9 of a device has no strict)
        yield event["args"]["op_name"], event["name"][: -len(KERNEL)], max(0, us)


def module(kind, name, nodes):
    """Return the path of the module that a node of the runtime's graph came from, or nothing.

    What was joined to an operator, as an activation to a convolution, goes by the operator.
    """
    while name not in nodes:
        shorter = ADDED.sub("", name)
        if shorter == name:
            shorter = name.rpartition("/")[0]
        if not shorter:
            return ""
        name = shorter
    path = _joined(kind, nodes[name], nodes)["name"].rpartition("/")[0].strip("/")
    return "" if path.startswith(UNKNOWN) else path


def _joined(kind, node, nodes):
    """Return the node before that does what the runtime's operator is called after, if it does."""
    before = node
    for _ in range(MOST_JOINED):
        if before["operator"] in kind:
            return before
        if before["input"] not in nodes:
            break
        before = nodes[before["input"]]
    return node


def described_nodes(file):
    """Return every node of the file by its name and by every value that it gives.

    A .ort file is no protocol buffer: there only the runtime knows names.
    """
    if Path(file).suffix != ".onnx":
        return {}
    found = {}
    with Path(file).open("rb") as stream:
        held = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    for start, end in _messages(held, 0, len(held), GRAPH):
        for begin, after in _messages(held, start, end, NODE):
            inputs, outputs, names, kinds = (
                [_plain(held[first:last]) for first, last in _messages(held, begin, after, one)]
                for one in (INPUT, OUTPUT, NAME, OPERATOR)
            )
            node = {"name": "".join(names[-1:]), "operator": "".join(kinds[-1:])}
            node["input"] = "".join(inputs[:1])
            found.update({value: node for value in outputs if value not in found})
            found[node["name"]] = node
    held.close()
    return found


def _plain(data):
    return data.decode("utf-8", "replace")


def _messages(held, start, end, wanted):
    """Yield begin and end of every field of one number."""
    for field, kind, begin, after in fields(held, start, end):
        if field == wanted and kind == DELIMITED:
            yield begin, after
