"""Those who teach: what a file says of them that cannot be."""

import pytest

from edgekd.core.kinds import objective
from edgekd.core.needs import ALONE
from edgekd.core.refs import UseTask
from edgekd.stages.distill import Distill
from edgekd.train.taught import check_teachers

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


class Fitted:
    """Sees the teacher over all examples before training begins."""

    def __init__(self, config):
        self.config = config

    def fit(self, batches):
        raise AssertionError("nothing is trained here")

    def __call__(self, *, teacher_logits):
        return teacher_logits.mean(1)


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


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(objective, "test_fitted", Fitted)


def problems(made, objectives, teacher="$teacher", **train):
    options = {"model": "depthwise", "teacher": teacher, "objective": objectives, "train": train}
    return [*check_teachers(Distill.model_validate(options), Preview(made))]


@pytest.mark.parametrize("made", ["model", "outputs"])
def test_a_term_may_be_fitted_to_a_model_or_to_what_was_kept_of_it(made):
    assert problems(made, ("test_fitted", "kd")) == []


def test_a_term_cannot_be_fitted_to_what_was_kept_of_changed_examples():
    (problem,) = problems("outputs", ("test_fitted", "kd"), augment=("flip",))
    assert problem.path == "teacher"
    assert "test_fitted is fitted to examples that nothing has changed" in problem.message
    assert "Name the stage of the teacher itself" in problem.next_step
    two = {"a": "$a", "b": "$b"}
    heard = ({"kind": "test_fitted", "teacher": "b"}, "kd")
    assert [p.path for p in problems("outputs", heard, two, augment=("flip",))] == ["teacher.b"]


def test_a_term_cannot_be_fitted_to_a_teacher_that_learns():
    (problem,) = problems("model", ("test_fitted", "bdkd"))
    assert "test_fitted is fitted to a teacher once, and bdkd lets this one" in problem.message
    apart = ({"kind": "test_fitted", "teacher": "a"}, {"kind": "bdkd", "teacher": "b"})
    assert problems("model", apart, {"a": "$a", "b": "$b"}) == []
