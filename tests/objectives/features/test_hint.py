"""The hint: its mean square written out, the projection, and what cannot be compared."""

import pytest
import torch
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.objectives.features.hint import Hint, HintLoss

SHAPES = [((3, 8, 8), (5, 4, 4)), ((3, 2, 2), (5, 4, 4)), ((6, 3), (6, 5)), ((3,), (5,))]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(own, wanted, **options):
    torch.manual_seed(0)
    hint = HintLoss(Hint(**options))
    hint.prepare(Setting({"student_feature": own, "teacher_feature": wanted}, 10, ()))
    return hint


@pytest.mark.parametrize(("own", "wanted"), SHAPES)
def test_the_student_and_its_projection_learn_and_the_teacher_does_not(own, wanted):
    hint, student = made(own, wanted), drawn(4, *own).requires_grad_()
    teacher = drawn(4, *wanted, seed=1)
    losses = hint(student_feature=student, teacher_feature=teacher)
    assert losses.shape == (4,)
    losses.sum().backward()
    slopes = [student.grad, *(p.grad for p in hint.parameters())]
    assert len(slopes) == 3
    assert all(slope.any() and slope.isfinite().all() for slope in slopes)


def test_it_is_half_the_mean_square_written_out():
    hint = made((2, 2, 2), (3, 1, 1))
    student, teacher = drawn(2, 2, 2, 2), drawn(2, 3, 1, 1, seed=1)
    weight, bias = hint.projector.weight[:, :, 0, 0].tolist(), hint.projector.bias.tolist()
    for losses, one, other in zip(
        hint(student_feature=student, teacher_feature=teacher), student, teacher, strict=True
    ):
        mean = [sum(sum(row) for row in channel) / 4 for channel in one.tolist()]
        told = [sum(w * m for w, m in zip(line, mean, strict=True)) for line in weight]
        wanted = [t + b for t, b in zip(told, bias, strict=True)]
        square = sum((a - b) ** 2 for a, b in zip(wanted, other.flatten().tolist(), strict=True))
        assert_close(losses.item(), square / 3 / 2, rtol=1e-4, atol=1e-6)


def test_where_the_projected_student_is_the_teacher_nothing_is_left():
    hint = made((4,), (4,), projector=False)
    feature = drawn(3, 4)
    assert torch.equal(hint(student_feature=feature, teacher_feature=feature), torch.zeros(3))
    assert not [*hint.parameters()]
    with_one = made((4,), (6,))
    same = with_one.projector(feature).detach()
    assert_close(with_one(student_feature=feature, teacher_feature=same), torch.zeros(3))


def test_twice_as_far_is_four_times_as_bad():
    hint, zero = made((4,), (4,), projector=False), torch.zeros(3, 4)
    once, twice = (hint(student_feature=zero, teacher_feature=drawn(3, 4) * n) for n in (1, 2))
    assert_close(twice, 4 * once)


def test_without_a_projection_both_must_be_equally_wide():
    with pytest.raises(StageError, match="is 3 wide and the teacher's 5") as caught:
        made((3, 8, 8), (5, 4, 4), projector=False)
    assert "projector: true" in str(caught.value)
