"""A teacher of another task: what its scores are of, and how it is shown the examples."""

from typing import Any

import pytest
import torch
from torch import nn

from edgekd.core.errors import StageError
from edgekd.core.refs import Ref, UseTask
from edgekd.tasks.image_classification import ImageClassification
from edgekd.train.across import as_it_is, misfit, preparing, told_apart
from edgekd.train.peer import Peer
from edgekd.train.teaching import Online

CPU = torch.device("cpu")
REF = Ref("big", ("model",))


def digits(classes="56789", **more):
    data = {"kind": "digits", "classes": (*classes,)}
    return UseTask.model_validate({"kind": "image_classification", "data": data} | more).build()


class Nameless(ImageClassification):
    """A task that names no classes."""

    labels = ()


class Saying(Nameless):
    """A task that says something else of its data."""

    def __init__(self, told):
        super().__init__(digits().options)
        self.told = told

    def facts(self):
        return self.told


def test_scores_are_of_the_same_where_classes_are_in_one_order():
    own = digits()
    assert told_apart(own, own) == told_apart(digits(), own) == ""
    assert told_apart(digits("98765"), own) == "tells 9, 8, 7, 6, 5 apart, and not 5, 6, 7, 8, 9"
    every = told_apart(digits("0123456789"), own)
    assert every == "tells 0, 1, 2, 3, 4 and 5 more apart, and not 5, 6, 7, 8, 9"


def test_tasks_that_name_no_classes_go_by_what_a_model_answers():
    assert told_apart(Nameless(digits("01234").options), digits()) == ""
    assert told_apart(Nameless(digits("012").options), digits()) == (
        "answers in another form than this task asks for"
    )


def test_examples_of_another_shape_cannot_be_shown():
    assert misfit(REF, digits("01234"), digits(), "teacher") is None
    problem = misfit(REF, digits(size=16), digits(), "teacher.big")
    assert problem.path == "teacher.big"
    assert problem.message == ("$big takes image 1x16x16, and the examples here are image 1x8x8.")
    assert "one shape" in problem.next_step


@pytest.mark.parametrize("learns", [False, True])
def test_a_teacher_sees_the_pixels_that_it_learned_from(learns):
    theirs, own = digits(mean=(0.2,), std=(0.5,)), digits(mean=(0.3,), std=(0.37,))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    prepared = preparing(theirs.facts(), own)
    batches = (next(iter(task.batches("test", 8, device=CPU))) for task in (theirs, own))
    learned, given = batches
    teacher: Any = (
        Peer(network, own.signature(), ("1",), prepared)
        if learns
        else Online(network, own.signature(), ("1",), own, CPU, prepared=prepared)
    )
    wanted = network(learned["image"])
    said = teacher(given, 0)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(said.outputs["logits"], wanted, **close)
    torch.testing.assert_close(said.features["1"], wanted, **close)
    torch.testing.assert_close(teacher.answers(given)["logits"], wanted, **close)


def test_examples_that_are_prepared_alike_stay_as_they_are():
    own = digits(mean=(0.3,), std=(0.37,))
    assert preparing(digits("01234", mean=(0.3,), std=(0.37,)).facts(), own) is as_it_is
    assert preparing({}, own) is as_it_is


@pytest.mark.parametrize(
    ("theirs", "own", "odd"),
    [
        ({"input": "text", "entries": 9}, {"input": "text", "entries": 8}, "entries"),
        ({"mean": [0.1], "std": [1], "color": "L"}, {"mean": [0], "std": [1]}, "color"),
        ({"mean": [0.1], "std": [1]}, {"mean": [0]}, "scale"),
    ],
)
def test_what_nothing_turns_into_each_other_is_refused(theirs, own, odd):
    with pytest.raises(StageError, match=f"another way: {odd} differs") as caught:
        preparing({"preprocessing": theirs}, Saying({"preprocessing": own}))
    assert "one tokenizer" in caught.value.next_step
