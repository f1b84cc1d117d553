"""The Brier score alone: its range, and what it leaves unchanged."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.objectives.logits.brier import Brier, brier
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "labels")


@given(seed=st.integers(0, 2**16), shift=st.floats(-20, 20))
def test_it_lies_between_0_and_2_over_the_classes_and_ignores_a_constant(seed, shift):
    found = example_signals(NEEDS, seed=seed)
    loss = brier(Brier(), **found)
    assert ((loss >= 0) & (loss <= 2 / 7)).all()
    moved = found | {"student_logits": found["student_logits"] + shift}
    assert_close(brier(Brier(), **moved), loss, rtol=1e-3, atol=1e-5)


def test_certainty_of_the_true_class_is_0_and_of_another_the_most():
    scores = torch.tensor([[99.0, 0.0, 0.0], [99.0, 0.0, 0.0]])
    loss = brier(Brier(), student_logits=scores, labels=torch.tensor([0, 1]))
    assert_close(loss, torch.tensor([0.0, 2 / 3]))
