"""Which examples a batch has, and a part of it."""

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.ops.batches import batch_ids


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    of=st.integers(1, 5),
    seed=st.none() | st.integers(0, 2**16),
)
def test_parts_side_by_side_are_the_batches_of_the_whole(count, batch_size, of, seed):
    def passed(which, of):
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        return [ids.tolist() for ids in batch_ids(count, batch_size, rng=rng, part=(which, of))]

    whole = passed(0, 1)
    assert sorted([*chain(*whole)]) == list(range(count))
    assert seed is not None or [*chain(*whole)] == list(range(count))
    for batch, *parts in zip(whole, *(passed(which, of) for which in range(of)), strict=True):
        sizes = [len(part) for part in parts]
        if len(batch) < of:
            assert parts == [batch] * of
        else:
            assert [*chain(*parts)] == batch
            assert max(sizes) - min(sizes) <= 1
            assert sizes == sorted(sizes, reverse=True)


def test_there_is_no_part_beyond_the_last():
    with pytest.raises(AssertionError, match="no part 2 of 2"):
        next(batch_ids(4, 4, part=(2, 2)))


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    kept=st.sets(st.integers(0, 59), min_size=1),
    of=st.integers(1, 4),
    seed=st.none() | st.integers(0, 2**16),
)
def test_a_pass_among_some_is_as_long_and_has_all_of_them_before_any_again(
    count, batch_size, kept, of, seed
):
    among = torch.tensor(sorted(kept))

    def passed(which=0, of=1, start=0):
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        part = (which, of)
        given = batch_ids(count, batch_size, rng=rng, part=part, start=start, among=among)
        return [ids.tolist() for ids in given]

    whole = passed()
    assert [*map(len, whole)] == [*map(len, batch_ids(count, batch_size))]
    seen = [*chain(*whole)]
    for begin in range(0, count, len(kept)):
        turn = seen[begin : begin + len(kept)]
        assert len({*turn}) == len(turn)
        assert {*turn} <= kept
    assert passed(start=1) == whole[1:]
    for batch, *parts in zip(whole, *(passed(which, of) for which in range(of)), strict=True):
        assert parts == [batch] * of if len(batch) < of else [*chain(*parts)] == batch
