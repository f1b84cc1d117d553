"""Runs beside each other, as a versioned, closed document."""

from typing import Literal

from edgekd.core.quantity import Quantity
from edgekd.core.results import Role
from edgekd.report.schema.document import Document
from edgekd.report.schema.headline import Outcome

Kind = Literal["configuration", "data", "code", "versions", "machine"]
Shown = Literal[
    "higher", "lower", "larger", "smaller", "same", "no difference shown", "not compared"
]


class ComparedRun(Document):
    """A run, and how it is called here."""

    letter: str
    """A for the base, then B, C, ..."""
    name: str
    """Of its folder."""
    verdict: Outcome
    words: str
    sentence: str
    command: str
    """What repeats it."""
    edgekd: str
    """The version that drew its report."""


class Change(Document):
    """Something that another run was asked for, or was made with, and the base was not."""

    kind: Kind
    path: str
    """In the resolved configuration: `options.train.epochs`, `seed`, `torch`."""
    base: str
    other: str
    """Of code, whose digests say nothing to people, both are empty."""
    stages: list[str]
    """In all of them alike; targets where the path begins with `target`."""


class Changes(Document):
    """All that is other in a run than in the base."""

    run: str
    changes: list[Change]
    only_base: list[str]
    """Stages that the base alone has."""
    only_other: list[str]


class Seen(Document):
    """What one run found."""

    run: str
    program: str
    """Its name in this run."""
    measured: Quantity | None
    marks: list[str]
    """What must be known of it: `emulated`, `kept from an earlier run`, `invalid`, `failed`."""


class Difference(Document):
    """A run against the base."""

    run: str
    value: Quantity | None
    """The run's minus the base's, with its 95 % interval where both have one; None where the two
    cannot be compared. A latency has none: the two were not measured in turns."""
    shown: Shown
    words: str
    """What may be concluded, or why nothing."""


class Line(Document):
    """One measure in all runs."""

    measure: str
    seen: list[Seen]
    differences: list[Difference]
    """One for each run but the base."""


class Judged(Document):
    """A gate in one run; all but the run is None where it has no such gate."""

    run: str
    limit: str | None = None
    verdict: Literal["pass", "fail", "inconclusive"] | None = None
    measured: Quantity | None = None


class GateLine(Document):
    """One gate in all runs."""

    gate: str
    judged: list[Judged]
    changed: bool
    """Whether limit or verdict are not the same in all runs."""


class Place(Document):
    """A program on a target, in all runs."""

    check: str
    program: str
    """As the base calls it."""
    role: Role
    """In the base."""
    target: str
    lines: list[Line]
    gates: list[GateLine]
    same_program: bool
    """Whether the program is the same bytes in all runs."""
    same_examples: bool
    """Whether all runs scored it on the same examples."""
    in_turns: str
    """What measures two runs' candidates in turns, which alone compares their latencies; empty of
    other programs, and where there is nothing to compare."""


class Seeded(Document):
    """What was made from a stage with several seeds, against the base's of equal seeds."""

    run: str
    stage: str
    measure: str
    base: Quantity
    """Mean over the seeds that both have."""
    other: Quantity
    difference: Quantity
    p: float | None
    """Two-sided, of Student's paired t-test, with Holm's correction over the document."""
    words: str


class RunsCompared(Document):
    """Runs beside each other; the first is the base."""

    schema_version: Literal[1] = 1
    runs: list[ComparedRun]
    sentences: list[str]
    """What a hurried reader takes away: one for each run but the base."""
    lost: list[str]
    """Gates that the base keeps and another run does not."""
    changes: list[Changes]
    """One for each run but the base."""
    places: list[Place]
    only: list[str]
    """Programs and targets that not all runs have, in words."""
    seeded: list[Seeded]
