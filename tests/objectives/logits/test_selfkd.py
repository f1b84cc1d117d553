"""Squared errors against labels and against a teacher: written out, and what both are together."""

from math import exp

import pytest
import torch
from torch.testing import assert_close

from edgekd.objectives.logits.brier import Brier, brier
from edgekd.objectives.logits.selfkd import SelfKD, selfkd
from edgekd.ops.mixing import class_shares
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "teacher_logits", "labels")


def parts(found):
    student, teacher, labels = (found[name] for name in NEEDS)
    return (
        brier(Brier(), student_logits=student, labels=labels),
        selfkd(SelfKD(), student_logits=student, teacher_logits=teacher),
    )


def test_both_equal_the_sums_written_out():
    found = example_signals(NEEDS)
    hard, soft = [], []
    for s, t, y in zip(*(found[name].tolist() for name in NEEDS), strict=True):
        p, q = ([exp(v) / sum(map(exp, row)) for v in row] for row in (s, t))
        hard.append(sum((v - (c == y)) ** 2 for c, v in enumerate(p)) / 7)
        soft.append(sum((v - w) ** 2 for v, w in zip(p, q, strict=True)) / 7)
    assert_close(parts(found), (torch.tensor(hard), torch.tensor(soft)))


@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
def test_weighted_they_have_the_gradient_of_one_error_against_the_blended_target(share):
    found = example_signals(NEEDS)
    scores = found["student_logits"]
    hard, soft = parts(found)
    (apart,) = torch.autograd.grad((share * hard + (1 - share) * soft).sum(), scores)
    ones = torch.nn.functional.one_hot(found["labels"], 7)
    blend = share * ones + (1 - share) * found["teacher_logits"].softmax(-1)
    at_once = selfkd(SelfKD(), student_logits=scores, teacher_logits=blend.clamp(min=1e-30).log())
    (together,) = torch.autograd.grad(at_once.sum(), scores)
    assert_close(apart, together, rtol=1e-4, atol=1e-6)


def test_a_student_that_says_the_same_has_nothing_to_learn_and_a_teacher_never():
    found = example_signals(NEEDS)
    teacher = (found["student_logits"].detach() + 3).requires_grad_()
    loss = selfkd(SelfKD(), student_logits=found["student_logits"], teacher_logits=teacher)
    assert_close(loss, torch.zeros(6), atol=1e-9, rtol=0)
    loss.sum().backward()
    assert teacher.grad is None


def test_shared_labels_are_the_target_as_they_are():
    found = example_signals(NEEDS)
    labels, probs = found["labels"], found["student_logits"].softmax(-1)
    shares = class_shares(labels, labels.roll(1), torch.full((6,), 0.3), 7)
    loss = brier(Brier(), student_logits=found["student_logits"], labels=shares)
    assert_close(loss, (probs - shares).square().mean(-1))


def test_both_stay_finite_in_bfloat16():
    found = example_signals(NEEDS, dtype=torch.bfloat16)
    for loss in parts(found):
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
