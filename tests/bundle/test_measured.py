"""What is promised of metrics, timings and gates, and when it is broken."""

import pytest

from edgekd.bundle.measured import Measured
from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate, MeasuredTarget, Measurement, Measurements

MACHINE = {"cpu": "A", "arch": "x86_64", "flags": "avx2", "cores": "2", "memory_mib": "1024",
           "threads": "1", "load_average": "0.1", "frequency_mhz": "2000"}  # fmt: skip


def found(machine=MACHINE, verdict="pass", gate="accuracy", **quantities):
    target = MeasuredTarget(
        name="cpu", description="", emulated=False, machine=machine, measured_at="2026"
    )
    measurement = Measurement(
        program="onnx", target="cpu", quantities=quantities, restarts=[], samples="", valid=True,
        notes=[],
    )  # fmt: skip
    judged = Gate(
        name=gate, limit=">= 0.9", program="onnx", target="cpu", measured=None, verdict=verdict,
        reason="",
    )  # fmt: skip
    return Measurements(
        reference="onnx", split="test", examples=9, targets=[target], programs=[],
        measurements=[measurement], quality=[], gates=[judged],
    )  # fmt: skip


def compared(then, now, same_data=True, same_bytes=True):
    """Return the rows by what they are about."""
    rows = Measured("check", then, now, same_data, same_bytes).rows()
    return {row.what.partition(" ")[0] if row.kind == "metric" else "gate": row for row in rows}


def share(value, low=None, high=None):
    return Quantity(value, "share", low, high, n=None if low is None else 100)


@pytest.mark.parametrize(
    ("then", "now", "status"),
    [
        (share(0.9, 0.8, 0.95), share(0.9, 0.8, 0.95), "equal"),
        (share(0.9, 0.8, 0.95), share(0.85, 0.84, 0.86), "within"),
        (share(0.9, 0.89, 0.91), share(0.85, 0.8, 0.95), "within"),
        (share(0.9, 0.8, 0.95), share(0.8, 0.7, 0.85), "within"),
        (share(0.9, 0.86, 0.95), share(0.8, 0.7, 0.87), "outside"),
        (share(0.9, 0.8, 0.95), share(0.7999, 0.7, 0.8999), "outside"),
    ],
)
def test_a_metric_agrees_within_the_interval_of_either(then, now, status):
    row = compared(found(accuracy=then), found(accuracy=now))["accuracy"]
    assert row.status == status
    assert row.broken == (status == "outside")
    mirrored = compared(found(accuracy=now), found(accuracy=then))["accuracy"]
    assert mirrored.status == status


def test_other_data_lifts_the_promise_of_a_metric():
    then, now = found(accuracy=share(0.9, 0.89, 0.91)), found(accuracy=share(0.5, 0.4, 0.6))
    row = compared(then, now, same_data=False)["accuracy"]
    assert (row.status, row.broken, row.note) == ("outside", False, "not promised")


def test_a_number_without_an_interval_is_promised_where_the_bytes_are():
    then = found(size_mib=Quantity(1.0, "MiB"))
    now = found(size_mib=Quantity(1.1, "MiB"))
    assert compared(then, now)["size_mib"].broken
    row = compared(then, now, same_bytes=False)["size_mib"]
    assert (row.status, row.broken, row.note) == ("outside", False, "not promised")
    assert compared(then, then)["size_mib"].status == "equal"


def test_a_metric_that_is_gone_is_broken():
    row = compared(found(accuracy=share(0.9, 0.8, 1.0)), found())["accuracy"]
    assert (row.status, row.now, row.broken) == ("absent", "absent", True)


def milliseconds(value, spread=0.1):
    return Quantity(value, "ms", value - spread, value + spread, 100)


def test_timings_are_compared_on_the_same_machine_and_never_promised():
    then = found(latency_p50_ms=milliseconds(5))
    busy = MACHINE | {"load_average": "9", "frequency_mhz": "800"}
    near = compared(then, found(busy, latency_p50_ms=milliseconds(5.1)))["latency_p50_ms"]
    assert (near.status, near.broken, near.note) == ("overlap", False, "")
    far = compared(then, found(latency_p50_ms=milliseconds(6)))["latency_p50_ms"]
    assert (far.status, far.broken, far.note) == ("apart", False, "not promised")
    for name in ("cpu", "arch", "flags", "cores", "memory_mib", "threads"):
        other = found(MACHINE | {name: "other"}, latency_p50_ms=milliseconds(5))
        row = compared(then, other)["latency_p50_ms"]
        assert (row.status, row.note) == ("-", "another machine: not compared"), name
    single = found(latency_p50_ms=Quantity(5, "ms"))
    assert compared(then, single)["latency_p50_ms"].note == "no interval: not compared"
    assert compared(then, found())["latency_p50_ms"].note == "not measured"
    assert compared(single, single)["latency_p50_ms"].status == "equal"


def test_a_time_that_no_gate_judges_is_not_promised_either():
    one, other = (found(latency_p90_estimate_ms=Quantity(value, "ms")) for value in (5, 6))
    row = compared(one, other)["latency_p90_estimate_ms"]
    assert (row.status, row.broken) == ("-", False)


@pytest.mark.parametrize(
    ("then", "now", "broken"),
    [
        ("pass", "pass", False),
        ("pass", "fail", True),
        ("pass", "inconclusive", False),
        ("fail", "fail", False),
        ("fail", "pass", False),
        ("inconclusive", "fail", False),
    ],
)
def test_a_gate_breaks_its_promise_where_it_passes_no_longer(then, now, broken):
    row = compared(found(verdict=then), found(verdict=now))["gate"]
    assert (row.then, row.now, row.broken) == (then, now, broken)
    assert row.status == ("equal" if then == now else "differs")
    assert not compared(found(verdict=then), found(verdict=now), same_data=False)["gate"].broken


def test_a_timed_gate_is_promised_on_the_same_machine_alone():
    then = found(gate="latency_p50_ms")
    assert compared(then, found(gate="latency_p50_ms", verdict="fail"))["gate"].broken
    away = found(MACHINE | {"cpu": "B"}, gate="latency_p50_ms", verdict="fail")
    assert not compared(then, away)["gate"].broken
    moved = found(MACHINE | {"cpu": "B"}, verdict="fail")
    assert compared(found(), moved)["gate"].broken, "accuracy is no timing"


def test_a_gate_that_is_gone_is_broken():
    row = compared(found(), found(gate="agreement"))["gate"]
    assert (row.now, row.broken) == ("absent", True)
