"""Centred kernel alignment: the paper's form by its kernels, and what it does not see."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.objectives.relations.cka import CKA, cka


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def of(student, teacher):
    return cka(CKA(), student_feature=student, teacher_feature=teacher)


def independence(one, other):
    """Return the Hilbert-Schmidt independence criterion of two kernels, by its definition."""
    count = len(one)
    centre = torch.eye(count, dtype=torch.double) - 1 / count
    return torch.trace(one @ centre @ other @ centre).item() / (count - 1) ** 2


@pytest.mark.parametrize(("count", "width"), [(5, 12), (40, 3)])
def test_it_is_equation_2_written_out(count, width):
    student, teacher = drawn(count, width, 1, 1) + 3, drawn(count, 4, seed=1)
    ours, theirs = (f.double().flatten(1) @ f.double().flatten(1).T for f in (student, teacher))
    wanted = independence(ours, theirs)
    wanted /= (independence(ours, ours) * independence(theirs, theirs)) ** 0.5
    assert_close(1 - of(student, teacher).item(), wanted, rtol=1e-5, atol=1e-6)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 10))
def test_a_space_that_is_turned_stretched_and_moved_is_the_same(seed, scale):
    teacher = drawn(9, 4, seed=seed)
    turn = torch.linalg.qr(drawn(4, 4, seed=seed + 1))[0]
    assert_close(of(scale * teacher @ turn + 7, teacher), torch.tensor(0.0), rtol=0, atol=1e-4)
    assert 0 <= of(drawn(9, 3, seed=seed + 2), teacher) <= 1 + 1e-6


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_the_student_learns_and_one_point_for_all_is_finite(kind):
    for feature in (drawn(6, 3), torch.ones(6, 3)):
        student = feature.to(kind).requires_grad_()
        loss = of(student, drawn(6, 5, seed=1).to(kind))
        loss.backward()
        assert loss.isfinite()
        assert student.grad.isfinite().all()
    assert loss == 1


def test_it_can_be_followed_down_to_alignment():
    teacher = drawn(30, 6, seed=1)
    student = drawn(30, 4).requires_grad_()
    before = of(student, teacher).item()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(of(student, teacher), student)
        student = (student - 20 * gradient).detach().requires_grad_()
    assert of(student, teacher).item() < 0.5 * before
