"""Where it all comes from, and how to do it again."""

from typing import Any

from edgekd.report.schema.document import Document


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
