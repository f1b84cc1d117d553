"""Which colour and mark a program has in every figure: the reference's own, then darker by step."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgekd.report.charts.canvas import COLOURS
from edgekd.report.schema import Check

_STEPS = 6


@dataclass(frozen=True)
class Look:
    """How a program is drawn."""

    colour: str
    marker: str


def looks(check: Check) -> Mapping[str, Look]:
    """Return the look of every program: square the reference, round the way, pointed the end."""
    along = [step.program for step in check.steps if step.role == "along"]
    found = {}
    ends = iter("D^vP*X" * len(check.steps))
    for step in check.steps:
        if step.role == "reference":
            found[step.program] = Look(COLOURS["reference"], "s")
        elif step.role == "along":
            shade = 1 + along.index(step.program) * (_STEPS - 2) // max(1, len(along))
            found[step.program] = Look(COLOURS[f"step-{shade}"], "o")
        else:
            found[step.program] = Look(COLOURS[f"step-{_STEPS}"], next(ends))
    return found
