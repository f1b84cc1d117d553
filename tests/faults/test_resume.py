"""A training that ends anywhere goes on from its checkpoint and ends as if nothing had been.

Everything that moves is in use: augmentations and an objective that remember, in modules and in
plain classes; dropout and the generators of Python and numpy; batch norms; momentum; a schedule;
patience; clipping.
"""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.config import Config
from edgekd.core.errors import RunInterruptedError
from edgekd.core.kinds import augment, objective
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.checkpoint import Checkpoints
from edgekd.train.course import Lesson
from edgekd.train.loop import train, write_history
from edgekd.train.optim import Train
from edgekd.train.terms import Terms

EXAMPLES, BATCH, EPOCHS = 130, 32, 5  # the last batch of an epoch has two
STEPS = EPOCHS * -(-EXAMPLES // BATCH)
POINTS = 20
TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": EXAMPLES}
).build()
OPTIONS = {
    "adamw": {"optimizer": "adamw", "schedule": "one_cycle", "patience": 2},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "one_cycle", "patience": 2},
}


@objective(config=Config, name="test_class_weights")
class ClassWeights(nn.Module):
    """Weighs examples by how often their class was wrong: a buffer, one that no state has, and
    a weight that learns."""

    def __init__(self, config):
        super().__init__()
        self.register_buffer("wrong", torch.ones(10))
        self.register_buffer("steps", torch.zeros(()), persistent=False)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, *, student_logits, labels):
        losses = nn.functional.cross_entropy(student_logits * self.scale, labels, reduction="none")
        value = losses * self.wrong[labels] / (1 + 0.01 * self.steps)
        with torch.no_grad():
            self.steps += 1
            self.wrong.mul_(0.9).index_add_(0, labels, losses.detach(), alpha=0.01)
        return value


@objective(config=Config, name="test_moving_mean")
class MovingMean:
    """Pulls towards a mean of what was seen, with noise of Python's and numpy's chance."""

    def __init__(self, config):
        self.seen, self.mean, self.recent = 0, {1: np.zeros(10, np.float32)}, []

    def __call__(self, *, student_logits):
        noise = random.random() * 0.1 + float(np.random.rand()) * 0.1
        target = torch.from_numpy(self.mean[1]) + noise
        mean = student_logits.detach().mean(0).numpy()
        self.mean = {1: self.mean[1] * np.float32(0.9) + np.float32(0.1) * mean}
        self.seen, self.recent = self.seen + 1, [*self.recent[-3:], (self.seen, noise)]
        return ((student_logits - target) ** 2).mean(1) * (0.01 + 0.001 * len(self.recent))

    def state_dict(self):
        return vars(self)

    def load_state_dict(self, state):
        vars(self).update(state)


@augment(config=Config, name="test_fading_noise")
class FadingNoise:
    """Adds noise that fades with every batch."""

    def __init__(self, config):
        self.strength = 0.5

    def __call__(self, batch, rng):
        self.strength *= 0.97
        noise = torch.randn(batch["image"].shape, generator=rng)
        return batch | {"image": batch["image"] + self.strength * noise}

    def state_dict(self):
        return {"strength": self.strength}

    def load_state_dict(self, state):
        self.strength = state["strength"]


def network(width, dropout):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(dropout),
        nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Flatten(), nn.Linear(width * 16, 10),
    )  # fmt: skip


def lesson(folder, options, *, stop_after=None, every_steps=None, before=None):
    """Return a lesson that is asked to end after `stop_after` steps of its own."""
    asked = iter(range(10**6))
    torch.manual_seed(7)
    teacher, student = network(8, 0.0), network(4, 0.2)
    uses = ("cross_entropy", {"kind": "kd", "temperature": 2.0}, "test_class_weights",
            "test_moving_mean")  # fmt: skip
    augments = ({"kind": "crop", "padding": 1}, "flip", "test_fading_noise")

    def stops():
        if before is not None:
            before(folder)
        return stop_after is not None and next(asked) + 1 >= stop_after

    return Lesson(
        ExampleRun(folder, TASK, stops=stops, checkpoint=Checkpoint(every_steps=every_steps)),
        student,
        teacher,
        Terms([UseObjective.model_validate(use) for use in uses]),
        Train.model_validate(
            {"epochs": EPOCHS, "batch_size": BATCH, "clip_norm": 0.5, "augment": augments}
            | OPTIONS[options]
        ),
    )


def end(taught):
    """Return the bytes of all that a training leaves."""
    history = train(taught)
    write_history(taught.run.out, history)
    tensors = {**taught.student.state_dict(), **taught.terms.state_dict()}
    weights = {name: t.numpy().tobytes() for name, t in tensors.items()}
    return (taught.run.out / "history.json").read_bytes(), weights


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return what a training leaves that nothing disturbs, by options, with scrambled chance."""
    found = {}
    for options in OPTIONS:
        random.seed()
        found[options] = end(lesson(tmp_path_factory.mktemp(options), options))
        assert 3 <= len(json.loads(found[options][0])["epochs"]) <= EPOCHS
    return found


def points(seed):
    return sorted(random.Random(seed).sample(range(1, 3 * STEPS // EPOCHS + 2), POINTS // 2))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("index", range(POINTS // 2))
def test_asked_to_end_at_a_random_step_it_goes_on_to_the_same_bits(
    undisturbed, tmp_path, options, index
):
    step = points(options)[index]
    with pytest.raises(RunInterruptedError):
        train(lesson(tmp_path, options, stop_after=step))
    random.seed(), np.random.seed(), torch.seed()
    assert end(lesson(tmp_path, options)) == undisturbed[options]
