"""Layer by layer: what each costs in 8 bits alone, and which were left in fp32."""

from collections.abc import Iterator

from edgekd.core.quantity import Quantity
from edgekd.report.schema.report import Report
from edgekd.report.schema.sensitivity import LayerCost, Sensitivity
from edgekd.report.sections.parts import Figure, Part, Section
from edgekd.report.tables import Cell, Table, row_of
from edgekd.report.words import label, listed, plural

_MOST_BARS = 24
BETWEEN = "between layers"


def sensitivity(report: Report) -> Section | None:
    """Return a figure and its table per stage that measured its layers; None where none did."""
    several = len(report.sensitivity) > 1
    parts = [_part(one, one.stage if several else "") for one in report.sensitivity]
    return Section("layers", "Layers in 8 bits", parts) if parts else None


def _part(one: Sensitivity, title: str) -> Part:
    if not one.layers:
        return Part(title, lines=[f"{one.stage} has no layer of its own to rank."])

    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.layers import layers

        return layers(one, one.layers[:_MOST_BARS], name, width)

    return Part(title, [*_lines(one)], [Figure(draw, _caption(one), [layers_table(one)])])


def _caption(one: Sensitivity) -> str:
    left_out = len(one.layers) - _MOST_BARS
    rest = f" The {left_out} least sensitive ones are in the table alone." if left_out > 0 else ""
    excluded = any(layer.excluded for layer in one.layers)
    hollow = " Hollow: left in fp32." if excluded else ""
    return (
        f"Each layer of {one.stage} in 8 bits alone, all else in fp32, simulated on "
        f"{one.examples:,} validation examples. Bars: error of the outputs over their size (root "
        f"mean squares), which ranks the layers. Points: what of {label(one.measure).lower()} is "
        f"lost, with 95 % intervals; where they reach across 0 the loss may be chance.{hollow} "
        f"Grey: all operators between layers together, such as sums and pooling.{rest}"
    )


def _lines(one: Sensitivity) -> Iterator[str]:
    """Yield what the budget asked for and what became of it."""
    if one.budget is None:
        return
    limit = Quantity(one.budget, "share_difference")
    excluded = [layer.path for layer in one.layers if layer.excluded]
    tried = plural(one.tried or 0, "choice")
    if not one.kept:
        yield (
            f"{one.stage} cannot keep its budget of {limit} by leaving layers in fp32, not even "
            f"all {len(one.layers)}: what lies between them costs more. None was left out."
        )
    elif excluded:
        yield (
            f"{one.stage} keeps its budget of {limit} with {len(excluded)} of {len(one.layers)} "
            f"layers in fp32: {listed(excluded)}. {tried} scored on the validation split; with "
            "any one of these in 8 bits it is not kept."
        )
    else:
        yield f"{one.stage} keeps its budget of {limit} with every layer in 8 bits."


def layers_table(one: Sensitivity) -> Table:
    """Return the layers, the most sensitive first, and what lies between them."""
    rows = [_row(layer, place) for place, layer in enumerate([*one.layers, one.between], 1)]
    head = ("Layer", "Rank", "Left in", "Output error", label(one.measure), "Lost against fp32")
    return Table(f"Layers of {one.stage} in 8 bits alone", head, rows, (0, 2))


def _row(layer: LayerCost, place: int) -> tuple[Cell, ...]:
    return row_of(
        layer.path or BETWEEN,
        f"{place}" if layer.path else "—",
        "fp32" if layer.excluded else "8 bits",
        str(Quantity(layer.error, "share")),
        str(layer.score),
        str(layer.lost),
    )
