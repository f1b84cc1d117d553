"""What was looked at and what was found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: Literal["ok", "hint", "wrong"]
    """A hint is worth knowing and keeps nothing from working."""
    found: str
    cure: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything works in spite of it."""
        return self.level != "wrong"


def fine(what: str, found: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(what, "ok", found)


def hint(what: str, found: str, cure: str) -> Finding:
    """Return that something may cost time or spoil a measurement."""
    return Finding(what, "hint", found, cure)


def wrong(what: str, found: str, cure: str) -> Finding:
    """Return that something will not work."""
    return Finding(what, "wrong", found, cure)
