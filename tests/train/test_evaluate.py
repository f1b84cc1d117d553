"""Scoring by a measure that relates examples: it gets a whole split, whatever the batches."""

import pytest
import torch
from torch import nn

from edgekd.core.signature import Port, Signature
from edgekd.ops.batches import batch_ids
from edgekd.train import evaluate as module
from edgekd.train.evaluate import evaluate

ROWS = 40
POINTS = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(0))


class Pairs:
    """Points, of which the first half ask for those of the second half."""

    quality = ("recall_at_1", "recall_at_10")

    def signature(self):
        return Signature(
            (Port("point", "float32", ("batch", 5)),),
            (Port("embedding", "float32", ("batch", 5)),),
        )

    def files(self):
        return ()

    def facts(self):
        return {}

    def size(self, _split):
        return ROWS

    def batches(self, _split, batch_size, *, device, rng=None, part=(0, 1), start=0):
        number = torch.arange(ROWS)
        answers = torch.where(number < ROWS // 2, number + ROWS // 2, -1)
        near = POINTS[number % (ROWS // 2)] + 0.3 * POINTS
        for ids in batch_ids(ROWS, batch_size, rng=rng, part=part, start=start):
            columns = {"point": near[ids], "answers": answers[ids], "ids": ids}
            yield {name: column.to(device) for name, column in columns.items()}


@pytest.fixture
def score(monkeypatch):
    def scored(size):
        monkeypatch.setattr(module, "BATCH", size)
        return evaluate(nn.Identity(), Pairs(), "validation", torch.device("cpu"))

    return scored


def test_the_size_of_the_batches_changes_nothing(score):
    whole = score(1000)
    assert 0 < whole.value < 1
    assert whole.n == ROWS // 2
    assert score(7) == whole


def test_examples_of_another_order_find_the_same(score, monkeypatch):
    whole, pairs = score(1000), Pairs.batches
    order = torch.Generator().manual_seed(1)
    mixed = lambda self, *given, rng=None, **named: pairs(self, *given, rng=order, **named)  # noqa: E731
    monkeypatch.setattr(Pairs, "batches", mixed)
    assert score(9) == whole
