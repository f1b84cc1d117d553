"""Files from the network that are what they were when their checksum was written down."""

import hashlib
import os
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError

from edgekd.core.errors import Problem, UnreachableError

CHUNK_BYTES = 1 << 16


def fetch(address: str, path: Path, *, sha256: str, timeout_s: float) -> Path:
    """Return `path`, fetched from `address` unless it is there already.

    It appears whole or not at all. UnreachableError where the server does not answer, or sends
    something with another checksum, of which nothing is kept.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            found = _receive(address, stream, timeout_s)
        if found != sha256:
            raise _unreachable(
                f"{address} sent a file with SHA-256 {found}, where {sha256} was expected; "
                "nothing of it was kept."
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _receive(address: str, stream: IO[bytes], timeout_s: float) -> str:
    """Write what the server sends and return its SHA-256."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(address, timeout=timeout_s) as response:  # noqa: S310 (http or https: the option's pattern)
            while chunk := response.read(CHUNK_BYTES):
                stream.write(chunk)
                digest.update(chunk)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):  # it is the response too, with the connection open
            error.close()
        raise _unreachable(f"{address} could not be fetched: {error}.") from error
    return digest.hexdigest()


def _unreachable(message: str) -> UnreachableError:
    next_step = "Check the connection and try again, or name another address with mirror:."
    return UnreachableError(str(Problem("task.data", message, next_step)))
