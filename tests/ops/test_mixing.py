"""Pairs of examples: who meets whom, what a blend is, and what its label says."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.ops.mixing import OTHER_LABELS, OWN_SHARE, blend, class_shares, labels_of, lowest, ring


@given(count=st.integers(2, 40), seed=st.integers(0, 2**16), equal=st.booleans())
def test_partners_are_everybody_and_nobody_is_their_own(count, seed, equal):
    keys = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    partner = ring(torch.zeros(count) if equal else keys)
    assert sorted(partner.tolist()) == list(range(count))
    assert (partner != torch.arange(count)).all()


def test_an_example_alone_is_its_own_partner():
    assert ring(torch.rand(1)).tolist() == [0]


@given(count=st.integers(0, 12), equal=st.booleans())
def test_exactly_so_many_are_marked_and_none_that_is_higher(count, equal):
    keys = torch.zeros(12) if equal else torch.rand(12)
    marks = lowest(keys, count)
    assert marks.sum() == count
    if 0 < count < 12:
        assert keys[marks].max() <= keys[~marks].min()


def test_a_blend_is_the_sum_written_out_and_at_share_1_the_example_to_the_bit():
    own = torch.randn(3, 2, 2)
    own[1, 0, 0] = float("inf")  # the partner of one that is not mixed
    share, partner = torch.tensor([0.25, 1.0, 1.0]), torch.tensor([2, 0, 1])
    mixed = blend(own, share, partner)
    assert_close(mixed[0], 0.25 * own[0] + 0.75 * own[2])
    assert torch.equal(mixed[1:], own[1:])


def test_classes_share_as_the_examples_do():
    labels, other = torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0])
    found = class_shares(labels, other, torch.tensor([0.3, 0.3, 1.0]), 4)
    assert_close(found, torch.tensor([[0.3, 0, 0.7, 0], [0, 1, 0, 0], [0, 0, 1, 0]]))


def test_a_batch_that_nothing_mixed_keeps_its_labels():
    batch = {"image": torch.rand(2, 1), "labels": torch.tensor([1, 0])}
    assert labels_of(batch, 3) == batch
    mixed = batch | {OTHER_LABELS: torch.tensor([0, 1]), OWN_SHARE: torch.tensor([0.5, 1.0])}
    known = labels_of(mixed, 3)
    assert known.keys() == batch.keys()
    assert_close(known["labels"], torch.tensor([[0.5, 0.5, 0], [1, 0, 0]]))
