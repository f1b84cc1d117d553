"""What every tracker does with what it is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

RUN = ""
"""Stands for the run as a whole where a stage's name is expected."""
State = Literal["done", "kept", "failed", "left out", "interrupted"]


class Tracker(Protocol):
    """A place for numbers and words. Times are seconds since 1970; any call may raise."""

    def begin(self, stage: str, settings: Mapping[str, str], at: float) -> None:
        """Open a place for a stage, with what it was set to; `RUN` comes first."""

    def numbers(self, stage: str, values: Mapping[str, float], step: int, at: float) -> None:
        """Add a point to a curve per name."""

    def words(self, stage: str, about: str, rows: Mapping[str, str], at: float) -> None:
        """Add a small table; `about` names it."""

    def file(self, path: Path) -> None:
        """Take a copy of a file of the run, where files can be kept."""

    def end(self, stage: str, state: State, at: float) -> None:
        """Close the place of a stage; `RUN` comes last."""
