import pytest

from edgekd.core.quantity import Quantity
from edgekd.core.results import MeasuredProgram, MeasuredTarget, Measurement, Measurements
from edgekd.report.changes import changes


def found(first, second, *, emulated=False):
    """Return two steps, each given as accuracy (low, high), p50 (low, high), bytes."""
    programs, measurements = [], []
    for name, role, (accuracy, p50, size) in (("a", "reference", first), ("b", "along", second)):
        programs.append(
            MeasuredProgram(
                name=name, role=role, runtime="r", precision="fp32", file="f", size_bytes=size,
                digest="",
            )
        )  # fmt: skip
        quantities = {
            "accuracy": Quantity(sum(accuracy) / 2, "share", *accuracy),
            "latency_p50_ms": Quantity(sum(p50) / 2, "ms", *p50),
        }
        measurements.append(
            Measurement(
                program=name, target="cpu", quantities=quantities, restarts=[], samples="",
                valid=True, notes=[],
            )
        )  # fmt: skip
    target = MeasuredTarget(
        name="cpu", description="", emulated=emulated, machine={}, measured_at=""
    )
    return Measurements(
        reference="a", split="test", examples=1, targets=[target], programs=programs,
        measurements=measurements, quality=[], gates=[],
    )  # fmt: skip


BEFORE = ((0.8, 0.9), (1.0, 1.1), 1000)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (((0.8, 0.9), (0.5, 0.6), 500), "faster and 50 % smaller than a"),
        (((0.6, 0.7), (0.5, 0.6), 1000), "faster; less accurate than a"),
        (((0.92, 0.95), (1.2, 1.3), 1000), "more accurate; slower than a"),
        (((0.85, 0.95), (1.05, 1.2), 1001), "no gain over a that the intervals show"),
        (((0.6, 0.7), (1.0, 1.1), 1000), "no gain over a that the intervals show; less accurate"),
    ],
)
def test_only_intervals_that_do_not_touch_are_a_change(after, said):
    change = changes(found(BEFORE, after), {"b": "a"})["b", "cpu"]
    assert change.words == said
    assert change.gained is not said.startswith("no gain")


def test_an_emulated_target_is_neither_faster_nor_slower():
    said = changes(found(BEFORE, ((0.8, 0.9), (0.1, 0.2), 1000), emulated=True), {"b": "a"})
    assert said["b", "cpu"].words == "no gain over a that the intervals show"
