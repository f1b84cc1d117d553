"""A result folder and the manifest that commits it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What a finished stage is: the last file written, so a folder without it is no result."""

    key: str
    stage: str
    kind: str
    makes: str
    identity: Mapping[str, Any]
    """Everything that the key was made of, so that a later run can say what changed."""
    inputs: Mapping[str, str]
    """Upstream stage name to key."""
    facts: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    """File name to `{sha256, size}`."""
    started_at: str
    seconds: float
    cpu_seconds: float
    host: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write it as the folder's last file."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        (folder / MANIFEST).write_text(text + "\n", "utf-8")

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """Return the folder's manifest; FileNotFoundError or ValueError where there is none."""
        try:
            return Manifest(**json.loads((folder / MANIFEST).read_text("utf-8")))
        except TypeError as error:
            raise ValueError(f"{folder / MANIFEST}: {error}") from error


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(value: object) -> str:
    """Return the SHA-256 of a JSON value in canonical form, hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
