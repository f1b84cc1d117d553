"""One-line descriptions of Debian's packages, with the archive's section as the class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from edgekd.core.config import LocalPath, PositiveCount
from edgekd.core.errors import RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.data.packages import package_file, package_problem, read_packages
from edgekd.data.texts import SHAPES, Division, Texts, divide


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
        return (package_file(self.options.file),)

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
        found = read_packages(path)
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
            few = f"{len(often)} sections with {self.options.fewest} descriptions or more."
            raise RequestError(package_problem(f"{path} has {few}"))
        return distinct.take(kept)
