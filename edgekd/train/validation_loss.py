"""What an epoch of a pre-training came to: its own loss, on the validation split.

What the model answers is not taught there, so to score it would be to choose an epoch by chance.
"""

import copy
from dataclasses import replace

import torch

from edgekd.parallel.group import group
from edgekd.train.course import Course
from edgekd.train.forward import Forward
from edgekd.train.frozen import at_rest
from edgekd.train.guard import LOSS
from edgekd.train.views import channels_last, view_of


@torch.no_grad()
def validation_loss(course: Course, forward: Forward) -> float:
    """Return the mean loss of the split, of which every epoch sees the same view."""
    lesson, all_of = course.lesson, group()
    task, options = lesson.run.task, lesson.options
    augments, there = copy.deepcopy(course.augments), task.size("validation")
    size = -(-options.batch_size // options.accumulate)
    own = replace(forward, module=course.judged, student=course.judged, known=None)
    total = weights = 0.0
    batches = task.batches("validation", size, device=course.device, part=all_of.part)
    with at_rest([course.judged, lesson.terms]), forward.clock.stopped():
        for number, batch in enumerate(batches):
            loss, _ = own(channels_last(view_of(batch, augments, lesson.views.seed, 0)), 0)
            whole = min(size, there - number * size)  # a smaller one is given whole to each process
            share = len(batch["ids"]) if whole >= all_of.size else whole / all_of.size
            values, weight = all_of.mean({LOSS: loss}, share)
            total, weights = total + float(values[LOSS]) * float(weight), weights + float(weight)
    return total / weights
