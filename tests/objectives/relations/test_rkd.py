"""Relations of examples: pairs and triples by loops, and what they do not see."""

from math import dist, hypot

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.objectives.relations.rkd import RKD, rkd


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def of(student, teacher, **options):
    return rkd(RKD(**options), student_feature=student, teacher_feature=teacher)


def huber(a, b):
    gap = abs(a - b)
    return gap**2 / 2 if gap < 1 else gap - 0.5


def pairs(rows):
    every = [[dist(x, y) for y in rows] for x in rows]
    count = sum(value > 0 for line in every for value in line)
    return [[value * count / sum(map(sum, every)) for value in line] for line in every]


def corner(i, j, k):
    """Return the cosine of the angle at i, 0 where there is none."""
    one, two = ([a - b for a, b in zip(other, i, strict=True)] for other in (j, k))
    length = hypot(*one) * hypot(*two)
    return sum(a * b for a, b in zip(one, two, strict=True)) / length if length else 0.0


def test_it_equals_the_loops_over_pairs_and_triples():
    student, teacher = drawn(4, 3), drawn(4, 5, seed=1)
    ours, theirs = student.tolist(), teacher.tolist()
    near, far = pairs(ours), pairs(theirs)
    slow = []
    for i in range(4):
        distance = sum(huber(near[i][j], far[i][j]) for j in range(4)) / 4
        angle = sum(
            huber(corner(ours[i], ours[j], ours[k]), corner(theirs[i], theirs[j], theirs[k]))
            for j in range(4) for k in range(4)
        ) / 16  # fmt: skip
        slow.append(25 * distance + 50 * angle)
    assert_close(of(student, teacher), torch.tensor(slow), rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 10))
def test_a_space_that_is_turned_moved_and_stretched_is_the_same(seed, scale):
    teacher = drawn(5, 4, seed=seed)
    turn = torch.linalg.qr(drawn(4, 4, seed=seed + 1))[0]
    assert_close(of(scale * teacher @ turn + 3, teacher), torch.zeros(5), rtol=0, atol=1e-3)


def test_a_relation_without_weight_is_left_out():
    student, teacher = drawn(4, 3), drawn(4, 5, seed=1)
    alone = [of(student, teacher, distance=d, angle=a) for d, a in ((25, 0), (0, 50))]
    assert_close(sum(alone), of(student, teacher))


def test_examples_that_are_alike_leave_the_gradient_finite():
    student = drawn(1, 4).repeat(5, 1).requires_grad_()
    of(student, drawn(5, 3)).sum().backward()
    assert student.grad.isfinite().all()


def test_one_example_has_no_relations():
    assert torch.equal(of(drawn(1, 4), drawn(1, 3)), torch.zeros(1))
