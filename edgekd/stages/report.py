"""Show what was found: one page, the same as Markdown and as JSON, and the gates as JUnit XML."""

from pydantic import Field

from edgekd.core.config import Config
from edgekd.core.kinds import stage
from edgekd.core.needs import LIBRARIES_BYTES, Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Facts
from edgekd.core.refs import MeasurementsRef
from edgekd.report.build import build_report
from edgekd.report.evidence import read_evidence
from edgekd.report.write import here, write_report


class Report(Config):
    """What a report is about."""

    of: tuple[MeasurementsRef, ...] = Field(min_length=1)
    """The `validate` stages whose measurements are shown, as ['$check']."""


DRAWING_BYTES, PAGE_BYTES = 100 * 2**20, 4 * 2**20
"""What matplotlib and the evidence take in memory, and a report's forms on disk."""


def estimate(_config: Report, _preview: Preview) -> Needs:
    """Return what drawing takes; it grows little with what is shown."""
    return Needs(LIBRARIES_BYTES + DRAWING_BYTES, PAGE_BYTES)


@stage(
    config=Report,
    makes="report",
    estimate=estimate,
    reads_data=False,
    computes=False,
    code=("report",),
    compares=True,
)
def report(config: Report, run: Run) -> Facts:
    """Write `report.json`, `report.md`, `report.html` and `report.xml`; say the verdict."""
    stages = [ref.stage for ref in config.of]
    document = build_report(read_evidence(run.origin, run.ancestors, stages, here()))
    write_report(document, run.out)
    return {
        "says": "one page, Markdown, JSON and JUnit XML",
        "result": document.headline.words,
        "verdict": document.headline.verdict,
    }
