"""The samples of both models: the same ones wherever the second takes what the first takes."""

from collections.abc import Sequence
from dataclasses import replace

from edgekd.bench import given
from edgekd.bench.asked import Asked
from edgekd.bench.opened import Input, Opened
from edgekd.bench.samples import Samples, make
from edgekd.core.errors import Problem, RequestError


def feeds(models: Sequence[Opened], asked: Asked, count: int) -> list[list[Samples]]:
    """Return samples for up to `count` calls of every model; RequestError where some do not fit."""
    first = _own(models[0], asked, count)
    return [first, *(_like(model, first, models[0], asked, count) for model in models[1:])]


def _own(model: Opened, asked: Asked, count: int) -> list[Samples]:
    if asked.data is None:
        return make(model, asked, count)
    arrays = given.read(asked.data, model)
    return given.fitted(arrays, model, asked.dims, count, asked.data.name)


def _like(
    model: Opened, first: Sequence[Samples], of: Opened, asked: Asked, count: int
) -> list[Samples]:
    """Return the first model's samples for another, or its own where they do not fit."""
    shared = _shared(model.inputs, first, asked)
    if shared is not None:
        return shared
    if asked.data is None:
        made = make(model, asked, count)
        return [
            replace(each, origin=f"{each.origin}; not those of {of.file.name}") for each in made
        ]
    takes = ", ".join(each.said for each in model.inputs)
    message = f"{model.file.name} takes {takes}: not what {of.file.name} takes."
    step = "Give models that take the same, or leave --data out: inputs are then made for each."
    raise RequestError(Problem("", message, step, "--against"))


def _shared(
    inputs: Sequence[Input], first: Sequence[Samples], asked: Asked
) -> list[Samples] | None:
    """Return samples by name, or by place where names differ; None where one does not fit."""
    if len(inputs) != len(first):
        return None
    named = {one.input.name: one for one in first}
    by_name = all(each.name in named for each in inputs)
    pairs = [(each, named[each.name] if by_name else one)
             for each, one in zip(inputs, first, strict=True)]  # fmt: skip
    if not all(_wanted(each, one, asked) for each, one in pairs):
        return None
    try:
        return [Samples(e, given.cast(one.calls, e.dtype), one.origin) for e, one in pairs]
    except given.UnfitError:
        return None


def _wanted(each: Input, one: Samples, asked: Asked) -> bool:
    """Tell whether samples have the sizes of an input, and nobody asked for others of it."""
    shape = one.calls.shape[1:]
    if len(shape) != len(each.shape):
        return False
    if each.name in asked.shapes:
        fits = shape == asked.shapes[each.name]
    else:
        fits = given.fits(shape, each, asked.dims)
    return fits and (each.name == one.input.name or each.name not in asked.values)
