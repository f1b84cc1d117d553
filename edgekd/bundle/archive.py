"""Writing a bundle's zip: whole or not at all, and the same bytes for the same content."""

import hashlib
import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from edgekd.bundle.document import NAME, Bundle, Digest
from edgekd.bundle.unpack import CHUNK, FREE_OF_RATIO, MAX_RATIO, Archive
from edgekd.core.artifact import digest_file, sync
from edgekd.core.errors import Problem, RequestError, StageError, UnreachableError

DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file: when a bundle was made stands in its document."""
ZIP_UNIX, REGULAR = 3, 0o100644

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
        return Digest(sha256=hashlib.sha256(source).hexdigest(), size=len(source))
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
        sync(temporary)
        temporary.replace(out)
        sync(out.absolute().parent)
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
    with _opened(source) as stream:
        info.file_size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        shrunk = sum(map(len, _deflated(stream)))
        sound = shrunk < info.file_size <= FREE_OF_RATIO + MAX_RATIO * shrunk
        info.compress_type = zipfile.ZIP_DEFLATED if sound else zipfile.ZIP_STORED
        stream.seek(0)
        with archive.open(info, "w") as member:
            shutil.copyfileobj(stream, member, CHUNK)


def _opened(source: Source) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _deflated(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what a member would shrink to: what shrinks too well looks like an attack."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    while chunk := stream.read(CHUNK):
        yield packer.compress(chunk)
    yield packer.flush()


def _check(file: Path, document: Bundle) -> None:
    """Read the archive back: a file that changed while it was copied is found here."""
    with Archive(file) as archive:
        changed = [n for n, digest in document.members.items() if archive.digest(n) != digest]
    if changed:
        raise StageError(
            f"{changed[0]} changed while the bundle was written.", "Run again with --bundle."
        )
