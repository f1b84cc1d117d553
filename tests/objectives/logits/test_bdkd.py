"""Balanced divergences: the sums written out, the gate, and who learns from what."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.objectives.logits.bdkd import BDKD, bdkd
from edgekd.objectives.logits.kd import KD, kd
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "teacher_logits", "labels")
OFFLINE = BDKD(online=False)


def signals(seed=0, batch=6):
    found = example_signals(NEEDS, seed=seed, batch=batch)
    return found | {"teacher_logits": found["teacher_logits"].requires_grad_()}


def written_out(s, t, label, options):
    """Return the loss of one example by loops over its classes."""
    p, q = ([exp(v / options.temperature) for v in values] for values in (s, t))
    p, q = ([v / sum(values) for v in values] for values in (p, q))
    forward = sum(b * log(b / a) for a, b in zip(p, q, strict=True))
    reverse = sum(a * log(a / b) for a, b in zip(p, q, strict=True))
    gap = sum(a * log(a) for a in p) - sum(b * log(b) for b in q)
    if options.gate == "forward":
        first, second = 1 + options.delta, 0
    elif options.gate == "hard":
        first, second = (options.delta, 1) if gap > 0 else (1, options.delta)
    else:
        share = 1 / (1 + exp(-options.steepness * gap))
        first = 1 + (options.delta - 1) * share
        second = 1 + (options.delta - 1) * (1 - share)
    student = options.temperature**2 * (first * forward + second * reverse) / (1 + options.delta)
    own = log(sum(exp(v) for v in t)) - t[label]
    teacher = options.temperature**2 * reverse + options.teacher_labels * own
    return student + (teacher if options.online else 0)


@pytest.mark.parametrize(
    "options",
    [BDKD(), OFFLINE, BDKD(gate="soft", steepness=3.0, delta=4.0), BDKD(teacher_labels=0.25),
     BDKD(gate="forward")],
)  # fmt: skip
def test_it_equals_the_sums_written_out(options):
    given = signals()
    slow = [
        written_out(s, t, label, options)
        for s, t, label in zip(*(given[name].tolist() for name in NEEDS), strict=True)
    ]
    assert_close(bdkd(options, **given), torch.tensor(slow), rtol=1e-4, atol=1e-5)


def test_of_equal_networks_only_the_teachers_labels_are_left():
    found = signals()
    same = found | {"teacher_logits": found["student_logits"].detach() + 3}
    assert_close(bdkd(OFFLINE, **same), torch.zeros(6), atol=1e-5, rtol=0)
    labels = F.cross_entropy(same["teacher_logits"], same["labels"], reduction="none")
    assert_close(bdkd(BDKD(), **same), labels, atol=1e-5, rtol=1e-5)


def test_both_divergences_have_the_gradients_of_their_formulas():
    found = signals()
    p, q = ((found[f"{who}_logits"] / 2).softmax(-1).detach() for who in ("student", "teacher"))
    reverse = (p * (p / q).log()).sum(-1, keepdim=True)
    slopes = (p - q) / 2, p * ((p / q).log() - reverse) / 2
    gap = (p * p.log()).sum(-1) - (q * q.log()).sum(-1)
    first = torch.where(gap > 0, 2.0, 1.0)[:, None]
    wanted = 4 * (first * slopes[0] + (3 - first) * slopes[1]) / 3
    bdkd(OFFLINE, **found).sum().backward()
    assert_close(found["student_logits"].grad, wanted, rtol=1e-4, atol=1e-5)


def test_what_a_soft_gate_counts_has_no_gradient():
    found, options = signals(), BDKD(gate="soft", steepness=3.0, delta=4.0, online=False)
    p, q = ((found[f"{who}_logits"] / 2).log_softmax(-1).detach() for who in ("student", "teacher"))
    gap = (p.exp() * p).sum(-1, keepdim=True) - (q.exp() * q).sum(-1, keepdim=True)
    more = 3 * torch.sigmoid(3 * gap)
    reverse = (p.exp() * (p - q)).sum(-1, keepdim=True)
    slopes = p.exp() - q.exp(), p.exp() * (p - q - reverse)
    wanted = 4 / 2 * ((1 + more) * slopes[0] + (4 - more) * slopes[1]) / 5
    bdkd(options, **found).sum().backward()
    assert_close(found["student_logits"].grad, wanted, rtol=1e-4, atol=1e-5)


def test_without_a_gate_it_is_plain_distillation_and_the_teacher_learns_as_ever():
    found = signals()
    plain = kd(KD(temperature=2), **{name: found[name] for name in NEEDS[:2]})
    for delta in (1.0, 6.0):
        loss = bdkd(BDKD(gate="forward", delta=delta, online=False), **found)
        assert_close(loss, plain, rtol=1e-4, atol=1e-5)
    slopes = []
    for gate in ("hard", "forward"):
        found = signals()
        bdkd(BDKD(gate=gate), **found).sum().backward()
        slopes.append(found["teacher_logits"].grad)
    assert_close(*slopes)


def test_near_its_teacher_both_divergences_are_alike_and_no_favourite_counts():
    found = signals()
    noise = torch.randn(6, 7, generator=torch.Generator().manual_seed(1))
    near = found | {"student_logits": found["teacher_logits"] + 0.05 * noise}
    losses = [bdkd(BDKD(gate=gate, delta=8, online=False), **near) for gate in ("hard", "forward")]
    assert_close(*losses, rtol=0.05, atol=0)


@given(seed=st.integers(0, 2**16))
def test_without_a_favourite_student_and_teacher_can_be_exchanged(seed):
    found, even = signals(seed), BDKD(delta=1, online=False)
    turned = found | {
        "student_logits": found["teacher_logits"], "teacher_logits": found["student_logits"]
    }  # fmt: skip
    assert_close(bdkd(even, **found), bdkd(even, **turned), rtol=1e-3, atol=1e-4)
    soft = even.model_copy(update={"gate": "soft"})
    assert_close(bdkd(soft, **found), bdkd(even, **found))


def test_a_sharper_student_is_spread_and_a_duller_one_sharpened():
    found = signals()
    teacher = found["teacher_logits"].detach()
    for scale in (3.0, 0.3):
        own = found | {"student_logits": teacher * scale}
        plain = kd(KD(temperature=2), student_logits=teacher * scale, teacher_logits=teacher)
        turned = kd(KD(temperature=2), student_logits=teacher, teacher_logits=teacher * scale)
        forward, reverse = (8.0, 1.0) if scale > 1 else (1.0, 8.0)
        wanted = (forward * plain + reverse * turned) / 9
        assert_close(bdkd(BDKD(delta=8, online=False), **own), wanted, rtol=1e-3, atol=1e-4)


def test_neither_network_learns_from_the_other_ones_loss():
    found = signals()
    bdkd(OFFLINE, **found).sum().backward()
    assert found["teacher_logits"].grad is None
    alone = found["student_logits"].grad.clone()
    found = signals()
    bdkd(BDKD(), **found).sum().backward()
    assert torch.equal(found["student_logits"].grad, alone), "the teacher's part moved it"
    p, q = (found[f"{who}_logits"].detach() for who in ("student", "teacher"))
    ones = F.one_hot(found["labels"], q.shape[-1])
    wanted = 2 * ((q / 2).softmax(-1) - (p / 2).softmax(-1)) + q.softmax(-1) - ones
    assert_close(found["teacher_logits"].grad, wanted, rtol=1e-4, atol=1e-5)


def test_it_stays_finite_in_bfloat16_and_where_the_networks_are_certain_of_opposites():
    given = example_signals(NEEDS, dtype=torch.bfloat16)
    loss = bdkd(BDKD(), **given)
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    certain = torch.tensor([[90.0, -90.0]]).requires_grad_()
    loss = bdkd(
        BDKD(), student_logits=certain, teacher_logits=-certain.detach(), labels=torch.tensor([0])
    )
    loss.sum().backward()
    assert loss.isfinite().all()
    assert certain.grad.isfinite().all()


def test_every_token_of_a_text_has_a_loss():
    rng = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 3, 5, generator=rng) for _ in range(2))
    labels = torch.randint(5, (2, 3), generator=rng)
    found = bdkd(BDKD(), student_logits=student, teacher_logits=teacher, labels=labels)
    rows = bdkd(
        BDKD(), student_logits=student.flatten(0, 1), teacher_logits=teacher.flatten(0, 1),
        labels=labels.flatten(),
    )  # fmt: skip
    assert_close(found.flatten(), rows)
