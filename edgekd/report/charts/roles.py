"""Which colour and mark a program has in every figure: darker by step, controls grey."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgekd.report.charts.canvas import COLOURS, MUTED
from edgekd.report.schema.check import Check

_STEPS = 6


@dataclass(frozen=True)
class Look:
    """How a program is drawn."""

    colour: str
    marker: str


def looks(check: Check) -> Mapping[str, Look]:
    """Return every program's look: square the reference, round the way, pointed the end."""
    along = [step.program for step in check.steps if step.role == "along" and not step.control]
    found = {}
    ends = iter("D^vP*X" * len(check.steps))
    for step in check.steps:
        if step.role == "reference":
            found[step.program] = Look(COLOURS["reference"], "s")
        elif step.control:
            found[step.program] = Look(MUTED, "<")
        elif step.role == "along":
            shade = 1 + along.index(step.program) * (_STEPS - 2) // max(1, len(along))
            found[step.program] = Look(COLOURS[f"step-{shade}"], "o")
        else:
            found[step.program] = Look(COLOURS[f"step-{_STEPS}"], next(ends))
    return found
