import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.report.timing import POINTS, SHARES, ecdf

SAMPLES = st.lists(st.floats(0.001, 1000), min_size=1, max_size=600)


@given(SAMPLES)
def test_each_point_is_the_share_of_samples_at_or_below_it(samples):
    for value, share in ecdf(samples)[:: max(1, len(samples) // 50)]:
        below = sum(x < value for x in samples) / len(samples)
        at_most = sum(x <= value for x in samples) / len(samples)
        assert below < share <= at_most + 1e-12


@given(SAMPLES)
def test_it_is_thinned_but_keeps_both_ends(samples):
    points = ecdf(samples)
    assert len(points) <= POINTS + len(SHARES)
    assert points[0][0] == min(samples)
    assert points[-1] == (max(samples), pytest.approx(1.0))


@given(SAMPLES, st.sampled_from(SHARES))
def test_named_shares_are_exact(samples, share):
    kept = next(x for x, up_to in ecdf(samples) if up_to >= share)
    assert kept == min(x for x in samples if sum(y <= x for y in samples) >= share * len(samples))


def test_nothing_measured_is_no_point():
    assert ecdf([]) == []
