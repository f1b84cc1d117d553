"""The report in order, before any format."""

from edgekd.report.schema.report import Report
from edgekd.report.sections.choice import choice
from edgekd.report.sections.comparison import comparison
from edgekd.report.sections.fed import fed
from edgekd.report.sections.labels import labels
from edgekd.report.sections.latency import latency
from edgekd.report.sections.operators import operators
from edgekd.report.sections.parts import Section
from edgekd.report.sections.provenance import provenance
from edgekd.report.sections.quality import quality
from edgekd.report.sections.sensitivity import sensitivity
from edgekd.report.sections.steps import steps
from edgekd.report.sections.sustained import sustained
from edgekd.report.sections.throughput import throughput
from edgekd.report.sections.trade_off import trade_off
from edgekd.report.sections.training import training


def content(report: Report) -> list[Section]:
    """Return the sections that there is evidence for, in the order that they are read."""
    made = (
        steps(report),
        latency(report),
        throughput(report),
        sustained(report),
        operators(report),
        fed(report),
        quality(report),
        sensitivity(report),
        trade_off(report),
        choice(report),
        comparison(report),
        labels(report),
        training(report),
        provenance(report),
    )
    return [section for section in made if section]
