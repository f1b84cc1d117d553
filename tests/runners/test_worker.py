"""What a block of measuring is said to have taken."""

import sys

import pytest

from edgekd.core.shipped import shipped
from edgekd.devices.scripts import scripts

RUNNERS = str(shipped("targets") / "runners")
sys.path.insert(0, RUNNERS)
try:
    import worker
finally:
    sys.path.remove(RUNNERS)


class Counting(worker.Worker):
    """A program of which each run takes half a joule by the package's counter."""

    def __init__(self, zones):
        super().__init__({}, {})
        self.counter = zones / "intel-rapl:0" / "energy_uj"
        self.counter.parent.mkdir()
        (self.counter.parent / "name").write_text("package-0\n")
        self.counter.write_text("0\n")
        self.meter = worker.machine.Meter(zones)

    def timed(self, runs, seconds):
        self.counter.write_text(f"{int(self.counter.read_text()) + 500_000 * runs}\n")
        return [1] * runs


def test_a_block_has_the_energy_of_its_own_runs_alone(tmp_path):
    program = Counting(tmp_path)
    assert [program.block(4, 0)["energy_j"] for _ in range(2)] == [2.0, 2.0]
    program.counter.unlink()
    program.timed = lambda runs, seconds: [1] * runs
    assert program.block(4, 0)["energy_j"] is None


@pytest.mark.parametrize(
    ("joules", "total"),
    [((1.5, 0.0, 2.0), 3.5), ((1.5, None, 2.0), None), ((0.0, 0.0, 0.0), None)],
)
def test_a_restart_has_energy_where_all_blocks_do_and_the_counter_moved(joules, total):
    blocks = [{"ns": [5], "wall_s": 1, "cpu_s": 1, "energy_j": joule} for joule in joules]
    assert scripts().bench.summary(blocks)["energy_j"] == total


def test_runners_that_tell_nothing_of_energy_have_none():
    blocks = [{"ns": [5], "wall_s": 1, "cpu_s": 1}] * 3
    assert scripts().bench.summary(blocks)["energy_j"] is None
