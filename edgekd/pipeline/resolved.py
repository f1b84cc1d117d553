"""A request and the pipeline that it resolves to, as JSON values that the parent plans with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edgekd.core.member import Member


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    file: str
    """Absolute path of the pipeline file."""
    sets: Sequence[str] = ()
    """Overrides, `path=value`."""
    targets: Sequence[str] = ()
    """Devices to measure on instead of the file's."""
    processes: int = 1
    """How many work together on a stage that trains."""
    processes_here: int = 1
    """How many of them share this machine."""


@dataclass(frozen=True)
class ResolvedStage:
    """A stage with all that its result depends on, except what is only known when it runs."""

    name: str
    kind: str
    makes: str
    options: Mapping[str, Any]
    inputs: Sequence[str]
    seed: int
    implied_by: str
    instead: Mapping[str, Mapping[str, str]]
    """By the kind of result that is wanted, for which stages of the file others are read."""
    remarks: Sequence[str]
    """What the plan says of it."""
    reads_data: bool
    computes: bool
    """Whether its last bits depend on device, precision, threads and processes."""
    named: bool
    """Whether its result bears its name; any other stage with the same identity shares it."""
    measures: bool
    """Whether it times programs: what it finds belongs to the machine it is found on."""
    shared: bool
    """Whether all processes of the run work on it together."""
    stops: bool
    """Whether it ends after its step when it is asked to; any other is interrupted at once."""
    judges: Sequence[str]
    """Options that judge what the stage finds and do not shape it."""
    code: Mapping[str, str]
    """Digests of the source of the stage, of its plug-ins and of what they import, by file."""
    libraries: Mapping[str, str]
    """Versions, with the build where it shapes a measurement."""
    files: Sequence[str]
    """Paths whose content the result depends on."""
    paths: Sequence[str]
    """Options that are paths: what lies there counts, not where."""
    targets: Mapping[str, Mapping[str, Any]]
    member: Member | None = None
    """What it is among the stages that were made from one of the file; None where it is alone."""
    task: Mapping[str, Any] | None = None
    """Its own; None where it has the pipeline's."""
    task_judges: Sequence[str] = ()
    """Options of its own task that do not shape a result."""
    needs: Mapping[str, Any] | None = None
    """What it is estimated to need of the machine, `core.needs.Needs`; None where unknown."""


@dataclass(frozen=True)
class Resolved:
    """A pipeline, ready to be planned."""

    name: str
    request: Request
    text: str
    device: str
    precision: str
    """What numbers are multiplied in: float32, or tf32 where a GPU rounds."""
    threads: int
    """Of each process."""
    plugins: Sequence[str]
    """Modules to import first, as the file names them."""
    task: Mapping[str, Any]
    task_judges: Sequence[str]
    """Options of the task that judge the data and do not shape a result."""
    checkpoint: Mapping[str, Any]
    """How often a stage that trains writes down its state; no result depends on it."""
    track: Mapping[str, Any]
    """Where the run's numbers are told besides; no result depends on it."""
    stages: Sequence[ResolvedStage]
    depends: Mapping[str, str] = field(default_factory=dict)
    """Files that this was read from besides the pipeline file, with their SHA-256."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What was installed of every distribution that shapes a result, or that tracks the run."""
    target_files: Mapping[str, str] = field(default_factory=dict)
    """Where each target was found: another file may be nearer the next time."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Resolved":
        """Return what `as_dict` described."""
        stages = tuple(map(_stage, data["stages"]))
        return Resolved(**{**data, "request": Request(**data["request"]), "stages": stages})


def _stage(data: Mapping[str, Any]) -> ResolvedStage:
    member = data["member"]
    return ResolvedStage(**{**data, "member": Member(**member) if member else None})
