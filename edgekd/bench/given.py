"""The user's own samples: arrays of a .npy or .npz file, fitted to what a model takes."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.bench.opened import Input, Opened
from edgekd.bench.samples import Samples
from edgekd.core.errors import Problem, RequestError, nearest

Array = NDArray[Any]
OPTION = "--data"
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy raises over a file that is none of its own, is cut, locked or altered."""


class UnfitError(ValueError):
    """An array is not what an input takes; the text says what it is instead."""


def read(file: Path, model: Opened) -> dict[str, Array]:
    """Return the arrays of a file by input; RequestError where it has others, or is none."""
    try:
        with file.open("rb") as stream:
            found = np.load(stream, allow_pickle=False)
            arrays = _members(found) if isinstance(found, np.lib.npyio.NpzFile) else found
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"{file} cannot be read: {reason}."
        raise RequestError(
            Problem("", message, "Write it with numpy.savez(file, NAME=array).", OPTION)
        ) from error
    names = [each.name for each in model.inputs]
    if not isinstance(arrays, dict):
        if len(names) != 1:
            message = f"{file.name} holds one array, and {model.file.name} takes {len(names)}."
            step = f"Write an .npz with {', '.join(names)}."
            raise RequestError(Problem("", message, step, OPTION))
        return {names[0]: arrays}
    problems = [
        Problem("", f"{file.name} has no '{name}'.", nearest(name, arrays), OPTION)
        for name in names
        if name not in arrays
    ]
    problems += [
        Problem("", f"{model.file.name} takes no '{name}'.", nearest(name, names), OPTION)
        for name in arrays
        if name not in names
    ]
    if problems:
        raise RequestError(problems)
    return arrays


def _members(found: np.lib.npyio.NpzFile) -> dict[str, Array]:
    """Return the arrays of an open .npz; ValueError where a member is something else."""
    arrays = dict(found)
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"its '{name}' is no array")
    return arrays


def fitted(
    arrays: Mapping[str, Array], model: Opened, dims: Mapping[str, int], count: int, file: str
) -> list[Samples]:
    """Return the samples of up to `count` calls; RequestError names every array that fits not."""
    found, problems = {}, []
    for each in model.inputs:
        try:
            found[each.name] = _calls(cast(arrays[each.name], each.dtype), each, dims)
        except UnfitError as error:
            message = f"'{each.name}' of {file} is {error}; {model.file.name} takes {each.said}."
            problems.append(Problem("", message, "", OPTION))
    lengths = {name: len(array) for name, array in found.items() if len(array) > 1}
    if len({*lengths.values()}) > 1:
        shown = ", ".join(f"'{name}' for {length}" for name, length in lengths.items())
        problems.append(Problem("", f"the arrays are for different numbers of calls: {shown}.",
                                "", OPTION))  # fmt: skip
    if problems:
        raise RequestError(problems)
    calls = min(count, max(lengths.values(), default=1))
    return [
        Samples(each, _repeated(found[each.name], calls), _origin(file, each, arrays))
        for each in model.inputs
    ]


def _repeated(calls: Array, count: int) -> Array:
    """Return the first `count` calls; where there is one, it is the same in all."""
    return np.repeat(calls, count, 0) if len(calls) == 1 else calls[:count]


def _origin(file: str, each: Input, arrays: Mapping[str, Array]) -> str:
    was = arrays[each.name].dtype
    return f"given: {file}" + (f", {was} made {each.dtype}" if was != each.dtype else "")


def cast(array: Array, dtype: str) -> Array:
    """Return an array in another type; UnfitError where values would be lost.

    Fractions may lose digits, but not become infinite.
    """
    wanted = np.dtype(dtype)
    kinds = {array.dtype.kind, wanted.kind}
    if array.dtype == wanted:
        return array
    if kinds == {"f"} or kinds <= {"i", "u"}:
        with np.errstate(over="ignore"):
            made = array.astype(wanted)
        compared = (np.isfinite(made), np.isfinite(array)) if kinds == {"f"} else (made, array)
        if np.array_equal(*compared):
            return made
    raise UnfitError(f"{array.dtype} {list(array.shape)}")


def _calls(array: Array, each: Input, dims: Mapping[str, int]) -> Array:
    """Return an array as [calls, *shape].

    With one dimension more than the input it is that already. Else its first dimension holds
    examples, of which a call takes as many as the input fixes, `dims` says, or 1.
    """
    rank = len(each.shape)
    if array.size and array.ndim == rank + 1 and fits(array.shape[1:], each, dims):
        return array
    if not array.size or array.ndim != rank:
        raise UnfitError(f"{array.dtype} {list(array.shape)}")
    if rank == 0:
        return array[None]
    size = each.shape[0]
    batch = size if isinstance(size, int) else dims.get(size or "", 1)
    if len(array) % batch or not fits((batch, *array.shape[1:]), each, dims):
        raise UnfitError(f"{array.dtype} {list(array.shape)}")
    return array.reshape(len(array) // batch, batch, *array.shape[1:])


def fits(shape: tuple[int, ...], each: Input, dims: Mapping[str, int]) -> bool:
    """Tell whether a shape, of as many dimensions, is one of an input."""
    wanted = [size if isinstance(size, int) else dims.get(size or "") for size in each.shape]
    return all(want is None or want == has for want, has in zip(wanted, shape, strict=True))
