"""Text made fit for a terminal: what somebody else wrote, and what is long."""

import textwrap
from collections.abc import Iterator, Sequence

MAX_CHARACTERS = 20_000
LONGEST_REASON = 100
GAP = "  "


def printable(text: str) -> str:
    """Return a text without what would steer a terminal: line breaks alone stay."""
    kept = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return kept if len(kept) <= MAX_CHARACTERS else f"{kept[:MAX_CHARACTERS]} ..."


def brief(reasons: Sequence[str]) -> str:
    """Return reasons on one line; `edgekd why` prints them whole."""
    return textwrap.shorten("; ".join(reasons), LONGEST_REASON, placeholder=" ... (edgekd why)")


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows of cells as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + GAP.join(cells)).rstrip()
