"""The training loop: a student learns from labels, from teachers, or from both."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.protocols.values import Batch
from edgekd.parallel.norms import norms_of_all
from edgekd.parallel.replicas import Replica
from edgekd.train.chance import no_chance_drawn, restore_chance
from edgekd.train.checkpoint import Checkpoints, packed
from edgekd.train.clock import Clock
from edgekd.train.course import Course
from edgekd.train.evaluate import evaluate
from edgekd.train.fitting import fit_terms, prepare_terms
from edgekd.train.forward import make_forward
from edgekd.train.frozen import freeze, set_to_learn
from edgekd.train.guard import LOSS, Watch, note
from edgekd.train.lesson import Lesson
from edgekd.train.memory import enough_memory
from edgekd.train.peer import Peer
from edgekd.train.pruning import Pruning
from edgekd.train.recompute import recomputing
from edgekd.train.selecting import choose
from edgekd.train.studying import study
from edgekd.train.validation_loss import validation_loss
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
    pruning: Pruning | None
    """What was pruned meanwhile, and is still to be cut out."""
    selected: Sequence[Tensor]
    """Which examples each epoch used, as `marks.packed` has it; none where all were."""

    def pretraining(self) -> dict[str, Any]:
        """Return the facts of a model whose answers were not taught."""
        best = self.history["epochs"][self.history["best_epoch"] - 1]["validation"][LOSS]
        return {"result": f"loss {best:.4g} on validation, not scored", "validation_loss": best}


def train(lesson: Lesson) -> Trained:
    """Train the student in place and leave it at its best validation epoch.

    Where several processes work on the stage, each calls this with the same lesson and takes its
    part of every batch; up to rounding, the steps are those that one would take.
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
    run, student = lesson.run, lesson.student
    for module in lesson.learners:
        module.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepare_terms(lesson)
    freeze(student, lesson.options.freeze)
    course, checkpoints = Course(lesson), Checkpoints(run)
    fit_terms(lesson)
    watch = Watch(run, lesson.options, student, lesson.steps)
    forward = make_forward(course, clock := Clock(course.device, course.group.size))
    _resume(course, checkpoints)
    learner = Replica(forward, lesson.learners, lesson.terms)
    while not course.over:
        choose(course, lambda: _keep(course, checkpoints, watch))
        set_to_learn(student, lesson.options.freeze)
        for peer in lesson.peers.values():
            set_to_learn(peer, ())
        for batch in clock.steps(course.batches()):
            course.prune()
            if not course.standing.batch or course.count > 1:
                _step(course, batch, learner, clock, watch)  # one left over is none to a norm
            course.standing.batch += 1
            if course.step % STEPS_BETWEEN_WORDS == 0:
                numbers = {"samples_per_s": clock.per_second} | watch.numbers(course.step)
                run.progress(course.step, lesson.steps, "training", **numbers)
            _keep(course, checkpoints, watch)
        watch.look_at_all()
        with no_chance_drawn(course.device):
            found = (
                validation_loss(course, forward)
                if lesson.pretrains
                else evaluate(course.judged, run.task, "validation", course.device).value
            )
        course.end_epoch(found)
        run.epoch(course.standing.epochs[-1])
        word = "validation_loss" if lesson.pretrains else "score"
        run.progress(course.step, lesson.steps, "training", **{word: found})
        _keep(course, checkpoints, watch)
    done = course.standing
    student.load_state_dict(done.best_state)
    history = {"monitor": lesson.monitor, "best_epoch": done.best_epoch, "epochs": done.epochs}
    if lesson.peers:
        history |= {"teachers": {name: _score(course, p) for name, p in lesson.peers.items()}}
    facts = {"precision": forward.precision.why, **clock.facts()}
    return Trained(history, facts, course.pruning, done.selected)


def _score(course: Course, peer: Peer) -> float:
    """Return what a teacher that learned came to."""
    return evaluate(peer.network, course.lesson.run.task, "validation", course.device).value


def _step(course: Course, given: Batch, learner: Replica, clock: Clock, watch: Watch) -> None:
    """Learn from one batch, in as many parts as the options say."""
    lesson, now = course.lesson, course.standing
    course.draw_own_chance()
    given = course.with_labelled(given)
    batch = channels_last(view_of(given, course.augments, lesson.views.seed, course.view))
    clock.mark("data")
    rate = float(course.schedule.get_last_lr()[0])
    course.optimizer.zero_grad(set_to_none=True)
    parts = course.parts(batch)
    with _computed_as_asked(course):
        for number, (share, part) in enumerate(parts):
            with learner.gathering(number, len(parts)):
                loss, means = learner(part, course.view)
                values, weight = course.group.mean({LOSS: loss} | means, share / course.group.size)
                watch.see(note(course.step + 1, now.epoch, rate, part, values))
                (loss * share).backward()  # type: ignore[no-untyped-call]
            course.add(values, weight)
            clock.mark("student")
    if lesson.options.clip_norm is not None:
        for network in lesson.learners:
            nn.utils.clip_grad_norm_(network.parameters(), lesson.options.clip_norm)
    course.optimizer.step()
    course.hold()
    course.schedule.step()
    course.follow()
    clock.mark("optimizer")
    if course.learners:
        study(course, given, batch, rate)
        clock.mark("own learning")
    now.taken += 1


@contextmanager
def _computed_as_asked(course: Course) -> Iterator[None]:
    """Have the student see the batch of all processes, and keep no more than it is to keep."""
    lesson, again = course.lesson, course.lesson.options.activation_checkpointing
    student = lesson.student
    with (
        norms_of_all(*lesson.learners, lesson.terms) if course.divides else nullcontext(),
        recomputing(student) if again else nullcontext(),
    ):
        yield


def _resume(course: Course, checkpoints: Checkpoints) -> None:
    """Go on from the newest checkpoint that is whole and fits, or stay at the beginning."""
    packed(course.state())  # tells early of a state that could not be kept
    first = course.group.first
    with no_chance_drawn(course.device):
        found = (state for state in checkpoints.states() if course.takes(state))
        state = next(found, None) if first else None
        name = course.group.as_first_says(checkpoints.files()[0].name if state else "")
        if name and not first:
            state = checkpoints.state(name)
            if not course.takes(state):
                raise StageError(
                    f"it cannot go on from {name}, as the first process does.",
                    "Run all processes with the same software, on devices of one kind.",
                )
    if state is not None:
        course.lesson.run.progress(course.step, course.lesson.steps, "resumed")
        if notice := course.other_than(state):
            course.lesson.run.notice(notice)
        for entry in course.standing.epochs:
            course.lesson.run.epoch(entry)
        restore_chance(state["process"])


def _keep(course: Course, checkpoints: Checkpoints, watch: Watch) -> None:
    """Write a checkpoint where one is due; end here where the run was asked to end."""
    step = course.step
    asked, due = course.group.decided(course.lesson.run.stop_asked(), checkpoints.due(step))
    if not asked and not due:
        return
    watch.look_at_all()
    with no_chance_drawn(course.device):  # how often it is written must not shape the result
        kept = not course.group.first or checkpoints.write(step, course.state())
    if asked:
        lost = "its state could not be kept, so the next run does some of it again"
        then = "the next run goes on from there" if kept else lost
        where = f"after step {step} of {course.lesson.steps}"
        raise RunInterruptedError(f"Training stopped {where}: {then}.")
