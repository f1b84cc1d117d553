"""Opening a bundle that anyone may have made: nothing is believed that was not counted.

Refused are names that leave the folder or stand for one another on some system, links and devices,
encrypted members, members that `bundle.json` does not list, and any that is not as long or has not
the digest that it lists. Sizes are counted while reading, never taken from a header. A file on
disk is only ever made new, in a folder of ours that held nothing before.
"""

import hashlib
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from edgekd.bundle.document import NAME, Bundle, Digest, read_bundle, refusal
from edgekd.bundle.names import clash, objection
from edgekd.core.errors import Problem, RequestError

MAX_MEMBERS = 10_000
MAX_DIRECTORY = MAX_MEMBERS * 1024
"""Bytes of the zip's list of members, which is read at once."""
MAX_DOCUMENT = 64 << 20
MAX_TOTAL = 16 << 30
MAX_RATIO, FREE_OF_RATIO = 200, 1 << 20
"""How much more than its compressed size a member may hold, beyond its first mebibyte."""
CHUNK = 1 << 20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1

END, END_64, LOCATOR_64 = (
    struct.Struct("<4s4H2LH"),
    struct.Struct("<4sQ2H2L4Q"),
    struct.Struct("<4sLQL"),
)
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    OSError,
    struct.error,
)
"""What zipfile raises on archives that are not as they should be; a place before the file, say."""


class Archive:
    """A bundle that is open for reading; RequestError, naming the file, for whatever is wrong."""

    def __init__(self, file: Path):
        self.file = file

    def __enter__(self) -> "Archive":
        _check_end(self.file)
        with self._refusing("it is not a zip file"):
            self._zip = zipfile.ZipFile(self.file)
        try:
            self._check_directory()
        except BaseException:
            self._zip.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def unpack(self, into: Path) -> Bundle:
        """Fill an empty folder with the bundle's files and return its document."""
        document = self.document()
        total = sum(digest.size for digest in document.members.values())
        most, free = MAX_TOTAL, shutil.disk_usage(into).free
        if total > most:
            raise self._refusal(f"it unpacks to {total:,} bytes; {most:,} are the limit")
        if total > free:
            step = "Free some space, or name a folder on another disk with TMPDIR."
            raise self._refusal(f"it unpacks to {total:,} bytes; {free:,} are free in {into}", step)
        for name, listed in document.members.items():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            sha, size = hashlib.sha256(), 0
            with target.open("xb") as stream:
                for chunk in self._chunks(name, listed.size):
                    sha.update(chunk)
                    size += len(chunk)
                    stream.write(chunk)
            self._compare(name, listed, Digest(sha256=sha.hexdigest(), size=size))
        return document

    def document(self) -> Bundle:
        """Return what `bundle.json` says, once it and the archive list the same members."""
        if NAME not in self._members:
            raise self._refusal(f"there is no {NAME} in it", "Give a file that run --bundle wrote.")
        text = b"".join(self._chunks(NAME, MAX_DOCUMENT))
        document = read_bundle(text, str(self.file))
        listed, found = {*document.members}, {*self._members} - {NAME}
        if stray := sorted(found - listed):
            raise self._refusal(f"{stray[0]!r} is in it, but {NAME} does not list it")
        if absent := sorted(listed - found):
            raise self._refusal(f"{absent[0]!r} is missing")
        return document

    def digest(self, name: str) -> Digest:
        """Return what a member holds."""
        sha, size = hashlib.sha256(), 0
        for chunk in self._chunks(name, MAX_TOTAL):
            sha.update(chunk)
            size += len(chunk)
        return Digest(sha256=sha.hexdigest(), size=size)

    def _check_directory(self) -> None:
        """Check all that can be told of the members before any is read."""
        infos = self._zip.infolist()
        if len(infos) > MAX_MEMBERS:
            raise self._refusal(f"it has {len(infos):,} files; {MAX_MEMBERS:,} is the limit")
        for info in infos:
            if wrong := _objection(info):
                raise self._refusal(f"the name {info.orig_filename!r} {wrong}")
        if wrong := clash(info.filename for info in infos):
            raise self._refusal(wrong)
        if sum(info.compress_size for info in infos) > self.file.stat().st_size:
            raise self._refusal("its files overlap")
        self._members = {info.filename: info for info in infos}

    def _chunks(self, name: str, most: int) -> Iterator[bytes]:
        """Yield a member's bytes, counting them."""
        info, done = self._members[name], 0
        allowed = FREE_OF_RATIO + MAX_RATIO * info.compress_size
        with self._refusing(f"{name!r} is damaged"), self._zip.open(info) as stream:
            while chunk := stream.read(CHUNK):
                done += len(chunk)
                if done > most:
                    raise self._refusal(f"{name!r} is longer than the {most:,} bytes it may have")
                if done > allowed:
                    raise self._refusal(f"{name!r} unpacks to more than {MAX_RATIO} times its size")
                yield chunk

    def _compare(self, name: str, listed: Digest, found: Digest) -> None:
        if found != listed:
            what = "length" if found.size != listed.size else "SHA-256"
            raise self._refusal(f"{name!r} has not the {what} that {NAME} lists")

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as error:
            raise self._refusal(f"{what}: {str(error)[:120] or type(error).__name__}") from error

    def _refusal(self, message: str, next_step: str = "") -> RequestError:
        return refusal(str(self.file), f"{message}.", next_step)


def _objection(info: zipfile.ZipInfo) -> str:
    """Return what speaks against one member, or nothing."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.orig_filename != info.filename:
        return "holds a character that ends it"
    if wrong := objection(info.filename):
        return wrong
    if kind not in (0, stat.S_IFREG):
        return "is a link, a folder or a device"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    return "" if info.compress_type in METHODS else "is packed in a way that bundles do not use"


def _check_end(file: Path) -> None:
    """Refuse what is no zip as bundles are, or lists more than is read at once.

    zipfile reads the whole list of members before it can be asked how many there are, so its
    length is looked up first, at the very places where zipfile does.
    """
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - END.size - LOCATOR_64.size - END_64.size))
            tail = stream.read()
    except OSError as error:
        raise RequestError(
            Problem("", f"this bundle cannot be read: {error.strerror}.", "", str(file))
        ) from error
    if len(tail) < END.size or tail[-END.size :][:4] != b"PK\5\6" or tail[-2:] != b"\0\0":
        step = "Give a file that run --bundle wrote, whole."
        raise refusal(str(file), "it is not a zip file, or its end is missing.", step)
    if _directory_length(tail, size) > MAX_DIRECTORY:
        raise refusal(str(file), f"it lists more than {MAX_MEMBERS:,} files.")


def _directory_length(tail: bytes, size: int) -> int:
    """Return how long the list of members is, of a zip with `size` bytes that ends in `tail`."""
    place = len(tail) - END.size - LOCATOR_64.size - END_64.size
    if place >= 0:
        signature, _, at, _ = LOCATOR_64.unpack_from(tail, place + END_64.size)
        if signature == b"PK\6\7":
            record = END_64.unpack_from(tail, place)
            expected = size - len(tail) + place
            return int(record[8]) if record[0] == b"PK\6\6" and at == expected else 1 << 64
    return int(END.unpack_from(tail, len(tail) - END.size)[5])
