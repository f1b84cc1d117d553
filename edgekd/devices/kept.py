"""What was measured, written down as it comes, so that nothing of it is measured twice."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.artifact import digest_file, digest_json, sync

STABLE = ("cpu", "arch", "flags", "cores", "memory_mib", "os")
"""What makes a machine the same one again; what its load and its clock are does not count."""
Arrays = Mapping[str, NDArray[Any]]
Key = Mapping[str, Any]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Kept:
    """One document of a target, with the arrays that came with it."""

    document: Mapping[str, Any]
    sitting: str
    arrays: Arrays


@dataclass
class Journal:
    """A folder of documents; one that is half or altered is passed over.

    A document is known by a key, and by the programs that took part with the digest of each.
    """

    folder: Path
    sitting: str = field(default_factory=_now)
    """When this process began to measure, ISO 8601, UTC."""

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        """Give an empty folder for a while; one that a killed run left goes first."""
        folder = self.folder / "workshop"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def find(self, key: Key, programs: Mapping[str, str]) -> Kept | None:
        """Return what was kept under the key of at least these programs."""
        for path in sorted(self.folder.glob(f"{digest_json(key)[:24]}-*.json")):
            kept = _read(path, key, programs)
            if kept is not None:
                return kept
        return None

    def keep(
        self, key: Key, programs: Mapping[str, str], document: Mapping[str, Any], arrays: Arrays
    ) -> None:
        """Write a document down; its arrays come first, so that none is ever missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = f"{digest_json(key)[:24]}-{digest_json(programs)[:24]}"
        files = {}
        for index, (name, array) in enumerate(arrays.items()):
            path = self.folder / f"{stem}.{index}.npy"
            np.save(path, array)
            sync(path)
            files[name] = {"file": path.name, "sha256": digest_file(path)}
        content: dict[str, Any] = {"key": key, "programs": programs, "document": document}
        content |= {"arrays": files, "sitting": self.sitting}
        text = json.dumps({"content": content, "sha256": digest_json(content)})
        half = self.folder / f"{stem}.half"
        half.write_text(text, "utf-8")
        sync(half)
        half.replace(self.folder / f"{stem}.json")
        sync(self.folder)


def _read(path: Path, key: Key, programs: Mapping[str, str]) -> Kept | None:
    """Return what a file holds, None where it is not what was written or of other programs."""
    try:
        written = json.loads(path.read_text("utf-8"))
        content = written["content"]
        if written["sha256"] != digest_json(content) or content["key"] != dict(key):
            return None
        if not programs.items() <= content["programs"].items():
            return None
        arrays = dict(_arrays(path.parent, content["arrays"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Kept(content["document"], content["sitting"], arrays)


def _arrays(folder: Path, files: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, about in files.items():
        if digest_file(folder / about["file"]) != about["sha256"]:
            raise ValueError(about["file"])
        yield name, np.load(folder / about["file"])
