"""Comparison: what seeds, controls and trials came to, and what may be concluded."""

from edgekd.core.quantity import Quantity
from edgekd.report.schema.comparison import Arm, Comparison
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Figure, Part, Section
from edgekd.report.tables import Table, row_of
from edgekd.report.words import label, value_text


def comparison(report: Report) -> Section | None:
    """Return a figure and a table per group; None where no stage is one of several."""
    parts = [_part(one) for one in report.comparisons]
    return Section("comparison", "Comparison", parts) if parts else None


def _part(one: Comparison) -> Part:
    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.arms import arms as chart

        return chart(one, name, width)

    caption = (
        f"{label(one.measure)} on the test split, which chose nothing. Small: one seed each. "
        "Large: their mean, with its 95 % interval."
    )
    return Part(
        one.stage,
        lines=remarks(one),
        figures=[Figure(draw, caption, [seeds_table(one)])],
        tables=[comparison_table(one)],
        tables_first=True,
    )


def remarks(one: Comparison) -> list[str]:
    """Return how differences were taken and tested, and what cannot be told."""
    first = arm_label(one, one.arms[0])
    lines = []
    if len(one.arms) > 1:
        lines.append(
            f"Differences are to {first}, over equal seeds, with 95 % intervals and Student's "
            "paired t-test."
        )
    if one.tests > 1:
        lines.append(
            f"The p values are corrected for {one.tests} tests at once (Holm); "
            "each interval stands for itself."
        )
    if all(len(arm.scores) == 1 for arm in one.arms):
        lines.append("One seed each: what chance does is not known. Ask for more with seeds: 3.")
    return lines


def arm_label(one: Comparison, arm: Arm) -> str:
    """Return an arm's name where its group is known: `student`, `no_kd`, `2: width 8`."""
    group = one.stage.split(".")
    short = ".".join(part for part in arm.name.split(".") if part not in group) or arm.name
    return short if arm.control or not arm.setting else f"{short}: {arm.setting}"


def comparison_table(one: Comparison) -> Table:
    """Return mean, spread and test of every arm."""
    rows = [
        row_of(
            arm_label(one, arm),
            str(sum(score.score is not None for score in arm.scores)),
            _cell(arm.mean),
            _cell(arm.deviation),
            _cell(arm.difference),
            arm.words or "—",
        )
        for arm in one.arms
    ]
    head = (
        "Variant",
        "Seeds",
        f"Mean {label(one.measure).lower()}",
        "Standard deviation",
        "Difference",
    )
    return Table(f"What was made from {one.stage}", (*head, "Shown"), rows, (0, 5))


def brief_table(one: Comparison) -> Table:
    """Return mean and test of every arm, for a terminal."""
    rows = [row_of(arm_label(one, arm), _cell(arm.mean), arm.words) for arm in one.arms]
    return Table(one.stage, (one.stage, f"{one.measure} on test", "shown"), rows, (0, 2))


def seeds_table(one: Comparison) -> Table:
    """Return every score by itself."""
    rows = [
        row_of(
            score.stage,
            "—" if score.seed is None else str(score.seed),
            str(score.score) if score.score else f"failed: {score.failure}",
        )
        for arm in one.arms
        for score in arm.scores
    ]
    return Table(f"{label(one.measure)} by seed", ("Stage", "Seed", label(one.measure)), rows)


def _cell(quantity: Quantity | None) -> str:
    if quantity is None:
        return "—"
    return str(quantity) if quantity.low is not None else value_text(quantity)
