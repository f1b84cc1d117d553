"""Stage results on disk: one folder per key, committed by its manifest."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from edgekd.core.artifact import MANIFEST, Manifest, digest_file, sync
from edgekd.core.errors import Problem, RequestError, StageError
from edgekd.pipeline.kept import sweep_parts, write_text

SHORT = 20
"""Characters of a key that name its folder."""
ROOMS = ("results", "unfinished", "tmp", "locks", "plans", "latest", "logs")
REMOVED = "removed"
"""The work of taking something out."""
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
SECONDS_UNTIL_WAITING = 1.0


@dataclass(frozen=True)
class Found:
    """What lies under a key."""

    manifest: Manifest | None
    """None where there is no whole result."""
    harm: str = ""
    """What was done to a result that was there."""


@dataclass(frozen=True)
class Store:
    """A folder of results. A result is there when its manifest is, and never before."""

    root: Path

    def prepare(self) -> None:
        """Make the store's folders; RequestError where that is not possible."""
        try:
            for name in ROOMS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
            if not (self.root / ".gitignore").exists():
                (self.root / ".gitignore").write_text("*\n")
            self._sweep()
        except OSError as error:
            raise self._refusal(f"cannot be written: {error.strerror}") from error

    def _refusal(self, why: str) -> RequestError:
        step = "Give a folder on another disk with --store."
        return RequestError(Problem("", f"the store {self.root} {why}.", step, "--store"))

    def _sweep(self) -> None:
        """Remove half-filled folders of runs that were killed: those that nobody has locked."""
        for path in (self.root / "tmp").iterdir():
            with self.unused(path.name.partition("-")[0]) as free:
                if free:
                    shutil.rmtree(path, ignore_errors=True)
        for room in ("", "plans", "latest/*"):
            sweep_parts(self.root, f"{room}/" if room else "")

    def folder(self, key: str) -> Path:
        """Return where the result of a key lies, or would lie."""
        return self.root / "results" / key[:SHORT]

    def look(self, key: str) -> Found:
        """Return the result of a key, every byte of it checked against its manifest.

        An OSError that is no sign of damage, as of a missing permission, is passed on.
        """
        try:
            return self._look(key)
        except FileNotFoundError:  # another process took it out, or replaced it, just now
            with suppress(FileNotFoundError):
                return self._look(key)
            return Found(None)

    def _look(self, key: str) -> Found:
        folder = self.folder(key)
        if not folder.exists():
            return Found(None)
        try:
            manifest = Manifest.read(folder)
        except (FileNotFoundError, NotADirectoryError):
            return Found(None, f"{MANIFEST} is missing")
        except (IsADirectoryError, ValueError, RecursionError):
            return Found(None, f"{MANIFEST} was altered")
        harm = _harm(folder, manifest)
        return Found(manifest if manifest.key == key and not harm else None, harm)

    def refuse_altered(self, stage: str, manifest: Manifest) -> None:
        """Raise StageError where a result is no longer what was committed."""
        found = self.look(manifest.key)
        if found.manifest is None:
            raise StageError(
                f"the kept result of {stage} changed while it was needed: "
                f"{found.harm or 'it is gone'} ({self.folder(manifest.key)}).",
                "Run again: the stage is made anew.",
            )

    def unfinished(self, work: str) -> Path:
        """Return the folder of what an interrupted stage shall not do twice, made if need be."""
        folder = self.root / "unfinished" / work[:SHORT]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def filling(self, work: str) -> Iterator[Path]:
        """Yield an empty folder to fill; it is gone if it was not committed.

        The one who fills it holds the lock of `work`: what is there and not locked is left over.
        """
        out = Path(tempfile.mkdtemp(prefix=f"{work[:SHORT]}-", dir=self.root / "tmp"))
        try:
            yield out
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def commit(self, manifest: Manifest, out: Path) -> None:
        """Make a filled folder the result of its key, in one step."""
        manifest.write(out)
        for path in [*out.rglob("*"), out]:
            sync(path)
        final = self.folder(manifest.key)
        if final.exists():  # one that was harmed, or that is measured again
            self.remove(final)
        out.rename(final)
        sync(final.parent)

    def remove(self, folder: Path) -> None:
        """Take a folder out of the store: it is gone at once, and then deleted."""
        with self.locked(REMOVED, waiting=lambda: None):  # no other run sweeps meanwhile
            aside = Path(tempfile.mkdtemp(prefix=f"{REMOVED}-", dir=self.root / "tmp"))
            with suppress(FileNotFoundError):  # another process was faster
                folder.rename(aside / folder.name)
            shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def locked(self, work: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the lock under which a stage is made; `waiting` is told while another has it."""
        lock = self._lock(work)
        while not lock.is_locked:
            try:
                self._take(lock, SECONDS_UNTIL_WAITING)
            except Timeout:
                waiting()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def unused(self, work: str) -> Iterator[bool]:
        """Yield whether nobody holds the lock of `work`; nobody can take it meanwhile then."""
        lock = self._lock(work)
        try:
            self._take(lock, 0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def held(self, work: str) -> bool:
        """Tell whether any process holds the lock of `work` now; nothing is written for it."""
        if not Path(self._lock(work).lock_file).exists():
            return False
        with suppress(OSError), self.unused(work) as free:  # a store that can only be read
            return not free
        return False

    def busy(self) -> bool:
        """Tell whether a stage is being made here now, by any process."""
        return any(self.held(path.stem) for path in (self.root / "locks").glob("*.lock"))

    def _take(self, lock: FileLock, seconds: float) -> None:
        try:
            lock.acquire(timeout=seconds)
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in NO_LOCKS:
                raise
            raise self._refusal("is on a file system without locks") from error

    def _lock(self, work: str) -> FileLock:
        file = self.root / "locks" / f"{work[:SHORT]}.lock"
        return FileLock(file, fallback_to_soft=False)  # one that a kill leaves locked is none

    def remember(self, pipeline: str, stage: str, key: str) -> None:
        """Note the result of a stage that was used last, so that a later run says what changed.

        The folder's time of change becomes the time of use.
        """
        with suppress(OSError):  # it may be taken out by another process at this very moment
            os.utime(self.folder(key))
        note, text = self.root / "latest" / pipeline / stage, key + "\n"
        if not note.is_file() or note.read_text("utf-8", "replace") != text:
            write_text(note, text)

    def latest(self, pipeline: str, stage: str) -> Manifest | None:
        """Return the manifest of the result that a stage used last; its files may be gone."""
        try:
            key = (self.root / "latest" / pipeline / stage).read_text("utf-8").strip()
            return Manifest.read(self.folder(key))
        except (OSError, ValueError, RecursionError):
            return None


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return every file of a folder by relative name, with SHA-256 and size."""
    return {
        name: {"sha256": digest_file(folder / name), "size": (folder / name).stat().st_size}
        for name in _names(folder)
    }


def _names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted(str(p.relative_to(folder)) for p in files if p != folder / MANIFEST)


def _harm(folder: Path, manifest: Manifest) -> str:
    """Return how a folder differs from what its manifest says; nothing where it does not."""
    there = {*_names(folder)}
    for name, file in manifest.files.items():
        if name not in there:
            return f"{name} is missing"
        path = folder / name
        if path.stat().st_size != file["size"] or digest_file(path) != file["sha256"]:
            return f"{name} was altered"
    strange = sorted(there - {*manifest.files})
    return f"{strange[0]} was put there" if strange else ""
