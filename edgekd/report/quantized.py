"""What quantization cost and gained: each int8 candidate against its fp32 parent."""

from collections.abc import Iterator, Mapping, Sequence
from math import hypot
from typing import Any

import numpy as np

from edgekd.core.artifact import Manifest
from edgekd.core.quantity import Quantity
from edgekd.core.results import MeasuredProgram, MeasuredTarget, Measurement
from edgekd.ops.statistics import least_n, quantile, ratio_interval
from edgekd.report.evidence import Validation
from edgekd.report.lineage import Parent
from edgekd.report.schema.quantized import Quantized
from edgekd.report.words import ITSELF, UNLABELLED, quality_of


def quantized(
    validation: Validation, parents: Mapping[str, Parent], stages: Mapping[str, Manifest]
) -> Iterator[Quantized]:
    """Yield a comparison per quantized candidate and target; without numbers where not measured."""
    found = validation.measurements
    at = {(m.program, m.target): m for m in found.measurements if not m.failure}
    for program in found.programs:
        for target in found.targets:
            if program.name in parents and (program.name, target.name) in at:
                parent = parents[program.name]
                before = at.get((parent.program.name, target.name)) if parent.program else None
                numbers: dict[str, Any] = {}
                if parent.program and before:
                    new = at[program.name, target.name]
                    numbers = _numbers(validation, (program, new), (parent.program, before), target)
                yield _compared(program.name, target.name, parent, numbers, stages)


def _compared(
    program: str,
    target: str,
    parent: Parent,
    numbers: Mapping[str, Any],
    stages: Mapping[str, Manifest],
) -> Quantized:
    of = parent.program if numbers else None
    return Quantized(
        program=program,
        target=target,
        stage=parent.stage,
        parent=of.name if of else None,
        form=f"{of.precision}, {of.runtime}" if of else "",
        paired=False,  # a check keeps scores, and no answers by example
        simulated=_simulated(stages.get(parent.quantizer)),
        **({"accuracy": None, "size": None, "latency": None} | dict(numbers)),
    )


def _numbers(
    validation: Validation,
    new: tuple[MeasuredProgram, Measurement],
    old: tuple[MeasuredProgram, Measurement],
    target: MeasuredTarget,
) -> dict[str, Quantity | None]:
    both = [one.quantities for _, one in (new, old)]
    quality = quality_of(both)
    after, before = (quantities.get(quality) for quantities in both)
    if quality == UNLABELLED and old[0].role == "reference":
        before = ITSELF
    ratio = new[0].size_bytes / max(1, old[0].size_bytes)
    above, below = (validation.samples.get(one.samples, []) for _, one in (new, old))
    return {
        "accuracy": difference(after, before) if after and before else None,
        "size": Quantity(ratio, "x"),
        "latency": None if target.emulated else time_ratio(above, below),
    }


def difference(new: Quantity, old: Quantity) -> Quantity:
    """Return new - old of two shares, its interval from theirs as if examples differed.

    Newcombe, "Interval estimation for the difference between independent proportions" (1998),
    method 10. Answers to the same examples agree more than that, so it is wider than it need be.
    """
    value = new.value - old.value
    if new.low is None or new.high is None or old.low is None or old.high is None:
        return Quantity(value, "share_difference")
    low = value - hypot(new.value - new.low, old.high - old.value)
    high = value + hypot(new.high - new.value, old.value - old.low)
    return Quantity(value, "share_difference", low, high, new.n)


def time_ratio(new: Sequence[Sequence[float]], old: Sequence[Sequence[float]]) -> Quantity | None:
    """Return new over old median latency of samples by restart; None where they do not pair.

    All programs are timed in turns, restart by restart; one whose gates stay open is timed again,
    so only the restarts that both have are compared.
    """
    both = min(len(new), len(old))
    above, below = ([np.asarray(restart) for restart in one[:both]] for one in (new, old))
    if not both or min(sum(map(len, one)) for one in (above, below)) < least_n(50):
        return None
    low, high = ratio_interval(above, below) or (None, None)
    value = quantile(np.concatenate(above), 0.5) / quantile(np.concatenate(below), 0.5)
    return Quantity(value, "x", low, high, both)


def _simulated(quantizer: Manifest | None) -> Quantity | None:
    """Return the change of a share that a stage found when it quantized."""
    facts = quantizer.facts if quantizer else {}
    before, after = facts.get("fp32"), facts.get("result")
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return None
    old, new = Quantity(**before), Quantity(**after)
    return difference(new, old) if new.unit == old.unit == "share" else None
