"""Similarities within a batch: the matrices by loops, and what they do not see."""

from math import hypot

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.objectives.relations.spkd import SPKD, spkd


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def of(student, teacher):
    return spkd(SPKD(), student_feature=student, teacher_feature=teacher)


def alike(feature):
    """Return the similarities of the examples by loops, each row of unit length."""
    rows = feature.flatten(1).tolist()
    lines = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
    return [[value / hypot(*line) for value in line] for line in lines]


def test_its_mean_is_the_papers_norm_written_out():
    student, teacher = drawn(4, 3, 2, 2), drawn(4, 5, seed=1)
    ours, theirs = alike(student), alike(teacher)
    square = sum((ours[i][j] - theirs[i][j]) ** 2 for i in range(4) for j in range(4))
    losses = of(student, teacher)
    assert losses.shape == (4,)
    assert_close(losses.mean().item(), square / 16, rtol=1e-4, atol=1e-7)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 10))
def test_a_space_that_is_turned_and_stretched_is_the_same(seed, scale):
    teacher = drawn(5, 4, seed=seed)
    turn = torch.linalg.qr(drawn(4, 4, seed=seed + 1))[0]
    assert_close(of(scale * teacher @ turn, teacher), torch.zeros(5), rtol=0, atol=1e-5)


def test_the_student_learns_and_an_example_of_zeros_leaves_it_finite():
    student = drawn(4, 3)
    student[1] = 0
    student.requires_grad_()
    of(student, drawn(4, 5, seed=1)).sum().backward()
    assert student.grad[[0, 2, 3]].any(1).all()
    assert student.grad.isfinite().all()
