"""What a `validate` stage leaves behind: measurements and verdicts, as a versioned document.

Gates, reports and searches read it; the raw samples lie beside it in `samples/`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekd.core.quantity import Quantity

SCHEMA_VERSION: Literal[1] = 1
Verdict = Literal["pass", "fail", "inconclusive"]
Role = Literal["candidate", "reference", "along"]


class Result(BaseModel):
    """A frozen, closed document."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasuredTarget(Result):
    """A device as it was found when it was measured."""

    name: str
    description: str
    emulated: bool
    """An emulated device proves packaging and numerics; its latency enters no gate."""
    machine: dict[str, str]
    """CPU model, cores, flags that matter, memory, OS, governor, frequency, runtime versions."""
    measured_at: str
    """When the first measurement was taken: ISO 8601, UTC."""
    sittings: list[str] = []
    """When each run began that measured here: several where one was interrupted, or where what
    an earlier one measured was judged anew."""


class MeasuredProgram(Result):
    """A program that was measured."""

    name: str
    """The stage that exported it, as the user wrote it; the model's stage for implied exports."""
    role: Role
    """The candidates must keep the gates; the reference is what they are compared with."""
    runtime: str
    precision: str
    """`fp32` or, say, `int8`."""
    file: str
    """File name of the program."""
    size_bytes: int
    digest: str
    parameters: int | None = None


class Restart(Result):
    """One fresh process: what it took to start, and how its runs went."""

    load_ms: float
    first_ms: float
    warmup_runs: int
    runs: int
    wall_s: float
    cpu_s: float
    peak_rss_mib: float
    load_average: float
    settled: bool
    """Whether consecutive warm-up windows agreed before the samples were taken."""
    drift: float
    """Median of the last window over that of the first, minus 1."""
    undelegated_time: float | None = None
    """Share of time outside the back-end; None where nobody asked."""


class Measurement(Result):
    """One program on one target."""

    program: str
    target: str
    quantities: dict[str, Quantity]
    """By gate name: accuracy, agreement, ece, latency_p50_ms, peak_rss_mib, size_mib, ..."""
    restarts: list[Restart]
    samples: str
    """File with every raw latency in ms, by restart, relative to the stage's folder."""
    valid: bool
    """False where the device throttled or drifted while it was measured, or the program failed."""
    notes: list[str]
    failure: str = ""
    """Why the program could not be measured, with what its process wrote last; empty where it
    could. What was measured before it failed, and does not need a clock, stays."""

    @property
    def happened(self) -> str:
        """The failure in a few words."""
        return self.failure.partition("\n")[0]


class Gate(Result):
    """One clause of the contract, judged for one program on one target."""

    name: str
    limit: str
    """As written: `<= 0.01`."""
    program: str
    target: str
    measured: Quantity | None
    verdict: Verdict
    reason: str


class Reliability(Result):
    """One bin of a reliability plot."""

    confidence: float
    accuracy: float
    count: int


class Quality(Result):
    """How a program's answers are spread, for one program on one target."""

    program: str
    target: str
    reliability: list[Reliability]
    per_class: dict[str, Quantity]
    """Accuracy by label."""


class Measurements(Result):
    """Everything that a `validate` stage found."""

    schema_version: Literal[1] = SCHEMA_VERSION
    reference: str
    """Name of the program that the others are compared with."""
    split: str
    examples: int
    targets: list[MeasuredTarget]
    programs: list[MeasuredProgram]
    """The reference first, then those along the lineage, the candidates last."""
    measurements: list[Measurement]
    quality: list[Quality]
    gates: list[Gate]

    def failures(self) -> list[Measurement]:
        """Return the measurements of programs that could not be measured to the end."""
        return [measurement for measurement in self.measurements if measurement.failure]
