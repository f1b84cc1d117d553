"""Branches of a student: what they read and learn from, and that only the student is kept."""

import pytest
import torch
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.core.refs import UseObjective, UseTask
from edgekd.objectives.features.ofa_branch import OFABranch, OFABranchLoss
from edgekd.ops.targets import EnhancedTarget, enhanced, weighted_cross_entropy
from edgekd.testing.runs import ExampleRun
from edgekd.testing.signals import example_signals
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.teaching import Said
from edgekd.train.terms import Terms
from edgekd.train.views import Views

SHAPES = {"map": (6, 8, 8), "tokens": (5, 8), "vector": (9,)}


def term(shape, **options):
    torch.manual_seed(0)
    found = OFABranchLoss(OFABranch(**options))
    shapes = {"student_feature": shape, "teacher_logits": (7,), "labels": ()}
    found.prepare(Setting(shapes, 64, ()))
    return found


def signals(shape, dtype=torch.float32):
    rng = torch.Generator().manual_seed(1)
    feature = torch.randn(6, *shape, generator=rng).to(dtype).requires_grad_()
    return example_signals(("teacher_logits", "labels"), dtype=dtype) | {"student_feature": feature}


@pytest.mark.parametrize("kind", SHAPES)
def test_it_is_the_enhanced_target_of_the_branchs_scores(kind):
    found, given = term(SHAPES[kind], gamma=1.3, temperature=2.0), signals(SHAPES[kind])
    found.eval()
    weights = enhanced(
        EnhancedTarget(gamma=1.3, temperature=2.0), given["teacher_logits"], given["labels"]
    )
    wanted = weighted_cross_entropy(found.scores(given["student_feature"]), weights, 2.0)
    assert_close(found(**given), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kind", "options"), [
    ("map", {}), ("map", {"blocks": 2, "width": 5}), ("tokens", {"width": 5}),
    ("tokens", {"blocks": 1}), ("vector", {"width": 5}),
])  # fmt: skip
def test_all_of_a_branch_and_the_feature_learn_and_the_teacher_does_not(kind, options, dtype):
    found, given = term(SHAPES[kind], **options), signals(SHAPES[kind], dtype)
    given["teacher_logits"].requires_grad_()
    found(**given).sum().backward()
    for weight in (given["student_feature"], *found.parameters()):
        assert weight.grad.isfinite().all()
    assert given["student_feature"].grad.any()
    assert found.classes.weight.grad.any()
    assert given["teacher_logits"].grad is None


def test_a_block_of_a_map_halves_it_and_doubles_its_channels():
    found = term((6, 8, 8), blocks=2)
    assert found.branch(torch.zeros(2, 6, 8, 8)).shape == (2, 24, 2, 2)
    assert found.classes.in_features == 24
    assert term((6, 8, 8), blocks=2, width=5).classes.in_features == 5


@pytest.mark.parametrize(
    ("shape", "says"), [((9,), "a vector has no blocks"), ((5, 6), "tokens of 6 numbers cannot")]
)
def test_blocks_that_a_feature_cannot_have_are_refused(shape, says):
    with pytest.raises(StageError, match=says):
        term(shape, blocks=1)


def test_branches_learn_with_the_student_and_stay_out_of_it(tmp_path):
    given = {"kind": "image_classification", "data": "digits", "train_examples": 64}
    task = UseTask.model_validate(given).build()
    student = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Linear(8, 10)
    )
    names = set(student.state_dict())
    terms = Terms([UseObjective.model_validate({"kind": "ofa_branch", "tap": {"student": "1"}})])

    def teacher(batch, view):
        return Said({"logits": torch.zeros(len(batch["ids"]), 10)}, {})

    run, options = ExampleRun(tmp_path, task), Train(epochs=1, batch_size=32)
    lesson = Lesson(run, student, {"teacher": teacher}, terms, options, Views(0))
    before = {name: weight.clone() for name, weight in student.state_dict().items()}
    train(lesson)
    (branch,) = terms.learned
    assert branch.classes.bias.any(), "which begins at 0"
    assert set(student.state_dict()) == names
    assert not torch.equal(student.state_dict()["1.weight"], before["1.weight"])
    assert torch.equal(student.state_dict()["2.weight"], before["2.weight"]), "nothing teaches it"
