"""The shape of every input: what the file fixes, and what the user says of the rest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgekd.bench.asked import Asked
from edgekd.bench.opened import Input, Opened
from edgekd.core.errors import Problem, RequestError, nearest

BATCH = "its first dimension varies and is taken for the batch: 1"


@dataclass(frozen=True)
class Sized:
    """An input with every size decided."""

    input: Input
    shape: tuple[int, ...]
    assumed: str = ""
    """What nobody said."""


def check_names(asked: Asked, models: tuple[Opened, ...]) -> None:
    """Refuse names of inputs and dimensions that no model has; RequestError has all of them."""
    inputs = {each.name for model in models for each in model.inputs}
    dims = {
        size for model in models for each in model.inputs for size in each.shape
        if isinstance(size, str)
    }  # fmt: skip
    places = (
        ("--shape", asked.shapes, inputs, "input"),
        ("--values", asked.values, inputs, "input"),
        ("--dim", asked.dims, dims, "dimension that varies"),
    )
    problems = [
        Problem("", f"no {what} is named '{name}'.", nearest(name, known), option)
        for option, given, known, what in places
        for name in given
        if name not in known
    ]
    if asked.data:
        problems += [
            Problem("", f"{option} says what --data says too.", f"Leave {option} out.", option)
            for option, given, *_ in places[:2]
            if given
        ]
    if problems:
        raise RequestError(problems)


def sized(model: Opened, asked: Asked) -> list[Sized]:
    """Return all inputs with their sizes; RequestError names each that lacks one, and the flag."""
    found, problems = [], []
    for each in model.inputs:
        given = asked.shapes.get(each.name)
        wrong = list(_unfit(each, given) if given is not None else _open(each, asked.dims))
        problems += wrong
        if not wrong:
            found.append(_decided(each, given, asked.dims))
    if problems:
        raise RequestError(problems)
    return found


def _unfit(each: Input, given: tuple[int, ...]) -> Iterator[Problem]:
    """Yield where a given shape is not the input's."""
    fits = len(given) == len(each.shape) and all(
        not isinstance(has, int) or has == says for has, says in zip(each.shape, given, strict=True)
    )
    if not fits:
        shown = "x".join(map(str, given)) or "a scalar"
        yield Problem("", f"{shown} is no shape of {each.said}.", "", "--shape")


def _open(each: Input, dims: Mapping[str, int]) -> Iterator[Problem]:
    """Yield the dimensions that vary and that nobody gave a size; the first may be the batch."""
    for place, size in enumerate(each.shape):
        if isinstance(size, int) or place == 0 or size in dims:
            continue
        shape = "x".join(_hint(each, index, dims) for index in range(len(each.shape)))
        says = f"--shape {each.name}={shape}"
        if isinstance(size, str):
            says = f"--dim {size}=N, or {says}"
        which = f"'{size}'" if isinstance(size, str) else f"number {place + 1}"
        yield Problem(
            "",
            f"dimension {which} of {each.said} varies, and nobody says how large it is.",
            f"Give {says}, with a number for N.",
        )


def _hint(each: Input, place: int, dims: Mapping[str, int]) -> str:
    size = each.shape[place]
    if isinstance(size, int):
        return str(size)
    known = dims.get(size) if size is not None else None
    return str(known) if known else "1" if place == 0 else "N"


def _decided(each: Input, given: tuple[int, ...] | None, dims: Mapping[str, int]) -> Sized:
    if given is not None:
        return Sized(each, given)
    sizes = [size if isinstance(size, int) else dims.get(size or "", 0) for size in each.shape]
    if sizes and not sizes[0]:
        return Sized(each, (1, *sizes[1:]), BATCH)
    return Sized(each, tuple(sizes))
