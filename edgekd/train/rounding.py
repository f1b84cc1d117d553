"""A student from a quantize stage: it rounds while it learns, as its program will (QAT)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from edgekd.core.errors import Problem, StageError
from edgekd.core.protocols.task import Task
from edgekd.core.refs import UseModel, UseObjective, UseTransform
from edgekd.models.folder import StoredModel, stored_for
from edgekd.parallel.group import group
from edgekd.train.optim import Train

FIXED = 0.25
"""Share of the training, at its end, in which ranges stay as they are."""


@dataclass(frozen=True)
class Student:
    """Who learns, and as what it is handed on."""

    module: nn.Module
    """What is trained and scored."""
    use: UseModel
    sparse: Sequence[str] = ()
    """Parameters of `module` whose zeros stay zeros."""
    origin: StoredModel | None = None
    """The quantized model that `module` was made of; None where it is a plain one."""

    def stored(self, task: Task) -> StoredModel:
        """Return what is kept: of one that rounds, a plain model and the ranges it learned."""
        if self.origin is None or self.origin.quantization is None:
            return replace(stored_for(task, self.module, self.use), sparse=self.sparse)
        rounding: Any = self.module
        rounding.write_into(self.origin.module)
        use = self.origin.quantization
        options = use.options.model_copy(update={"ranges": rounding.ranges()})
        learned = use.model_copy(update={"options": options})
        return replace(self.origin, quantization=learned, calibration=self.origin.calibration[:1])


def rounding_student(origin: StoredModel, options: Train, task: Task, device: str) -> Student:
    """Return the student that a quantized model becomes; StageError in one of several processes."""
    if not group().alone:
        raise StageError(
            "a quantized model cannot be trained by several processes: each would find other "
            "ranges.",
            "Run without --nproc.",
        )
    assert origin.quantization is not None
    learns = origin.quantization.plugin.traits["learns"]
    parts = min(options.accumulate, options.batch_size)  # no part is empty
    passes = -(-task.size("train") // options.batch_size) * options.epochs * parts
    module = learns(
        origin.quantization.options,
        origin.module,
        signature=origin.signature,
        batches=origin.calibration,
        until=round(passes * (1 - FIXED)),
        device=torch.device(device),
    )
    return Student(module, origin.use, [f"graph.{name}" for name in origin.sparse], origin)


def check_rounding(
    use: UseTransform, options: Train, objective: Sequence[UseObjective]
) -> Iterator[Problem]:
    """Yield why a model that is quantized so cannot be trained in this way."""
    if "learns" not in use.plugin.traits:
        kinds = [n for n in use.registry.names() if "learns" in use.registry.get(n).traits]
        message = f"a model cannot be trained while {use.kind} rounds it."
        yield Problem("model", message, f"Quantize it with {' or '.join(kinds)}.")
        return
    why = "a model that rounds while it learns is one traced graph"
    for place, asked in _untraced(options, objective):
        if asked:
            yield Problem(place, f"{why}, without modules.", "Leave it out.")
    if options.compile:
        yield Problem("train.compile", f"{why}, which is not compiled.", "Leave it out.")
    if options.precision != "float32":
        message = f"rounding is learned in float32, not in {options.precision}."
        yield Problem("train.precision", message, "Leave it out.")


def _untraced(options: Train, objective: Sequence[UseObjective]) -> Iterator[tuple[str, bool]]:
    """Yield what asks for modules, by its place."""
    yield "train.freeze", bool(options.freeze)
    yield "train.activation_checkpointing", options.activation_checkpointing
    for index, term in enumerate(objective):
        yield f"objective[{index}].tap", bool(term.tap and term.tap.student)
