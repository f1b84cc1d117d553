"""Where a run's results come from: the pipeline, its stages, versions."""

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgekd.core.artifact import Manifest
from edgekd.core.quantity import Quantity, significant
from edgekd.core.version import VERSION
from edgekd.report.evidence import Evidence
from edgekd.report.schema.provenance import Provenance, StageRecord


def provenance(evidence: Evidence) -> Provenance:
    """Return what a run was made of, its stages in the order of the pipeline."""
    origin = evidence.origin
    measured = next((one.manifest.identity.get("task") for one in evidence.validations), None)
    return Provenance(
        pipeline=origin.text,
        file=origin.file,
        sets=list(origin.sets),
        command=origin.command,
        versions={"edgekd": VERSION} | _versions(("numpy", "matplotlib", "jinja2")),
        stages=[
            _stage(name, manifest, origin.started_at, measured)
            for name, manifest in evidence.stages.items()
        ],
    )


def kept(manifest: Manifest, run_started_at: str) -> bool:
    """Tell whether a stage began before the run did, so that its result was kept."""
    if not run_started_at:
        return False
    return datetime.fromisoformat(manifest.started_at) < datetime.fromisoformat(run_started_at)


def earlier(time: str, run_started_at: str) -> bool:
    """Tell whether a moment, in whole seconds, lies before the run began."""
    if not run_started_at:
        return False
    began = datetime.fromisoformat(run_started_at).replace(microsecond=0)
    return datetime.fromisoformat(time) < began


def _stage(
    name: str, manifest: Manifest, run_started_at: str, task: Mapping[str, Any] | None
) -> StageRecord:
    """Return what is told of a stage; `task` is the run's, which alone is measured."""
    seed, own = manifest.identity.get("seed"), manifest.identity.get("task")
    other = ", of another task than the run's" if task and own and own != task else ""
    return StageRecord(
        name=name,  # one kept from another pipeline may have had another name there
        kind=manifest.kind,
        key=manifest.key,
        inputs=dict(manifest.inputs),
        says=str(manifest.facts.get("says", "")) + other,
        result=_result(manifest.facts),
        seconds=manifest.seconds,
        cpu_seconds=manifest.cpu_seconds,
        started_at=manifest.started_at,
        host=dict(manifest.host),
        kept=kept(manifest, run_started_at),
        seed=seed if isinstance(seed, int) else None,
        identity=dict(manifest.identity),
    )


def _result(facts: Mapping[str, Any]) -> str:
    """Return a stage's one number that matters as text.

    A stage that names its `measure` scored a model by it, on the validation split: the test split
    is for the checks alone.
    """
    fact = facts.get("result", "")
    if isinstance(fact, Mapping) and {"value", "unit"} <= {*fact}:
        measure = facts.get("measure")
        return f"{Quantity(**fact)}" + (f" {measure} on validation" if measure else "")
    return significant(fact) if isinstance(fact, float) else str(fact)


def _versions(distributions: Sequence[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found
