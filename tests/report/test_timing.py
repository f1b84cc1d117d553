import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.results import Prepared
from edgekd.report.markdown import to_markdown
from edgekd.report.schema import Spread
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


def test_pss_and_making_ready_are_shown_where_they_are_known(passing):
    assert "Making an example ready" not in to_markdown(passing)
    (check,) = passing.checks
    assert all(row.timing.start.pss_mib is None for row in check.rows)
    rows = [
        row.model_copy(
            update={
                "timing": row.timing.model_copy(
                    update={"start": row.timing.start.model_copy(
                        update={"pss_mib": Spread(median=41.5, lowest=41.0, highest=43.0)}
                    )}
                )
            }
        )
        for row in check.rows
    ]  # fmt: skip
    ready = Prepared(examples=31, median_ms=0.12, lowest_ms=0.1, highest_ms=0.3)
    more = check.model_copy(update={"rows": rows, "preparing": ready})
    text = to_markdown(passing.model_copy(update={"checks": [more]}))
    assert "41.5 (41.0 to 43.0)" in text
    assert "took 0.120 ms (0.100 to 0.300, 31 examples) on the machine that drove this" in text
