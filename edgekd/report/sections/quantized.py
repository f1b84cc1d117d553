"""What quantization cost and gained, in a table and in words where it does not pay."""

from collections.abc import Iterator

from edgekd.core.quantity import Quantity
from edgekd.report.schema.check import Check
from edgekd.report.schema.quantized import Quantized
from edgekd.report.tables import Cell, Table, machine_of, marks_of, row_of
from edgekd.report.words import label, listed

_MOST_LOST = 0.005
"""The share of accuracy that fewer bits should cost at most; more is said in words."""


def quantized_table(check: Check, target: str) -> Table:
    """Return each quantized candidate beside the same model in fp32; no row where none was."""
    rows = [
        row_of(
            one.program,
            f"{one.parent} ({one.form})",
            _accuracy(one),
            str(one.size),
            Cell(
                str(one.latency) if one.latency else "not taken in turns",
                None,
                marks_of(machine_of(check, target)) if one.latency else "",
            ),
        )
        for one in check.quantized
        if one.target == target and one.parent
    ]
    head = ("Program", "Against", f"{label(check.quality_name)}, change", "Size against fp32")
    return Table(
        f"What quantization changed on {target}, {check.examples:,} {check.split} examples",
        (*head, "Latency p50 against fp32"),
        rows,
        (0, 1),
    )


def quantized_lines(check: Check, target: str) -> list[str]:
    """Return what must be known of quantization: where it does not pay, or was not compared."""
    return [
        f"{one.program}: {said}."
        for one in check.quantized
        if one.target == target
        for said in _said(one, label(check.quality_name).lower())
    ]


def _said(one: Quantized, quality: str) -> Iterator[str]:
    if not one.parent:
        yield (
            f"what quantization cost is not known, as {one.stage} was not measured in fp32; name "
            "it under `along`"
        )
        return
    worse = {
        what: f"{word} ({ratio})"
        for what, word, ratio in (("latency", "slower", one.latency), ("size", "larger", one.size))
        if ratio and (ratio.value if ratio.low is None else ratio.low) > 1
    }
    if worse:
        than = f"than {one.parent} ({one.form})"
        yield f"{listed([*worse.values()])} {than}: a step that does not pay in {listed([*worse])}"
    if one.accuracy and one.accuracy.value < -_MOST_LOST:
        yield (
            f"{_signed(one.accuracy)} of {quality} against {one.parent}, more than "
            f"{Quantity(_MOST_LOST, 'share_difference')} lost" + _reason(one)
        )


def _reason(one: Quantized) -> str:
    """Return where the loss arises, as far as the simulation of the quantizing stage shows."""
    if not one.simulated:
        return ""
    whose = (
        "the rounding itself costs it"
        if one.simulated.value < -_MOST_LOST
        else "the rounding alone does not"
    )
    return f"; simulated on validation {_signed(one.simulated)}: {whose}"


def _accuracy(one: Quantized) -> Cell:
    if one.accuracy is None:
        return Cell("not measured")
    return Cell(_signed(one.accuracy), None, "paired" if one.paired else "unpaired, so wider")


def _signed(change: Quantity) -> str:
    return f"{'+' if change.value > 0 else ''}{change}"
