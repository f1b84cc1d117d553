"""What is said of a command on a target that did not end well."""

from collections.abc import Sequence
from pathlib import Path

from edgekd.core.endings import ended
from edgekd.core.errors import StageError

LAST_LINES = 8


def shown(command: Sequence[str]) -> str:
    """Return a command by the names of its files."""
    return f"'{' '.join(Path(word).name for word in command)}'"


def failed(what: str, status: int, wrote: str, where: str = "") -> StageError:
    """Return what to say of a command that failed, `where` as in ' on ssh://pi'."""
    last = "\n".join(wrote.strip().splitlines()[-LAST_LINES:])
    return StageError(f"{what} {ended(status)}{where}.", last and f"It wrote last:\n{last}")


def too_long(what: str, timeout_s: float, where: str = "") -> StageError:
    """Return what to say of something that took longer than it may."""
    return StageError(
        f"{what} took longer than {timeout_s:g} s{where}.",
        "Measure less (bench: {mode: quick}), or raise timeout_s of the transport.",
    )
