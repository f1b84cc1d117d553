"""The training loop: a student learns from labels, a teacher, or both."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.errors import RunInterruptedError
from edgekd.core.protocols import Batch
from edgekd.ops.named import call_by_name
from edgekd.train.chance import no_chance_drawn, restore_chance
from edgekd.train.checkpoint import Checkpoints, packed
from edgekd.train.course import Course, Lesson
from edgekd.train.evaluate import evaluate
from edgekd.train.guard import Watch, note
from edgekd.train.memory import enough_memory
from edgekd.train.taps import tapped

HISTORY = "history.json"


def train(lesson: Lesson) -> dict[str, Any]:
    """Train the student in place, leave it at its best validation epoch, return the history.

    Goes on from a checkpoint that an interrupted run of the same training left, and ends as it
    would have: on a CPU, to the bit. RunInterruptedError where the run was asked to end,
    StageError where a loss is not finite or memory runs out; the checkpoints stay.
    """
    size = lesson.options.batch_size
    with enough_memory("training", f"Lower train.batch_size from {size}, or the model's width."):
        return _train(lesson)


def write_history(folder: Path, history: dict[str, Any]) -> None:
    """Write the history beside the model that it led to."""
    (folder / HISTORY).write_text(json.dumps(history, indent=1) + "\n", "utf-8")


def _train(lesson: Lesson) -> dict[str, Any]:
    run, student, monitor = lesson.run, lesson.student, lesson.run.task.quality[0]
    for module in filter(None, (student, lesson.teacher, lesson.terms)):
        module.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    course, checkpoints = Course(lesson), Checkpoints(run)
    watch = Watch(run, lesson.options, student, lesson.steps)
    _resume(course, checkpoints)
    while not course.over:
        _set_modes(lesson)
        for batch in course.batches():
            if not course.standing.batch or len(batch["ids"]) > 1:
                _step(course, batch, watch)  # one left over is no batch to a norm: it comes again
            course.standing.batch += 1
            if course.step % 20 == 0:
                run.progress(course.step, lesson.steps, "training")
            _keep(course, checkpoints, watch)
        watch.look_at_all()
        with no_chance_drawn(course.device):
            score = evaluate(student, run.task, "validation", course.device).value
        course.end_epoch(monitor, score)
        run.progress(course.step, lesson.steps, "training", score=score)
        _keep(course, checkpoints, watch)
    done = course.standing
    student.load_state_dict(done.best_state)
    return {"monitor": monitor, "best_epoch": done.best_epoch, "epochs": done.epochs}


def _step(course: Course, given: Batch, watch: Watch) -> None:
    """Learn from one batch."""
    batch, lesson, now = given, course.lesson, course.standing
    for augment in course.augments:
        batch = augment(batch, course.chance)
    loss, parts = _losses(lesson, _channels_last(batch))
    rate = float(course.schedule.get_last_lr()[0])
    watch.see(note(course.step + 1, now.epoch, rate, batch, loss, parts))
    course.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if lesson.options.clip_norm is not None:
        nn.utils.clip_grad_norm_(lesson.student.parameters(), lesson.options.clip_norm)
    course.optimizer.step()
    course.schedule.step()
    course.add({"loss": loss} | parts)


def _resume(course: Course, checkpoints: Checkpoints) -> None:
    """Go on from the newest checkpoint that is whole and fits, or stay at the beginning."""
    packed(course.state())  # tells early of a state that could not be kept
    with no_chance_drawn(course.device):
        state = next((state for state in checkpoints.states() if course.takes(state)), None)
    if state is not None:
        course.lesson.run.progress(course.step, course.lesson.steps, "resumed")
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


def _set_modes(lesson: Lesson) -> None:
    lesson.student.train()
    if lesson.teacher is not None:
        lesson.teacher.eval()


def _losses(lesson: Lesson, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted loss of one batch and its terms."""
    student, teacher, terms = lesson.student, lesson.teacher, lesson.terms
    signature = lesson.run.task.signature()
    signals = dict(batch)
    with ExitStack() as stack:
        features = {"student": stack.enter_context(tapped(student, terms.taps("student")))}
        if teacher is not None:
            features["teacher"] = stack.enter_context(tapped(teacher, terms.taps("teacher")))
            with torch.no_grad():
                seen = call_by_name(teacher, signature, batch)
            signals |= {f"teacher_{name}": value for name, value in seen.items()}
        own = call_by_name(student, signature, batch)
        signals |= {f"student_{name}": value for name, value in own.items()}
        loss: Tensor
        loss, parts = terms(signals, features)
    return loss, parts


def _channels_last(batch: Batch) -> Batch:
    """Return the batch with images in the layout that convolutions are fastest in."""
    return {
        name: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
        for name, t in batch.items()
    }
