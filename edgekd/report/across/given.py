"""A run that is compared: where it lies and what it reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgekd.core.results import Gate
from edgekd.report.schema.check import Check, Row, Step
from edgekd.report.schema.provenance import StageRecord
from edgekd.report.schema.report import Report


@dataclass(frozen=True)
class Given:
    """A run's folder and its report."""

    letter: str
    folder: Path
    report: Report

    @cached_property
    def rows(self) -> Mapping[tuple[str, str, str], Row]:
        """All that was measured, by check, program and target."""
        return {
            (check.stage, row.program, row.target): row
            for check in self.report.checks
            for row in check.rows
        }

    @cached_property
    def gates(self) -> Mapping[tuple[str, str, str], Sequence[Gate]]:
        """All gates, by check, program and target."""
        found: dict[tuple[str, str, str], list[Gate]] = {}
        for check in self.report.checks:
            for gate in check.gates:
                found.setdefault((check.stage, gate.program, gate.target), []).append(gate)
        return found

    def stage(self, name: str) -> StageRecord | None:
        """Return a stage that the report rests on."""
        return next((s for s in self.report.provenance.stages if s.name == name), None)

    def check(self, like: Check, of: "Given") -> Check | None:
        """Return the check that stands for another run's: of its name, or the only one of a kind.

        A benchmark stands for no stage of a pipeline.
        """
        checks = self.report.checks
        named = next((check for check in checks if check.stage == like.stage), None)
        if named or len(checks) != 1:
            return named
        ours, theirs = self.stage(checks[0].stage), of.stage(like.stage)
        same = (ours and ours.kind) == (theirs and theirs.kind)
        return checks[0] if same else None


@dataclass(frozen=True)
class Found:
    """What one run measured of a program on a target."""

    run: Given
    check: Check
    row: Row

    @property
    def step(self) -> Step:
        """Return what program it is of."""
        return next(step for step in self.check.steps if step.program == self.row.program)


def counterpart(program: str, base: Check, other: Check) -> str | None:
    """Return what a program is called in another run; None where it has none.

    Its name, or the one program of the same role that neither has by name: two benchmarks of a
    file each, say.
    """
    ours, theirs = ({step.program: step.role for step in one.steps} for one in (base, other))
    if program in theirs:
        return program
    role = ours[program]
    left = [name for name, its in ours.items() if its == role and name not in theirs]
    right = [name for name, its in theirs.items() if its == role and name not in ours]
    return right[0] if len(left) == len(right) == 1 else None
