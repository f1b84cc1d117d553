"""The training loop: a student learns from labels, from teachers, or from both."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekd.core.errors import RunInterruptedError
from edgekd.core.protocols import Batch
from edgekd.train.chance import no_chance_drawn, restore_chance
from edgekd.train.checkpoint import Checkpoints, packed
from edgekd.train.clock import Clock
from edgekd.train.course import Course, Lesson
from edgekd.train.evaluate import evaluate
from edgekd.train.forward import Forward, make_forward
from edgekd.train.guard import Watch, note
from edgekd.train.memory import enough_memory
from edgekd.train.views import channels_last, view_of

HISTORY = "history.json"
STEPS_BETWEEN_WORDS = 20


@dataclass(frozen=True)
class Trained:
    """What a training came to, besides the student's weights."""

    history: dict[str, Any]
    """What every run of the same training finds."""
    facts: dict[str, Any]
    """What this one took: speed, memory, where the time went."""


def train(lesson: Lesson) -> Trained:
    """Train the student in place and leave it at its best validation epoch.

    Goes on from a checkpoint that an interrupted run of the same training left, and ends as it
    would have: on a CPU, to the bit. RunInterruptedError where the run was asked to end,
    StageError where a loss is not finite or memory runs out; the checkpoints stay.
    """
    size = lesson.options.batch_size
    lower = (
        f"Lower train.batch_size from {size}, raise train.accumulate, or lower the model's width."
    )
    with enough_memory("training", lower):
        return _train(lesson)


def write_history(folder: Path, history: dict[str, Any]) -> None:
    """Write the history beside the model that it led to."""
    (folder / HISTORY).write_text(json.dumps(history, indent=1) + "\n", "utf-8")


def _train(lesson: Lesson) -> Trained:
    run, student, monitor = lesson.run, lesson.student, lesson.run.task.quality[0]
    for module in (student, lesson.terms):
        module.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    course, checkpoints = Course(lesson), Checkpoints(run)
    watch = Watch(run, lesson.options, student, lesson.steps)
    forward = make_forward(course, clock := Clock(course.device))
    _resume(course, checkpoints)
    while not course.over:
        student.train()
        for batch in clock.steps(course.batches()):
            if not course.standing.batch or len(batch["ids"]) > 1:
                _step(course, batch, forward, watch)  # one left over is no batch to a norm
            course.standing.batch += 1
            if course.step % STEPS_BETWEEN_WORDS == 0:
                numbers = {"samples_per_s": clock.per_second} | watch.numbers(course.step)
                run.progress(course.step, lesson.steps, "training", **numbers)
            _keep(course, checkpoints, watch)
        watch.look_at_all()
        with no_chance_drawn(course.device):
            score = evaluate(course.judged, run.task, "validation", course.device).value
        course.end_epoch(monitor, score)
        run.epoch(course.standing.epochs[-1])
        run.progress(course.step, lesson.steps, "training", score=score)
        _keep(course, checkpoints, watch)
    done = course.standing
    student.load_state_dict(done.best_state)
    history = {"monitor": monitor, "best_epoch": done.best_epoch, "epochs": done.epochs}
    return Trained(history, {"precision": forward.precision.why, **clock.facts()})


def _step(course: Course, given: Batch, forward: Forward, watch: Watch) -> None:
    """Learn from one batch, in as many parts as the options say."""
    lesson, clock, now = course.lesson, forward.clock, course.standing
    batch = channels_last(view_of(given, course.augments, lesson.views.seed, course.view))
    clock.mark("data")
    rate = float(course.schedule.get_last_lr()[0])
    course.optimizer.zero_grad(set_to_none=True)
    for share, part in _parts(batch, lesson.options.accumulate):
        loss, means = forward(part, course.view)
        watch.see(note(course.step + 1, now.epoch, rate, part, loss, means))
        (loss * share).backward()  # type: ignore[no-untyped-call]
        course.add({"loss": loss} | means, share)
        clock.mark("student")
    if lesson.options.clip_norm is not None:
        nn.utils.clip_grad_norm_(lesson.student.parameters(), lesson.options.clip_norm)
    course.optimizer.step()
    course.schedule.step()
    course.follow()
    now.taken += 1
    clock.mark("optimizer")


def _resume(course: Course, checkpoints: Checkpoints) -> None:
    """Go on from the newest checkpoint that is whole and fits, or stay at the beginning."""
    packed(course.state())  # tells early of a state that could not be kept
    with no_chance_drawn(course.device):
        state = next((state for state in checkpoints.states() if course.takes(state)), None)
    if state is not None:
        course.lesson.run.progress(course.step, course.lesson.steps, "resumed")
        for entry in course.standing.epochs:
            course.lesson.run.epoch(entry)
        restore_chance(state["process"])


def _keep(course: Course, checkpoints: Checkpoints, watch: Watch) -> None:
    """Write a checkpoint where one is due; end here where the run was asked to end."""
    asked, step = course.lesson.run.stop_asked(), course.step
    if not asked and not checkpoints.due(step):
        return
    watch.look_at_all()
    with no_chance_drawn(course.device):  # how often it is written must not shape the result
        kept = checkpoints.write(step, course.state())
    if asked:
        lost = "its state could not be kept, so the next run does some of it again"
        then = "the next run goes on from there" if kept else lost
        where = f"after step {step} of {course.lesson.steps}"
        raise RunInterruptedError(f"Training stopped {where}: {then}.")


def _parts(batch: Batch, parts: int) -> Iterator[tuple[float, Batch]]:
    """Yield parts of a batch with their shares of it."""
    count = len(batch["ids"])
    size = -(-count // parts)
    for start in range(0, count, size):
        part = {name: column[start : start + size] for name, column in batch.items()}
        yield len(part["ids"]) / count, part
