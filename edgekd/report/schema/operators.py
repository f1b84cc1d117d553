"""Where the time of a program goes, and what its back-end did not take."""

from edgekd.report.schema.document import Document


class LeftOut(Document):
    """An operator of a candidate that its back-end did not take: a slow kernel computes it."""

    program: str
    operator: str
    """As `aten.mean.dim`."""
    count: int
    """How often the program has it."""
    why: str


class TimeShare(Document):
    """What one kind of operator, or one module, takes of a run."""

    name: str
    """Empty for operators of no module that is known."""
    delegated: bool | None
    """Whether a delegate computes it; None where there is none, or of modules."""
    calls: float
    """How often, per run."""
    us: float
    """Microseconds per run."""
    share: float
    """Of the time in operators."""
    up_to: float
    """Share of this and all above it."""


class OperatorTimes(Document):
    """Where the time of a program goes on a target, noted by the runtime in another process."""

    program: str
    target: str
    runs: int
    whole_us: float
    """One run while the runtime kept count, which slows it."""
    inside_us: float
    """Of that in operators."""
    delegated: float | None
    """Share of the time in operators that a delegate computes; None where the runtime has none."""
    by_operator: list[TimeShare]
    """The slowest first."""
    by_module: list[TimeShare]
    """The slowest first, the last for all others where there are many; empty where the runtime
    knows no modules."""
