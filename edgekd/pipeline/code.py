"""Digests of source code, so that a result is kept only while the code that made it stands."""

import ast
import importlib.metadata
import importlib.util
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from edgekd.core.artifact import digest_file, digest_json
from edgekd.core.registry import PACKAGE, package_of
from edgekd.core.shipped import shipped

INSTALLED = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platlib", "purelib")]
INSTALLED_ELSEWHERE = {"site-packages", "dist-packages"}
"""Of the system, or of another environment that this one sees."""
DIGITS = 16
"""Of a digest: enough to tell versions of a file, or of a distribution, apart."""


def package_digest() -> str:
    """Return one digest of all of edgekd's source."""
    digests = {str(path.relative_to(PACKAGE)): digest_file(path) for path in _all_files()}
    return digest_json(digests | {p.name: digest_file(p) for p in files_of("targets/runners")})


def closure(files: Iterable[Path]) -> dict[Path, str]:
    """Return the digest of each file, and of everything that they import."""
    reached: dict[Path, str] = {}
    waiting = [part for file in files for part in _together(file)]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached[path] = digest_file(path)[:DIGITS]
            waiting += _imports(path) if path.suffix == ".py" else ()
    return reached


def named(reached: Mapping[Path, str]) -> dict[str, str]:
    """Return digests under names that do not depend on where the files lie."""
    found: dict[str, str] = {}
    for path, digest in sorted(reached.items(), key=lambda pair: pair[1]):
        name = str(path.relative_to(PACKAGE)) if is_own(path) else path.name
        while name in found:  # two files of the user, in different folders
            name += "'"
        found[name] = digest
    return found


def is_own(path: Path) -> bool:
    """Tell whether a file is edgekd's."""
    return path.is_relative_to(PACKAGE)


def _together(file: Path) -> list[Path]:
    """Return a file of edgekd, or the whole package of one that is not: all of it may serve."""
    return [file] if is_own(file) or file.suffix != ".py" else package_of(file)


def installed(distribution: str) -> str:
    """Return the version of a distribution with a digest of all that was installed with it."""
    found = importlib.metadata.distribution(distribution)
    return f"{found.version} {digest_json(found.read_text('RECORD') or '')[:DIGITS]}"


def files_of(room: str) -> list[Path]:
    """Return all files of a room, `measures`, one of them, or those of a shipped folder.

    As `stages/export.py`, or `targets/runners`.
    """
    own = PACKAGE / room
    if own.is_file():
        return [own]
    top, _, inner = room.partition("/")
    folder = own if own.is_dir() else shipped(top) / inner
    return sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


@cache
def _all_files() -> tuple[Path, ...]:
    return tuple(p for p in sorted(PACKAGE.rglob("*")) if p.suffix in (".py", ".j2", ".css"))


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Return the files that a file imports, wherever in it: of edgekd, and of the user's own.

    What was installed counts by its version.
    """
    modules: set[str] = set()
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a template, say, that only looks like a module
        return ()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = []
    for module in modules:
        if module.partition(".")[0] == PACKAGE.name:
            stem = PACKAGE.parent.joinpath(*module.split("."))
            found += [p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()]
        elif not is_own(path):
            found += _own(module.partition(".")[0])
    return tuple(found)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every statement, at whatever depth: only there can an import be."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, part, ())
        yield node


@cache
def _own(top: str) -> tuple[Path, ...]:
    """Return the source of a module of the user's own, which nobody installed with a version."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ()
    file = Path(spec.origin) if spec and spec.origin else None
    if file is None or file.suffix != ".py" or _is_installed(file):
        return ()
    return tuple(package_of(file))


def _is_installed(file: Path) -> bool:
    here = any(file.is_relative_to(place) for place in INSTALLED)
    return here or bool(INSTALLED_ELSEWHERE & {*file.parts})
