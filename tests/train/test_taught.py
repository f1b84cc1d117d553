"""Those who teach: what a file says of them that cannot be."""

import pytest
import torch
from torch import nn

from edgekd.core import kinds
from edgekd.core.needs import ALONE
from edgekd.core.refs import UseTask
from edgekd.stages.distill import Distill, controls
from edgekd.train.taught import check_teachers, heard

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


class Preview:
    """A pipeline in which every reference leads to a result of one kind."""

    task, targets, hands = TASK, {}, ALONE

    def __init__(self, made):
        self.made = made

    def task_of(self, ref):
        return self.task

    def makes(self, ref):
        return self.made

    def options(self, ref):
        return None

    model = runtime = kind = transform = options


def problems(made, objectives, teacher="$teacher", **train):
    options = {"model": "depthwise", "teacher": teacher, "objective": objectives, "train": train}
    return [*check_teachers(Distill.model_validate(options), Preview(made))]


@pytest.mark.parametrize("made", ["model", "outputs"])
def test_a_term_may_be_fitted_to_a_model_or_to_what_was_kept_of_it(made):
    assert problems(made, ("nd", "kd")) == []


def test_a_term_cannot_be_fitted_to_what_was_kept_of_changed_examples():
    (problem,) = problems("outputs", ("nd", "kd"), augment=("flip",))
    assert problem.path == "teacher"
    assert "nd is fitted to examples that nothing has changed" in problem.message
    assert "Name the stage of the teacher itself" in problem.next_step
    two = {"a": "$a", "b": "$b"}
    heard = ({"kind": "nd", "teacher": "b"}, "kd")
    assert [p.path for p in problems("outputs", heard, two, augment=("flip",))] == ["teacher.b"]


def test_a_term_cannot_be_fitted_to_a_teacher_that_learns():
    (problem,) = problems("model", ("nd", "bdkd"))
    assert "nd is fitted to a teacher once, and bdkd lets this one" in problem.message
    apart = ({"kind": "nd", "teacher": "a"}, {"kind": "bdkd", "teacher": "b"})
    assert problems("model", apart, {"a": "$a", "b": "$b"}) == []


class Asking(nn.Module):
    """An augmentation that learns from the teacher."""

    def forward(self, batch, draws):
        return batch

    def own_optimizer(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def after_step(self, study):
        pass


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(kinds.augment, "test_asking", Asking, teacher=True)


@pytest.mark.parametrize(
    ("made", "more", "path", "said"),
    [
        ("outputs", {}, "teacher", "test_asking follows the gradient of its teacher, and this is"),
        ("program", {}, "teacher", "gradient of its teacher, and this is a program"),
        ("model", {"shard_teacher": True}, "shard_teacher", "teacher, which is shared out here"),
        ("model", {"teacher": None}, "train.augment[0]", "test_asking asks a teacher, and there"),
        ("model", {"cache": {"keep": "always"}}, "cache.keep", "test_asking does not change every"),
        ("model", {}, "", ""),
    ],
)
def test_an_augmentation_that_learns_asks_for_a_teacher_with_a_gradient(made, more, path, said):
    given = {"model": "depthwise", "teacher": "$teacher", "objective": ("cross_entropy",)}
    given |= {"train": {"augment": ("test_asking",)}} | more
    found = [*check_teachers(Distill.model_validate(given), Preview(made))]
    assert bool(found) == bool(said)
    assert not said or any(p.path == path and said in p.message for p in found)
    assert all(p.next_step for p in found)


def test_a_teacher_that_an_augmentation_asks_is_heard():
    given = {"model": "depthwise", "teacher": {"a": "$a", "b": "$b"}}
    given["objective"] = ({"kind": "kd", "teacher": "b"},)
    assert [*heard(Distill.model_validate(given))] == ["b"]
    given["train"] = {"augment": ("test_asking",)}
    assert [*heard(Distill.model_validate(given))] == ["a", "b"]


def test_controls_have_no_augmentation_that_learns():
    given = {"model": "depthwise", "teacher": "$teacher", "objective": ("cross_entropy", "kd")}
    given["train"] = {"augment": ("flip", "test_asking")}
    found = controls(Distill.model_validate(given))
    assert {*found} == {"no_kd", "plain_kd"}
    assert [[use.kind for use in c.train.augment] for c in found.values()] == [["flip"], ["flip"]]


def choosing(made, *, augment=(), objectives=("kd",), teacher="$teacher"):
    train = {"select": "blended_confidence", "augment": augment}
    return problems(made, objectives, teacher, **train)


def test_examples_cannot_be_chosen_by_what_was_kept_of_changed_ones():
    assert choosing("outputs") == choosing("model", augment=("flip",)) == []
    (problem,) = choosing("outputs", augment=("flip",))
    assert "blended_confidence chooses by examples that nothing has changed" in problem.message
    two = {"a": "$a", "b": "$b"}
    found = choosing("outputs", augment=("flip",), teacher=two)
    assert [p.path for p in found] == ["teacher.a"], "the first is asked"


def test_who_decides_which_examples_are_used_is_heard_though_no_term_listens():
    options = {"model": "depthwise", "objective": ("cross_entropy",), "teacher": "$teacher"}
    plain, chosen = (
        Distill.model_validate(options | {"train": {"select": select}})
        for select in (None, "blended_confidence")
    )
    assert heard(plain) == {}
    assert [*heard(chosen)] == ["teacher"]
