"""What goes into a model: made from a seed, or the user's own arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.bench.asked import Asked, Range
from edgekd.bench.opened import Input, Opened
from edgekd.bench.sizes import Sized, sized
from edgekd.core.errors import Problem, RequestError

Array = NDArray[Any]
MOST_BYTES = 256 * 2**20
"""Size of all samples of an input; of one call it may be larger, up to `MOST_A_CALL`."""
MOST_A_CALL = 2**30
BYTES = {"uint8": (0, 255), "int8": (-128, 127), "bool": (0, 1)}
INDICES = (0, 1)
"""What integers are by default: every table has a row 0 and a row 1, and a mask has no more."""


@dataclass(frozen=True)
class Samples:
    """All samples of one input."""

    input: Input
    calls: Array
    """[calls, *shape]: what each call takes."""
    origin: str
    """Where they come from, in words."""


def make(model: Opened, asked: Asked, count: int) -> list[Samples]:
    """Return samples of every input for up to `count` calls, the same for the same seed.

    RequestError where a type cannot be made, or a call takes too much.
    """
    inputs = sized(model, asked)
    problems = [problem for each in inputs for problem in _unmakeable(each, asked)]
    if problems:
        raise RequestError(problems)
    random = np.random.default_rng(asked.seed)
    largest = max((_bytes(each) for each in inputs), default=1)
    calls = max(1, min(count, MOST_BYTES // max(1, largest)))
    return [_made(each, asked, calls, random) for each in inputs]


def _bytes(each: Sized) -> int:
    return prod(each.shape) * np.dtype(each.input.dtype).itemsize


def check_types(model: Opened) -> None:
    """Refuse a model that takes what NumPy cannot hold."""
    problems = []
    for each in model.inputs:
        try:
            known = np.dtype(each.dtype).kind in "fiub"
        except TypeError:
            known = False
        if not known:
            message = f"{model.file.name} takes {each.said}, a type that edgekd cannot feed."
            step = "It takes tensors of numbers or truth values."
            problems.append(Problem("", message, step))
    if problems:
        raise RequestError(problems)


def _unmakeable(each: Sized, asked: Asked) -> list[Problem]:
    """Return what keeps samples of an input from being made."""
    name, dtype = each.input.name, np.dtype(each.input.dtype)
    if _bytes(each) > MOST_A_CALL:
        message = f"one call takes {_bytes(each) / 2**30:.1f} GiB of '{name}'; at most 1 GiB goes."
        return [Problem("", message, "Give smaller sizes.", "--shape")]
    if name in asked.values and not _holds(dtype, *asked.values[name]):
        low, high = asked.values[name]
        message = f"'{name}' is {dtype}: {low:g} to {high:g} does not fit."
        return [Problem("", message, "", "--values")]
    return []


def _holds(dtype: np.dtype[Any], low: float, high: float) -> bool:
    """Tell whether a type has both ends of a range, and chance can be drawn from it."""
    if dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        return -most <= low and high <= most and isfinite(high - low)
    if dtype.kind == "b":
        return low in BYTES["bool"] and high in BYTES["bool"]
    info = np.iinfo(dtype)
    return info.min <= low and high <= info.max and not low % 1 and not high % 1


def _made(each: Sized, asked: Asked, calls: int, random: np.random.Generator) -> Samples:
    shape, dtype = (calls, *each.shape), np.dtype(each.input.dtype)
    bounds = asked.values.get(each.input.name)
    if dtype.kind == "f" and bounds is None:
        made = random.standard_normal(shape, np.float32).astype(dtype)
        words = "normal, mean 0, deviation 1"
    elif dtype.kind == "f" and bounds is not None:
        made = random.uniform(*bounds, shape).astype(dtype)
        words = _between(bounds, "uniform")
    else:
        bounds = bounds or BYTES.get(dtype.name, INDICES)
        made = random.integers(int(bounds[0]), int(bounds[1]), shape, dtype, endpoint=True)
        words = _between(bounds, "whole numbers")
    origin = f"made: {words}" + ("" if words.startswith("always") else f", seed {asked.seed}")
    return Samples(each.input, made, "; ".join(filter(None, (origin, each.assumed))))


def _between(bounds: Range, what: str) -> str:
    low, high = bounds
    return f"always {low:.15g}" if low == high else f"{what} from {low:.15g} to {high:.15g}"


def write(programs: Sequence[Sequence[Samples]], folder: Path) -> None:
    """Write one .npy per input of every program, under the name that `port` gives it."""
    folder.mkdir()
    for number, inputs in enumerate(programs):
        for place, one in enumerate(inputs):
            np.save(folder / f"{port(number, place)}.npy", one.calls, allow_pickle=False)


def port(program: int, place: int) -> str:
    """Return a name for an input that no model has and that can be a file's: it goes by place."""
    return f"edgekd-{program}-{place}"
