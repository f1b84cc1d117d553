"""What stages chose by measurement, from what they wrote down."""

from collections.abc import Iterator

from edgekd.core.artifact import Manifest
from edgekd.report.evidence import Evidence
from edgekd.report.provenance import kept
from edgekd.report.schema.choices import Choice, Tried


def choices(evidence: Evidence) -> Iterator[Choice]:
    """Yield each stage that measured candidates, in the order of the pipeline."""
    for name, manifest in evidence.stages.items():
        if "budget" in manifest.facts:
            yield Choice(
                stage=name,
                targets=list(manifest.facts["targets"]),
                says=manifest.facts["says"],
                quality_name=manifest.facts["budget"]["quality"],
                max_drop=manifest.facts["budget"]["most"],
                tried=[Tried.model_validate(row) for row in manifest.facts["candidates"]],
                marks=_marks(manifest, evidence),
            )


def _marks(manifest: Manifest, evidence: Evidence) -> list[str]:
    marks = []
    if kept(manifest, evidence.origin.started_at):
        marks.append("kept from an earlier run")
    if any(manifest.host.get(name, here) != here for name, here in evidence.host.items()):
        marks.append("taken from another machine")
    return marks
