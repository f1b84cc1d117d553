"""The whole document."""

from typing import Literal

from edgekd.report.schema.check import Check
from edgekd.report.schema.choices import Choice, Selected
from edgekd.report.schema.comparison import Comparison
from edgekd.report.schema.document import Document
from edgekd.report.schema.headline import Headline
from edgekd.report.schema.provenance import FailedStage, Provenance
from edgekd.report.schema.sensitivity import Sensitivity
from edgekd.report.schema.training import Training


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
