"""Few examples against a clock: which are shown, and what a pass over all of them would take."""

import itertools

import pytest
import torch

from edgekd.train import excerpt
from edgekd.train.excerpt import Excerpt, Pass, epoch_of, hidden_seconds

CPU = torch.device("cpu")
SIZES = {"train": 100, "validation": 20, "test": 7}


class Counting:
    """A task whose examples are their own numbers."""

    quality = ("accuracy",)
    labels = ("a", "b")
    signature = files = facts = dict

    def size(self, split):
        return SIZES[split]

    def batches(self, split, size, *, device, rng=None, part=(0, 1), start=0, among=None):
        assert rng is None
        for first in range(start * size, self.size(split), size):
            ids = torch.arange(first, min(first + size, self.size(split)))
            ids = ids if among is None else among[ids % len(among)]
            yield {"ids": ids, "twice": 2 * ids}


@pytest.fixture
def few():
    return Excerpt(Counting(), {"train": 50, "validation": 8, "test": 8})


def ids(few, *arguments, **options):
    return [batch["ids"].tolist() for batch in few.batches(*arguments, device=CPU, **options)]


def test_the_first_examples_are_shown_and_nothing_else_changes(few):
    assert [few.size(split) for split in SIZES] == [50, 8, 7]
    assert few.hidden() == {"train": 50, "validation": 12, "test": 0}
    assert ids(few, "validation", 3) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert few.labels == ("a", "b")


def test_a_pass_can_begin_later_and_order_by_chance_is_none(few):
    chance = torch.Generator()
    assert ids(few, "train", 20, start=2, rng=chance) == [[*range(40, 50)]]
    assert few.passes[-1].drawn
    assert ids(few, "train", 32, start=2) == []


def test_some_examples_alone_can_be_shown(few):
    among = torch.tensor([4, 7, 9])
    assert ids(few, "validation", 5, among=among) == [[4, 7, 9, 4, 7], [9, 4, 7]]


def test_every_step_is_timed_until_the_next_batch_is_asked_for(few, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(excerpt, "_now", lambda device: float(next(clock)))
    ids(few, "train", 20)
    (found,) = few.passes
    assert found.steps == [(20, 1.0), (20, 1.0), (10, 1.0)]
    assert found.whole
    assert (found.size, found.shown) == (100, 50)
    assert found.hidden_s == pytest.approx(50 * 3 / 50)


def test_a_pass_that_somebody_ends_stands_for_no_more(few):
    next(iter(few.batches("validation", 3, device=CPU)))
    batches = few.batches("validation", 3, device=CPU)
    next(batches)
    batches.close()
    assert [one.whole for one in few.passes] == [False, False]
    assert hidden_seconds(few.passes, epochs=0) == 0


def test_a_pass_is_whole_where_its_last_batch_was_taken_and_no_other_asked_for(few):
    for _ in zip(range(3), few.batches("validation", 3, device=CPU), strict=False):
        pass
    assert few.passes[0].whole


def made(split, seconds, drawn=False, whole=True, examples=10, size=100):
    return Pass(split, size, drawn, [(examples, s) for s in seconds], whole)


def test_the_first_steps_do_not_count_where_there_are_enough():
    slow_at_first = made("train", [9.0] * 4 + [1.0] * 4)
    assert slow_at_first.per_example_s == pytest.approx(0.1)
    assert slow_at_first.again_s == pytest.approx(10)
    assert made("train", [9.0, 1.0]).per_example_s == pytest.approx(0.5)


def test_the_passes_of_an_epoch_come_as_often_as_there_are_epochs():
    calibration = made("train", [1.0], drawn=True, whole=False)
    trained = made("train", [1.0], drawn=True, size=30)
    scored, again = made("validation", [0.5], size=20), made("validation", [0.5], size=20)
    passes = [calibration, trained, scored, again, made("test", [2.0], size=10)]
    assert epoch_of(passes) == [trained, scored]
    once = 2 * 1.0 + 0.5 + 0.5  # what was hidden of each
    assert hidden_seconds(passes, epochs=1) == pytest.approx(once)
    assert hidden_seconds(passes, epochs=3) == pytest.approx(once + 2 * (3.0 + 1.0))


def test_without_a_training_there_is_no_epoch():
    assert epoch_of([made("train", [1.0]), made("validation", [1.0])]) == []
