"""Becomes the C++ runner of one program, which then answers what `worker.py` would.

The first line of the input is the job; it is told the runner on its command line (`executorch/
plan.h`), and this process is replaced: nothing of Python is left in the one that is measured.
"""

import json
import os
import sys
from pathlib import Path

import limits


def said(job, program):
    """Return the runner's command line for a program; none where only its version is asked for."""
    if job.get("do") == "identify" or "file" not in program:
        return []
    words = [program["file"], "--threads", job["threads"], *calls(program)]
    words += ["--scores", program["scores"]]
    for port in program["outputs"]:
        words += ["--output", port["name"]]
    return [str(word) for word in words]


def calls(program):
    """Return what goes into the calls: how many examples, and where each input comes from."""
    import numpy as np
    from feeds import Feeds

    ports, folder = program["inputs"], Path(program["samples"])
    outputs = [port["name"] for port in program["outputs"]]
    carried = {into: outputs.index(out) for out, into in program["state"]}
    columns = {
        port["name"]: mapped(folder / f"{port['name']}.npy", np.dtype(port["dtype"]))
        for port in ports
        if port["name"] not in carried
    }
    whole = program.get("whole_calls", False)
    feeds = Feeds(None, columns, ports, program["state"], whole_calls=whole)
    words = ["--examples", feeds.num_examples, "--step", feeds.step]
    words += ["--any-batch"] if feeds.any_batch() else []
    for port in ports:
        name = port["name"]
        if name in carried:
            shape = [size if isinstance(size, int) else 1 for size in port["shape"]]
            words += ["--carried", port["dtype"], sizes(shape), carried[name]]
        else:
            column, how = columns[name], "stacked" if feeds.stacked(name) else "whole"
            row = sizes(column.shape[1:])
            words += ["--input", port["dtype"], row, how, column.filename, column.offset]
    return words


def sizes(shape):
    """Return a shape as the runner reads it."""
    return "x".join(map(str, shape)) or "-"


def mapped(path, dtype):
    """Return an array in a file as the program takes it: of its type, in C order."""
    import numpy as np

    found = np.load(path, mmap_mode="r")
    if found.dtype == dtype and found.flags.c_contiguous:
        return found
    made = path.with_name(f"{path.stem}.{dtype.name}.npy")
    half = path.with_name(f"{made.name}.{os.getpid()}")  # others may make or read it meanwhile
    with half.open("wb") as file:
        np.save(file, np.asarray(found, dtype, order="C"))
    half.replace(made)
    return np.load(made, mmap_mode="r")


def main():
    """Read the job, limit this process as `worker.py` does, and be replaced."""
    with os.fdopen(os.dup(0), "rb", buffering=0) as requests:  # takes not a byte beyond the line
        first = json.loads(requests.readline())
    program = first["program"]
    words = said(first["job"], program)
    runner = Path(__file__).parent / program["runner"]
    limits.confine(**first["limits"])
    try:
        runner.chmod(0o700)
        os.execv(runner, [str(runner), *words])  # noqa: S606  (no shell is wanted)
    except OSError as error:
        print(f"the runner {runner.name} cannot be started here: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
