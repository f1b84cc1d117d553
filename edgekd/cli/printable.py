"""Text made fit for a terminal: what somebody else wrote, and what is long."""

import textwrap
from collections.abc import Sequence

MAX_CHARACTERS = 20_000
LONGEST_REASON = 100


def printable(text: str) -> str:
    """Return a text without what would steer a terminal: line breaks alone stay."""
    kept = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return kept if len(kept) <= MAX_CHARACTERS else f"{kept[:MAX_CHARACTERS]} ..."


def brief(reasons: Sequence[str]) -> str:
    """Return reasons on one line; `edgekd why` prints them whole."""
    return textwrap.shorten("; ".join(reasons), LONGEST_REASON, placeholder=" ... (edgekd why)")
