"""What the system refuses, a full disk above all, in words that say what to do."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekd.core.errors import EdgekdError, Problem, UnreachableError

CURES = {
    errno.ENOSPC: "Free some space, or give a folder on another disk with --store or --runs.",
    errno.EDQUOT: "Your quota is used up: free some space, or give another folder with --store.",
    errno.EROFS: "It is mounted read-only: give another folder with --store or --runs.",
    errno.EACCES: "Change its permissions, or give another folder with --store or --runs.",
    errno.EPERM: "Change its permissions, or give another folder with --store or --runs.",
    errno.EIO: "The disk reports an error: look at the system's log before you trust it again.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n).",
    errno.ENFILE: "Too many files are open on this machine.",
}


@contextmanager
def named_trouble() -> Iterator[None]:
    """Turn what the system refuses into an UnreachableError; nothing that was kept is lost by it.

    Libraries that wrap the system's error in one of their own are understood by its number.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in CURES:
            raise
        raise _named(error.errno, error.filename) from error
    except Exception as error:
        number = _wrapped(error)
        if number is None:
            raise
        raise _named(number, None) from error


def _wrapped(error: Exception) -> int | None:
    """Return the number of a system error that a library only mentions: `(os error 28)`."""
    found = re.search(r"os error (\d+)", str(error))
    number = int(found[1]) if found and not isinstance(error, EdgekdError) else None
    return number if number in CURES else None


def _named(number: int, path: object) -> UnreachableError:
    where = Path(os.fsdecode(path)) if isinstance(path, str | bytes) else None
    what = f"{where}: " if where else ""
    message = f"{what}{os.strerror(number)}."
    if number in (errno.ENOSPC, errno.EDQUOT) and where:
        message += f" {_free(where)}"
    step = f"{CURES[number]} What was finished is kept: run the same command again."
    return UnreachableError(str(Problem("", message, step)).strip())


def _free(path: Path) -> str:
    place = next(p for p in (path, *path.absolute().parents) if p.exists())
    return f"{shutil.disk_usage(place).free / 2**20:.1f} MiB are free there."
