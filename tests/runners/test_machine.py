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


def counters(folder, **uj):
    """Write the counters of packages, each with its range, beside others that are in them."""
    more = {"intel-rapl:0:0": ("core", "7"), "intel-rapl:9": ("psys", "9")}
    packages = {f"intel-rapl:{i}": (name, at) for i, (name, at) in enumerate(uj.items())}
    for zone, (name, at) in (packages | more).items():
        (folder / zone).mkdir(exist_ok=True)
        (folder / zone / "name").write_text(f"{name.replace('_', '-')}\n")
        (folder / zone / "energy_uj").write_text(f"{at}\n")
        (folder / zone / "max_energy_range_uj").write_text("1000000000\n")


def test_energy_is_that_of_all_packages_and_of_nothing_twice(tmp_path):
    counters(tmp_path, package_0="5000000", package_1="100")
    again = tmp_path / "intel-rapl-mmio:0"  # another way to read the first package
    again.mkdir()
    (again / "name").write_text("package-0\n")
    (again / "energy_uj").write_text("1\n")
    meter = machine.Meter(tmp_path)
    before = meter.read()
    assert sorted(before) == [100, 5_000_000]
    counters(tmp_path, package_0="6500000", package_1="500100")
    assert meter.joules(before) == 2.0


def test_a_counter_that_began_anew_is_counted_on(tmp_path):
    counters(tmp_path, package_0="999000000")
    meter = machine.Meter(tmp_path)
    before = meter.read()
    counters(tmp_path, package_0="2000000")
    assert meter.joules(before) == 3.0
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").unlink()
    unknown = machine.Meter(tmp_path)
    assert unknown.joules(before) is None


@pytest.mark.parametrize("unreadable", ["", "no number", None])
def test_without_every_packages_counter_no_energy_is_told(tmp_path, unreadable):
    counters(tmp_path, package_0="1", package_1="2")
    counter = tmp_path / "intel-rapl:1" / "energy_uj"
    meter = machine.Meter(tmp_path)
    before = meter.read()
    counter.unlink()
    if unreadable is None:
        counter.mkdir()  # reading it fails, as it does where root alone may
    else:
        counter.write_text(unreadable)
    assert meter.read() == [1, None]
    assert meter.joules(before) is None
    assert meter.joules(meter.read()) is None


def test_without_counters_no_energy_is_told(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        meter = machine.Meter(folder)
        assert meter.read() == []
        assert meter.joules([]) is None
