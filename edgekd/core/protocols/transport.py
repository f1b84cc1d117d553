"""What a way to a device must do.

A transport may register `check(options)`, which yields problems before anything runs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class Transport(Protocol):
    """The way to a device."""

    python: str | None
    """The Python interpreter there, None where there is none."""
    told: Callable[[str], None]
    """Is told for whom one must wait, where another run has the device."""

    def push(self, local: Path) -> str:
        """Copy a file to the device's working folder; return its path there."""

    def run(self, command: Sequence[str]) -> str:
        """Run a command there and return what it printed; raise StageError where it fails."""

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file back."""
