"""The report as a versioned, closed document: everything that the page and the Markdown show."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgekd.core.quantity import Quantity
from edgekd.core.results import Fed, Gate, Prepared, Rate, Reliability, Role, Window

Outcome = Literal["pass", "fail", "inconclusive", "not_judged"]


class Document(BaseModel):
    """A frozen, closed part of the report; the text under a field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class KeyFigure(Document):
    """A number for the first screen, with the reference's beside it."""

    label: str
    measured: Quantity
    reference: Quantity | None
    """The same of the reference program, where it was measured."""
    marks: list[str]
    """What must be known of it: `emulated`, `kept from an earlier run`, `invalid`."""


class Headline(Document):
    """What a hurried reader takes away."""

    verdict: Outcome
    words: str
    """The verdict in words."""
    sentence: str
    """What was made, what it costs, what was lost."""
    program: str | None
    """The candidate that the sentence and the key figures are about."""
    target: str | None
    """The target on which its latency was taken."""
    figures: list[KeyFigure]


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


class Spread(Document):
    """Middle and ends of a few values; no interval of confidence."""

    median: float
    lowest: float
    highest: float


class Energy(Document):
    """What a run takes, in millijoules."""

    mj_per_run: Spread
    origin: Literal["meter", "estimate"]
    """`meter`: counted for the processor's packages, with all else that ran there; `estimate`:
    processor time times the watts per core that the target's file states."""


class Start(Document):
    """What fresh processes took to start and to run, over all restarts."""

    restarts: int
    load_ms: Spread
    first_ms: Spread
    warmup_runs: Spread
    cpu_ms_per_run: Spread
    peak_rss_mib: Spread
    pss_mib: Spread | None = None
    """At the end, what is shared divided; None where the system does not tell."""
    energy: Energy | None = None
    """None where there is no meter and the target's file states no watts."""
    load_average: Spread
    drift: Spread
    """Median of the last window over the first, minus 1."""
    settled: bool
    """Whether every process had settled before its samples were taken."""


class Timing(Document):
    """All latencies of one program on one target."""

    samples: int
    ecdf: list[tuple[float, float]]
    """Latency in ms and the share of samples at or below it, thinned."""
    start: Start | None
    file: str
    """Where the raw samples lie, relative to the folder of the measuring stage."""


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


class Quantized(Document):
    """What quantization cost and gained: a candidate against the same model in fp32."""

    program: str
    target: str
    stage: str
    """The stage whose model was quantized."""
    parent: str | None
    """The program of that model in fp32; None, and nothing else, where it was not measured."""
    form: str
    """Precision and runtime of the parent."""
    accuracy: Quantity | None
    """The candidate's minus the parent's, on the split of the check."""
    paired: bool
    """Whether the interval compares the answers to each example, and not two scores."""
    size: Quantity | None
    """The candidate's size over the parent's."""
    latency: Quantity | None
    """Its median latency over the parent's, restarts paired; None where not taken in turns."""
    simulated: Quantity | None
    """The change on the validation split that the stage which quantized found by simulation."""


class LayerCost(Document):
    """What a model loses with one layer alone in 8 bits."""

    path: str
    """As `named_modules()` spells it; empty for the operators outside of any layer."""
    score: Quantity
    lost: Quantity
    """What of the fp32 model's score is lost over the same examples, with its paired interval."""
    error: float
    """Size of the outputs' error over that of the outputs, both as root mean squares."""
    excluded: bool
    """Whether it was left in fp32 to keep the budget."""


class Sensitivity(Document):
    """What a stage that quantized found of each layer, by simulation on validation examples."""

    stage: str
    measure: str
    examples: int
    fp32: Quantity
    """The score of the model in fp32 on these examples."""
    layers: list[LayerCost]
    """The most sensitive first."""
    between: LayerCost
    """All operators outside of layers together, which no exclusion reaches."""
    budget: float | None = None
    """What of the score quantization may cost; None where no budget was set."""
    kept: bool | None = None
    """Whether the simulated model keeps it."""
    tried: int | None = None
    """How many choices of layers were scored."""


class Candidate(Document):
    """A point of the trade-off."""

    program: str
    latency: Quantity
    quality: Quantity
    on_front: bool
    """Whether no other program is both faster and better."""


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


class Throughput(Document):
    """How many samples a second a program answers on a target."""

    program: str
    target: str
    rates: list[Rate]


class LongRun(Document):
    """A program that ran for minutes without a pause on a target."""

    program: str
    target: str
    seconds: float
    windows: list[Window]
    p90_first_ms: float
    """Median over the windows of the first tenth of the time."""
    p90_last_ms: float
    """The same of the last tenth."""
    throttled_after_s: float | None
    """When the device slowed itself: None where it was not seen to, or nothing can be read."""
    seen_by: str
    """What told of it: the kernel's counter or the clock; empty where nothing did."""
    readable: list[str]
    """Of `temperature`, `frequency`."""
    slower_after_s: float | None
    """From when on runs were slower by a tenth than in the beginning, whatever the reason."""


class TradeOff(Document):
    """Quality against latency on one target, with the budget."""

    target: str
    latency_name: str
    """Which percentile: that of the gate, else the median."""
    quality_name: str
    points: list[Candidate]
    latency_limit_ms: float | None
    """Largest latency that the gates allow."""
    quality_floor: float | None
    """Smallest quality that the gates allow."""


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


class Epoch(Document):
    """One pass over the training data."""

    epoch: int
    learning_rate: float
    loss: float
    terms: dict[str, float]
    spreads: dict[str, float] = {}
    """Standard deviation over the epoch's batches of each term, where the training told it."""
    validation: dict[str, float]


class TrainingCost(Document):
    """What a training took, when it was run; a run that was interrupted counts from its last."""

    precision: str
    """What the student multiplied in, and why."""
    samples_per_s: float
    """Examples per second of training; the first step, scoring and checkpoints do not count."""
    time_shares: dict[str, float]
    """Of a step: data, teacher, student, objective, optimizer."""
    first_step_s: float
    peak_memory_mib: float
    """Of one process."""
    processes: int = 1
    """How many trained together."""


class Training(Document):
    """How a stage's training went."""

    stage: str
    monitor: str
    """The validation score that chose the epoch."""
    best_epoch: int
    epochs: list[Epoch]
    cost: TrainingCost | None = None


class StageRecord(Document):
    """A stage that the report rests on."""

    name: str
    kind: str
    key: str
    inputs: dict[str, str]
    says: str
    result: str
    seconds: float
    cpu_seconds: float
    started_at: str
    host: dict[str, str]
    kept: bool
    """Whether it was finished before this run began."""
    seed: int | None
    identity: dict[str, Any]
    """Everything that the key was made of: options, versions, digests, seed."""


class FailedStage(Document):
    """A trial, control or seed without a result, or what rests on one."""

    stage: str
    why: str


class SeedScore(Document):
    """A model's score on the test split."""

    stage: str
    seed: int | None
    score: Quantity | None
    """None where the stage failed."""
    failure: str = ""
    """Why."""


class Arm(Document):
    """Stages that differ in nothing but their seed."""

    name: str
    """The first of them."""
    setting: str
    """What sets the arm apart in its group: `no_kd`, `train.learning_rate 0.01`."""
    control: bool
    scores: list[SeedScore]
    mean: Quantity | None
    """With the interval of the mean over seeds, by Student's t; None where all failed."""
    deviation: Quantity | None
    """Standard deviation over seeds; None of one."""
    difference: Quantity | None
    """Mean difference to the group's first arm over equal seeds; None for the first."""
    p: float | None
    """Two-sided, of Student's paired t-test, with Holm's correction over the group."""
    words: str
    """What the difference shows."""


class Comparison(Document):
    """All that was made from one stage of the file, scored on the test split."""

    stage: str
    measure: str
    tests: int
    """How many were made, which is what `p` is corrected for."""
    arms: list[Arm]
    """The first is what the others are compared with."""


class Tried(Document):
    """A candidate that a stage measured to choose among several."""

    name: str
    became: str
    """`chosen`, or why it was not."""
    quantities: dict[str, Quantity]
    """On the validation split, by gate name; what it was not measured by is absent."""
    restarts: int
    """Fresh processes in which it was timed."""


class Choice(Document):
    """What a stage chose by measurement, and among what."""

    stage: str
    targets: list[str]
    says: str
    quality_name: str
    max_drop: float
    """Most that the quality may fall, in its own unit."""
    tried: list[Tried]
    """The fastest first; those that were not timed last."""
    marks: list[str]
    """Why its latencies need care: `kept from an earlier run`."""


class Selected(Document):
    """Which training examples a stage chose to be labelled."""

    stage: str
    strategy: str
    seed: int | None
    taken: list[int]
    """Ids of the training split, in the order in which they were chosen."""
    classes: dict[str, int]
    """How many of them turned out to be of each class."""
    labelled: int
    """All that are labelled now."""
    left: int
    """The rest of the training split."""
    learned: dict[str, Quantity]
    """The score on the test split of each stage that learned from the labels so far."""


class Provenance(Document):
    """Where it all comes from and how to do it again."""

    pipeline: str
    """The pipeline file as written."""
    file: str
    sets: list[str]
    """Overrides of the command line."""
    command: str
    """What repeats the run."""
    versions: dict[str, str]
    """Of edgekd, Python and what drew the report; each stage's own are in its identity."""
    stages: list[StageRecord]


class Report(Document):
    """A run, as it is shown to people and kept for machines."""

    schema_version: Literal[2] = 2
    name: str
    headline: Headline
    checks: list[Check]
    failed: list[FailedStage]
    """What the report has to do without."""
    comparisons: list[Comparison]
    choices: list[Choice] = []
    selections: list[Selected] = []
    training: list[Training]
    sensitivity: list[Sensitivity] = []
    provenance: Provenance
