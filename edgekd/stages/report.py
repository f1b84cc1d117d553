"""Show what was found: one page, the same as Markdown and as JSON."""

import os
import platform

from pydantic import Field

from edgekd.core.config import Config
from edgekd.core.kinds import stage
from edgekd.core.needs import LIBRARIES_BYTES, Needs
from edgekd.core.protocols import Facts, Preview, Run
from edgekd.core.refs import MeasurementsRef
from edgekd.report.build import build_report
from edgekd.report.evidence import read_evidence
from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown


class Report(Config):
    """What a report is about."""

    of: tuple[MeasurementsRef, ...] = Field(min_length=1)
    """The `validate` stages whose measurements are shown, as ['$check']."""


DRAWING_BYTES, PAGE_BYTES = 100 * 2**20, 4 * 2**20
"""What matplotlib and the evidence take in memory, and three forms of a report on disk."""


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
    """Write `report.json`, `report.md` and `report.html`; say the verdict."""
    stages = [ref.stage for ref in config.of]
    document = build_report(read_evidence(run.origin, run.ancestors, stages, _here()))
    (run.out / "report.json").write_text(document.model_dump_json(indent=1) + "\n", "utf-8")
    (run.out / "report.md").write_text(to_markdown(document), "utf-8")
    (run.out / "report.html").write_text(to_html(document), "utf-8")
    return {
        "says": "one page, Markdown and JSON",
        "result": document.headline.words,
        "verdict": document.headline.verdict,
    }


def _here() -> dict[str, str]:
    """Return what tells this machine from another, in the words of a manifest's host."""
    return {"arch": platform.machine(), "cores": str(os.cpu_count())}
