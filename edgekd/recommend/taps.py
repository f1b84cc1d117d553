"""Modules whose outputs a feature term can compare, found by the shapes that they give."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekd.core.protocols.task import Task
from edgekd.core.refs import UseModel
from edgekd.ops.named import call_by_name
from edgekd.train.check import outline

ROWS = 2
VECTOR, MAP = 2, 4
"""Numbers of dimensions: [batch, width] and [batch, channels, height, width]."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where both networks are tapped."""

    student: str
    teacher: str


@dataclass(frozen=True)
class Places:
    """What was found; None where there is nothing of the kind in both networks."""

    maps: Place | None = None
    """The last maps of places: the student's, and the teacher's of that size where it has some."""
    vectors: Place | None = None
    """What the heads read."""


def find_places(student: UseModel | None, teacher: UseModel | None, task: Task) -> Places:
    """Return where student and teacher can be tapped; nothing where one of them is not known."""
    if student is None or teacher is None:
        return Places()
    mine, theirs = (_shapes(use, task) for use in (student, teacher))
    return Places(_maps(mine, theirs), _vectors(mine, theirs))


def _shapes(use: UseModel, task: Task) -> Mapping[str, Shape]:
    """Return what each module gives, in the order in which they end; nothing is computed."""
    signature = task.signature()
    found: dict[str, Shape] = {}

    def note(path: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                found[path] = tuple(output.shape)

        return hook

    try:
        model = outline(use, task).eval()
        inputs = {
            port.name: torch.empty(
                port.concrete(**signature.sizes(ROWS)),
                dtype=getattr(torch, port.dtype),
                device="meta",
            )
            for port in signature.inputs
        }
        with ExitStack() as hooks, torch.no_grad():
            for path, module in model.named_modules():
                if path:
                    hooks.enter_context(module.register_forward_hook(note(path)))
            call_by_name(model, signature, inputs)
    except Exception:  # the user's own model may raise anything: then nothing is tapped in it
        return {}
    return found


def _maps(mine: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> Place | None:
    ours, others = _last_map(mine), _last_map(theirs)
    if ours is None or others is None:
        return None
    size = mine[ours][2:]
    alike = [path for path, shape in theirs.items() if len(shape) == MAP and shape[2:] == size]
    return Place(ours, alike[-1] if alike else others)


def _last_map(shapes: Mapping[str, Shape]) -> str | None:
    """Return the module that gives the last maps of more than one place; an outer one ends last."""
    found = [p for p, s in shapes.items() if len(s) == MAP and max(s[2:]) > 1]
    return found[-1] if found else None


def _vectors(mine: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> Place | None:
    ours, others = (_before_head(shapes) for shapes in (mine, theirs))
    return Place(ours, others) if ours and others else None


def _before_head(shapes: Mapping[str, Shape]) -> str | None:
    """Return the module that gives the vector before the scores, which are the last one."""
    vectors = [path for path, shape in shapes.items() if len(shape) == VECTOR]
    return vectors[-2] if len(vectors) > 1 else None
