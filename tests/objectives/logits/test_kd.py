"""Softened divergence: the sum of the paper, its gradient and its limits."""

from math import exp, log, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.objectives.logits.cross_entropy import CrossEntropy, cross_entropy
from edgekd.objectives.logits.kd import KD, kd
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "teacher_logits")


def softened(values, temperature):
    total = sum(exp(v / temperature) for v in values)
    return [exp(v / temperature) / total for v in values]


def test_it_equals_the_sum_written_out():
    signals = example_signals(NEEDS, batch=1)
    s, t = (signals[name][0].tolist() for name in NEEDS)
    p, q = softened(s, 4.0), softened(t, 4.0)
    slow = 16 * sum(b * (log(b) - log(a)) for a, b in zip(p, q, strict=True))
    assert kd(KD(), **signals).item() == pytest.approx(slow, rel=1e-5)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn():
    logits = example_signals(NEEDS)["teacher_logits"]
    assert_close(
        kd(KD(), student_logits=logits, teacher_logits=logits), torch.zeros(6), atol=1e-5, rtol=0
    )


@given(seed=st.integers(0, 2**16), temperature=st.floats(0.5, 20))
def test_its_gradient_is_t_times_the_difference_of_the_softened(seed, temperature):
    signals = example_signals(NEEDS, seed=seed)
    kd(KD(temperature=temperature), **signals).sum().backward()
    student, teacher = signals["student_logits"], signals["teacher_logits"]
    gap = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    assert_close(student.grad, (temperature * gap).detach(), rtol=1e-3, atol=1e-4)


@given(seed=st.integers(0, 2**16), shift=st.floats(-50, 50))
def test_adding_a_constant_to_either_side_changes_nothing(seed, shift):
    signals = example_signals(NEEDS, seed=seed)
    for name in NEEDS:
        moved = signals | {name: signals[name] + shift}
        assert_close(kd(KD(), **moved), kd(KD(), **signals), rtol=1e-3, atol=1e-3)


def test_a_certain_teacher_at_temperature_one_is_cross_entropy():
    signals = example_signals(("student_logits", "labels"))
    certain = torch.full((6, 7), -200.0).scatter(-1, signals["labels"][:, None], 200.0)
    taught = kd(
        KD(temperature=1.0), student_logits=signals["student_logits"], teacher_logits=certain
    )
    assert_close(taught, cross_entropy(CrossEntropy(), **signals), rtol=1e-5, atol=1e-5)


def test_without_standardising_it_is_the_plain_divergence_to_the_bit():
    signals = example_signals(NEEDS)
    logs = [F.log_softmax(signals[name] / 4.0, dim=-1) for name in NEEDS]
    plain = F.kl_div(*logs, reduction="none", log_target=True).sum(-1) * 4.0**2
    assert torch.equal(kd(KD(), **signals), plain)
    assert torch.equal(kd(KD(standardise=False), **signals), plain)


def z_scores(values):
    mean = sum(values) / len(values)
    deviation = sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    return [(v - mean) / deviation for v in values]


def test_standardised_it_is_the_divergence_of_z_scores_written_out():
    signals = example_signals(NEEDS, batch=1)
    p, q = (softened(z_scores(signals[name][0].tolist()), 2.0) for name in NEEDS)
    slow = 4 * sum(b * (log(b) - log(a)) for a, b in zip(p, q, strict=True))
    loss = kd(KD(temperature=2.0, standardise=True), **signals)
    assert loss.item() == pytest.approx(slow, rel=1e-4)


@given(seed=st.integers(0, 2**16), shift=st.floats(-50, 50), scale=st.floats(0.1, 10))
def test_standardised_a_student_keeps_its_own_range(seed, shift, scale):
    signals, options = example_signals(NEEDS, seed=seed), KD(standardise=True)
    for name in NEEDS:
        moved = signals | {name: signals[name] * scale + shift}
        assert_close(kd(options, **moved), kd(options, **signals), rtol=1e-2, atol=1e-3)


def test_standardised_equal_scores_and_bfloat16_stay_finite_with_their_gradients():
    half = example_signals(NEEDS, dtype=torch.bfloat16)
    even = {"student_logits": torch.ones(6, 7).requires_grad_()}
    for signals in (half, half | even):
        loss = kd(KD(standardise=True), **signals)
        loss.sum().backward()
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        assert signals["student_logits"].grad.isfinite().all()


def test_it_serves_tokens_as_it_serves_images():
    student, teacher = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    flat = kd(KD(), student_logits=student.flatten(0, 1), teacher_logits=teacher.flatten(0, 1))
    assert_close(kd(KD(), student_logits=student, teacher_logits=teacher), flat.reshape(2, 5))
