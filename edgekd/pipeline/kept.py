"""Small JSON files that are whole and as they were written, or absent."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgekd.core.artifact import digest_json, sync

PART = ".part-"
SECONDS_UNTIL_LEFT_OVER = 3600


def read_json(path: Path) -> Any | None:
    """Return a file's JSON value; None where it is absent or not whole."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step: a reader sees the old one or the new one."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_sealed(path: Path) -> Any | None:
    """Return what `write_sealed` wrote; None where it is absent or was altered since."""
    found = read_json(path)
    if not isinstance(found, dict) or {*found} != {"sha256", "value"}:
        return None
    with suppress(ValueError, RecursionError):  # NaN, or a depth that nobody wrote
        return found["value"] if digest_json(found["value"]) == found["sha256"] else None
    return None


def write_sealed(path: Path, value: Any) -> None:
    """Write a JSON file with a digest of itself, in one step."""
    write_json(path, {"sha256": digest_json(value), "value": value})


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, and have it on the disk before it takes its name."""
    with replacing(path) as part:
        part.write_text(text, "utf-8")
        sync(part)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; what is written takes its name in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{PART}{secrets.token_hex(8)}")  # unlike a pid, no container's own
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sweep_parts(root: Path, folders: str = "") -> None:
    """Remove what a kill left half written, in the folders of `root` that match."""
    for part in root.glob(f"{folders}{PART}*"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > SECONDS_UNTIL_LEFT_OVER:
                part.unlink()
