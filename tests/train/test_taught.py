"""Those who teach: what a file says of them that cannot be."""

import pytest

from edgekd.core.needs import ALONE
from edgekd.core.refs import UseTask
from edgekd.stages.distill import Distill
from edgekd.train.taught import check_teachers

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


class Preview:
    """A pipeline in which every reference leads to a result of one kind."""

    task, targets, hands = TASK, {}, ALONE

    def __init__(self, made):
        self.made = made

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
