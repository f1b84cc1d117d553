"""Labels: which training examples were chosen to be labelled, and by what."""

from collections.abc import Mapping

from edgekd.report.schema.choices import Selected
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Part, Section
from edgekd.report.tables import Table, row_of

_MOST_CLASSES = 20
LATER = ".seed-"
"""Part of the name of a stage that is made once more with another seed."""


def labels(report: Report) -> Section | None:
    """Return what was chosen round by round; None where nothing was."""
    if not report.selections:
        return None
    line = (
        "Labels of these training examples were looked at, and of no others. The score of who "
        "learned from all of them so far is that on the test split."
    )
    first = [one for one in report.selections if LATER not in one.stage]
    ids = "\n".join(f"{one.stage}: {' '.join(map(str, one.taken))}" for one in report.selections)
    part = Part(lines=[line], tables=[labels_table(first)], folded={"Ids": ids})
    return Section("labels", "Labels", [part])


def labels_table(selections: list[Selected]) -> Table:
    """Return what each selection took, by class, and what came of it."""
    rows = [
        row_of(
            one.stage,
            one.strategy,
            _classes(one.classes),
            str(one.labelled),
            f"{one.left:,}",
            ", ".join(f"{name}: {score}" for name, score in one.learned.items()) or "—",
        )
        for one in selections
    ]
    head = ("Selection", "By", "Taken of class", "Labelled", "Left", "Learned from it")
    return Table("What was labelled", head, rows, (0, 1, 2, 5))


def _classes(classes: Mapping[str, int]) -> str:
    """Return `0, 3 x 2, 7`."""
    shown = [f"{name} x {n}" if n > 1 else name for name, n in classes.items()]
    rest = len(shown) - _MOST_CLASSES
    return ", ".join(shown[:_MOST_CLASSES]) + (f" and {rest} more classes" if rest > 0 else "")
