"""Which training examples an epoch uses, chosen before it by what student and teacher say of all.

Nothing that is trained moves: student and teachers are in eval mode, no generator is left
elsewhere, and the examples are those that no augmentation has changed. What was chosen is part of
the state of a training, so that one that goes on within an epoch does not choose again.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from edgekd.core.errors import Problem, StageError
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.training import Chosen
from edgekd.core.protocols.values import Batch, Signals
from edgekd.core.refs import UseObjective
from edgekd.core.seeds import sub_seed
from edgekd.core.signals import EPOCH, EPOCHS, PROGRESS, TEACHER
from edgekd.ops.draws import Draws
from edgekd.ops.named import call_by_name
from edgekd.train.chance import no_chance_drawn
from edgekd.train.check import columns_of
from edgekd.train.course import Course
from edgekd.train.evaluate import BATCH, in_order
from edgekd.train.frozen import at_rest
from edgekd.train.held_out import asking
from edgekd.train.marks import packed
from edgekd.train.optim import Train
from edgekd.train.views import channels_last

BETWEEN_PAUSES = 32
"""Batches that are looked at before the run is asked whether it is to end."""
STUDENT = "student_"


def choose(course: Course, pause: Callable[[], None]) -> None:
    """Decide which examples this epoch uses, where that is asked for and not decided yet.

    `pause` is called now and then and may raise; nothing is decided then. StageError where none is
    kept, or what is chosen is no mark on every example.
    """
    lesson, now = course.lesson, course.standing
    use, size = lesson.options.select, lesson.run.task.size("train")
    if use is None or len(now.selected) == now.epoch:
        return
    with no_chance_drawn(course.device), at_rest(lesson.learners), torch.no_grad():
        signals = _signals(course, use.plugin.needs, pause)
        seed = sub_seed(lesson.run.seed, "select")
        draws = Draws(seed, now.epoch - 1, torch.arange(size, device=course.device))
        chosen: Chosen = use.build()(draws, **signals)
    kept = chosen.kept
    if kept.dtype != torch.bool or kept.shape != (size,):
        raise StageError(
            f"select '{use.kind}' returned {kept.dtype} {list(kept.shape)}; expected a mark on "
            f"each example, torch.bool [{size}].",
            "Let it return Chosen(kept=...) with a mark on each.",
        )
    if not kept.any():
        raise StageError(
            f"'{use.kind}' keeps none of the {size:,} examples in epoch {now.epoch}.",
            "Let it keep more, as by a lower threshold, or look at what the teacher says of them.",
        )
    now.selected.append(packed(kept))
    now.chosen = {"kept": int(kept.sum()), "of": size, **chosen.facts}


def check_select(
    train: Train, uses: Sequence[UseObjective], task: Task, teachers: Mapping[str, object]
) -> Iterator[Problem]:
    """Yield why a choice cannot be made: a task that gives no parts, signals nobody supplies."""
    if train.select is None:
        return
    path, kind = "train.select", train.select.kind
    for asks in asking((*uses, *train.augment)):
        message = f"{asks} holds examples out, and {kind} might choose them."
        yield Problem(path, message, "Leave one of them out.")
    if not _takes_among(task):
        message = "this task cannot give some of its examples alone."
        yield Problem(path, message, "Leave it out; a task of your own takes `among` in batches().")
    outputs = [port.name for port in task.signature().outputs]
    who = (STUDENT, TEACHER) if teachers else (STUDENT,)
    supplied = {f"{one}{name}" for one in who for name in outputs} | columns_of(task)
    supplied |= {PROGRESS, EPOCH, EPOCHS}
    for need in train.select.plugin.needs:
        if need not in supplied:
            lacks = need.startswith(TEACHER) and not teachers
            step = "Add teacher: $<the stage that makes it>." if lacks else "Leave it out."
            yield Problem(path, f"'{kind}' asks for {need}, which nothing supplies.", step)


def _takes_among(task: Task) -> bool:
    parameters = inspect.signature(task.batches).parameters.values()
    return any(p.name == "among" or p.kind is p.VAR_KEYWORD for p in parameters)


def _signals(course: Course, needs: Sequence[str], pause: Callable[[], None]) -> Signals:
    """Return what is asked for of all training examples, in the order of their ids."""
    lesson, found = course.lesson, dict[str, list[Tensor]]()
    device, signature = course.device, lesson.run.task.signature()
    teacher = next(iter(lesson.teachers.values()), None)
    batches = lesson.run.task.batches("train", BATCH, device=device, part=course.group.part)
    for number, batch in enumerate(map(channels_last, batches), start=1):
        own = {"ids": batch["ids"]} | {name: batch[name] for name in needs if name in batch}
        if any(need.startswith(STUDENT) for need in needs):
            own |= _named(STUDENT, call_by_name(lesson.student, signature, batch), needs)
        if teacher is not None and any(need.startswith(TEACHER) for need in needs):
            own |= _named(TEACHER, teacher(batch, 0).outputs, needs)
        for name, column in own.items():
            found.setdefault(name, []).append(column)
        if number % BETWEEN_PAUSES == 0:
            pause()
    gathered = {name: course.group.gathered(torch.cat(parts)) for name, parts in found.items()}
    whole = {
        PROGRESS: torch.tensor(course.step / lesson.steps),
        EPOCH: torch.tensor(course.standing.epoch - 1),
        EPOCHS: torch.tensor(lesson.options.epochs),
    }
    every = in_order(gathered) | whole
    return {need: every[need] for need in needs}


def _named(who: str, outputs: Mapping[str, Tensor], needs: Sequence[str]) -> Batch:
    """Return the outputs that are asked for, by the names of their signals."""
    named = {f"{who}{name}": value.float() for name, value in outputs.items()}
    return {name: value for name, value in named.items() if name in needs}
