"""What a `validate` stage leaves behind: measurements and verdicts, as a versioned document.

Gates, reports and searches read it; the raw samples lie beside it in `samples/`.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekd.core.quantity import Quantity

SCHEMA_VERSION: Literal[1] = 1
Verdict = Literal["pass", "fail", "inconclusive"]
Role = Literal["candidate", "reference", "along"]
HARDWARE = ("cpu", "arch", "flags", "cores", "memory_mib", "threads")
"""What makes a measured machine the same: not its load, its frequency or its temperature."""


def hardware(machine: Mapping[str, str]) -> list[str | None]:
    """Return what tells a machine from others, of all that was read on it."""
    return [machine.get(name) for name in HARDWARE]


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
    watts_per_core: float | None = None
    """What its file says that a busy core takes; energy is estimated from it where no meter is."""


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
    pss_mib: float | None = None
    """Memory at the end, what is shared divided by the processes that share it; None where the
    system does not tell."""
    energy_j: float | None = None
    """Joules that the processor's packages took while it ran, with all else that ran there; None
    where no meter can be read."""
    undelegated_time: float | None = None
    """Share of time outside the back-end; None where nobody asked."""


class OperatorTime(Result):
    """What one kind of operator took in one module."""

    operator: str
    """As the runtime calls it: it may have joined several of the file."""
    module: str
    """Path of the module in the file; empty where the file or the runtime does not say."""
    delegated: bool | None
    """Whether a delegate computes it; None where the runtime has none."""
    calls: float
    """How often, per run."""
    us: float
    """Microseconds per run: mean of the middle half of the runs."""


class Profile(Result):
    """Where the time of a program goes, noted by the runtime in a process of its own.

    Keeping count makes a program slower: shares are what it tells, latencies are not.
    """

    runs: int
    whole_us: float
    """One run while counting, microseconds."""
    operators: list[OperatorTime]
    """The slowest first."""


class Window(Result):
    """A part of a long run."""

    at_s: float
    """When it ended, in seconds since the program began to run."""
    runs: int
    p50_ms: float
    p90_ms: float
    cpu_share: float
    """Processor time over wall time: less than its threads where others were busy beside it."""
    temperature_c: float | None
    """Of the hottest zone; None where it cannot be read."""
    frequency_mhz: float | None
    """Mean of the cores that the program may use; None where it cannot be read."""
    throttled: int
    """How often the kernel counted since the begin that a core was slowed for heat."""


class Sustained(Result):
    """A program that ran for minutes without a pause, in a process of its own."""

    seconds: float
    """What was asked for."""
    windows: list[Window]


class Rate(Result):
    """How many samples a program answers a second, in one way of running it."""

    samples_a_call: int
    streams: int
    """Processes that ran at the same time."""
    threads: int
    """Of each."""
    per_s: Quantity | None
    """Samples a second of all streams together, its interval over fresh processes."""
    cores: float
    """Processor time a second of all streams together, median."""
    failure: str = ""
    """Why there is no number."""


NOT_VALID = "not valid: "
"""How the note begins that says why a measurement is not valid."""


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
    profile: Profile | None = None
    """None where nobody asked, or where the runtime does not tell."""
    sustained: Sustained | None = None
    """None where nobody asked."""
    throughput: list[Rate] = []
    """Empty where nobody asked."""

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
    right: str = ""
    """Whether the answer to each example was right, in their order, as `core.bits` packs it."""


class Prepared(Result):
    """How long it took to make one example ready, on the machine that drove the measurement."""

    examples: int
    median_ms: float
    lowest_ms: float
    highest_ms: float


class Fed(Result):
    """What went into one input of a program that was measured without a task."""

    program: str
    name: str
    dtype: str
    shape: list[int]
    """Of one call."""
    calls: int
    """How many different ones the runs rotate over."""
    origin: str
    """Where the values come from: `made: normal, mean 0, deviation 1, seed 0`."""


class Measurements(Result):
    """Everything that a `validate` stage or `edgekd bench` found."""

    schema_version: Literal[1] = SCHEMA_VERSION
    reference: str
    """Name of the program that the others are compared with; empty where there is one alone."""
    split: str
    examples: int
    """How many examples were scored; 0 where nobody says what the answers should be."""
    targets: list[MeasuredTarget]
    programs: list[MeasuredProgram]
    """The reference first, then those along the lineage, the candidates last."""
    measurements: list[Measurement]
    quality: list[Quality]
    gates: list[Gate]
    preparing: Prepared | None = None
    """Of a `validate` stage; None where nothing was prepared."""
    inputs: list[Fed] = []
    """Of `edgekd bench`; a `validate` stage feeds the samples of its task."""

    def failures(self) -> list[Measurement]:
        """Return the measurements of programs that could not be measured to the end."""
        return [measurement for measurement in self.measurements if measurement.failure]
