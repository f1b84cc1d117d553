"""Parts of a training that learn by something else than its loss, each with its optimizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn, optim

from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.training import Learns, Prepares, Setting
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseAugment
from edgekd.core.seeds import sub_seed
from edgekd.train.chance import no_chance_drawn
from edgekd.train.keeping import class_names
from edgekd.train.lesson import Lesson
from edgekd.train.teaching import Teaching


@dataclass(frozen=True)
class Learner:
    """A part that learns on its own."""

    name: str
    """That of the term, or of the augmentation."""
    part: Learns
    optimizer: optim.Optimizer
    teacher: Teaching | None
    """Whom it may ask."""
    changes: bool
    """Whether it is an augmentation."""


def learners_of(lesson: Lesson, augments: Sequence[object]) -> list[Learner]:
    """Return the terms and augmentations that learn on their own; they are on their device."""
    first = next(iter(lesson.teachers), "")
    found = []
    for name, use in zip(lesson.terms.names, lesson.terms.uses, strict=True):
        if isinstance(part := lesson.terms.built[name], Learns):
            teacher = lesson.teachers.get(use.teacher or first)
            found.append(Learner(name, part, part.own_optimizer(), teacher, changes=False))
    for change, part in zip(lesson.options.augment, augments, strict=True):
        if isinstance(part, Learns):
            teacher = lesson.teachers.get(first)
            found.append(Learner(change.kind, part, part.own_optimizer(), teacher, changes=True))
    return found


def made_augments(uses: tuple[UseAugment, ...], run: Run) -> list[Callable[..., Batch]]:
    """Return augmentations with their parts, on the device; no generator is left elsewhere."""
    task, device = run.task, torch.device(run.device)
    augments = [use.build() for use in uses]
    with no_chance_drawn(device):
        for index, augment in enumerate(augments):
            if isinstance(augment, Prepares):
                ports = task.signature().inputs
                shapes = {port.name: port.concrete(batch=1)[1:] for port in ports}
                torch.manual_seed(sub_seed(run.seed, "augment", index))
                augment.prepare(Setting(shapes, task.size("train"), class_names(task)))
            if isinstance(augment, nn.Module):
                augment.to(device)
    return augments
