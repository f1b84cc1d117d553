"""Which names the files of a bundle may have: those that stay inside and apart everywhere.

Checked when a bundle is written and again when it is opened, so that what one system writes
another one can unpack.
"""

import re
import unicodedata
from collections.abc import Iterable

MAX_BYTES, MAX_PART_BYTES = 500, 200
"""File systems refuse a part of more than 255 bytes."""


def objection(name: str) -> str:
    """Return what is wrong with a file's name by itself, or nothing."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if "\\" in name or ":" in name:
        return "holds a backslash or a colon"
    if not name.isprintable():
        return "holds a control character"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "does not stay in its folder"
    if len(name.encode()) > MAX_BYTES or any(len(p.encode()) > MAX_PART_BYTES for p in parts):
        return "is too long"
    return ""


def clash(names: Iterable[str]) -> str:
    """Return what is wrong with names beside each other, or nothing.

    Names that differ only in case or in the Unicode form of their letters are one name on some
    file systems; a name cannot be both a file and a folder.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = _folded(name)
        if folded in seen:
            pair = f"{seen[folded]!r} and {name!r} differ only in case or form"
            return f"{name!r} is there twice" if seen[folded] == name else pair
        seen[folded] = name
    for folded, name in seen.items():
        parts = folded.split("/")
        above = next((p for p in _above(parts) if p in seen), None)
        if above is not None:
            return f"{seen[above]!r} is both a file and the folder of {name!r}"
    return ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _above(parts: list[str]) -> Iterable[str]:
    return ("/".join(parts[:count]) for count in range(1, len(parts)))
