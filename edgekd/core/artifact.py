"""A result folder and the manifest that commits it."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
SEAL = "seal"


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
    """Upstream stage name to the content of its result."""
    facts: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    """File name to `{sha256, size}`."""
    started_at: str
    seconds: float
    cpu_seconds: float
    host: Mapping[str, str]

    @cached_property
    def content(self) -> str:
        """A digest of what the stage made: the same for two results that differ in no byte."""
        files = {name: file["sha256"] for name, file in self.files.items()}
        return digest_json({"stage": self.stage, "files": files})

    def write(self, folder: Path) -> None:
        """Write it as the folder's last file, with a digest of itself."""
        fields = asdict(self)
        text = json.dumps(fields | {SEAL: digest_json(fields)}, indent=1, sort_keys=True)
        (folder / MANIFEST).write_text(text + "\n", "utf-8")

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """Return the folder's manifest; FileNotFoundError or ValueError where there is none."""
        fields = json.loads((folder / MANIFEST).read_text("utf-8"))
        if not isinstance(fields, dict) or fields.pop(SEAL, None) != digest_json(fields):
            raise ValueError(f"{folder / MANIFEST} is not what was written")
        if not _well_formed(fields):
            raise ValueError(f"{folder / MANIFEST} does not say what a manifest says")
        return Manifest(**fields)


_TEXTS = {"key", "stage", "kind", "makes", "started_at"}
_MAPPINGS = {"identity", "inputs", "facts", "files", "host"}
_NUMBERS = {"seconds", "cpu_seconds"}


def _well_formed(fields: Mapping[str, Any]) -> bool:
    """Tell whether fields are a manifest's: another version of edgekd may have written others."""
    kinds = dict.fromkeys(_TEXTS, str) | dict.fromkeys(_MAPPINGS, dict)
    return (
        {*fields} == {*kinds} | _NUMBERS
        and all(isinstance(fields[name], kind) for name, kind in kinds.items())
        and all(isinstance(fields[name], int | float) for name in _NUMBERS)
        and all(_describes_a_file(file) for file in fields["files"].values())
    )


def _describes_a_file(file: object) -> bool:
    return (
        isinstance(file, dict)
        and isinstance(file.get("sha256"), str)
        and isinstance(file.get("size"), int)
    )


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(value: object) -> str:
    """Return the SHA-256 of a JSON value in canonical form, hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sync(path: Path) -> None:
    """Wait until a file or the entries of a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
