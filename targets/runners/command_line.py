"""The command line of a C++ runner, as `executorch/plan.h` reads it."""

import os
from pathlib import Path

import numpy as np
from feeds import Feeds


def said(job, program, folder):
    """Return what the runner is told of a program whose samples lie in `folder` here.

    Where the program runs they lie in the folder that it names itself.
    """
    words = [program["file"], "--threads", job["threads"], *calls(program, folder)]
    words += ["--scores", program["scores"]]
    for port in program["outputs"]:
        words += ["--output", port["name"]]
    return [str(word) for word in words]


def calls(program, folder):
    """Return what goes into the calls: how many examples, and where each input comes from."""
    ports, taken = program["inputs"], columns(program, folder)
    outputs = [port["name"] for port in program["outputs"]]
    carried = {into: outputs.index(out) for out, into in program["state"]}
    whole = program.get("whole_calls", False)
    feeds = Feeds(None, taken, ports, program["state"], whole_calls=whole)
    words = ["--examples", feeds.num_examples, "--step", feeds.step]
    words += ["--any-batch"] if feeds.any_batch() else []
    for port in ports:
        name = port["name"]
        if name in carried:
            shape = [size if isinstance(size, int) else 1 for size in port["shape"]]
            words += ["--carried", port["dtype"], sizes(shape), carried[name]]
        else:
            column, how = taken[name], "stacked" if feeds.stacked(name) else "whole"
            file = f"{program['samples']}/{Path(column.filename).name}"
            words += ["--input", port["dtype"], sizes(column.shape[1:]), how, file, column.offset]
    names = [port["name"] for port in ports]
    for name in program.get("batched", ()):
        words += ["--batched", names.index(name)]
    return [*words, "--whole-calls"] if whole else words


def columns(program, folder):
    """Return the samples of every input that is no state, in files as the program takes them."""
    fed_back = {into for _, into in program["state"]}
    return {
        port["name"]: mapped(Path(folder) / f"{port['name']}.npy", np.dtype(port["dtype"]))
        for port in program["inputs"]
        if port["name"] not in fed_back
    }


def sizes(shape):
    """Return a shape as the runner reads it."""
    return "x".join(map(str, shape)) or "-"


def mapped(path, dtype):
    """Return an array in a file as the program takes it: of its type, in C order."""
    found = np.load(path, mmap_mode="r")
    if found.dtype == dtype and found.flags.c_contiguous:
        return found
    made = path.with_name(f"{path.stem}.{dtype.name}.npy")
    half = path.with_name(f"{made.name}.{os.getpid()}")  # others may make or read it meanwhile
    with half.open("wb") as file:
        np.save(file, np.asarray(found, dtype, order="C"))
    half.replace(made)
    return np.load(made, mmap_mode="r")
