"""Decoupled distillation: both divergences written out, and the divergence that they are of."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.objectives.logits.dkd import DKD, dkd
from edgekd.objectives.logits.kd import KD, kd
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "teacher_logits", "labels")


def signals(seed=0):
    return example_signals(NEEDS, seed=seed)


def divergence(of, to):
    return sum(a * log(a / b) for a, b in zip(of, to, strict=True))


def written_out(s, t, label, options):
    """Return the loss of one example by loops over its classes."""
    softened = [[exp(v / options.temperature) for v in values] for values in (s, t)]
    p, q = ([v / sum(values) for v in values] for values in softened)
    target = divergence((q[label], 1 - q[label]), (p[label], 1 - p[label]))
    others = [c for c in range(len(s)) if c != label]
    hats = [[values[c] / sum(values[d] for d in others) for c in others] for values in (q, p)]
    return options.temperature**2 * (options.alpha * target + options.beta * divergence(*hats))


@pytest.mark.parametrize("options", [DKD(), DKD(temperature=1.0, alpha=0.5, beta=2.0), DKD(beta=0)])
def test_it_equals_the_sums_written_out(options):
    found = signals()
    rows = zip(*(found[name].tolist() for name in NEEDS), strict=True)
    slow = torch.tensor([written_out(*row, options) for row in rows])
    assert_close(dkd(options, **found), slow, rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 2**16), temperature=st.floats(0.5, 20))
def test_with_the_teachers_doubt_as_weight_it_is_the_softened_divergence(seed, temperature):
    found = signals(seed)
    parts = [
        dkd(DKD(temperature=temperature, alpha=alpha, beta=beta), **found)
        for alpha, beta in ((1, 0), (0, 1))
    ]
    soft = (found["teacher_logits"] / temperature).softmax(-1)
    doubt = 1 - soft[torch.arange(6), found["labels"]]
    logits = {name: found[name] for name in NEEDS[:2]}
    plain = kd(KD(temperature=temperature), **logits)
    assert_close(parts[0] + doubt * parts[1], plain, rtol=1e-3, atol=1e-3)


@given(seed=st.integers(0, 2**16), shift=st.floats(-50, 50))
def test_adding_a_constant_to_either_side_changes_nothing(seed, shift):
    found = signals(seed)
    for name in NEEDS[:2]:
        moved = found | {name: found[name] + shift}
        assert_close(dkd(DKD(), **moved), dkd(DKD(), **found), rtol=1e-3, atol=1e-3)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn():
    found = signals()
    same = found | {"student_logits": found["teacher_logits"].clone().requires_grad_()}
    loss = dkd(DKD(), **same)
    loss.sum().backward()
    assert_close(loss, torch.zeros(6), atol=1e-5, rtol=0)
    assert_close(same["student_logits"].grad, torch.zeros(6, 7), atol=1e-5, rtol=0)


def test_the_others_weight_moves_no_score_of_the_true_class():
    found = signals()
    dkd(DKD(alpha=0), **found).sum().backward()
    gradient = found["student_logits"].grad
    assert_close(gradient[torch.arange(6), found["labels"]], torch.zeros(6))
    assert gradient.any()


def test_it_stays_finite_in_bfloat16_and_where_the_networks_are_certain_of_opposites():
    found = example_signals(NEEDS, dtype=torch.bfloat16)
    found["teacher_logits"].requires_grad_()
    loss = dkd(DKD(), **found)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert found["teacher_logits"].grad is None
    certain = torch.tensor([[1e4, -1e4]]).requires_grad_()
    loss = dkd(
        DKD(), student_logits=certain, teacher_logits=-certain.detach(), labels=torch.tensor([0])
    )
    loss.sum().backward()
    assert loss.isfinite().all()
    assert certain.grad.isfinite().all()


def test_every_token_of_a_text_has_a_loss():
    found = signals()
    texts = {name: value.unflatten(0, (2, 3)) for name, value in found.items()}
    assert_close(dkd(DKD(), **texts).flatten(), dkd(DKD(), **found))


def test_a_single_class_is_refused():
    one, labels = torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(StageError, match="compares the other classes; there is one"):
        dkd(DKD(), student_logits=one, teacher_logits=one, labels=labels)
