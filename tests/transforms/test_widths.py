import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.transforms.widths import Amount, goes

WIDTHS = st.lists(st.integers(1, 70), min_size=1, max_size=5)


def scores(widths, seed):
    rng = torch.Generator().manual_seed(seed)
    return [torch.rand(width, generator=rng) for width in widths]


@given(
    widths=WIDTHS,
    ratio=st.floats(0, 1),
    step=st.sampled_from([1, 4, 8]),
    over_all=st.booleans(),
    most=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_what_stays_is_a_multiple_or_all_and_never_nothing(
    widths, ratio, step, over_all, most, seed
):
    given_scores = scores(widths, seed)
    gone = goes(given_scores, [1] * len(widths), Amount(ratio, over_all, step, most))
    for score, out in zip(given_scores, gone, strict=True):
        left = len(score) - len(out)
        assert left > 0
        assert left == len(score) or left % step == 0
        assert len(out) <= most * len(score) + 1e-6
        if len(out) > 0:
            kept = torch.ones(len(score), dtype=torch.bool)
            kept[out] = False
            assert score[out].max() <= score[kept].min()


@given(widths=WIDTHS, low=st.floats(0, 1), high=st.floats(0, 1), over_all=st.booleans())
def test_a_higher_ratio_never_keeps_more(widths, low, high, over_all):
    low, high = sorted((low, high))
    given_scores, blocks = scores(widths, 0), [1] * len(widths)
    fewer = goes(given_scores, blocks, Amount(low, over_all, 4, 0.9))
    more = goes(given_scores, blocks, Amount(high, over_all, 4, 0.9))
    assert all(len(a) <= len(b) for a, b in zip(fewer, more, strict=True))


@given(blocks=st.sampled_from([1, 2, 4, 8]), ratio=st.floats(0, 0.9))
def test_the_width_over_all_blocks_is_a_multiple(blocks, ratio):
    (gone,) = goes(scores([16], 0), [blocks], Amount(ratio, False, 8, 0.9))
    assert (16 - len(gone)) * blocks % 8 == 0


def test_one_ranking_takes_from_the_group_that_matters_least():
    strong, weak = torch.full((8,), 2.0), torch.full((8,), 1.0)
    kept, gone = goes([strong, weak], [1, 1], Amount(0.25, True, 1, 0.9))
    assert len(kept) == 0
    assert len(gone) == 4


@given(
    widths=WIDTHS,
    ratio=st.floats(0, 0.9),
    more=st.sampled_from([-0.3, 0.0, 0.02]),  # what a budget asks for may fall
    step=st.sampled_from([1, 4, 8]),
    over_all=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_went_before_goes_again_whatever_its_score_is_now(
    widths, ratio, more, step, over_all, seed
):
    blocks = [1] * len(widths)
    before = [
        gone.tolist()
        for gone in goes(scores(widths, seed), blocks, Amount(ratio, over_all, step, 0.9))
    ]
    later = Amount(max(0.0, ratio + more), over_all, step, 0.9)
    now = goes(scores(widths, seed + 1), blocks, later, before=before)
    assert all({*old} <= {*new.tolist()} for old, new in zip(before, now, strict=True))
