"""All that was measured of some programs, and judged by gates."""

from edgekd.core.quantity import Quantity
from edgekd.core.results import Fed, Gate, Prepared, Reliability, Role
from edgekd.report.schema.document import Document
from edgekd.report.schema.load import LongRun, Throughput
from edgekd.report.schema.operators import LeftOut, OperatorTimes
from edgekd.report.schema.quantized import Quantized
from edgekd.report.schema.timing import Timing
from edgekd.report.schema.trade_off import TradeOff


class Machine(Document):
    """A target as it was found, and when and by whom it was measured."""

    name: str
    description: str
    emulated: bool
    facts: dict[str, str]
    """CPU, memory, OS, runtime versions, as read on the device."""
    measured_at: str
    """ISO 8601, UTC."""
    sittings: list[str] = []
    """When each run began that measured here: several where earlier measurements were kept."""
    watts_per_core: float | None = None
    """What its file says that a busy core takes, from which energy is estimated."""
    measured_by: dict[str, str]
    """The host that drove the measurement."""
    marks: list[str]
    """Why its latencies need care; empty where they were taken in this run."""


class Step(Document):
    """One program: a station on the way from the reference to what is shipped."""

    program: str
    role: Role
    control: bool
    """Whether it was measured beside the way: no candidate was made from it."""
    before: str | None
    """The measured program that it is compared with; None for the reference."""
    runtime: str
    precision: str
    parameters: int | None
    file: str
    digest: str
    size: Quantity


class Row(Document):
    """What was measured of one program on one target."""

    program: str
    target: str
    quantities: dict[str, Quantity]
    valid: bool
    notes: list[str]
    failure: str = ""
    """Why the program could not be measured here, and what its process wrote last."""
    change: str
    """What became better or worse against the step before; empty where there is none."""
    gained: bool
    """Whether anything became better; True where there is no step before."""
    timing: Timing
    reliability: list[Reliability]
    per_class: dict[str, Quantity]
    right: str = ""
    """Whether the answer to each example was right, in the order of the split: base64 of a bit
    each, the first in the highest; empty where there are no labels."""


class Check(Document):
    """What one `validate` stage or `edgekd bench` found."""

    stage: str
    reference: str
    split: str
    examples: int
    quality_name: str
    machines: list[Machine]
    steps: list[Step]
    """The reference, the way, the candidates; controls last."""
    rows: list[Row]
    quantized: list[Quantized]
    left_out: list[LeftOut] = []
    operators: list[OperatorTimes] = []
    long_runs: list[LongRun] = []
    throughput: list[Throughput] = []
    gates: list[Gate]
    inconclusive_allowed: bool
    """Whether a gate that is inconclusive does not break the contract."""
    trade_offs: list[TradeOff]
    preparing: Prepared | None = None
    """How long examples took to make ready, on the machine that drove the measurement."""
    inputs: list[Fed] = []
    """What went into programs that were measured without a task."""
