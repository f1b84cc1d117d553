"""Writing a bundle's zip: whole or not at all, and the same bytes for the same content."""

import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edgekd.bundle.document import NAME, Bundle, Digest
from edgekd.core.artifact import digest_file
from edgekd.core.errors import Problem, RequestError, StageError, UnreachableError

DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file: when a bundle was made stands in its document."""
ZIP_UNIX, REGULAR = 3, 0o100644
STORED = (".onnx", ".pte", ".data")
"""Weights hardly shrink."""

Source = Path | bytes
"""A member's content, or the file that holds it."""


def check_writable(out: Path) -> None:
    """Refuse a place where no bundle can be written; RequestError."""
    trouble = ""
    if out.is_dir():
        trouble = "is a folder"
    elif not out.parent.is_dir():
        trouble = f"cannot be written: there is no folder {out.parent}"
    elif not os.access(out.parent, os.W_OK):
        trouble = "cannot be written: permission denied"
    if trouble:
        raise RequestError(Problem("", f"{out} {trouble}.", "Give another file.", "--bundle"))


def digest_of(source: Source) -> Digest:
    """Return what a member holds."""
    if isinstance(source, bytes):
        from hashlib import sha256

        return Digest(sha256=sha256(source).hexdigest(), size=len(source))
    return Digest(sha256=digest_file(source), size=source.stat().st_size)


def write_archive(out: Path, document: Bundle, members: Mapping[str, Source]) -> None:
    """Write a bundle beside its place, then put it there; UnreachableError where that fails."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "x") as archive:
            _add(archive, NAME, document.text().encode())
            for name in sorted(members):
                _add(archive, name, members[name])
        _check(temporary, document)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(out)
    except OSError as error:
        raise UnreachableError(
            f"the bundle {out} cannot be written: {error.strerror or error}.\n"
            "The run is finished and kept; run again with --bundle to write it."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, name: str, source: Source) -> None:
    info = zipfile.ZipInfo(name, DATE)
    info.create_system, info.external_attr = ZIP_UNIX, REGULAR << 16
    stored = name.endswith(STORED)
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    if isinstance(source, bytes):
        archive.writestr(info, source)
        return
    info.file_size = source.stat().st_size
    with source.open("rb") as stream, archive.open(info, "w") as member:
        shutil.copyfileobj(stream, member, 1 << 20)


def _check(file: Path, document: Bundle) -> None:
    """Read the archive back: a file that changed while it was copied is found here."""
    from edgekd.bundle.unpack import Archive

    with Archive(file) as archive:
        changed = [n for n, digest in document.members.items() if archive.digest(n) != digest]
    if changed:
        raise StageError(
            f"{changed[0]} changed while the bundle was written.", "Run again with --bundle."
        )
