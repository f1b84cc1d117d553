import numpy as np

from edgekd.core.results import Restart
from edgekd.devices.answers import Timing
from edgekd.devices.settings import PRESETS
from edgekd.devices.validity import notes, objection

STANDARD = PRESETS["standard"]


def timing(
    *, drift: float = 0.0, settled: bool = True, throttled: bool = False, cpu_s: float = 1.0
) -> Timing:
    restart = Restart(
        load_ms=1,
        first_ms=1,
        warmup_runs=10,
        runs=10,
        wall_s=1,
        cpu_s=cpu_s,
        peak_rss_mib=50,
        load_average=0.1,
        settled=settled,
        drift=drift,
    )
    return Timing(restart, np.ones(10), throttled, "1.0", ("numpy",))


def test_one_disturbed_restart_is_no_objection_and_most_are() -> None:
    assert objection([timing(drift=0.5), timing(), timing()], STANDARD) == ""
    assert "drifted" in objection([timing(drift=0.5), timing(drift=-0.5), timing()], STANDARD)
    assert "never agreed in 2 of 3" in objection([timing(settled=False)] * 2 + [timing()], STANDARD)


def test_heat_always_is() -> None:
    assert "heat" in objection([timing(throttled=True), *[timing()] * 9], STANDARD)


def test_a_busy_machine_and_a_short_measurement_are_said() -> None:
    assert notes([timing()] * 5, STANDARD) == []
    assert any("60% of a core" in note for note in notes([timing(cpu_s=0.6)] * 5, STANDARD))
    assert any("restarts is 3" in note for note in notes([timing()] * 3, PRESETS["quick"]))
    assert notes([], STANDARD) == ["not timed: the target is emulated"]
