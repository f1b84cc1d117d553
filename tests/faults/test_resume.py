"""A training that ends anywhere goes on from its checkpoint and ends as if nothing had been.

Everything that moves is in use: augmentations and an objective that remember, in modules and in
plain classes; dropout and the generators of Python and numpy; batch norms; momentum; a schedule;
patience; clipping.
"""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import RunInterruptedError
from edgekd.core.kinds import augment, objective
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train, write_history
from edgekd.train.optim import Train
from edgekd.train.teaching import Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views

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


class FadingNoise:
    """Adds noise that fades with every batch."""

    def __init__(self, config):
        self.strength = 0.5

    def __call__(self, batch, draws):
        self.strength *= 0.97
        noise = draws.uniform(*batch["image"].shape[1:]) - 0.5
        return batch | {"image": batch["image"] + self.strength * noise}

    def state_dict(self):
        return {"strength": self.strength}

    def load_state_dict(self, state):
        self.strength = state["strength"]


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(objective, "test_class_weights", ClassWeights)
    plugged(objective, "test_moving_mean", MovingMean)
    plugged(augment, "test_fading_noise", FadingNoise)


def network(width, dropout):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(dropout),
        nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Flatten(), nn.Linear(width * 16, 10),
    )  # fmt: skip


def lesson(folder, options, *, stop_after=None, every_steps=None, width=4, watch=lambda step: None):
    """Return a lesson that is asked to end after `stop_after` steps of its own.

    `watch` is called after every step with their number.
    """
    asked = iter(range(1, 10**6))
    torch.manual_seed(7)
    teacher, student = network(8, 0.0), network(width, 0.2)
    uses = ("cross_entropy", {"kind": "kd", "temperature": 2.0}, "test_class_weights",
            "test_moving_mean")  # fmt: skip
    augments = ({"kind": "crop", "padding": 1}, "flip", "test_fading_noise")

    def stops():
        step = next(asked)
        watch(step)
        return stop_after is not None and step >= stop_after

    return Lesson(
        ExampleRun(folder, TASK, stops=stops, checkpoint=Checkpoint(every_steps=every_steps)),
        student,
        {"teacher": Online(teacher, TASK.signature(), (), TASK, torch.device("cpu"))},
        Terms([UseObjective.model_validate(use) for use in uses]),
        Train.model_validate(
            {"epochs": EPOCHS, "batch_size": BATCH, "clip_norm": 0.5, "augment": augments}
            | OPTIONS[options]
        ),
        Views(3),
    )


def end(taught):
    """Return the bytes of all that a training leaves."""
    write_history(taught.run.out, train(taught).history)
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


def scramble():
    """Leave the generators of the process anywhere, as in a new process."""
    random.seed()
    np.random.seed()
    torch.seed()


def interrupted(folder, options, step):
    """Train until the step is over, and be asked to end there."""
    with pytest.raises(RunInterruptedError, match="the next run goes on from there"):
        train(lesson(folder, options, stop_after=step))
    scramble()


def random_steps(options, count):
    """Return moments in the epochs that every training gets to: after a step or a score."""
    return random.Random(options).sample(range(1, 3 * (STEPS // EPOCHS + 1)), count)


@pytest.mark.parametrize("options", OPTIONS)
def test_asked_to_end_after_a_random_step_it_ends_as_if_it_had_not_been(
    undisturbed, tmp_path, options, rounds, counted
):
    steps = random_steps(options, rounds(10, 17))
    for step in steps:
        interrupted(tmp_path / str(step), options, step)
        assert end(lesson(tmp_path / str(step), options)) == undisturbed[options], step
    counted(f"training asked to end, {options}", steps=len(steps), same_bits=len(steps))


@pytest.mark.parametrize("options", OPTIONS)
def test_killed_after_a_random_step_it_ends_as_if_it_had_not_been(
    undisturbed, tmp_path, options, rounds, counted
):
    def watch(step):
        shutil.copytree(tmp_path / "whole" / "example.unfinished", folder(step))

    def folder(step):
        return tmp_path / str(step) / "example.unfinished"

    assert (
        end(lesson(tmp_path / "whole", options, every_steps=3, watch=watch))
        == (undisturbed[options])
    )
    steps = random_steps(options, rounds(10, 17))
    for step in steps:
        (folder(step) / "checkpoint.part").write_bytes(b"half of one")
        scramble()
        taught = lesson(tmp_path / str(step), options)
        assert end(taught) == undisturbed[options], step
        assert taught.run.notices == []
    counted(f"training killed, {options}", steps=len(steps), same_bits=len(steps))


def test_a_training_that_is_interrupted_at_every_turn_ends_as_if_it_had_not_been(
    undisturbed, tmp_path
):
    for steps in (4, 1, 2, 5):
        interrupted(tmp_path, "sgd", steps)
    taught = lesson(tmp_path, "sgd")
    assert end(taught) == undisturbed["sgd"]
    (resumed,) = [done for done, _, what in taught.run.told if what == "resumed"]
    assert resumed >= 10


def truncate(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty])
@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(
    undisturbed, tmp_path, damage, damaged
):
    with pytest.raises(RunInterruptedError):
        train(lesson(tmp_path, "adamw", stop_after=9, every_steps=3))
    files = sorted((tmp_path / "example.unfinished").glob("step-*"), reverse=True)
    assert len(files) == 2
    for file in files[:damaged]:
        damage(file)
    scramble()
    taught = lesson(tmp_path, "adamw")
    assert end(taught) == undisturbed["adamw"]
    assert len(taught.run.notices) == damaged
    rest = "training begins anew" if damaged == 2 else "the one before is used"
    assert rest in taught.run.notices[-1]
    assert any(what == "resumed" for _, _, what in taught.run.told) == (damaged == 1)


def test_a_checkpoint_of_another_training_is_told_and_leaves_no_trace(tmp_path):
    interrupted(tmp_path / "a", "sgd", 6)
    taught = lesson(tmp_path / "a", "sgd", width=6)
    assert end(taught) == end(lesson(tmp_path / "b", "sgd", width=6))
    (notice,) = taught.run.notices
    assert "does not fit this training: training begins anew" in notice
