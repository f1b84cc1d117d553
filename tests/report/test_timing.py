import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.results import Prepared, Restart
from edgekd.report.markdown import to_markdown
from edgekd.report.schema.timing import Energy, Spread
from edgekd.report.timing import POINTS, SHARES, ecdf, energy

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


RESTART = Restart(
    load_ms=1, first_ms=1, warmup_runs=1, runs=100, wall_s=1, cpu_s=0.8, peak_rss_mib=1,
    load_average=0, settled=True, drift=0,
)  # fmt: skip


def test_energy_is_the_meters_else_an_estimate_else_unknown():
    metered = [RESTART.model_copy(update={"energy_j": joules}) for joules in (1.0, 3.0)]
    for watts in (2.5, None):
        found = energy(metered, watts)
        assert found.origin == "meter"
        assert found.mj_per_run == Spread(median=20, lowest=10, highest=30)
    estimate = energy([RESTART], 2.5)
    assert estimate.origin == "estimate"
    assert estimate.mj_per_run.median == pytest.approx(20)  # 2.5 W x 8 ms
    assert energy([RESTART], None) is None


@pytest.mark.parametrize(
    ("origin", "cell", "said"),
    [
        ("meter", "7.50 (7.00 to 8.00; whole package)", "what the processor's own counters say"),
        ("estimate", "7.50 (7.00 to 8.00; estimate)", "times the 2.5 W a core that the target's"),
    ],
)
def test_energy_is_shown_with_its_origin_and_not_at_all_where_nothing_is_known(
    passing, origin, cell, said
):
    assert "Energy" not in to_markdown(passing)
    (check,) = passing.checks
    (first, *others) = check.rows
    known = Energy(mj_per_run=Spread(median=7.5, lowest=7, highest=8), origin=origin)
    start = first.timing.start.model_copy(update={"energy": known})
    first = first.model_copy(update={"timing": first.timing.model_copy(update={"start": start})})
    machines = [one.model_copy(update={"watts_per_core": 2.5}) for one in check.machines]
    more = check.model_copy(update={"rows": [first, *others], "machines": machines})
    text = to_markdown(passing.model_copy(update={"checks": [more]}))
    for words in ("Energy a run, mJ", cell, said):
        assert words in text, words
