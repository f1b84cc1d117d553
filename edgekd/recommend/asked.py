"""What is asked of a recommendation: whose student, under which budget, written where."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekd.core.errors import Problem, RequestError

SECONDS = {"s": 1, "m": 60, "h": 3600}
WRITTEN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|epochs?)")


@dataclass(frozen=True)
class Budget:
    """What the trials may take; the teacher, who is trained once whatever is tried, not counted."""

    amount: float
    unit: Literal["epochs", "seconds"]

    def __str__(self) -> str:
        """Return `40 epochs` or `600 s`."""
        return f"{self.amount:g} {'epochs' if self.unit == 'epochs' else 's'}"


@dataclass(frozen=True)
class Asked:
    """The request."""

    file: Path
    stage: str | None
    """Whose objective; None where the file has one distillation alone."""
    budget: Budget | None
    """None for twenty times the epochs of the file."""
    only: tuple[str, ...]
    """Objectives to try; all where it is empty."""
    out: Path


def read_budget(text: str) -> Budget:
    """Return `30m`, `90s`, `2h` or `40epochs`; RequestError of anything else, and of nothing."""
    found = WRITTEN.fullmatch(text.replace(" ", ""))
    if found is None or float(found[1]) == 0:
        message = f"'{text}' is no budget."
        raise RequestError(Problem("", message, "As in: 30m, 90s, 2h or 40epochs.", "--budget"))
    amount = float(found[1])
    if found[2] in SECONDS:
        return Budget(amount * SECONDS[found[2]], "seconds")
    return Budget(amount, "epochs")


def read_out(file: Path, out: Path | None, *, force: bool) -> Path:
    """Return where the pipeline is written; RequestError where that cannot or shall not be."""
    path = out or file.with_name(f"{file.stem}-recommended.yaml")
    place = "--out" if out else ""
    if path.absolute().parent != file.absolute().parent:
        message = f"{path} is in another folder than {file}, from which its paths are read."
        raise RequestError(Problem("", message, "Write it beside that file.", place))
    if path.is_dir():
        raise RequestError(Problem("", f"{path} is a folder.", "Give a file.", place))
    if path.exists() and not force:
        step = "Give another name with --out, or --force to write over it."
        raise RequestError(Problem("", f"{path} is there already.", step, place))
    return path
