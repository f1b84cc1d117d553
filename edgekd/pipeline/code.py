"""Digests of source code, so that a result is kept only while the code that made it stands."""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from edgekd.core.artifact import digest_file, digest_json
from edgekd.core.registry import PACKAGE
from edgekd.core.shipped import shipped

DIGITS = 16
"""Of a digest of code: enough to tell versions of a file apart."""


def package_digest() -> str:
    """Return one digest of all of edgekd's source."""
    digests = {str(path.relative_to(PACKAGE)): digest_file(path) for path in _all_files()}
    return digest_json(digests | {p.name: digest_file(p) for p in files_of("targets/runners")})


def closure_digests(files: Iterable[Path]) -> dict[str, str]:
    """Return the digest of each file, and of everything of edgekd that they import, by name."""
    reached: dict[Path, str] = {}
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached[path] = digest_file(path)[:DIGITS]
            waiting += _imports(path) if path.suffix == ".py" else ()
    named: dict[str, str] = {}
    for path, digest in sorted(reached.items(), key=lambda pair: pair[1]):
        own = path.is_relative_to(PACKAGE)
        name = str(path.relative_to(PACKAGE)) if own else path.name
        while name in named:  # two files of the user, in different folders
            name += "'"
        named[name] = digest
    return named


def files_of(room: str) -> list[Path]:
    """Return all files of a room, `measures`, or of a shipped folder, `targets/runners`."""
    own = PACKAGE / room
    top, _, inner = room.partition("/")
    folder = own if own.is_dir() else shipped(top) / inner
    return sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


@cache
def _all_files() -> tuple[Path, ...]:
    return tuple(p for p in sorted(PACKAGE.rglob("*")) if p.suffix in (".py", ".j2", ".css"))


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Return the files of edgekd that a file imports, wherever in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = []
    for module in modules:
        if module.partition(".")[0] == PACKAGE.name:
            stem = PACKAGE.parent.joinpath(*module.split("."))
            found += [p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()]
    return tuple(found)
