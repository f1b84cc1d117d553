"""What is frozen stays to the bit, norms and all; the rest learns."""

import pytest
import torch
from torch import nn

from edgekd.core.refs import UseModel, UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.check import check_frozen
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.terms import Terms
from edgekd.train.views import Views

TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 64}
)
RESNET = UseModel.model_validate({"kind": "resnet", "depth": 8, "width": 4})


def trained(folder, student, **options):
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    terms = Terms([UseObjective.model_validate("cross_entropy")])
    options = Train(epochs=2, batch_size=16, **options)
    train(Lesson(ExampleRun(folder, TASK.build()), student, {}, terms, options, Views(0)))
    after = student.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def test_what_lies_at_a_path_stays_and_all_else_learns(tmp_path):
    student = RESNET.build()(TASK.build().signature())
    every = {*student.state_dict()}
    moved = trained(tmp_path, student, freeze=("stem", "stages.0"))
    assert moved == {n for n in every if not n.startswith(("stem.", "stages.0."))}


def test_a_norm_that_its_author_froze_keeps_its_averages(tmp_path):
    student = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 10)
    )
    student[1].requires_grad_(False)
    moved = trained(tmp_path, student)
    assert moved == {"0.weight", "0.bias", "3.weight", "3.bias"}


@pytest.mark.parametrize(
    ("paths", "where", "said"),
    [
        (("stem", "stagse.0"), "train.freeze[1]", "no module 'stagse.0'"),
        (("stem", "stages", "head"), "train.freeze", "nothing is left to learn"),
    ],
)
def test_paths_are_checked_before_anything_runs(paths, where, said):
    (problem,) = check_frozen(Train(freeze=paths), RESNET, TASK.build())
    assert problem.path == where
    assert said in problem.message
    assert problem.next_step
    assert not [*check_frozen(Train(freeze=("stem",)), RESNET, TASK.build())]
