"""What a store holds that can go: by age, by size, because nothing names it, or left over.

Nothing is lost for good: a result that was removed and is needed again is made anew.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekd.core.artifact import Manifest
from edgekd.pipeline.records import RunFolders
from edgekd.pipeline.store import SHORT, Store

LEFT_OVER_S = 30 * 86400.0
"""How long logs, plans and interrupted work are kept where no age is given."""

RESULT, DAMAGED = RESULTS = ("result", "damaged result")


@dataclass(frozen=True)
class Rules:
    """What may go; leftovers go in any case."""

    older_than_s: float | None = None
    """Results that no run used for so long; leftovers of that age too."""
    keep_bytes: int | None = None
    """The results that were used longest ago, until the store is no larger."""
    unreferenced: bool = False
    """Results that no recorded run has and no pipeline used last."""


@dataclass(frozen=True)
class Item:
    """Something in a store."""

    what: str
    """`result`, `damaged result`, `interrupted work`, `half-made result`, `log`, `plan` or
    `lock`."""
    path: Path
    stage: str
    pipelines: Sequence[str]
    """Pipelines that are known to have used it."""
    size: int
    age_s: float
    """Seconds since it was used last."""
    referenced: bool = False
    """Whether a recorded run has it, or a pipeline used it last."""
    latest: bool = False
    """Whether a pipeline used it last."""
    why: str = ""
    """Why it may go; empty where it stays."""

    @property
    def is_result(self) -> bool:
        """Whether it was committed; what was left over never was."""
        return self.what in RESULTS

    @property
    def work(self) -> str:
        """The name of the lock that a process holds which is at work on it.

        Of a result this is its key, but a process locks what the key is without the options that
        only judge: a judgement is made under another name. What saves that is `in_use`.
        """
        name = self.path.stem if self.what == "lock" else self.path.name.partition("-")[0]
        return name[:SHORT]

    def in_use(self, store: Store) -> bool:
        """Tell whether a run may rest on it now: a pipeline used it last, or since it was found.

        Whoever makes or takes a result marks it as used.
        """
        taken = self.is_result and _age(self.path) < self.age_s
        return (self.latest or taken) and store.busy()


def find_garbage(store: Store, runs: RunFolders, rules: Rules) -> list[Item]:
    """Return what may go, the results first, those used longest ago before others."""
    results = sorted(_results(store, runs), key=lambda item: -item.age_s)
    limit = LEFT_OVER_S if rules.older_than_s is None else rules.older_than_s
    left_over = [item for item in _left_over(store) if item.age_s >= limit or item.why]
    if store.busy():  # what a run rests on now is what its pipeline used last
        results = [item for item in results if not item.latest]
    found = [_because(item, why) for item in results if (why := _reason(item, rules))]
    if rules.keep_bytes is not None:
        rest = _size(store.root) - sum(item.size for item in (*found, *left_over))
        chosen = {item.path for item in found}
        for item in results:
            if rest <= rules.keep_bytes:
                break
            if item.path not in chosen:
                found.append(_because(item, "the store is larger than --keep-size"))
                rest -= item.size
    aged = f"older than {limit / 86400:g} days"
    return [*found, *(item if item.why else _because(item, aged) for item in left_over)]


def remove(store: Store, items: Iterable[Item]) -> list[Item]:
    """Remove what nobody is working on, and return it; the rest stays."""
    removed = []
    for item in items:
        if item.in_use(store):  # a run began since this was found
            continue
        with store.unused(item.work) as free:
            if free and item.path.exists():
                if item.path.is_dir():
                    store.remove(item.path)
                else:
                    item.path.unlink()
                removed.append(item)
            if free:  # a process that waits for a lock whose file is gone makes a new one
                (store.root / "locks" / f"{item.work}.lock").unlink(missing_ok=True)
    for path in (store.root / "latest").glob("*/*"):  # a note of what is gone says nothing
        with suppress(OSError):
            if not store.folder(path.read_text("utf-8").strip()).exists():
                path.unlink()
    return removed


def _reason(item: Item, rules: Rules) -> str:
    if item.what == DAMAGED:
        return "its manifest is missing or was altered"
    if rules.older_than_s is not None and item.age_s >= rules.older_than_s:
        return f"not used for {item.age_s / 86400:.0f} days"
    if rules.unreferenced and not item.referenced:
        return "no recorded run has it, and no pipeline used it last"
    return ""


def _because(item: Item, why: str) -> Item:
    return replace(item, why=why)


def _results(store: Store, runs: RunFolders) -> Iterator[Item]:
    """Yield every result; only manifests are read."""
    latest, users = _latest(store), _users(store, runs)
    for folder in _children(store.root / "results"):
        try:
            stage, what = Manifest.read(folder).stage, RESULT
        except (OSError, ValueError, RecursionError):
            stage, what = "", DAMAGED
        yield Item(
            what,
            folder,
            stage,
            sorted(users.get(folder.name, ())),
            _size(folder),
            _age(folder),
            referenced=folder.name in users,
            latest=folder.name in latest,
        )


def _left_over(store: Store) -> Iterator[Item]:
    """Yield what no result is made of, unless a process has its lock."""
    rooms = (
        ("unfinished", "interrupted work"),
        ("logs", "log"),
        ("plans", "plan"),
        ("locks", "lock"),
        ("tmp", "half-made result"),
    )
    for room, what in rooms:
        for path in _children(store.root / room):
            why = "nobody is filling it" if room == "tmp" else ""
            item = Item(what, path, "", (), 0, 0.0, why=why)
            if not store.held(item.work):  # else it changes while one looks
                yield replace(item, size=_size(path), age_s=_newest(path))


def _latest(store: Store) -> dict[str, set[str]]:
    """Return the pipelines that used a result last, by the name of its folder."""
    found: dict[str, set[str]] = {}
    for path in (store.root / "latest").glob("*/*"):
        with suppress(OSError, ValueError):
            found.setdefault(path.read_text("utf-8")[:SHORT], set()).add(path.parent.name)
    return found


def _users(store: Store, runs: RunFolders) -> dict[str, set[str]]:
    """Return the pipelines that are known to have used a result, by the name of its folder."""
    found = _latest(store)
    for _, record in runs.records():
        for key in record.keys.values():
            found.setdefault(key[:SHORT], set()).add(record.name)
    return found


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size(path: Path) -> int:
    """Return the bytes of a file or of all files in a folder; what vanishes meanwhile is 0."""
    total = 0
    for file in (path, *_inside(path)):
        with suppress(OSError):
            total += file.lstat().st_size if not file.is_dir() else 0
    return total


def _age(path: Path) -> float:
    """Return the seconds since a path was written, or marked as used."""
    with suppress(OSError):
        return max(0.0, time.time() - path.stat().st_mtime)
    return 0.0


def _newest(path: Path) -> float:
    """Return the seconds since anything in a folder was written."""
    return min([_age(path), *(_age(inner) for inner in _inside(path))])


def _inside(path: Path) -> Iterator[Path]:
    """Yield all that a folder holds; one that vanishes meanwhile holds nothing."""
    for folder, folders, files in os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *files))


def as_dict(item: Item) -> dict[str, Any]:
    """Return plain JSON values."""
    return {**vars(item), "path": str(item.path), "pipelines": list(item.pipelines)}
