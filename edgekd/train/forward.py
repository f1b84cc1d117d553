"""From a batch to its loss: teachers and student speak, and the terms make one number of it."""

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import cast

import torch
from torch import Tensor, nn

from edgekd.core.protocols.values import Batch
from edgekd.core.seeds import sub_seed
from edgekd.core.signals import PROGRESS, SECOND_FEATURE
from edgekd.ops.mixing import SECOND, labels_of
from edgekd.ops.named import call_by_name
from edgekd.parallel.group import group
from edgekd.train.chance import no_chance_drawn
from edgekd.train.clock import Clock
from edgekd.train.course import Course
from edgekd.train.labelled import Known, without_others
from edgekd.train.lesson import Lesson
from edgekd.train.masked import seeing
from edgekd.train.peer import Peer
from edgekd.train.precision import TRIED, Precision, decide
from edgekd.train.taps import tapped
from edgekd.train.teaching import SCORES, Said, Teaching
from edgekd.train.terms import Terms, student_taps
from edgekd.train.views import view_of


@dataclass(frozen=True)
class Forward:
    """One pass, without the gradient's."""

    lesson: Lesson
    module: nn.Module
    """The student."""
    student: nn.Module
    """What is called for it: itself, or what was compiled of it."""
    terms: Terms
    precision: Precision
    clock: Clock
    done: Callable[[], float] = float
    """Tells what share of the training is over."""
    known: Known | None = None
    """Marks the examples whose labels may be looked at; None where all may."""

    def __call__(self, batch: Batch, view: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted loss of a view of some examples, and the mean of each term."""
        device = torch.device(self.lesson.run.device)
        said = {n: self._ask(t, batch, view, device) for n, t in self.lesson.teachers.items()}
        self.clock.mark("teacher")
        signature = self.lesson.run.task.signature()
        taps = student_taps(self.terms.uses)
        with (
            seeing(self.module, batch),
            tapped(self.module, taps) as features,
            self.precision.autocast(device),
        ):
            own = call_by_name(self.student, signature, batch)
        self.clock.mark("student")
        batch = without_others(batch, self.known)
        batch = labels_of(batch, own[SCORES].shape[-1]) if SCORES in own else batch
        signals = batch | {f"student_{name}": value.float() for name, value in own.items()}
        signals |= {PROGRESS: torch.full((), self.done(), device=device)}
        features = {path: value.float() for path, value in features.items()}
        features |= self._second(batch, taps, device)
        loss: Tensor
        loss, means = self.terms(signals, features, said)
        self.clock.mark("objective")
        return loss, means

    def _second(self, batch: Batch, taps: Sequence[str], device: torch.device) -> Batch:
        """Return what the student's modules give for the second views, where a term asks for it."""
        if not any(SECOND_FEATURE in use.plugin.needs for use in self.terms.uses):
            return {}
        signature = self.lesson.run.task.signature()
        second = batch | {port.name: batch[f"{SECOND}{port.name}"] for port in signature.inputs}
        with (
            seeing(self.module, batch),
            tapped(self.module, taps) as features,
            self.precision.autocast(device),
        ):
            call_by_name(self.student, signature, second)
        self.clock.mark("student")
        return {f"{SECOND}{path}": value.float() for path, value in features.items()}

    def _ask(self, teacher: Teaching, batch: Batch, view: int, device: torch.device) -> Said:
        """Return what a teacher says; one that learns multiplies in what the student does."""
        learns = isinstance(teacher, Peer)
        with self.precision.autocast(device) if learns else nullcontext():
            return teacher(batch, view)


def make_forward(course: Course, clock: Clock) -> Forward:
    """Return the pass of a training; what it multiplies in may be the outcome of a trial."""
    lesson, student = course.lesson, course.lesson.student
    called = cast(nn.Module, torch.compile(student)) if lesson.options.compile else student
    plain = Precision(False, "float32")
    forward = Forward(lesson, student, called, lesson.terms, plain, clock, known=course.known)
    precision = _precision(course, forward)
    return replace(forward, precision=precision, done=lambda: course.step / lesson.steps)


def _precision(course: Course, forward: Forward) -> Precision:
    """Return what the student multiplies in; a trial leaves no trace in what is trained."""
    lesson, device = course.lesson, course.device
    size = lesson.options.batch_size

    def loss(student: nn.Module, batch: Batch, precision: Precision) -> Tensor:
        own = copy.deepcopy(lesson.terms)
        teachers = {**lesson.teachers, **copy.deepcopy(dict(lesson.peers))}
        tried = replace(
            forward,
            lesson=replace(lesson, teachers=teachers),
            module=student,
            student=student,
            terms=own,
            precision=precision,
            clock=Clock(device),
            done=lambda: 1.0,  # where all terms have their whole weight
        )
        return tried(batch, 0)[0]

    with no_chance_drawn(device):
        rng = torch.Generator().manual_seed(sub_seed(lesson.run.seed, "precision"))
        drawn = islice(lesson.run.task.batches("train", size, device=device, rng=rng), TRIED)
        augments = copy.deepcopy(course.augments)
        batches = (view_of(batch, augments, lesson.views.seed, 0) for batch in drawn)
        own = decide(lesson.options.precision, lesson.student, loss, batches, device)
    return Precision(*group().as_first_says([own.half, own.why]))
