import numpy as np
import pytest

from edgekd.core.results import Restart
from edgekd.measures.cost.latency import Latency, latency
from edgekd.measures.cost.memory import Memory, memory
from edgekd.measures.cost.size import Size, size
from edgekd.measures.cost.size_ratio import SizeRatio, size_ratio
from edgekd.measures.cost.speedup import Speedup, speedup
from edgekd.measures.cost.undelegated_time import UndelegatedTime, undelegated_time


def restart(**more: float) -> Restart:
    values = {"load_ms": 3.0, "first_ms": 2.0, "warmup_runs": 10, "runs": 5, "wall_s": 1.0}
    values |= {"cpu_s": 1.0, "peak_rss_mib": 50.0, "load_average": 0.1, "drift": 0.0}
    return Restart.model_validate(values | {"settled": True} | more)


@pytest.mark.parametrize(
    ("runs", "supported"),
    [(10, set()), (11, {50}), (64, {50, 90}), (219, {50, 90, 95, 97}), (662, {50, 90, 95, 97, 99})],
)
def test_a_percentile_below_its_least_number_of_runs_is_left_out(
    runs: int, supported: set[int]
) -> None:
    taken = np.array_split(np.linspace(1, 2, runs), 2)
    found = latency(Latency(), latencies_ms=taken, restarts=[restart()] * 2)
    estimate = {"latency_p90_estimate_ms"} if 90 in supported else set()
    percentiles = {f"latency_p{p}_ms" for p in supported}
    assert {n for n in found if n.startswith("latency")} == percentiles | estimate
    if estimate:
        assert found["latency_p90_estimate_ms"].value >= found["latency_p90_ms"].value
    assert all(found[name].n == runs for name in found if name.startswith("latency"))


def test_load_first_and_steady_are_three_numbers() -> None:
    starts = [restart(load_ms=value, first_ms=value / 10) for value in (10.0, 20.0, 60.0)]
    found = latency(Latency(), latencies_ms=[np.full(20, 0.5)] * 3, restarts=starts)
    assert found["load_ms"].value == 20
    assert found["load_ms"].low < 10
    assert found["load_ms"].high > 60
    assert found["first_ms"].value == 2
    assert found["latency_p50_ms"].value == 0.5


def test_memory_is_the_median_peak_of_the_processes() -> None:
    peaks = [restart(peak_rss_mib=value) for value in (50.0, 51.0, 70.0)]
    found = memory(Memory(), restarts=peaks)["peak_rss_mib"]
    assert (found.value, found.unit) == (51, "MiB")
    assert found.low is not None
    assert found.high is not None
    assert found.low < 50 < 70 < found.high


def test_time_outside_the_back_end_is_the_median_share_of_those_that_were_asked() -> None:
    told = [restart(undelegated_time=value) for value in (0.25, 0.4, 0.2)]
    found = undelegated_time(UndelegatedTime(), restarts=told)["undelegated_time"]
    assert (found.value, found.unit, found.n) == (0.25, "share", 3)
    assert found.low is not None
    assert found.low < 0.2
    assert undelegated_time(UndelegatedTime(), restarts=[restart(), restart()]) == {}


def test_a_size_is_exact() -> None:
    found = size(Size(), size_bytes=2**20)["size_mib"]
    assert (found.value, found.low, found.n) == (1, None, None)
    assert size_ratio(SizeRatio(), size_bytes=10, reference_size_bytes=40)["size_ratio"].value == 4


def test_a_program_twice_as_fast_has_speedup_two_whatever_the_restart() -> None:
    own = [np.full(20, 1.0 + r) for r in range(4)]
    reference = [2 * taken for taken in own]
    found = speedup(Speedup(), latencies_ms=own, reference_latencies_ms=reference)["speedup"]
    assert (found.value, found.low, found.high) == (2, 2, 2)
    assert speedup(Speedup(), latencies_ms=[np.ones(5)], reference_latencies_ms=[np.ones(5)]) == {}
