"""What terms get before the first step: parts for their shapes, the teacher on all examples."""

import copy

import pytest
import torch
from torch import nn

from edgekd.core.errors import RunInterruptedError
from edgekd.core.kinds import objective
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.fitting import fit_terms, prepare_terms
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
STEPS_BEFORE_TRAINING = 3  # of 32 examples: 90 are seen


class Centred(nn.Module):
    """Draws the student's features, projected, to the mean of the teacher's."""

    settings, seen = [], []

    def __init__(self, config):
        super().__init__()

    def prepare(self, setting):
        Centred.settings.append(setting)
        own, wanted = (setting.shapes[f"{who}_feature"][0] for who in ("student", "teacher"))
        self.projector = nn.Sequential(nn.BatchNorm1d(own), nn.Linear(own, wanted))
        self.register_buffer("mean", torch.zeros(wanted))

    def fit(self, batches):
        total, count = 0, 0
        for signals in batches:
            Centred.seen.append({name: value.clone() for name, value in signals.items()})
            total, count = total + signals["teacher_feature"].sum(0), count + len(signals["labels"])
        self.mean.copy_(total / count)

    def forward(self, *, student_feature, teacher_feature, labels):
        return (self.projector(student_feature) - self.mean).square().mean(1)


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(objective, "test_centred", Centred)


@pytest.fixture(autouse=True)
def nothing_seen():
    Centred.settings.clear()
    Centred.seen.clear()


def network(width):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(),
                         nn.Linear(width, 10))  # fmt: skip


@pytest.fixture
def lesson(tmp_path):
    """Return a function that makes a lesson; those of a name share their checkpoints."""

    def make(name="one", seed=0, stops=lambda: False, peer=False, terms=("test_centred",), **more):
        torch.manual_seed(0)
        student, teacher = network(5), network(8)
        signature = TASK.signature()
        asked = Peer(teacher, signature, ("3",)) if peer else None
        tap = {"student": "3", "teacher": "3"}
        uses = [{"kind": k, "tap": tap} if k == "test_centred" else {"kind": k} for k in terms]
        return Lesson(
            run=ExampleRun(tmp_path / name, TASK, seed=seed, stops=stops),
            student=student,
            teachers={"teacher": asked or Online(teacher, signature, ("3",), TASK, CPU)},
            terms=Terms([UseObjective.model_validate(use) for use in uses]),
            options=Train.model_validate({"epochs": 2, "batch_size": 32} | more),
            views=Views(0),
        )

    return make


def state(lesson):
    """Return the weights of the student and of the term as bytes."""
    modules = nn.ModuleList([lesson.student, lesson.terms])
    return {n: t.numpy().tobytes() for n, t in modules.state_dict().items()}


def parts(taught):
    prepare_terms(taught)
    return {n: t.clone() for n, t in taught.terms.state_dict().items()}


def test_a_term_is_told_the_shapes_the_examples_and_the_classes(lesson):
    prepare_terms(lesson())
    (setting,) = Centred.settings
    assert setting.shapes == {"student_feature": (5,), "teacher_feature": (8,), "labels": ()}
    assert setting.examples == EXAMPLES
    assert setting.classes == [*"0123456789"]


def test_its_parts_are_those_of_the_stages_seed_whatever_was_drawn_before(lesson):
    first = parts(lesson())
    torch.manual_seed(99)
    again, other = parts(lesson()), parts(lesson(seed=1))
    twice = parts(lesson(terms=("test_centred", "test_centred")))
    weight = "learned.0.projector.1.weight"
    assert torch.equal(first[weight], again[weight])
    assert not torch.equal(first[weight], other[weight])
    assert torch.equal(first[weight], twice[weight])
    assert not torch.equal(first[weight], twice["learned.1.projector.1.weight"])


@pytest.mark.parametrize("peer", [False, True])
def test_to_prepare_changes_nothing_but_the_term(lesson, peer):
    taught = lesson(peer=peer)
    learners = nn.ModuleList(taught.learners)
    learners[0][2].eval()
    before, chance = copy.deepcopy(learners.state_dict()), torch.get_rng_state()
    prepare_terms(taught)
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(t, before[n]) for n, t in learners.state_dict().items())
    assert [m.training for m in taught.student] == [True, True, False, True, True]
    assert all(parameter.requires_grad for parameter in taught.terms.parameters())


def test_its_parts_learn_and_its_buffers_are_what_it_found(lesson):
    taught = lesson()
    before = parts(lesson())
    train(taught)
    after = taught.terms.state_dict()
    weight = "learned.0.projector.1.weight"
    assert not torch.equal(after[weight], before[weight])
    everything = next(TASK.batches("train", EXAMPLES, device=CPU))
    wanted = taught.teachers["teacher"](everything, 0).features["3"].mean(0)
    torch.testing.assert_close(after["learned.0.mean"], wanted)


def test_it_sees_every_example_once_and_unchanged(lesson):
    train(lesson(augment=({"kind": "crop", "padding": 2},), accumulate=2))
    assert [len(signals["labels"]) for signals in Centred.seen] == [16] * 5 + [10]
    assert {*Centred.seen[0]} == {"teacher_feature", "labels"}
    whole = next(TASK.batches("train", EXAMPLES, device=CPU))
    seen = torch.cat([signals["teacher_feature"] for signals in Centred.seen])
    teacher = lesson().teachers["teacher"]
    torch.testing.assert_close(seen, teacher(whole, 0).features["3"])
    assert torch.equal(torch.cat([s["labels"] for s in Centred.seen]), whole["labels"])


def test_only_the_teacher_that_it_listens_to_is_asked(lesson):
    taught, other = lesson(terms=("test_centred", "bdkd")), network(6)
    taught.teachers["learns"] = Peer(other, TASK.signature(), ())
    prepare_terms(taught)
    fit_terms(taught)
    assert len(Centred.seen) == STEPS_BEFORE_TRAINING
    assert other[2].num_batches_tracked == 0


def test_it_says_how_far_it_is(lesson):
    taught = lesson()
    train(taught)
    told = [entry for entry in taught.run.told if entry[2] == "fitting test_centred"]
    assert told == [(done, EXAMPLES, "fitting test_centred") for done in (32, 64, 90)]


@pytest.mark.parametrize("polls", [2, STEPS_BEFORE_TRAINING + 2])
def test_an_interrupted_training_ends_with_the_same_bytes(lesson, polls):
    whole = lesson("whole")
    history = train(whole).history
    asked = iter([False] * (polls - 1) + [True] * 99)
    seen = "test_centred had seen 32 of 90 examples" if polls == 2 else "after step 2 of 6"
    with pytest.raises(RunInterruptedError, match=seen):
        train(lesson(stops=lambda: next(asked)))
    Centred.seen.clear()
    again = lesson()
    assert train(again).history == history
    assert state(again) == state(whole)
    assert bool(Centred.seen) == (polls == 2), "what was found is not looked for again"


def test_what_it_found_is_looked_for_again_where_its_file_is_damaged(lesson):
    whole = lesson("whole")
    train(whole)
    train(lesson())
    first = lesson()
    (file,) = first.run.unfinished.glob("fitted-*")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    for checkpoint in first.run.unfinished.glob("step-*"):
        checkpoint.unlink()
    Centred.seen.clear()
    train(first)
    assert "cannot be used (its content is not what was written)" in first.run.notices[0]
    assert len(Centred.seen) == STEPS_BEFORE_TRAINING
    assert state(first) == state(whole)


def test_a_full_disk_ends_no_training(lesson, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgekd.train.fitting.write_state", full)
    taught = lesson()
    assert train(taught).history["epochs"]
    assert "could not be written down: [Errno 28] No space" in taught.run.notices[0]
