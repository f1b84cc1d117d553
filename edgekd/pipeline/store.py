"""Stage results on disk: one folder per key, committed by its manifest."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from edgekd.core.artifact import MANIFEST, Manifest, digest_file, digest_json
from edgekd.core.errors import Problem, RequestError, StageError


@dataclass(frozen=True)
class Store:
    """A folder of results. A result is there when its manifest is, and never before."""

    root: Path

    def prepare(self) -> None:
        """Make the store's folders; RequestError where that is not possible."""
        try:
            for name in ("results", "tmp", "locks", "plans", "latest", "logs"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            (self.root / ".gitignore").write_text("*\n")
            self._sweep()
        except OSError as error:
            raise RequestError(
                Problem(
                    "",
                    f"the store {self.root} cannot be written: {error.strerror}.",
                    "Give another folder with --store.",
                    "--store",
                )
            ) from error

    def _sweep(self) -> None:
        """Remove what runs left that were killed: half-filled folders of processes that ended."""
        for path in (self.root / "tmp").iterdir():
            owner = path.name.rpartition("-")[2]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(path, ignore_errors=True)

    def folder(self, key: str) -> Path:
        """Return where the result of a key lies, or would lie."""
        return self.root / "results" / key[:20]

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a whole result; None where it is absent or incomplete."""
        folder = self.folder(key)
        try:
            manifest = Manifest.read(folder)
        except (OSError, ValueError):
            return None
        for name, file in manifest.files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != file["size"]:
                return None
        return manifest if manifest.key == key else None

    def refuse_altered(self, stage: str, manifest: Manifest) -> None:
        """Raise StageError where a result is not what was committed, and take it out."""
        folder, files = self.folder(manifest.key), manifest.files.items()
        altered = [name for name, file in files if digest_file(folder / name) != file["sha256"]]
        if altered:
            shutil.rmtree(folder)
            raise StageError(
                f"the kept result of {stage} was altered: {', '.join(altered)} in {folder}.",
                "It was taken out of the store. Run again: the stage is made anew.",
            )

    def unfinished(self, key: str) -> Path:
        """Return the folder of what an interrupted stage shall not do twice, made if need be."""
        folder = self.root / "unfinished" / key[:20]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def filling(self, key: str) -> Iterator[Path]:
        """Yield an empty folder for the result of `key`; it is gone if it was not committed."""
        out = self.root / "tmp" / f"{key[:20]}-{os.getpid()}"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        try:
            yield out
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def commit(self, manifest: Manifest, out: Path) -> None:
        """Make a filled folder the result of its key, in one step."""
        manifest.write(out)
        for path in [*out.rglob("*"), out]:
            _sync(path)
        final = self.folder(manifest.key)
        if final.exists():  # an incomplete result stood in the way
            shutil.rmtree(final)
        out.rename(final)
        _sync(final.parent)

    def lock(self, key: str) -> FileLock:
        """Return the lock that a run holds while it makes the result of `key`."""
        return FileLock(self.root / "locks" / f"{key[:20]}.lock")

    def remember(self, pipeline: str, stage: str, key: str) -> None:
        """Note the newest result of a stage, so that a later run can say what changed."""
        folder = self.root / "latest" / pipeline
        folder.mkdir(parents=True, exist_ok=True)
        (folder / stage).write_text(key + "\n")

    def latest(self, pipeline: str, stage: str) -> Manifest | None:
        """Return the newest result of a stage under any key."""
        try:
            return self.find((self.root / "latest" / pipeline / stage).read_text().strip())
        except OSError:
            return None


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return every file of a folder by relative name, with SHA-256 and size."""
    return {
        str(path.relative_to(folder)): {"sha256": digest_file(path), "size": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


class Digests:
    """Digests of the user's files, read again only when size or time of change differ."""

    def __init__(self, store: Store):
        self._file = store.root / "digests.json"
        self._known: dict[str, list[Any]] = {}
        self._new = False
        try:
            self._known = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str:
        """Return the digest of a file, or of a folder's files and their names."""
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file())
            return digest_json({str(p.relative_to(path)): self.of(p) for p in files})
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        known = self._known.get(str(path))
        if known and known[:2] == stamp:
            return str(known[2])
        digest = digest_file(path)
        self._known[str(path)] = [*stamp, digest]
        self._new = True
        return digest

    def of_all(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Return the digests of paths under names that do not depend on where they lie."""
        return {f"{i}:{Path(path).name}": self.of(Path(path)) for i, path in enumerate(paths)}

    def save(self) -> None:
        """Keep what was read for the next run."""
        if self._new:
            temporary = self._file.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(self._known), "utf-8")
            temporary.replace(self._file)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
