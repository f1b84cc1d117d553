"""The training loop: a student learns from labels, a teacher, or both."""

import copy
import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.protocols import Batch, Task
from edgekd.core.seeds import sub_seed
from edgekd.ops.named import call_by_name
from edgekd.train.evaluate import evaluate
from edgekd.train.optim import Train, make_optimizer, make_schedule
from edgekd.train.taps import tapped
from edgekd.train.terms import Terms

HISTORY = "history.json"


@dataclass(frozen=True)
class Lesson:
    """Who learns what, from what, and how."""

    student: nn.Module
    teacher: nn.Module | None
    """Used in eval mode and without gradient."""
    task: Task
    terms: Terms
    options: Train
    seed: int
    device: torch.device
    progress: Callable[..., None]

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in one pass over the training split."""
        return -(-self.task.size("train") // self.options.batch_size)


def train(lesson: Lesson) -> dict[str, Any]:
    """Train the student in place, leave it at its best validation epoch, return the history.

    StageError where a loss is not finite.
    """
    options, task = lesson.options, lesson.task
    for module in filter(None, (lesson.student, lesson.teacher, lesson.terms)):
        module.to(lesson.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = options.epochs * lesson.steps_per_epoch
    optimizer = make_optimizer(options, (lesson.student, lesson.terms))
    schedule = make_schedule(options, optimizer, steps)
    order = torch.Generator().manual_seed(sub_seed(lesson.seed, "order"))
    chance = torch.Generator().manual_seed(sub_seed(lesson.seed, "augment"))
    epochs: list[dict[str, Any]] = []
    best_score, best_epoch, best_state = -float("inf"), 0, {}

    for epoch in range(1, options.epochs + 1):
        started = time.monotonic()
        means = _one_epoch(lesson, epoch, optimizer, schedule, order, chance)
        _refuse_non_finite(means, epoch)
        score = evaluate(lesson.student, task, "validation", lesson.device).value
        epochs.append(
            {
                "epoch": epoch,
                "learning_rate": float(schedule.get_last_lr()[0]),
                "seconds": round(time.monotonic() - started, 3),
                "loss": means.pop("loss"),
                "terms": means,
                "validation": {task.quality[0]: score},
            }
        )
        if score > best_score:
            best_score, best_epoch = score, epoch
            best_state = copy.deepcopy(lesson.student.state_dict())
        lesson.progress(epoch * lesson.steps_per_epoch, steps, "training", score=score)
        if options.patience and epoch - best_epoch >= options.patience:
            break
    lesson.student.load_state_dict(best_state)
    return {"monitor": task.quality[0], "best_epoch": best_epoch, "epochs": epochs}


def _one_epoch(
    lesson: Lesson,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    order: torch.Generator,
    chance: torch.Generator,
) -> dict[str, float]:
    """Return the mean loss and the mean of each term over one pass of the training split."""
    options, per_epoch = lesson.options, lesson.steps_per_epoch
    augments = [use.build() for use in options.augment]
    sums: dict[str, Tensor] = {}
    lesson.student.train()
    if lesson.teacher is not None:
        lesson.teacher.eval()
    batches = lesson.task.batches("train", options.batch_size, device=lesson.device, rng=order)
    taken = 0
    for step, given in enumerate(batches):
        batch = given
        if step and len(batch["ids"]) == 1:  # batch norm needs two; the example comes again
            continue
        taken += 1
        for augment in augments:
            batch = augment(batch, chance)
        loss, parts = _losses(lesson, _channels_last(batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if options.clip_norm is not None:
            nn.utils.clip_grad_norm_(lesson.student.parameters(), options.clip_norm)
        optimizer.step()
        schedule.step()
        for name, value in ({"loss": loss} | parts).items():  # on the device: no sync per step
            sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
        if step % 20 == 0:
            lesson.progress((epoch - 1) * per_epoch + step, options.epochs * per_epoch, "training")
    return {name: value.item() / taken for name, value in sums.items()}


def write_history(folder: Path, history: dict[str, Any]) -> None:
    """Write the history beside the model that it led to."""
    (folder / HISTORY).write_text(json.dumps(history, indent=1) + "\n", "utf-8")


def _losses(lesson: Lesson, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted loss of one batch and its terms."""
    student, teacher, terms = lesson.student, lesson.teacher, lesson.terms
    signature = lesson.task.signature()
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


def _refuse_non_finite(means: dict[str, float], epoch: int) -> None:
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise StageError(
            f"the loss is not finite in epoch {epoch}: {', '.join(bad)}.",
            "Lower train.learning_rate, or set train.clip_norm.",
        )
