"""Digests of the user's files, each read again only when something about it changed."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekd.core.artifact import digest_file, digest_json
from edgekd.pipeline.kept import read_sealed, write_sealed

SECONDS_TO_SETTLE = 2
"""A file that changed this lately may change again within the same tick of its clock."""


class Digests:
    """Remembers a file's digest with its size, times of change and place on the disk."""

    def __init__(self, file: Path):
        self._file = file
        known = read_sealed(file)
        self._known: dict[str, list[int | str]] = known if isinstance(known, dict) else {}
        self._new = False

    def of(self, path: Path) -> str:
        """Return the digest of a file, or of a folder's files and their names."""
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file())
            return digest_json({str(p.relative_to(path)): self.of(p) for p in files})
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(str(path))
        if isinstance(known, list) and known[:-1] == stamp:
            return str(known[-1])
        digest = digest_file(path)
        if max(stat.st_mtime, stat.st_ctime) < time.time() - SECONDS_TO_SETTLE:
            self._known[str(path)] = [*stamp, digest]
            self._new = True
        return digest

    def of_all(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Return the digests of paths under names that do not depend on where they lie."""
        return {f"{i}:{Path(path).name}": self.of(Path(path)) for i, path in enumerate(paths)}

    def save(self) -> None:
        """Keep what was read for the next run."""
        if self._new:
            known = {path: entry for path, entry in self._known.items() if _is_there(path)}
            write_sealed(self._file, known)
            self._new = False


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # no file can have that name
        return False
