"""Scores of many classes, kept as the K best."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.ops.top_k import TopK, bytes_per_row, expand, expansion_error, top_k


def scores(seed=0, rows=5, classes=40, spread=4.0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, generator=rng) * spread


@given(seed=st.integers(0, 2**16), k=st.integers(1, 39))
def test_the_kept_classes_and_the_rest_together_keep_their_probability(seed, k):
    logits = scores(seed)
    kept, true = top_k(logits, k), logits.softmax(-1)
    found = expand(kept, 40).softmax(-1)
    chosen = kept.indices.long()
    assert_close(found.gather(-1, chosen), true.gather(-1, chosen), rtol=1e-4, atol=1e-6)
    rest = 1 - true.gather(-1, chosen).sum(-1)
    assert_close(kept.log_rest.exp(), rest, rtol=1e-3, atol=1e-6)
    assert_close(found.sum(-1), torch.ones(5))


def test_it_is_what_the_words_say_by_hand():
    row = [2.0, -1.0, 0.5, 3.0]
    total = math.log(sum(map(math.exp, row)))
    kept = top_k(torch.tensor([row]), 2)
    assert kept.indices.tolist() == [[3, 0]]
    assert_close(kept.log_probs[0].tolist(), [3.0 - total, 2.0 - total])
    assert_close(kept.log_sum_exp.item(), total)
    rest = math.log((math.exp(-1.0) + math.exp(0.5)) / math.exp(total))
    assert_close(kept.log_rest.item(), rest, rtol=1e-5, atol=1e-6)
    even = rest - math.log(2) + total
    assert_close(expand(kept, 4)[0].tolist(), [2.0, even, even, 3.0], rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 2**16))
def test_what_is_lost_is_never_negative_falls_with_k_and_is_nothing_with_all(seed):
    logits = scores(seed)
    lost = [expansion_error(logits, expand(top_k(logits, k), 40), 1.0) for k in (2, 8, 39, 40)]
    assert all((one > -1e-5).all() for one in lost)
    assert (lost[0] >= lost[1] - 1e-5).all()
    assert (lost[1] >= lost[2] - 1e-5).all()
    assert_close(lost[3], torch.zeros(5), rtol=0, atol=1e-5)


def test_rounding_to_sixteen_bits_costs_next_to_nothing_where_scores_are_large():
    logits = scores(classes=1000, spread=1.0) + 300  # where float16 has steps of a quarter
    kept = top_k(logits, 900)
    rounded = TopK(kept.log_probs.half(), kept.indices, kept.log_sum_exp, kept.log_rest.half())
    assert expansion_error(logits, expand(rounded, 1000), 1.0).max() < 5e-3
    assert_close(expand(rounded, 1000).max(-1).values, logits.max(-1).values, rtol=0, atol=0.01)


def test_an_even_rest_is_the_upper_bound_of_its_softened_mass():
    logits, k = scores(), 5
    kept = top_k(logits, k)
    for temperature in (2.0, 8.0):
        softened = (expand(kept, 40) / temperature).softmax(-1)
        true = (logits / temperature).softmax(-1)
        chosen = kept.indices.long()
        rest = [1 - p.gather(-1, chosen).sum(-1) for p in (softened, true)]
        assert (rest[0] >= rest[1] - 1e-6).all()


@pytest.mark.parametrize(("classes", "dtype"), [(2**16, torch.uint16), (2**16 + 1, torch.int32)])
def test_class_numbers_are_as_short_as_they_can_be(classes, dtype):
    logits = torch.zeros(1, classes)
    logits[0, classes - 1] = 5
    kept = top_k(logits, 1)
    assert kept.indices.dtype == dtype
    assert kept.indices.item() == classes - 1


def test_sixty_four_of_32_thousand_take_what_was_promised():
    kept = top_k(scores(rows=3, classes=32_000), 64)
    halves = (kept.log_probs.half(), kept.log_rest.half())
    written = sum(t.nbytes for t in (*halves, kept.indices, kept.log_sum_exp)) / 3
    assert written == bytes_per_row(32_000, 64) <= 4.1 * 64
    assert bytes_per_row(10, None) == 24
