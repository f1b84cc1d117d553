"""The course of a training: what it is made of is all that can shape what comes."""

import json
from dataclasses import replace
from functools import wraps
from statistics import fmean, pstdev

import pytest
import torch
from torch import nn

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.kinds import augment, measure, objective
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.course import Course
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train, write_history
from edgekd.train.optim import Train
from edgekd.train.terms import Terms
from edgekd.train.views import Views

TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 80}
).build()


class Counted:
    """Counts how often it is built and used."""

    built = used = 0

    def __init__(self, config):
        Counted.built += 1

    def __call__(self, batch, draws):
        Counted.used += 1
        return batch


class KeepsASet:
    """Has a state that no checkpoint can hold."""

    def __init__(self, config):
        self.seen = set()

    def __call__(self, *, student_logits):
        raise AssertionError("no step may be taken")

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(objective, "test_keeps_a_set", KeepsASet)
    plugged(augment, "test_counted", Counted)


class Hidden(nn.Sequential):
    """Keeps a buffer out of its own state."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
        self.register_buffer("hidden", torch.zeros(2), persistent=False)


def lesson(folder, objectives=("cross_entropy",), name="example", stops=lambda: False, **options):
    torch.manual_seed(0)
    return Lesson(
        ExampleRun(folder, TASK, name=name, stops=stops),
        Hidden(),
        {},
        Terms([UseObjective.model_validate(one) for one in objectives]),
        Train.model_validate({"epochs": 3, "batch_size": 20} | options),
        Views(0),
    )


def test_an_augmentation_is_built_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Counted, "built", 0)
    monkeypatch.setattr(Counted, "used", 0)
    train(lesson(tmp_path, augment=("test_counted",)))
    assert (Counted.built, Counted.used) == (1, 12)


def test_a_state_that_cannot_be_kept_is_told_before_the_first_step(tmp_path):
    with pytest.raises(StageError, match=r"objective test_keeps_a_set.*\['seen'\] is a set"):
        train(lesson(tmp_path, ("test_keeps_a_set",)))


def test_a_buffer_that_a_module_keeps_out_of_its_state_is_in_the_courses(tmp_path):
    course, other = Course(lesson(tmp_path)), Course(lesson(tmp_path))
    course.lesson.student.hidden += 7
    assert other.takes(course.state())
    assert torch.equal(other.lesson.student.hidden, torch.full((2,), 7.0))


def test_a_state_that_does_not_fit_changes_nothing(tmp_path):
    course = Course(lesson(tmp_path))
    before = course.lesson.student[1].weight.clone()
    state = Course(lesson(tmp_path)).state()
    state["parts"]["student"]["own"]["1.weight"] += 1
    state["parts"]["optimizer"]["own"]["param_groups"] = []
    assert not course.takes(state)
    assert torch.equal(course.lesson.student[1].weight, before)
    assert (course.step, course.standing.epochs) == (0, [])


def test_want_of_memory_while_it_resumes_keeps_the_checkpoints(tmp_path, monkeypatch):
    polls = iter([False, False, True])
    with pytest.raises(RunInterruptedError):
        train(lesson(tmp_path, stops=lambda: next(polls)))
    taught = lesson(tmp_path)
    before = sorted(taught.run.unfinished.iterdir())

    def greedy(*_):
        monkeypatch.undo()  # there is enough again for what does not fit to be put back
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Hidden, "load_state_dict", greedy)
    with pytest.raises(StageError, match=r"training ran out of memory"):
        train(taught)
    assert before
    assert sorted(taught.run.unfinished.iterdir()) == before


def test_how_often_it_is_kept_and_scored_moves_no_chance(tmp_path, monkeypatch):
    def left(name, every_steps):
        taught = lesson(tmp_path, name=name, augment=("flip",))
        taught.run.checkpoint = Checkpoint(every_steps=every_steps)
        write_history(taught.run.out, train(taught).history)
        return (taught.run.out / "history.json").read_bytes(), torch.rand(3).tolist()

    plain = left("plain", None)
    score = measure.get("accuracy")

    @wraps(score.target)
    def draws(*args, **signals):
        torch.rand(5)
        return score.target(*args, **signals)

    monkeypatch.setitem(measure._loaded, "accuracy", replace(score, target=draws))
    assert left("often", 1) == plain


def test_a_history_holds_nothing_that_another_run_would_not_find(tmp_path):
    history = train(lesson(tmp_path)).history
    assert json.loads(json.dumps(history)) == history
    keys = {"epoch", "learning_rate", "loss", "terms", "spreads", "validation"}
    assert all(set(epoch) == keys for epoch in history["epochs"])


def test_a_terms_spread_is_the_deviation_of_its_batches(tmp_path, monkeypatch):
    seen = []
    add = Course.add

    def listening(course, values, share):
        seen.append({name: value.item() for name, value in values.items()})
        add(course, values, share)

    monkeypatch.setattr(Course, "add", listening)
    first = train(lesson(tmp_path)).history["epochs"][0]
    steps = seen[: len(seen) // 3]
    for name, spread in first["spreads"].items():
        values = [step[name] for step in steps]
        assert first["terms"][name] == pytest.approx(fmean(values))
        assert spread == pytest.approx(pstdev(values), rel=1e-4)
        assert spread > 0


@pytest.mark.parametrize("polls", [5, 15])
def test_one_that_is_asked_to_end_after_a_score_goes_on_with_the_next_epoch(tmp_path, polls):
    asked = iter([False] * (polls - 1) + [True])
    with pytest.raises(RunInterruptedError, match=f"after step {polls * 4 // 5} of 12"):
        train(lesson(tmp_path, stops=lambda: next(asked)))
    taught = lesson(tmp_path)
    assert len(train(taught).history["epochs"]) == 3
    steps = [done for done, _, what in taught.run.told if what == "training"]
    assert all(step > polls * 4 // 5 for step in steps)


def test_without_room_for_its_state_it_says_what_is_lost(tmp_path, monkeypatch):
    taught = lesson(tmp_path, stops=lambda: True)
    monkeypatch.setattr("edgekd.train.checkpoint.save_file", refuse)
    with pytest.raises(RunInterruptedError, match="could not be kept"):
        train(taught)
    assert "no checkpoint could be written after step 1" in taught.run.notices[0]


def refuse(*_):
    raise PermissionError("read only")


def test_a_last_batch_of_few_examples_has_fewer_parts_and_none_of_one(tmp_path):
    course = Course(lesson(tmp_path, batch_size=75, accumulate=4))
    ids = torch.arange(75)
    assert [len(part["ids"]) for _, part in course.parts({"ids": ids})] == [19, 19, 19, 18]
    course.standing.batch = 1
    ((share, part),) = course.parts({"ids": ids[:5]})
    assert (share, len(part["ids"])) == (1.0, 5)
