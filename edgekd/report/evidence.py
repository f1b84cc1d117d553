"""What a report rests on, read from the folders of the stages before it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from edgekd.core.artifact import Manifest
from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols.stage import Ancestor, Origin
from edgekd.core.results import Measurements

MEASUREMENTS, HISTORY = "measurements.json", "history.json"
T = TypeVar("T")


class PastEpoch(BaseModel):
    """One epoch as the training loop wrote it; what it adds later is passed over."""

    model_config = ConfigDict(extra="ignore")

    epoch: int
    learning_rate: float
    loss: float
    terms: dict[str, float] = {}
    spreads: dict[str, float] = {}
    validation: dict[str, float] = {}


class History(BaseModel):
    """`history.json` of a trained model's folder."""

    model_config = ConfigDict(extra="ignore")

    monitor: str
    best_epoch: int
    epochs: list[PastEpoch]


@dataclass(frozen=True)
class Validation:
    """The result of one `validate` stage."""

    stage: str
    manifest: Manifest
    measurements: Measurements
    samples: Mapping[str, Sequence[Sequence[float]]]
    """Latencies in ms by restart, under the file name that the measurement gives."""


@dataclass(frozen=True)
class Evidence:
    """Everything that a report is made from."""

    origin: Origin
    validations: Sequence[Validation]
    histories: Mapping[str, History]
    """By stage, in the order of the pipeline."""
    stages: Mapping[str, Manifest]
    """Every stage that the report rests on, in the order of the pipeline."""
    host: Mapping[str, str] = field(default_factory=dict)
    """What tells the machine that makes the report from others, as in `Manifest.host`."""


def read_evidence(
    origin: Origin,
    ancestors: Mapping[str, Ancestor],
    of: Sequence[str],
    host: Mapping[str, str],
) -> Evidence:
    """Return what the folders of `ancestors` hold, measurements from the stages named in `of`.

    RequestError where a file cannot be read, with all such files at once.
    """
    problems: list[Problem] = []
    histories = {
        name: _read(History, ancestor.folder / HISTORY, name, problems)
        for name, ancestor in ancestors.items()
        if (ancestor.folder / HISTORY).exists()
    }
    validations = [_validation(name, ancestors[name], problems) for name in of]
    if problems:
        raise RequestError(problems)
    return Evidence(
        origin,
        [v for v in validations if v],
        {name: history for name, history in histories.items() if history},
        {name: ancestor.manifest for name, ancestor in ancestors.items()},
        host,
    )


def _validation(stage: str, ancestor: Ancestor, problems: list[Problem]) -> Validation | None:
    found = _read(Measurements, ancestor.folder / MEASUREMENTS, stage, problems)
    if found is None:
        return None
    samples = {
        m.samples: _read(list[list[float]], ancestor.folder / m.samples, stage, problems) or []
        for m in found.measurements
        if m.samples
    }
    return Validation(stage, ancestor.manifest, found, samples)


def _read(kind: type[T], path: Path, stage: str, problems: list[Problem]) -> T | None:
    """Return a JSON file as what it should be; otherwise note what is wrong with it."""
    try:
        return TypeAdapter(kind).validate_python(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        found = _first(error) if isinstance(error, ValidationError) else str(error)
        problems.append(
            Problem(
                f"stages.{stage}",
                f"its result has a {path.name} that this version of edgekd cannot read: {found}",
                f"Remove {path.parent} and run again; the stage is then made anew.",
            )
        )
        return None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}"
