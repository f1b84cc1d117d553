"""What a benchmark without gates came to, in a few words."""

from collections.abc import Iterator, Sequence

from edgekd.core.quantity import Quantity
from edgekd.core.results import Measurement, Measurements
from edgekd.report.schema.check import Row
from edgekd.report.words import label


def outcome(found: Sequence[Measurements]) -> str:
    """Return the headline of measurements in which nothing was scored; else nothing."""
    said = [words for one in found if not one.examples for words in _said(one)]
    return "; ".join(dict.fromkeys(said))


def _said(found: Measurements) -> Iterator[str]:
    candidates = {program.name for program in found.programs if program.role == "candidate"}
    for target in found.targets:
        here = {m.program: m for m in found.measurements if m.target == target.name}
        for measurement in (here[name] for name in here if name in candidates):
            if measurement.failure:
                yield f"{measurement.program} could not be measured on {target.name}"
            elif found.reference:
                other = here[found.reference]
                yield f"{compared(measurement, other)} on {target.name}"
            elif not measurement.valid:
                yield f"Not a valid measurement on {target.name}"
            else:
                yield f"{_latency(measurement)} on {target.name}"


def compared(measurement: Measurement | Row, other: Measurement | Row) -> str:
    """Return whether a program is faster than another, as far as intervals show it."""
    both = f"{measurement.program} and {other.program}"
    ratio = measurement.quantities.get("speedup")
    if not (measurement.valid and other.valid):
        return f"No valid comparison of {both}"
    if (verdict := faster(ratio)) in ("faster", "slower"):
        return f"{measurement.program} is {verdict} than {other.program}: {ratio} as fast"
    return f"No difference in speed between {both} shown"


def faster(ratio: Quantity | None) -> str:
    """Return `faster` or `slower` where the whole interval of a speed-up lies on one side of 1.

    Bounds count as they are shown, in hundredths: less is no difference that a device shows.
    """
    if ratio is None or ratio.low is None or ratio.high is None:
        return "not compared"
    low, high = round(ratio.low, 2), round(ratio.high, 2)
    return "faster" if low > 1 else "slower" if high < 1 else "no difference shown"


def _latency(measurement: Measurement) -> str:
    names = ("latency_p90_ms", "latency_p50_ms")
    name = next((name for name in names if name in measurement.quantities), None)
    return f"{label(name)} {measurement.quantities[name]}" if name else "Too few runs"
