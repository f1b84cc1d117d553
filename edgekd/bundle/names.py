"""Which names the files of a bundle may have: those that stay inside and apart everywhere.

Checked when a bundle is written and again when it is opened, so that what one system writes
another one can unpack.
"""

import re
import unicodedata
from collections.abc import Iterable

MAX_LENGTH = 300


def objection(name: str) -> str:
    """Return what is wrong with a file's name by itself, or nothing."""
    if not name or len(name) > MAX_LENGTH:
        return f"must have 1 to {MAX_LENGTH} characters"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if not name.isprintable():
        return "holds a control character"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "does not stay in its folder"
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
            same = "is there twice" if seen[folded] == name else "differ only in case or form"
            return (
                f"{seen[folded]!r} and {name!r} {same}"
                if seen[folded] != name
                else (f"{name!r} {same}")
            )
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
