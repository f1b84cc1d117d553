"""Terms and augmentations that learn after each step by something else than the loss."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.kinds import augment, objective
from edgekd.core.refs import UseAugment, UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.course import Course
from edgekd.train.fitting import prepare_terms
from edgekd.train.gradual import Gradual
from edgekd.train.held_out import MOST, HeldOut, check_held_out, set_aside
from edgekd.train.labelled import UNKNOWN
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.peer import Peer
from edgekd.train.teaching import Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views

EXAMPLES = 90
TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": EXAMPLES}
).build()
CPU = torch.device("cpu")
SEEN = []
"""The ids of every batch that a term was given."""


class Weighing(nn.Module):
    """Weighs classes: the weights learn by what a step of the student would do to held-out ones."""

    bad, noted, studies = False, [], []

    def __init__(self, config):
        super().__init__()

    def prepare(self, setting):
        self.weigh = nn.Linear(len(setting.classes), 1)
        self.scale = nn.Parameter(torch.ones(()))  # learns by the loss, as any term's

    def own_optimizer(self):
        return torch.optim.Adam(self.weigh.parameters(), lr=0.1)

    def weights(self, labels):
        return torch.sigmoid(self.weigh(F.one_hot(labels, 10).float()))[:, 0]

    def forward(self, *, student_logits, labels, ids):
        SEEN.append(ids.clone())
        losses = F.cross_entropy(student_logits * self.scale, labels, reduction="none")
        return losses * self.weights(labels).detach()

    def after_step(self, study):
        own = {name: p.clone().requires_grad_() for name, p in study.parameters.items()}
        given = study.student(study.batch, own)["logits"]
        labels = study.batch["labels"]
        losses = F.cross_entropy(given, labels, reduction="none") * self.weights(labels)
        slopes = torch.autograd.grad(losses.mean(), [*own.values()], create_graph=True)
        moved = {n: p - 0.1 * s for (n, p), s in zip(own.items(), slopes, strict=True)}
        held = study.held_out()
        loss = F.cross_entropy(study.student(held, moved)["logits"], held["labels"])
        loss = loss + torch.rand(()) * self.weights(labels).mean()  # chance of the process
        study.learn(loss / 0 if self.bad else loss)
        study.note(weight=self.weights(labels).mean())
        Weighing.studies.append((study.step, study.rate, len(labels), len(held["labels"])))


class Shifting(nn.Module):
    """Adds what makes student and teacher differ."""

    def __init__(self, config):
        super().__init__()

    def prepare(self, setting):
        self.shift = nn.Parameter(torch.zeros(setting.shapes["image"]))

    def own_optimizer(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def forward(self, batch, draws):
        noise = draws.uniform(*self.shift.shape)
        return batch | {"image": batch["image"] + self.shift + 0.1 * noise}

    def after_step(self, study):
        shifted = self(study.plain, study.draws)
        student, teacher = (ask(shifted)["logits"] for ask in (study.student, study.teacher))
        study.learn((student - teacher).square().mean().neg())


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(objective, "test_weighing", Weighing, held_out=True)
    plugged(augment, "test_shifting", Shifting, teacher=True)


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    SEEN.clear()
    Weighing.studies.clear()
    monkeypatch.setattr(Weighing, "bad", False)


def network(width):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.1),
        nn.Flatten(), nn.Linear(width * 16, 10),
    )  # fmt: skip


def lesson(folder, *, stops=lambda: False, peer=False, prune=None, every=None, **options):
    torch.manual_seed(0)
    student, teacher, signature = network(4), network(8), TASK.signature()
    chosen = {"augment": ({"kind": "crop", "padding": 1}, "test_shifting"), "epochs": 3}
    teaching = Peer(teacher, signature, ()) if peer else Online(teacher, signature, (), TASK, CPU)
    uses = ["test_weighing", {"kind": "bdkd", "online": peer}]
    return Lesson(
        run=ExampleRun(folder, TASK, stops=stops, checkpoint=Checkpoint(every_steps=every)),
        student=student,
        teachers={"teacher": teaching},
        terms=Terms([UseObjective.model_validate(use) for use in uses]),
        options=Train.model_validate({"batch_size": 16, "held_out": 20} | chosen | options),
        views=Views(0),
        prune=prune,
    )


def end(taught):
    """Return all that a training leaves, as bytes."""
    history = train(taught).history
    tensors = {**taught.student.state_dict(), **taught.terms.state_dict()}
    return history, {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_parts_learn_by_their_own_optimizer_and_by_no_other(tmp_path):
    taught = lesson(tmp_path, epochs=1)
    history, _ = end(taught)
    course = Course(taught)
    theirs = [p for own in course.learners for g in own.optimizer.param_groups for p in g["params"]]
    loss = {id(p) for group in course.optimizer.param_groups for p in group["params"]}
    term = taught.terms.built["test_weighing"]
    assert {id(p) for p in term.weigh.parameters()} <= {*map(id, theirs)}
    assert not loss & {*map(id, theirs)}
    assert id(term.scale) in loss
    assert term.scale != 1
    assert all(parameter.grad is None for parameter in theirs)
    steps = -(-(EXAMPLES - 20) // 16)
    assert [entry[0] for entry in Weighing.studies] == [*range(1, steps + 1)]
    assert Weighing.studies[0][2:] == (16, 16)
    (epoch,) = history["epochs"]
    assert 0 < epoch["terms"]["test_weighing.weight"] < 1


def test_what_is_held_out_is_never_trained_on_and_all_else_in_every_epoch(tmp_path):
    taught = lesson(tmp_path)
    held = {*HeldOut(taught.run, 20).columns["ids"].tolist()}
    train(taught)
    assert len(held) == 20
    every = torch.cat(SEEN).tolist()
    assert sorted(every) == sorted(3 * [*({*range(EXAMPLES)} - held)])


def test_a_pass_over_the_others_begins_where_it_is_told_and_is_divided(tmp_path):
    held = HeldOut(ExampleRun(tmp_path, TASK), 20)

    def passed(part=(0, 1), start=0):
        rng = torch.Generator().manual_seed(3)
        return [batch["ids"] for batch in held.others(16, rng, part, start)]

    whole = passed()
    assert [len(ids) for ids in whole] == [16, 16, 16, 16, 6]
    assert all(torch.equal(a, b) for a, b in zip(passed(start=2), whole[2:], strict=True))
    for parts in zip(whole, passed((0, 2)), passed((1, 2)), strict=True):
        assert torch.equal(torch.cat(parts[1:]), parts[0])
    alone = [held.drawn(8, step)["ids"] for step in (0, 0, 1)]
    assert torch.equal(alone[0], alone[1])
    assert not torch.equal(alone[0], alone[2])


def test_an_interrupted_training_ends_with_the_same_bytes(tmp_path):
    whole = end(lesson(tmp_path / "whole"))
    for step in (3, 7):
        asked = iter([False] * step + [True])
        with pytest.raises(RunInterruptedError):
            train(lesson(tmp_path / "cut", stops=lambda: next(asked)))  # noqa: B023
        torch.seed()
    assert end(lesson(tmp_path / "cut")) == whole


def test_the_state_of_its_optimizer_is_in_the_checkpoints(tmp_path):
    taught = lesson(tmp_path)
    prepare_terms(taught)
    parts = Course(taught).state()["parts"]
    assert {"optimizer of test_weighing", "optimizer of test_shifting", "augment 1"} <= {*parts}


def test_networks_are_at_rest_meanwhile_and_get_no_gradient(tmp_path, monkeypatch):
    taught, told = lesson(tmp_path, epochs=1, augment=()), []

    def after_step(term, study):
        before = copy.deepcopy(taught.student.state_dict())
        study.student(study.batch)
        now = taught.student.state_dict()
        same = all(torch.equal(now[name], value) for name, value in before.items())
        own = {n: torch.zeros_like(p) for n, p in study.parameters.items()}
        nothing = study.student(study.batch, own)["logits"].any()
        told.append((same, taught.student.training, bool(nothing), study.plain is not study.batch))

    monkeypatch.setattr(Weighing, "after_step", after_step)
    train(taught)
    assert {*told} == {(True, False, False, True)}


def test_labels_that_are_not_to_be_known_are_not_shown(tmp_path, monkeypatch):
    taught, shown = lesson(tmp_path, epochs=1, labelled=30, held_out=None), []
    object.__setattr__(taught, "terms", Terms([UseObjective.model_validate("kd")]))
    known = {*Course(taught).known.nonzero().flatten().tolist()}

    def after_step(change, study):
        shown.append((study.plain["ids"], study.plain["labels"]))

    monkeypatch.setattr(Shifting, "after_step", after_step)
    train(taught)
    ids, labels = (torch.cat(columns) for columns in zip(*shown, strict=True))
    assert (labels == UNKNOWN).any()
    assert [label != UNKNOWN for label in labels] == [int(i) in known for i in ids]


@pytest.mark.parametrize(
    "more",
    [
        {"accumulate": 2},
        {"peer": True},
        {"ema": 0.9, "clip_norm": 0.1},
        {"prune": Gradual.model_validate({"transform": {"kind": "channels", "ratio": 0.5}})},
    ],
)
def test_it_goes_with_parts_of_batches_a_teacher_that_learns_averages_and_pruning(tmp_path, more):
    taught = lesson(tmp_path, epochs=2, **more)
    history = train(taught).history
    assert len(history["epochs"]) == 2
    assert Weighing.studies[0][2] == (8 if "accumulate" in more else 16)
    assert all(p.isfinite().all() for p in taught.terms.parameters())


def test_what_it_learns_by_must_be_finite(tmp_path, monkeypatch):
    monkeypatch.setattr(Weighing, "bad", True)
    with pytest.raises(StageError, match="what test_weighing learns by is inf after step 1"):
        train(lesson(tmp_path))


def test_a_tenth_is_held_out_where_somebody_asks_and_nothing_else_is_said():
    asks, other = UseObjective.model_validate("test_weighing"), UseObjective.model_validate("kd")
    assert set_aside([other], Train(held_out=7), 400) == 0
    assert set_aside([asks], Train(held_out=7), 400) == 7
    assert set_aside([asks], Train(), 400) == 40
    assert set_aside([asks], Train(), 10**6) == MOST
    assert set_aside([asks], Train(), 5) == 1


@pytest.mark.parametrize(
    ("term", "options", "columns", "said"),
    [
        ("test_weighing", {"held_out": 90}, ("labels",), "90 examples are held out; there are 90."),
        ("test_weighing", {"labelled": 9}, ("labels",), "some are not to be known"),
        ("test_weighing", {}, ("ids",), "this task has none"),
        ("kd", {"held_out": 99, "labelled": 9}, ("ids",), ""),
        ("test_weighing", {"held_out": 89}, ("labels",), ""),
    ],
)
def test_a_plan_says_why_examples_cannot_be_held_out(term, options, columns, said):
    task = copy.copy(TASK)
    task.columns = columns
    uses = [UseObjective.model_validate(term)]
    problems = [*check_held_out(uses, Train.model_validate(options), task)]
    assert [said in problem.message for problem in problems] == [True] * bool(said)
    assert all(problem.next_step for problem in problems)


def test_an_augmentation_that_learns_is_said_to():
    plugin = UseAugment.model_validate("test_shifting").plugin
    assert plugin.learns
    assert not UseAugment.model_validate("flip").plugin.learns
