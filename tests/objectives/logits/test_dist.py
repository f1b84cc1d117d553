"""Correlated relations: Pearson's formula written out, and what it does not see."""

from math import exp, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.objectives.logits.dist import DIST, dist
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "teacher_logits")


def softened(values, temperature):
    total = sum(exp(v / temperature) for v in values)
    return [exp(v / temperature) / total for v in values]


def pearson(ones, others):
    a, b = (sum(values) / len(values) for values in (ones, others))
    product = sum((x - a) * (y - b) for x, y in zip(ones, others, strict=True))
    spreads = [sum((v - m) ** 2 for v in values) for values, m in ((ones, a), (others, b))]
    return product / sqrt(spreads[0] * spreads[1])


@pytest.mark.parametrize("options", [DIST(), DIST(temperature=4.0, beta=2.0, gamma=0.5)])
def test_it_equals_the_correlations_written_out(options):
    found = example_signals(NEEDS)
    p, q = ([softened(row, options.temperature) for row in found[n].tolist()] for n in NEEDS)
    between = [1 - pearson(*rows) for rows in zip(p, q, strict=True)]
    columns = zip(zip(*p, strict=True), zip(*q, strict=True), strict=True)
    within = [1 - pearson(*pair) for pair in columns]
    shared = options.gamma * sum(within) / len(within)
    slow = torch.tensor([options.temperature**2 * (options.beta * v + shared) for v in between])
    assert_close(dist(options, **found), slow, rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 2**16), shift=st.floats(-50, 50))
def test_adding_a_constant_to_either_side_changes_nothing(seed, shift):
    found = example_signals(NEEDS, seed=seed)
    for name in NEEDS:
        moved = found | {name: found[name] + shift}
        assert_close(dist(DIST(), **moved), dist(DIST(), **found), rtol=1e-3, atol=1e-3)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.05, 1), rest=st.floats(0, 0.5))
def test_probabilities_that_are_a_line_of_the_teachers_are_right_between_classes(seed, scale, rest):
    teacher = example_signals(NEEDS, seed=seed)["teacher_logits"]
    soft = teacher.softmax(-1) * scale + rest
    student = (soft / soft.sum(-1, keepdim=True)).log()
    between = dist(DIST(gamma=0), student_logits=student, teacher_logits=teacher)
    assert_close(between, torch.zeros(6), atol=1e-4, rtol=0)


@given(seed=st.integers(0, 2**16))
def test_each_relation_costs_0_to_2_and_nothing_where_student_and_teacher_agree(seed):
    found = example_signals(NEEDS, seed=seed)
    for options in (DIST(gamma=0), DIST(beta=0)):
        loss = dist(options, **found)
        assert (loss > -1e-5).all()
        assert (loss < 2 + 1e-5).all()
    same = found | {"student_logits": found["teacher_logits"]}
    assert_close(dist(DIST(), **same), torch.zeros(6), atol=1e-4, rtol=0)


def test_an_example_alone_has_no_relation_within_its_classes():
    alone = example_signals(NEEDS, batch=1)
    loss = dist(DIST(beta=0), **alone)
    loss.sum().backward()
    assert_close(loss, torch.ones(1))
    assert not alone["student_logits"].grad.any()


def test_it_stays_finite_in_bfloat16_and_where_nothing_varies():
    found = example_signals(NEEDS, dtype=torch.bfloat16)
    found["teacher_logits"].requires_grad_()
    loss = dist(DIST(), **found)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert found["teacher_logits"].grad is None
    even = torch.zeros(3, 4).requires_grad_()
    loss = dist(DIST(), student_logits=even, teacher_logits=torch.full((3, 4), 1e4))
    loss.sum().backward()
    assert_close(loss, torch.full((3,), 2.0))
    assert even.grad.isfinite().all()


def test_every_token_of_a_text_has_a_loss():
    found = example_signals(NEEDS)
    texts = {name: value.unflatten(0, (2, 3)) for name, value in found.items()}
    assert_close(dist(DIST(), **texts).flatten(), dist(DIST(), **found))


def test_a_single_class_is_refused():
    one = torch.zeros(2, 1)
    with pytest.raises(StageError, match="correlates over the classes; there is one"):
        dist(DIST(), student_logits=one, teacher_logits=one)
