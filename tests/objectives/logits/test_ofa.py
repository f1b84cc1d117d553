"""OFA's loss of the head: its limits, and the sum written out."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.objectives.logits.cross_entropy import CrossEntropy, cross_entropy
from edgekd.objectives.logits.kd import KD, kd
from edgekd.objectives.logits.ofa import OFA, ofa
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "teacher_logits", "labels")


@pytest.mark.parametrize("options", [OFA(), OFA(gamma=1.5, temperature=2.0), OFA(others="1")])
def test_it_equals_the_sum_written_out(options):
    found = example_signals(NEEDS)
    slow = []
    for s, t, y in zip(*(found[name].tolist() for name in NEEDS), strict=True):
        p, q = ([exp(v / options.temperature) for v in row] for row in (s, t))
        p, q = ([v / sum(row) for v in row] for row in (p, q))
        total = 0.0
        for c, (own, other) in enumerate(zip(p, q, strict=True)):
            plain = options.others == "1" and c != y
            target = other if plain else (other + (c == y)) ** options.gamma - (c == y)
            total -= target * log(own)
        slow.append(total)
    assert_close(ofa(options, **found), torch.tensor(slow), rtol=1e-4, atol=1e-5)


def test_at_gamma_1_it_is_the_divergence_and_the_teachers_entropy():
    found = example_signals(NEEDS)
    teacher = found["teacher_logits"].log_softmax(-1)
    entropy = -(teacher.exp() * teacher).sum(-1)
    plain = kd(KD(temperature=1.0), student_logits=found["student_logits"],
               teacher_logits=found["teacher_logits"])  # fmt: skip
    assert_close(ofa(OFA(), **found), plain + entropy, rtol=1e-4, atol=1e-5)


@given(gamma=st.floats(0.5, 3))
def test_a_teacher_that_is_certain_and_right_makes_it_a_multiple_of_cross_entropy(gamma):
    found = example_signals(NEEDS)
    certain = torch.zeros(6, 7).scatter_(1, found["labels"][:, None], 100.0)
    hard = cross_entropy(
        CrossEntropy(), student_logits=found["student_logits"], labels=found["labels"]
    )
    loss = ofa(OFA(gamma=gamma), **found | {"teacher_logits": certain})
    assert_close(loss, (2**gamma - 1) * hard, rtol=1e-4, atol=1e-4)


def test_with_cross_entropy_the_papers_form_is_one_sum():
    found, gamma = example_signals(NEEDS), 1.6
    hard = cross_entropy(
        CrossEntropy(), student_logits=found["student_logits"], labels=found["labels"]
    )
    weights = found["teacher_logits"].softmax(-1)
    true = torch.zeros(6, 7).scatter_(1, found["labels"][:, None], 1.0).bool()
    weights = torch.where(true, (1 + weights) ** gamma, weights)
    wanted = -(weights * found["student_logits"].log_softmax(-1)).sum(-1)
    assert_close(hard + ofa(OFA(gamma=gamma, others="1"), **found), wanted)


@given(shift=st.floats(-30, 30), who=st.sampled_from(NEEDS[:2]))
def test_a_constant_added_to_either_network_changes_nothing(shift, who):
    found = example_signals(NEEDS)
    moved = found | {who: found[who] + shift}
    assert_close(ofa(OFA(gamma=1.4), **moved), ofa(OFA(gamma=1.4), **found), rtol=1e-3, atol=1e-4)


def test_it_stays_finite_where_the_student_is_certain_of_another_class():
    scores = torch.tensor([[900.0, -900.0]], requires_grad=True)
    given_signals = {"teacher_logits": -scores.detach(), "labels": torch.tensor([1])}
    loss = ofa(OFA(), student_logits=scores, **given_signals)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert scores.grad.isfinite().all()
