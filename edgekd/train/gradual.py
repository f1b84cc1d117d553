"""Pruning in steps while a student learns: what is asked for, and what cannot be."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from edgekd.core.config import Config, PositiveCount, Share
from edgekd.core.errors import Problem
from edgekd.core.protocols.task import Task
from edgekd.core.refs import UseModel, UseTransform
from edgekd.train.check import check_paths, check_transform
from edgekd.train.optim import Train
from edgekd.transforms.in_steps import Cuts


class Gradual(Config):
    """What goes while the student learns, and when."""

    transform: UseTransform
    """What goes in the end, as in a prune stage; a budget in latency is for that stage alone."""
    steps: PositiveCount = 8
    """Times that something goes. Of n steps, the k-th leaves 1 - (1 - k/n)^3 of it gone: much at
    first, little in the end (Zhu & Gupta 2017, equation 1)."""
    until: Annotated[Share, Field(gt=0, lt=1)] = 0.5
    """Share of the training after which all is gone; only epochs from then on can be the best."""
    examples: PositiveCount = 256
    """Training examples that the transform may look at in each step."""


def check_gradual(
    options: Gradual, train: Train, student: UseModel | None, task: Task, *, rounds: bool
) -> Iterator[Problem]:
    """Yield why a student cannot be pruned in steps; `rounds` says that it is a quantized one."""
    yield from _check_way(options)
    for field in ("exclude", "ratios"):
        paths = [*getattr(options.transform.options, field, ())]
        yield from check_paths(paths, student, task, f"prune.transform.{field}")
    if train.freeze:
        message = "what is frozen stays as it is, and pruning looks at all layers."
        yield Problem("train.freeze", message, "Leave it out, or prune in a stage of its own.")
    if rounds:
        message = "a student that rounds while it learns is not pruned meanwhile."
        yield Problem("prune", message, "Prune first, and quantize what is left.")


def _check_way(options: Gradual) -> Iterator[Problem]:
    """Yield why a transform cannot prune in steps."""
    use, path = options.transform, "prune.transform"
    problems = [*check_transform(use, "prune", path)]
    yield from problems
    way = use.plugin.traits.get("in_steps")
    if way is None and not problems:
        message = f"the transform '{use.kind}' prunes at once and not in steps."
        yield Problem(path, message, "Give it to a prune stage, and distil from that.")
    if getattr(use.options, "latency", None) is not None:
        message = "a budget in latency is found by measuring exports, not in a training."
        step = "Find it by a prune stage, which says the ratio, and give that ratio here."
        yield Problem(f"{path}.latency", message, step)
    if isinstance(way, Cuts) and (why := way.refuses(use.options)):
        yield Problem(path, f"it cannot go in steps: {why}.", "Leave that to a prune stage.")
