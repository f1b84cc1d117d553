"""Scores divided by their own spread: the sums written out, and what that leaves unchanged."""

from math import exp, log, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.objectives.logits.cross_entropy import CrossEntropy, cross_entropy
from edgekd.objectives.logits.mixkd import MixKD, mixkd
from edgekd.ops.mixing import class_shares
from edgekd.testing.signals import example_signals

NEEDS = ("student_logits", "teacher_logits", "labels")
HARD, SOFT = MixKD(label_weight=1.0, teacher_weight=0.0), MixKD(label_weight=0.0)


def mixed_signals(seed=0):
    signals = example_signals(NEEDS, seed=seed)
    labels, rng = signals["labels"], torch.Generator().manual_seed(seed)
    share = torch.rand(6, generator=rng)
    return signals | {"labels": class_shares(labels, labels.roll(1), share, 7)}


def written_out(s, t, y, options):
    """Return the loss of one example by loops over its classes."""

    def chances(scores):
        mean = sum(scores) / len(scores)
        spread = sqrt(sum((v - mean) ** 2 for v in scores) / (len(scores) - 1))
        grown = [exp(v / spread) for v in scores]
        return [v / sum(grown) for v in grown]

    p, q = chances(s), chances(t)
    hard = -sum(share * log(a) for share, a in zip(y, p, strict=True))
    soft = sum(b * log(b / a) for a, b in zip(p, q, strict=True))
    return options.label_weight * hard + options.teacher_weight * soft


@pytest.mark.parametrize("options", [MixKD(), MixKD(label_weight=2.0, teacher_weight=0.5)])
def test_it_equals_the_sums_written_out(options):
    signals = mixed_signals()
    rows = zip(*(signals[name].tolist() for name in NEEDS), strict=True)
    slow = torch.tensor([written_out(*row, options) for row in rows])
    assert_close(mixkd(options, **signals), slow, rtol=1e-4, atol=1e-5)


def test_one_true_class_is_a_share_of_1():
    signals = example_signals(NEEDS)
    labels = signals["labels"]
    shared = signals | {"labels": class_shares(labels, labels, torch.ones(6), 7)}
    assert_close(mixkd(MixKD(), **signals), mixkd(MixKD(), **shared))


@given(
    seed=st.integers(0, 2**16),
    scale=st.floats(0.1, 10),
    shift=st.floats(-20, 20),
    who=st.sampled_from(NEEDS[:2]),
)
def test_how_far_either_network_spreads_its_scores_changes_nothing(seed, scale, shift, who):
    signals = mixed_signals(seed)
    moved = signals | {who: signals[who] * scale + shift}
    assert_close(mixkd(MixKD(), **moved), mixkd(MixKD(), **signals), rtol=1e-3, atol=1e-4)


@given(seed=st.integers(0, 2**16))
def test_the_gradient_neither_shifts_nor_stretches_the_students_scores(seed):
    signals = mixed_signals(seed)
    scores = signals["student_logits"]
    (slope,) = torch.autograd.grad(mixkd(MixKD(), **signals).sum(), scores)
    assert_close(slope.sum(-1), torch.zeros(6), atol=1e-5, rtol=0)
    assert_close((slope * scores).sum(-1), torch.zeros(6), atol=1e-4, rtol=0)


def test_a_teacher_that_only_spreads_further_has_nothing_to_teach_and_learns_nothing():
    signals = example_signals(NEEDS)
    teacher = (signals["student_logits"].detach() * 3 - 5).requires_grad_()
    loss = mixkd(SOFT, **signals | {"teacher_logits": teacher})
    assert_close(loss, torch.zeros(6), atol=1e-5, rtol=0)
    loss.sum().backward()
    assert teacher.grad is None


def test_mixed_labels_count_by_their_shares():
    signals = example_signals(NEEDS)
    labels, share = signals["labels"], torch.rand(6)
    mixed = signals | {"labels": class_shares(labels, labels.roll(1), share, 7)}
    own, other = (mixkd(HARD, **signals | {"labels": of}) for of in (labels, labels.roll(1)))
    assert_close(mixkd(HARD, **mixed), share * own + (1 - share) * other)


@pytest.mark.parametrize("classes", [2, 6, 10, 100])
def test_of_few_classes_the_student_cannot_be_certain(classes):
    scores = torch.zeros(1, classes)
    scores[0, 0] = 40.0
    given_signals = {"teacher_logits": scores, "labels": torch.tensor([0])}
    loss = mixkd(HARD, student_logits=scores, **given_signals)
    most = 1 / (1 + (classes - 1) * exp(-sqrt(classes)))
    assert exp(-loss.item()) == pytest.approx(most, abs=1e-4)


def test_equal_scores_stay_finite_and_so_does_half_precision():
    signals = example_signals(NEEDS, dtype=torch.bfloat16)
    found = mixkd(MixKD(), **signals)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    flat = torch.zeros(6, 7, requires_grad=True)
    found = mixkd(MixKD(), **signals | {"student_logits": flat})
    found.sum().backward()
    assert found.isfinite().all()
    assert flat.grad.isfinite().all()
    plain = cross_entropy(CrossEntropy(), student_logits=flat, labels=signals["labels"])
    assert_close(mixkd(HARD, **signals | {"student_logits": flat}), plain)


def test_the_scores_as_they_are_choose_the_class_that_the_scaled_ones_choose():
    scores = example_signals(NEEDS, batch=64)["student_logits"]
    losses = [
        mixkd(HARD, student_logits=scores, teacher_logits=scores, labels=torch.full((64,), label))
        for label in range(7)
    ]
    assert torch.equal(torch.stack(losses, 1).argmin(1), scores.argmax(1))


def test_a_single_class_is_refused():
    one = torch.zeros(2, 1)
    labels = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(StageError, match="spread over classes; there is one"):
        mixkd(MixKD(), student_logits=one, teacher_logits=one, labels=labels)
