"""The division of examples into parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.splits import stratified_order, stratified_parts

labels = st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array)
seeds = st.integers(0, 2**31)


@given(label=labels, seed=seeds)
def test_an_order_has_every_example_once(label, seed):
    assert sorted(stratified_order(label, seed)) == list(range(len(label)))


@given(label=labels, seed=seeds, share=st.floats(0, 1))
def test_any_run_has_each_class_in_its_share_to_within_one(label, seed, share):
    order = stratified_order(label, seed)
    start = int(share * len(label)) // 2
    run = order[start : start + int(share * len(label))]
    for value, count in zip(*np.unique(label, return_counts=True), strict=True):
        expected = len(run) * count / len(label)
        assert abs((label[run] == value).sum() - expected) <= len(np.unique(label))


@given(label=labels, seed=seeds, share=st.floats(0, 1))
def test_parts_share_no_example_and_have_the_sizes_asked_for(label, seed, share):
    first = int(share * len(label))
    parts = stratified_parts(label, (first, len(label) - first), seed)
    assert [len(part) for part in parts] == [first, len(label) - first]
    assert len(set(np.concatenate(parts))) == len(label)


def test_the_same_seed_gives_the_same_parts_and_another_gives_others():
    label = np.arange(100) % 10
    again = stratified_order(label, 7)
    assert (stratified_order(label, 7) == again).all()
    assert (stratified_order(label, 8) != again).any()


def test_more_than_there_is_cannot_be_asked_for():
    with pytest.raises(ValueError, match="asked for 5 of 4"):
        stratified_parts(np.zeros(4, np.int64), (3, 2), 0)
