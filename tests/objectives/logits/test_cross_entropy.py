"""Cross-entropy: the sum written out, and what smoothing does."""

from math import exp, log

import pytest
import torch
from torch.testing import assert_close

from edgekd.objectives.logits.cross_entropy import CrossEntropy, cross_entropy
from edgekd.ops.mixing import class_shares
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


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_of_shared_labels_it_is_the_sum_of_both_shares(smoothing):
    signals, options = example_signals(NEEDS), CrossEntropy(label_smoothing=smoothing)
    scores, labels = signals["student_logits"], signals["labels"]
    share, other = torch.rand(6), labels.roll(1)
    mixed = class_shares(labels, other, share, 7)
    own, theirs = (
        cross_entropy(options, student_logits=scores, labels=of) for of in (labels, other)
    )
    found = cross_entropy(options, student_logits=scores, labels=mixed)
    assert_close(found, share * own + (1 - share) * theirs)
