"""What is read of the machine and of a process."""

import sys

import pytest

from edgekd.core.shipped import shipped

RUNNERS = str(shipped("targets") / "runners")
sys.path.insert(0, RUNNERS)
try:
    import machine
finally:
    sys.path.remove(RUNNERS)


def test_shared_memory_is_divided_so_that_pss_is_at_most_what_is_resident():
    pss = machine.pss_mib()
    assert 1 < pss <= machine.peak_rss_mib()


@pytest.mark.parametrize(
    ("text", "found"), [("Rss: 900 kB\nPss:    2560 kB\nPss_Dirty: 7 kB\n", 2.5), ("", None)]
)
def test_pss_is_that_of_the_whole_process_and_none_where_the_kernel_does_not_tell(
    monkeypatch, text, found
):
    monkeypatch.setattr(machine, "read", lambda path: text if "smaps_rollup" in path else "7")
    assert machine.pss_mib() == found


def test_the_frequency_is_the_mean_of_the_cores_that_may_be_used(monkeypatch):
    clocks = {"cpu1": "1000000", "cpu3": "2000000"}

    def read(path):
        return next((khz for name, khz in clocks.items() if f"/{name}/" in path), "")

    monkeypatch.setattr(machine, "read", read)
    monkeypatch.setattr(machine.HERE, "asked", lambda: {"affinity": "1 3"})
    assert machine.frequencies_mhz() == 1500
    monkeypatch.setattr(machine, "read", lambda path: "")
    assert machine.frequencies_mhz() is None
