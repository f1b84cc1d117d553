"""What a Debian machine knows of its packages: names, sections, one-line descriptions.

What `apt-cache` knows changes from day to day, so it is asked once and its answer kept as a file:
results rest on that file's content, and stay until another is given.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from edgekd.core.errors import Problem, RequestError

COMMAND = ("apt-cache", "dumpavail")
FIELDS = re.compile(r"^(Package|Section|Description(?:-en)?): (.*)", re.MULTILINE)


class Package(NamedTuple):
    """One of them."""

    name: str
    section: str
    """`non-free/games` is of the section games."""
    description: str


def package_file(given: str | None) -> Path:
    """Return the file, written first where none was given; RequestError where that fails."""
    path = Path(given) if given else _cache()
    if given and not path.is_file():
        raise RequestError(package_problem(f"there is no file {path.absolute()}."))
    if not path.is_file():
        _write(path)
    return path


def read_packages(path: Path) -> list[Package]:
    """Return all packages that have a description, in the order of the file."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        return [*_packages(_paragraphs(stream))]


def package_problem(message: str) -> Problem:
    """Return a problem of the file, and how one is written."""
    next_step = (
        f"Write the file on a Debian machine with: {' '.join(COMMAND)} > packages.txt\n"
        "and name it with file:."
    )
    return Problem("task.data", message, next_step)


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Yield the text of each paragraph; an empty line ends one."""
    own: list[str] = []
    for line in lines:
        if line.strip():
            own.append(line)
        elif own:
            yield "".join(own)
            own = []
    if own:
        yield "".join(own)


def _packages(paragraphs: Iterable[str]) -> Iterator[Package]:
    """Yield the packages of some paragraphs."""
    for paragraph in paragraphs:
        fields = {name.removesuffix("-en"): value for name, value in FIELDS.findall(paragraph)}
        if {*fields} == {"Package", "Section", "Description"} and fields["Description"].strip():
            section = fields["Section"].rpartition("/")[2]
            yield Package(fields["Package"], section, fields["Description"].strip())


def _write(path: Path) -> None:
    """Write what `apt-cache` knows now; it appears whole or not at all."""
    if shutil.which(COMMAND[0]) is None:
        raise RequestError(
            package_problem(f"{path} is not there, and this machine has no {COMMAND[0]}.")
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            done = subprocess.run(COMMAND, stdout=stream, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            reason = done.stderr.decode("utf-8", "replace").strip()
            raise RequestError(package_problem(f"{' '.join(COMMAND)} failed: {reason}."))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edgekd" / "packages.txt"
