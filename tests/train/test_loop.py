"""The loop: it learns, leaves the teacher alone, keeps the best, and repeats itself."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.quantity import Quantity
from edgekd.core.refs import UseModel, UseObjective, UseTask
from edgekd.parallel.group import Group
from edgekd.testing.runs import ExampleRun
from edgekd.train import course as courses
from edgekd.train.clock import Clock
from edgekd.train.course import Course
from edgekd.train.forward import Forward
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.precision import Precision
from edgekd.train.teaching import Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views

TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 128}
)


def network(width=8):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
        nn.Linear(width * 16, 10),
    )  # fmt: skip


def online(teacher):
    task = TASK.build()
    return Online(teacher, task.signature(), (), task, torch.device("cpu"))


@pytest.fixture
def lesson(tmp_path):
    """Return a function that makes a lesson; all share the folder for checkpoints."""

    def make(teacher=None, objective=("cross_entropy",), seed=0, stops=lambda: False, **options):
        torch.manual_seed(seed)
        return Lesson(
            run=ExampleRun(tmp_path, TASK.build(), seed=seed, stops=stops),
            student=network(),
            teachers={"teacher": online(teacher)} if teacher else {},
            terms=Terms([UseObjective.model_validate(o) for o in objective]),
            options=Train(**{"epochs": 3, "batch_size": 32} | options),
            views=Views(seed),
        )

    return make


def test_a_student_learns_and_its_history_says_so(lesson):
    taught = lesson(epochs=8, learning_rate=0.01)
    history = train(taught).history
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
        return Quantity(next(scores), "share")

    monkeypatch.setattr("edgekd.train.loop.evaluate", scripted)
    taught = lesson()
    assert train(taught).history["best_epoch"] == 2
    kept = taught.student.state_dict()
    assert all(torch.equal(kept[name], states[1][name]) for name in kept)


def test_patience_ends_training_early(lesson, monkeypatch):
    monkeypatch.setattr("edgekd.train.loop.evaluate", lambda *_: Quantity(0.5, "share"))
    assert len(train(lesson(epochs=20, patience=2)).history["epochs"]) == 3


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


def plain_network():
    """A network without batch normalisation: a batch in parts is the same batch to it."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def test_a_batch_in_parts_gives_the_same_step(lesson):
    weights = {}
    for parts in (1, 3):
        taught = lesson(optimizer="sgd", accumulate=parts, clip_norm=0.5)
        torch.manual_seed(4)
        taught = replace(taught, student=plain_network())
        history = train(taught).history
        weights[parts] = taught.student.state_dict() | {"loss": history["epochs"][-1]["loss"]}
        shutil.rmtree(taught.run.unfinished)
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[3][name], value, rtol=1e-4, atol=1e-5)


def test_the_average_follows_by_its_share_and_is_what_is_scored_and_kept(lesson, monkeypatch):
    seen, scored = [], []
    follow = Course.follow

    def watched(course):
        follow(course)
        seen.append(copy.deepcopy(course.lesson.student.state_dict()))

    monkeypatch.setattr(Course, "follow", watched)
    taught = lesson(ema=0.8, epochs=1)
    begun = copy.deepcopy(taught.student.state_dict())
    monkeypatch.setattr(
        "edgekd.train.loop.evaluate",
        lambda model, *_: (scored.append(model), Quantity(0.5, "share"))[1],
    )
    train(taught)
    expected = begun["4.weight"]
    for state in seen:
        expected = 0.8 * expected + 0.2 * state["4.weight"]
    kept = taught.student.state_dict()
    torch.testing.assert_close(kept["4.weight"], expected)
    assert torch.equal(kept["1.running_mean"], seen[-1]["1.running_mean"])
    assert scored[0] is not taught.student


def test_an_average_goes_on_after_an_interruption(lesson):
    whole = lesson(ema=0.9)
    train(whole)
    shutil.rmtree(whole.run.unfinished)
    asked = iter([False] * 6 + [True])
    with pytest.raises(RunInterruptedError):
        train(lesson(ema=0.9, stops=lambda: next(asked)))
    again = lesson(ema=0.9)
    train(again)
    for name, value in whole.student.state_dict().items():
        assert torch.equal(again.student.state_dict()[name], value), name


def test_half_precision_learns_and_says_so(lesson):
    taught = lesson(precision="bfloat16", epochs=8, learning_rate=0.01)
    trained = train(taught)
    assert trained.facts["precision"] == "bfloat16, as asked for"
    assert trained.history["epochs"][-1]["validation"]["accuracy"] > 0.6
    assert all(t.dtype != torch.bfloat16 for t in taught.student.state_dict().values())


def test_several_teachers_are_asked_and_each_term_hears_its_own(lesson):
    torch.manual_seed(1)
    first, second = network(4), network(12)
    terms = ({"kind": "kd", "teacher": "b"}, "kd", "cross_entropy")
    taught = replace(lesson(first, terms), teachers={"a": online(first), "b": online(second)})
    own = copy.deepcopy(taught.student)
    loss, means = Forward(
        taught, own.train(), own, taught.terms, Precision(False, ""), Clock(torch.device("cpu"))
    )(next(taught.run.task.batches("train", 8, device=torch.device("cpu"))), 0)
    assert means["kd"] != means["kd_2"]
    torch.testing.assert_close(loss, sum(means.values()))
    train(taught)


def test_what_it_took_is_told_beside_the_history(lesson):
    facts = train(lesson(network(), ("kd",))).facts
    parts = {"data", "teacher", "student", "objective", "optimizer"}
    assert set(facts["time_shares"]) == parts
    assert facts["samples_per_s"] > 0
    assert facts["peak_memory_mib"] > 50


class Second(Group):
    """What another process than the first sees, as far as going on goes."""

    def as_first_says(self, value):
        return self.name

    def decided(self, *flags):
        return flags


def test_another_process_goes_on_from_what_the_first_took_or_says_that_it_cannot(
    lesson, monkeypatch
):
    asked = iter([False] * 6 + [True])
    first = lesson(stops=lambda: next(asked))
    with pytest.raises(RunInterruptedError):
        train(first)
    (file,) = first.run.unfinished.glob("step-*")
    monkeypatch.setattr(Second, "name", file.name, raising=False)
    monkeypatch.setattr(courses, "group", lambda: Second(1, 2))
    other = replace(lesson(), student=network(9))
    with pytest.raises(StageError) as caught:
        train(other)
    assert f"cannot go on from {file.name}, as the first process does" in caught.value.message
    assert "same software" in caught.value.next_step


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # inductor uses it
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_student_learns_the_same_and_its_cost_is_told(lesson):
    plain, compiled = lesson(epochs=1), lesson(epochs=1, compile=True)
    loss = train(plain).history["epochs"][0]["loss"]
    shutil.rmtree(plain.run.unfinished)
    trained = train(compiled)
    assert trained.history["epochs"][0]["loss"] == pytest.approx(loss, rel=1e-4)
    assert trained.facts["first_step_s"] > 1
    assert compiled.student.state_dict().keys() == plain.student.state_dict().keys()


def test_recomputed_activations_train_to_the_same_bytes(lesson):
    use = UseModel.model_validate({"kind": "depthwise", "width": 8, "blocks": (1, 1)})
    states = []
    for again in (False, True):
        taught = lesson(activation_checkpointing=again, epochs=2)
        torch.manual_seed(0)
        student = use.build()(taught.run.task.signature())
        train(replace(taught, student=student, run=replace(taught.run, name=f"{again}")))
        states.append(student.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_every_epoch_is_told_and_a_training_that_goes_on_tells_those_before(lesson):
    asked = iter([False] * 6 + [True])  # 4 steps and the end of an epoch each, so in the second
    first = lesson(stops=lambda: next(asked))
    with pytest.raises(RunInterruptedError):
        train(first)
    assert [entry["epoch"] for entry in first.run.epochs] == [1]
    again = lesson()
    history = train(again).history
    assert again.run.told[0][2] == "resumed"
    assert again.run.epochs == history["epochs"]
    assert again.run.epochs[0] == first.run.epochs[0]


def test_steps_are_told_with_loss_terms_and_rate(lesson):
    taught = lesson(objective=("cross_entropy",), epochs=10)
    train(taught)
    steps = {done: numbers for done, numbers in taught.run.numbers if "step/loss" in numbers}
    assert [*steps] == [20, 40]
    for numbers in steps.values():
        assert numbers["step/loss"] == numbers["step/terms/cross_entropy"] > 0
        assert numbers["samples_per_s"] > 0
    assert 0 < steps[40]["step/learning_rate"] < steps[20]["step/learning_rate"]
