"""A program on disk: the program file and `program.json`, which says what it is."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekd.core.signature import Signature

DESCRIPTION = "program.json"


@dataclass(frozen=True)
class Program:
    """What is known of an exported program."""

    file: str
    """Name of the program file in the folder."""
    runtime: str
    precision: str
    signature: Signature
    facts: Mapping[str, Any]
    """Labels and preprocessing, as the task gave them."""
    model: str
    """Stage whose model it was made from."""
    model_digest: str
    """SHA-256 of that model's weights."""
    parameters: int | None
    """None where nobody says."""
    parity: Mapping[str, Any]
    """How far the program departs from the PyTorch model, and on what."""


def file_stem(name: str) -> str:
    """Return a stage's name as a file name: letters, digits, `_` and `-` stay."""
    return re.sub(r"[^\w-]", "_", name)


def save_program(folder: Path, program: Program) -> None:
    """Write the description beside the program file."""
    document = asdict(program) | {"signature": program.signature.as_dict()}
    (folder / DESCRIPTION).write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def load_program(folder: Path) -> Program:
    """Return what a program folder holds."""
    document = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    return Program(**document | {"signature": Signature.from_dict(document["signature"])})
