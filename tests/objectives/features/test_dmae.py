"""The alignment of DMAE: written out, what it does not depend on, its bounds, and its refusals."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.objectives.features.dmae import DMAE, Alignment


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(own=(5, 3), wanted=(5, 4), **options):
    torch.manual_seed(0)
    term = Alignment(DMAE(**options))
    term.prepare(Setting({"student_feature": own, "teacher_feature": wanted}, 10, ()))
    return term


def unit(vector):
    norm = sum(v * v for v in vector) ** 0.5
    return [v / norm for v in vector]


def test_it_is_the_mean_difference_of_unit_vectors_written_out():
    term, student, teacher = made(), drawn(2, 5, 3), drawn(2, 5, 4, seed=1)
    weight, bias = term.projection.weight.tolist(), term.projection.bias.tolist()
    for found, own, other in zip(
        term(student_feature=student, teacher_feature=teacher),
        student.tolist(),
        teacher.tolist(),
        strict=True,
    ):
        total = 0.0
        for s, t in zip(own, other, strict=True):
            told = [sum(w * v for w, v in zip(row, s, strict=True)) for row in weight]
            told = unit([a + b for a, b in zip(told, bias, strict=True)])
            total += sum(abs(a - b) for a, b in zip(told, unit(t), strict=True))
        assert_close(found.item(), total / (5 * 4), rtol=1e-5, atol=1e-6)


def test_lengths_do_not_count_and_parallel_tokens_have_nothing_to_learn():
    term, student, teacher = made((5, 4), projection="none"), drawn(3, 5, 4), drawn(3, 5, 4, seed=1)
    value = term(student_feature=student, teacher_feature=teacher)
    longer = term(student_feature=3 * student, teacher_feature=0.2 * teacher)
    assert_close(longer, value)
    assert (value > 0.05).all()
    assert_close(term(student_feature=7 * teacher, teacher_feature=teacher), torch.zeros(3))
    assert not [*term.parameters()]


@pytest.mark.parametrize("width", [1, 4, 64])
def test_it_is_never_above_two_over_the_root_of_the_teachers_width(width):
    term, flat = made((5, width), (5, width), projection="none"), torch.ones(2, 5, width)
    most = torch.full((2,), 2 / width**0.5)
    assert_close(term(student_feature=-flat, teacher_feature=flat), most)
    student, teacher = drawn(2, 5, width), drawn(2, 5, width, seed=1)
    assert (term(student_feature=student, teacher_feature=teacher) <= most + 1e-6).all()


@pytest.mark.parametrize(
    ("projection", "shapes"),
    [
        ("linear", [(4, 3)]),
        ("mlp", [(4, 3), (4, 4)]),
        ("two_mlps", [(4, 3), (4, 4), (4, 4), (4, 4)]),
    ],
)
def test_the_projection_has_the_layers_that_are_asked_for_and_learns_but_not_the_teacher(
    projection, shapes
):
    term = made(projection=projection)
    layers = [part for part in term.modules() if isinstance(part, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in layers] == shapes
    student, teacher = drawn(2, 5, 3).requires_grad_(), drawn(2, 5, 4, seed=1)
    term(student_feature=student, teacher_feature=teacher).sum().backward()
    assert all(slope.any() for slope in (student.grad, *(p.grad for p in term.parameters())))


def test_widths_that_differ_want_a_projection_and_tokens_must_be_as_many():
    with pytest.raises(StageError, match=r"3 wide and the teacher's 4(?s:.*)projection: linear"):
        made(projection="none")
    with pytest.raises(StageError, match=r"shapes \[5, 3\] and \[6, 4\] have no places in common"):
        made()(student_feature=drawn(2, 5, 3), teacher_feature=drawn(2, 6, 4))
