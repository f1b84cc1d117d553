"""Text from files that somebody else wrote, made fit for a terminal."""

MAX_CHARACTERS = 20_000


def printable(text: str) -> str:
    """Return a text without what would steer a terminal: line breaks alone stay."""
    kept = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return kept if len(kept) <= MAX_CHARACTERS else f"{kept[:MAX_CHARACTERS]} ..."
