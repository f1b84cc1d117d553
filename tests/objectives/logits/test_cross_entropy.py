"""Cross-entropy: the sum written out, and what smoothing does."""

from math import exp, log

import pytest
import torch
from torch.testing import assert_close

from edgekd.objectives.logits.cross_entropy import CrossEntropy, cross_entropy
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "labels")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_it_equals_the_sum_written_out(smoothing):
    signals = example_signals(NEEDS, batch=1)
    scores, label = signals["student_logits"][0].tolist(), signals["labels"].item()
    total = log(sum(map(exp, scores)))
    target = [smoothing / 7 + (1 - smoothing) * (c == label) for c in range(7)]
    slow = sum(q * (total - s) for q, s in zip(target, scores, strict=True))
    loss = cross_entropy(CrossEntropy(label_smoothing=smoothing), **signals)
    assert loss.item() == pytest.approx(slow, rel=1e-5)


def test_it_keeps_the_shape_of_tokens():
    scores, labels = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    flat = cross_entropy(
        CrossEntropy(), student_logits=scores.flatten(0, 1), labels=labels.flatten()
    )
    assert_close(
        cross_entropy(CrossEntropy(), student_logits=scores, labels=labels), flat.reshape(2, 5)
    )
