"""What two numbers of different runs allow to conclude.

Accuracies over the same examples are compared answer by answer (`paired_share_interval`), any other
quality by the interval of the difference of two scores (`quantized.difference`). A time is not:
the two were not taken in turns, so that a ratio or a difference of them would be the neighbours' as
much as the programs'. Of times it is only said whether their intervals lie apart.
"""

from dataclasses import replace

from edgekd.core.bits import unpack
from edgekd.core.quantity import Quantity, significant
from edgekd.core.results import hardware
from edgekd.ops.statistics import paired_share_interval
from edgekd.report.across.given import Found
from edgekd.report.across.schema import Difference, Shown
from edgekd.report.quantized import difference
from edgekd.report.tables import machine_of

SIZES = ("size_mib", "size_ratio")
AGAINST = (
    "agreement",
    "rank_agreement",
    "neighbour_agreement",
    "accuracy_drop",
    "negative_flips",
    "cka",
    "recall_at_1_drop",
    "size_ratio",
)
"""Measured against the reference of a check: with another one they are other measures."""
OTHER_EXAMPLES = "perhaps on other examples"
_TIMES = ("latency_", "load_ms", "first_ms", "speedup", "peak_rss_mib", "undelegated_time")
_SHARES = ("share", "share_difference")


def is_time(name: str) -> bool:
    """Tell whether a measure is what a process took, which another moment may change."""
    return name.startswith(_TIMES)


def is_score(name: str) -> bool:
    """Tell whether a measure is of the answers to examples."""
    return not is_time(name) and name not in SIZES


def differing(name: str, base: Found, other: Found, *, same_examples: bool) -> Difference:
    """Return what a measure of a run says beside the base's."""
    run = other.run.letter
    old, new = (one.row.quantities.get(name) for one in (base, other))
    if old is None or new is None:
        words = missing_from(base if old is None else other)
        return Difference(run=run, value=None, shown="not compared", words=words)
    if _once(base, other) and old == new:
        return Difference(run=run, value=None, shown="same", words="the same measurement")
    if name in AGAINST and _reference(base) != _reference(other):
        words = "against another reference"
        return Difference(run=run, value=None, shown="not compared", words=words)
    if name in SIZES:
        return _sizes(name, run, old, new)
    if not is_time(name):
        if same_examples and old == new and base.step.digest == other.step.digest:
            return Difference(run=run, value=None, shown="same", words="the same program and score")
        paired = _paired(name, base, other) if same_examples else None
        return scores(run, old, new, same_examples=same_examples, paired=paired)
    return _times(run, old, new, base, other)


def _reference(of: Found) -> str:
    """Return the digest of what a check compares with."""
    steps = of.check.steps
    return next((step.digest for step in steps if step.program == of.check.reference), "")


def missing_from(of: Found) -> str:
    """Return why a run has no number."""
    return f"{of.run.letter} failed" if of.row.failure else f"not measured by {of.run.letter}"


def _once(base: Found, other: Found) -> bool:
    """Tell whether both runs show one measurement: kept, it came into both reports."""
    ours, theirs = (machine_of(one.check, one.row.target) for one in (base, other))
    return (
        ours is not None
        and theirs is not None
        and (ours.measured_at, ours.sittings) == (theirs.measured_at, theirs.sittings)
        and base.row.quantities == other.row.quantities
    )


def _sizes(name: str, run: str, old: Quantity, new: Quantity) -> Difference:
    """Compare numbers without spread."""
    more: Shown
    less: Shown
    apart = Quantity(new.value - old.value, new.unit)
    if not apart.value:
        return Difference(run=run, value=apart, shown="same", words="the same")
    more, less = ("larger", "smaller") if name == "size_mib" else ("higher", "lower")
    side = more if apart.value > 0 else less
    share = abs(apart.value) / old.value if old.value else float("inf")
    words = f"{significant(100 * share)} % {side}"
    return Difference(run=run, value=apart, shown=side, words=words)


def _paired(name: str, base: Found, other: Found) -> Quantity | None:
    """Return the difference of two accuracies by the answers to each example; None without them."""
    count = base.check.examples
    old, new = (unpack(one.row.right, count) for one in (base, other))
    if name != "accuracy" or not old or not new:
        return None
    gained = sum(after and not before for before, after in zip(old, new, strict=True))
    lost = sum(before and not after for before, after in zip(old, new, strict=True))
    low, high = paired_share_interval(gained=lost, lost=gained, count=count)
    return Quantity((gained - lost) / count, "share_difference", low, high, count)


def scores(
    run: str,
    old: Quantity,
    new: Quantity,
    *,
    same_examples: bool,
    paired: Quantity | None = None,
) -> Difference:
    """Compare two scores; `paired` is the difference over the answers to each example."""
    apart = paired or difference(new, old)
    if new.unit not in _SHARES:
        apart = replace(apart, unit=new.unit)
    note = (" (paired)" if paired else "") if same_examples else f" ({OTHER_EXAMPLES})"
    if apart.low is None or apart.high is None:
        words = f"{apart} without an interval{note}"
        return Difference(run=run, value=apart, shown="not compared", words=words)
    if apart.low > 0 or apart.high < 0:
        side = "higher" if apart.value > 0 else "lower"
        return Difference(run=run, value=apart, shown=side, words=f"{side}: {apart}{note}")
    words = f"no difference shown: {apart}{note}"
    return Difference(run=run, value=apart, shown="no difference shown", words=words)


def _times(run: str, old: Quantity, new: Quantity, base: Found, other: Found) -> Difference:
    """Say why two times are not compared, and how they lie to each other."""
    reason = _apart(base, other)
    if reason or old.low is None or old.high is None or new.low is None or new.high is None:
        words = reason or "other times, no intervals"
    elif old.low <= new.high and new.low <= old.high:
        words = "other times; intervals overlap"
    else:
        words = "other times; intervals apart"
    return Difference(run=run, value=None, shown="not compared", words=words)


def _apart(base: Found, other: Found) -> str:
    """Return what forbids even to look at two times beside each other."""
    machines = [machine_of(one.check, one.row.target) for one in (base, other)]
    if any(machine is None or machine.emulated for machine in machines):
        return "emulated: times mean nothing"
    ours, theirs = (hardware(machine.facts) for machine in machines if machine)
    if ours != theirs:
        return "other machines"
    bad = [one.run.letter for one in (base, other) if not one.row.valid]
    return f"invalid in {' and '.join(bad)}" if bad else ""
