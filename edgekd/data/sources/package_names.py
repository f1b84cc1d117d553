"""Names of Debian's packages, each with its one-line description, to find one by the other.

Texts of both kinds, one after the other. A name asks, the description answers; none occurs twice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from edgekd.core.config import LocalPath, PositiveCount
from edgekd.core.errors import RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.data.packages import package_file, package_problem, read_packages
from edgekd.data.texts import Division, Texts, divide

MARKS = re.compile(r"[-_.+]+")
FEWEST = 30
"""Packages below which nothing could be told of retrieval."""


class PackageNamesOptions(Division):
    """Where the packages are, how many of them are used, and how they are divided."""

    file: LocalPath | None = None
    """What `apt-cache dumpavail` printed. Without it, what it printed when it was first asked
    here: ~/.cache/edgekd/packages.txt; remove that file to ask again."""
    packages: PositiveCount | None = None
    """Use this many packages only, drawn by chance: twice as many texts. All without it."""


@source(config=PackageNamesOptions)
class PackageNames:
    """Pairs of texts in three splits; `answers` says which row belongs to each name."""

    labels: Sequence[str] = ()
    shapes: Mapping[str, tuple[int, ...]] = {"text": (), "answers": ()}

    def __init__(self, options: PackageNamesOptions):
        self.options = options

    def files(self) -> Sequence[Path]:
        """Return the file, written first where none was given; RequestError where that fails."""
        return (package_file(self.options.file),)

    def count(self, split: Split) -> int:
        """Return the number of texts, twice that of the packages."""
        return 2 * len(self._splits[split])

    def load(self, split: Split) -> Arrays:
        """Return `text` [n], name and description in turns, and `answers` int64 [n].

        `answers` is the row of the description that belongs to a name, and -1 at a description.
        """
        import numpy as np

        found = self._splits[split]
        text = np.empty(2 * len(found), object)
        text[0::2] = [MARKS.sub(" ", name).strip() for name in found.place]
        text[1::2] = found.text
        answers = np.full(len(text), -1, np.int64)
        answers[0::2] = np.arange(1, len(text), 2)
        return {"text": text, "answers": answers}

    @cached_property
    def _splits(self) -> dict[Split, Texts]:
        (path,) = self.files()
        packages = {package.name: package.description for package in read_packages(path)}
        often = Counter(packages.values())
        kept = {name: text for name, text in packages.items() if often[text] == 1}
        wanted = self.options.packages or len(kept)
        if len(kept) < max(FEWEST, wanted):
            few = f"{len(kept):,} packages with a description of their own"
            raise RequestError(
                package_problem(f"{path} has {few}; {max(FEWEST, wanted):,} are asked for.")
            )
        texts = Texts([*kept.values()], None, [*kept])
        shares = {"validation": self.options.validation, "test": self.options.test}
        drawn = divide(texts, seed=self.options.seed)["train"].take(range(wanted))
        return divide(drawn, **shares, seed=self.options.seed)
