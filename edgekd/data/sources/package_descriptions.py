"""One-line descriptions of Debian's packages, with the archive's section as the class.

What `apt-cache` knows changes from day to day, so it is asked once and its answer kept as a file:
results rest on that file's content, and stay until another is given.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from edgekd.core.config import LocalPath, PositiveCount
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols import Arrays, Split
from edgekd.data.texts import SHAPES, Division, Texts, divide

COMMAND = ("apt-cache", "dumpavail")
FIELDS = re.compile(r"^(Package|Section|Description(?:-en)?): (.*)", re.MULTILINE)


class PackageDescriptionsOptions(Division):
    """Where the descriptions are, which of them are used, and how they are divided."""

    file: LocalPath | None = None
    """What `apt-cache dumpavail` printed. Without it, what it printed when it was first asked
    here: ~/.cache/edgekd/packages.txt; remove that file to ask again."""
    fewest: PositiveCount = 100
    """Sections with fewer descriptions are left out."""


@source(config=PackageDescriptionsOptions)
class PackageDescriptions:
    """Descriptions that stand in one section only, each once, in three splits."""

    shapes: Mapping[str, tuple[int, ...]] = SHAPES

    def __init__(self, options: PackageDescriptionsOptions):
        self.options = options

    @cached_property
    def labels(self) -> Sequence[str]:
        """Names of the sections, sorted."""
        return self._texts.classes()

    def files(self) -> Sequence[Path]:
        """Return the file, written first where none was given; RequestError where that fails."""
        given = self.options.file
        path = Path(given) if given else _cache()
        if given and not path.is_file():
            raise _problem(f"there is no file {path.absolute()}.")
        if not path.is_file():
            _write(path)
        return (path,)

    def names(self, split: Split) -> Sequence[str]:
        """Return the name of each package."""
        return self._splits[split].place

    def load(self, split: Split) -> Arrays:
        """Return `text` [n] and `label` int64 [n]."""
        return self._splits[split].columns(self.labels)

    @cached_property
    def _splits(self) -> dict[Split, Texts]:
        options = self.options
        shares = {"validation": options.validation, "test": options.test}
        return divide(self._texts, **shares, seed=options.seed)

    @cached_property
    def _texts(self) -> Texts:
        (path,) = self.files()
        with path.open(encoding="utf-8", errors="replace") as stream:
            found = [*_packages(_paragraphs(stream))]
        sections: dict[str, set[str]] = {}
        for _, section, description in found:
            sections.setdefault(description, set()).add(section)
        place, label, text = (
            [each[i] for each in found if len(sections[each[2]]) == 1] for i in range(3)
        )
        distinct = Texts(text, label, place).distinct()
        counts = Counter(distinct.label)
        often = {name for name, count in counts.items() if count >= self.options.fewest}
        kept = [i for i, name in enumerate(distinct.label or ()) if name in often]
        if len(often) < 2:
            raise _problem(
                f"{path} has {len(often)} sections with {self.options.fewest} descriptions or more."
            )
        return distinct.take(kept)


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


def _packages(paragraphs: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, section and description; `non-free/games` is of the section games."""
    for paragraph in paragraphs:
        fields = {name.removesuffix("-en"): value for name, value in FIELDS.findall(paragraph)}
        if {*fields} == {"Package", "Section", "Description"} and fields["Description"].strip():
            section = fields["Section"].rpartition("/")[2]
            yield fields["Package"], section, fields["Description"].strip()


def _write(path: Path) -> None:
    """Write what `apt-cache` knows now; it appears whole or not at all."""
    if shutil.which(COMMAND[0]) is None:
        raise _problem(f"{path} is not there, and this machine has no {COMMAND[0]}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            done = subprocess.run(COMMAND, stdout=stream, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            reason = done.stderr.decode("utf-8", "replace").strip()
            raise _problem(f"{' '.join(COMMAND)} failed: {reason}.")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edgekd" / "packages.txt"


def _problem(message: str) -> RequestError:
    next_step = (
        f"Write the file on a Debian machine with: {' '.join(COMMAND)} > packages.txt\n"
        "and name it with file:."
    )
    return RequestError(Problem("task.data", message, next_step))
