"""Digests of source code, so that a result is kept only while the code that made it stands."""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from edgekd.core.artifact import digest_file, digest_json
from edgekd.core.registry import PACKAGE


def package_digest() -> str:
    """Return one digest of all of edgekd's source."""
    return digest_json({str(p.relative_to(PACKAGE)): digest_file(p) for p in _all_files()})


def closure_digest(files: Iterable[Path]) -> str:
    """Return one digest of some files and of everything of edgekd that they import."""
    reached: dict[str, str] = {}
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        name = str(path.relative_to(PACKAGE)) if path.is_relative_to(PACKAGE) else path.name
        if name not in reached:
            reached[name] = digest_file(path)
            waiting += _imports(path)
    return digest_json(reached)


@cache
def _all_files() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


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
