"""Which operators the back-end of a program did not take, and why."""

from collections.abc import Iterator, Mapping, Sequence

from edgekd.core.artifact import Manifest
from edgekd.core.results import MeasuredProgram
from edgekd.report.schema.operators import LeftOut


def left_out(
    programs: Sequence[MeasuredProgram], stages: Mapping[str, Manifest]
) -> Iterator[LeftOut]:
    """Yield the operators of each candidate whose export named some, most frequent first."""
    for program in programs:
        exported = stages.get(program.name) if program.role == "candidate" else None
        facts = exported.facts if exported else {}
        counts, reasons = facts.get("left_out") or {}, facts.get("left_out_because") or {}
        for operator in sorted(counts, key=lambda name: (-counts[name], name)):
            yield LeftOut(
                program=program.name,
                operator=operator,
                count=counts[operator],
                why=reasons.get(operator, "not known"),
            )
