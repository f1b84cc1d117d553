"""Which examples an epoch uses: what is asked, what it changes, and what an interruption does."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.kinds import objective, select
from edgekd.core.protocols.training import Chosen
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train import selecting
from edgekd.train.course import Course
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.marks import marked, packed, read_selected, write_selected
from edgekd.train.optim import Train
from edgekd.train.selecting import check_select
from edgekd.train.teaching import Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views

EXAMPLES, KEPT = 90, 40
TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": EXAMPLES}
).build()
CPU = torch.device("cpu")
seen, learned = [], []


def unsure(config, draws, *, student_logits, teacher_logits, labels, epoch, epochs, progress):
    """Keep those that the student is least sure of, and a few by chance."""
    seen.append((student_logits, teacher_logits, labels, epoch, epochs, progress))
    sure = student_logits.softmax(-1).amax(-1) + 0.01 * draws.uniform()
    kept = torch.zeros(len(sure), dtype=torch.bool)
    return Chosen(kept.index_fill_(0, sure.argsort()[:KEPT], True), {"sure": float(sure.mean())})


def noted(config, *, student_logits, labels, ids):
    learned.append(ids.tolist())
    return nn.functional.cross_entropy(student_logits, labels, reduction="none")


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(select, "unsure", unsure)
    plugged(select, "nobody", lambda config, draws, *, ids: Chosen(ids < 0))
    plugged(select, "scores", lambda config, draws, *, ids: Chosen(ids / 2))
    plugged(select, "everybody", lambda config, draws, *, ids: Chosen(ids >= 0))
    plugged(select, "nowhere", lambda config, draws, *, student_embedding: Chosen(None))
    plugged(objective, "noted", noted)


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()
    learned.clear()


def network(width):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(),
                         nn.Dropout(0.2), nn.Linear(width, 10))  # fmt: skip


@pytest.fixture
def lesson(tmp_path):
    """Return a function that makes a lesson; those of a name share their checkpoints."""

    def make(name="one", stops=lambda: False, **more):
        torch.manual_seed(0)
        student, teacher = network(5), network(8)
        own = {"epochs": 3, "batch_size": 32, "select": "unsure"}
        teachers = {"teacher": Online(teacher, TASK.signature(), (), TASK, CPU)}
        run, terms = ExampleRun(tmp_path / name, TASK, stops=stops), Terms(
            [UseObjective.model_validate("noted")]
        )  # fmt: skip
        return Lesson(run, student, teachers, terms, Train.model_validate(own | more), Views(0))

    return make


def state(taught):
    return {n: t.numpy().tobytes() for n, t in taught.student.state_dict().items()}


def test_an_epoch_uses_the_examples_that_are_kept_in_as_many_steps_as_ever(lesson):
    taught = lesson()
    trained = train(taught)
    assert [len(ids) for ids in learned] == [32, 32, 26] * 3
    for epoch, bits in enumerate(trained.selected):
        kept = {*marked(bits, EXAMPLES).nonzero()[:, 0].tolist()}
        used = [i for ids in learned[3 * epoch : 3 * epoch + 3] for i in ids]
        assert len(kept) == KEPT
        assert {*used} == kept
        assert {*used[:KEPT]} == {*used[KEPT : 2 * KEPT]} == kept
    assert len({tuple(bits.tolist()) for bits in trained.selected}) == 3, "chosen anew"


def test_it_is_asked_about_every_example_in_order_as_it_is(lesson):
    taught = lesson(augment=({"kind": "crop", "padding": 2},))
    plain = lesson("other")
    whole = next(TASK.batches("train", EXAMPLES, device=CPU))
    wanted = plain.student.eval()(whole["image"])
    train(taught)
    student, teacher, labels, epoch, epochs, progress = seen[0]
    torch.testing.assert_close(student, wanted)
    assert not student.requires_grad
    torch.testing.assert_close(teacher, plain.teachers["teacher"](whole, 0).outputs["logits"])
    assert torch.equal(labels, whole["labels"])
    assert (int(epoch), int(epochs), float(progress)) == (0, 3, 0.0)
    assert [int(told[3]) for told in seen] == [0, 1, 2]


def test_the_history_says_what_was_kept(lesson):
    (first, *_) = train(lesson()).history["epochs"]
    assert first["selected"].keys() == {"kept", "of", "sure"}
    assert (first["selected"]["kept"], first["selected"]["of"]) == (KEPT, EXAMPLES)
    assert "selected" not in train(lesson("two", select=None)).history["epochs"][0]


def test_to_choose_moves_nothing_and_draws_no_chance(lesson):
    course = Course(lesson())
    student, chance = course.lesson.student, torch.get_rng_state()
    before, order = copy.deepcopy(student.state_dict()), course.order.get_state()
    student[2].eval()
    selecting.choose(course, lambda: None)
    assert all(torch.equal(t, before[n]) for n, t in student.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance)
    assert torch.equal(course.order.get_state(), order)
    assert [m.training for m in student] == [True, True, False, True, True, True]
    selecting.choose(course, lambda: None)
    assert len(seen) == 1, "once an epoch"


def test_where_all_are_kept_a_training_is_what_it_is_without(lesson):
    plain = lesson("plain", select=None)
    train(plain)
    all_of = lesson("all", select="everybody")
    train(all_of)
    assert learned[:9] == learned[9:]
    assert state(plain) == state(all_of)


@pytest.mark.parametrize("polls", [4, 5, 8])
def test_an_interrupted_training_chooses_and_ends_the_same(lesson, polls):
    whole = lesson("whole")
    trained = train(whole)
    asked = iter([False] * (polls - 1) + [True] * 99)
    with pytest.raises(RunInterruptedError, match="Training stopped after step"):
        train(lesson(stops=lambda: next(asked)))
    again, before = lesson(), len(seen)
    resumed = train(again)
    assert resumed.history == trained.history
    assert state(again) == state(whole)
    for one, other in zip(resumed.selected, trained.selected, strict=True):
        assert torch.equal(one, other)
    left = {4: 2, 5: 1, 8: 1}[polls]  # 4 is the end of the first epoch, 5 a step of the second
    assert len(seen) - before == left


def test_a_run_that_is_asked_to_end_while_examples_are_looked_at_ends(lesson, monkeypatch):
    monkeypatch.setattr(selecting, "BATCH", 30)
    monkeypatch.setattr(selecting, "BETWEEN_PAUSES", 2)
    whole = lesson("whole")
    train(whole)
    asked = iter([True])
    with pytest.raises(RunInterruptedError, match="after step 0 of 9"):
        train(lesson(stops=lambda: next(asked)))
    again = lesson()
    train(again)
    assert state(again) == state(whole)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("nobody", "'nobody' keeps none of the 90 examples in epoch 1"),
        ("scores", r"'scores' returned torch.float32 \[90\]; expected a mark on each example"),
    ],
)
def test_a_choice_of_nobody_or_of_something_else_ends_the_training(lesson, kind, says):
    with pytest.raises(StageError, match=says):
        train(lesson(select=kind))


def test_marks_come_back_from_their_file(tmp_path):
    rng = torch.Generator().manual_seed(0)
    marks = torch.rand(3, 21, generator=rng) < 0.5
    write_selected(tmp_path, [packed(row) for row in marks], 21)
    assert torch.equal(read_selected(tmp_path), marks)
    write_selected(tmp_path / "none", [], 21)
    assert not Path(tmp_path / "none").exists()


def said(kind, task=TASK, teachers=("teacher",), terms=("kd",)):
    options, uses = Train.model_validate({"select": kind}), map(UseObjective.model_validate, terms)
    found = check_select(options, [*uses], task, dict.fromkeys(teachers))
    return [str(p.message) for p in found]


def test_what_cannot_be_asked_or_given_is_refused():
    class Whole(type(TASK)):
        def batches(self, split, batch_size, *, device, rng=None, part=(0, 1), start=0): ...

    assert said("unsure") == said(None) == []
    assert said("unsure", teachers=()) == [
        "'unsure' asks for teacher_logits, which nothing supplies."
    ]
    assert said("unsure", terms=("kd", "tgeo")) == [
        "tgeo holds examples out, and unsure might choose them."
    ]
    assert said("nowhere") == ["'nowhere' asks for student_embedding, which nothing supplies."]
    assert said("unsure", task=Whole(TASK.options)) == [
        "this task cannot give some of its examples alone."
    ]
