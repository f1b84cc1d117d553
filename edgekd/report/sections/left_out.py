"""Operators that a back-end left to slow kernels."""

from edgekd.report.schema.check import Check
from edgekd.report.tables import Table, row_of


def left_out_table(check: Check) -> Table:
    """Return each operator outside the back-end with its reason; no row where all were taken."""
    rows = [row_of(one.program, one.operator, f"{one.count}", one.why) for one in check.left_out]
    title = "Operators that the back-end left to portable kernels"
    return Table(title, ("Program", "Operator", "Times", "Why"), rows, (0, 1, 3))
