"""Which examples of a pool are kept: the authors' schedule and thresholds, and an oracle."""

from math import exp

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekd.data.select.blended_confidence import (
    BlendedConfidence,
    blended_confidence,
    teacher_share,
    thresholds,
)
from edgekd.ops.draws import Draws

EXAMPLES, CLASSES = 40, 5


def chosen(epoch=0, epochs=240, seed=0, spread=3.0, **options):
    rng = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(EXAMPLES, CLASSES, generator=rng) * spread for _ in range(2))
    own = blended_confidence(
        BlendedConfidence(**options),
        Draws(1, epoch, torch.arange(EXAMPLES)),
        student_logits=student,
        teacher_logits=teacher,
        epoch=torch.tensor(epoch),
        epochs=torch.tensor(epochs),
    )
    return own, student.tolist(), teacher.tolist()


def softmax(scores):
    every = [exp(score) for score in scores]
    return [one / sum(every) for one in every]


@given(epoch=st.integers(0, 239), seed=st.integers(0, 2**16))
def test_it_keeps_what_the_papers_rule_keeps(epoch, seed):
    own, student, teacher = chosen(epoch, seed=seed)
    a = 1 - exp(-5 * ((epoch + 1) / 160 - 1) ** 2) if epoch < 120 else 0
    probs = [
        softmax([a * t + (1 - a) * s for s, t in zip(*pair, strict=True)])
        for pair in zip(student, teacher, strict=True)
    ]
    found = [p.index(max(p)) for p in probs]
    counts = [found.count(c) for c in range(CLASSES)]
    beta = [n / max(counts) for n in counts]
    cut = [0.95 * b / (2 - b) for b in beta]
    kept = [max(p) > cut[c] for p, c in zip(probs, found, strict=True)]
    assert own.kept.tolist() == kept
    assert own.facts["found_by_class"] == counts
    by_class = [sum(k for k, c in zip(kept, found, strict=True) if c == n) for n in range(CLASSES)]
    assert own.facts["kept_by_class"] == by_class


def test_the_teacher_counts_as_the_authors_have_it():
    shares = {e: round(teacher_share(e, 240), 4) for e in (1, 60, 119, 120, 239)}
    assert shares == {1: 0.9924, 60: 0.8525, 119: 0.2684, 120: 0.0, 239: 0.0}


def test_the_schedule_is_that_of_any_number_of_epochs():
    assert teacher_share(9, 20) > 0 == teacher_share(10, 20)
    assert teacher_share(0, 1) < 1


def test_the_class_found_most_often_is_asked_the_most_and_half_of_it_a_third():
    cut = thresholds(torch.tensor([8, 4, 0, 6]), 0.95)
    torch.testing.assert_close(cut[:3], torch.tensor([0.95, 0.95 / 3, 0.0]))
    every = thresholds(torch.arange(50), 0.95)
    assert (every.diff() > 0).all()


def test_a_floor_asks_more_of_rare_classes():
    plain, floored = (chosen(200, spread=1.0, floor=floor)[0] for floor in (0.0, 0.6))
    assert floored.kept.sum() < plain.kept.sum()
    assert (plain.kept | ~floored.kept).all()


def test_chance_keeps_as_many_of_its_own_and_the_same_for_the_same_draws():
    plain, by_chance = (chosen(200, by_chance=chance)[0] for chance in (False, True))
    assert 0 < by_chance.kept.sum() == plain.kept.sum() < EXAMPLES
    assert not torch.equal(by_chance.kept, plain.kept)
    assert torch.equal(by_chance.kept, chosen(200, by_chance=True)[0].kept)
    assert sum(by_chance.facts["kept_by_class"]) == by_chance.kept.sum()


@pytest.mark.parametrize("options", [{"cut": 1.5}, {"floor": -0.1}])
def test_probabilities_outside_of_their_range_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        BlendedConfidence(**options)
