"""The loop: it learns, leaves the teacher alone, keeps the best, and repeats itself."""

import copy

import pytest
import torch
from torch import nn

from edgekd.core.errors import StageError
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.course import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.terms import Terms

TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 128}
)


def network(width=8):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
        nn.Linear(width * 16, 10),
    )  # fmt: skip


@pytest.fixture
def lesson(tmp_path):
    """Return a function that makes a lesson; all share the folder for checkpoints."""

    def make(teacher=None, objective=("cross_entropy",), seed=0, **options):
        torch.manual_seed(seed)
        return Lesson(
            run=ExampleRun(tmp_path, TASK.build(), seed=seed),
            student=network(),
            teacher=teacher,
            terms=Terms([UseObjective.model_validate(o) for o in objective]),
            options=Train(**{"epochs": 3, "batch_size": 32} | options),
        )

    return make


def test_a_student_learns_and_its_history_says_so(lesson):
    taught = lesson(epochs=8, learning_rate=0.01)
    history = train(taught)
    scores = [epoch["validation"]["accuracy"] for epoch in history["epochs"]]
    assert scores[-1] > 0.6 > scores[0]
    assert history["epochs"][-1]["loss"] < history["epochs"][0]["loss"]
    assert history["best_epoch"] == 1 + scores.index(max(scores))


def test_a_teacher_stays_as_it_was(lesson):
    torch.manual_seed(1)
    teacher = network(16)
    before = copy.deepcopy(teacher.state_dict())
    train(lesson(teacher, ("kd", "cross_entropy")))
    after = teacher.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before), "batch norm moved too?"
    assert not any(p.grad is not None for p in teacher.parameters())
    assert not teacher.training


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(lesson):
    first, again, other = lesson(), lesson(), lesson(seed=1)
    for taught in (first, again, other):
        train(taught)
    weights = [taught.student.state_dict()["0.weight"] for taught in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_best_epoch_is_what_stays(lesson, monkeypatch):
    scores = iter([0.1, 0.9, 0.3])
    states = []

    def scripted(model, *_):
        states.append(copy.deepcopy(model.state_dict()))
        from edgekd.core.quantity import Quantity

        return Quantity(next(scores), "share")

    monkeypatch.setattr("edgekd.train.loop.evaluate", scripted)
    taught = lesson()
    assert train(taught)["best_epoch"] == 2
    kept = taught.student.state_dict()
    assert all(torch.equal(kept[name], states[1][name]) for name in kept)


def test_patience_ends_training_early(lesson, monkeypatch):
    from edgekd.core.quantity import Quantity

    monkeypatch.setattr("edgekd.train.loop.evaluate", lambda *_: Quantity(0.5, "share"))
    assert len(train(lesson(epochs=20, patience=2))["epochs"]) == 3


def test_a_loss_that_is_not_finite_stops_with_what_to_do(lesson):
    with pytest.raises(
        StageError, match=r"not finite (in|after) step \d+ of 12 (?s:.*)learning_rate"
    ):
        train(lesson(optimizer="sgd", learning_rate=1e25))


def test_clipping_bounds_the_step(lesson):
    clipped = lesson(epochs=1, optimizer="sgd", learning_rate=1e-3, momentum=0.0,
                     weight_decay=0.0, clip_norm=1e-6)  # fmt: skip
    before = copy.deepcopy(clipped.student.state_dict())
    train(clipped)
    moved = (clipped.student.state_dict()["0.weight"] - before["0.weight"]).abs().max()
    assert moved <= 1e-8


def test_augmentations_are_seeded(lesson):
    augmented = [lesson(augment=({"kind": "crop", "padding": 1},)) for _ in range(2)]
    for taught in augmented:
        train(taught)
    plain = lesson()
    train(plain)
    weights = [t.student.state_dict()["0.weight"] for t in (*augmented, plain)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_never_sees_the_test_split(lesson, monkeypatch):
    taught = lesson()
    asked = []
    batches = type(taught.run.task).batches
    monkeypatch.setattr(
        type(taught.run.task), "batches",
        lambda self, split, *a, **k: (asked.append(split), batches(self, split, *a, **k))[1],
    )  # fmt: skip
    train(taught)
    assert set(asked) == {"train", "validation"}
