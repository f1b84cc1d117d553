"""What is installed, beside what edgekd asks for; nothing is imported."""

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Iterator, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from edgekd.cli.checks.finding import Finding, fine, wrong

SAME_MODULE = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
"""Distributions that install the same module over each other."""


def python(version: str = platform.python_version()) -> Iterator[Finding]:
    """Yield whether Python is new enough."""
    wanted = importlib.metadata.metadata("edgekd")["Requires-Python"]
    if SpecifierSet(wanted).contains(version, prereleases=True):
        yield fine("Python", version)
    else:
        yield wrong("Python", version, f"edgekd needs Python {wanted}.")


def versions() -> Iterator[Finding]:
    """Yield every required package with its version."""
    for text in importlib.metadata.requires("edgekd") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        command = f"pip install '{wanted.name}{wanted.specifier}'"
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield wrong(wanted.name, "not installed", command)
            continue
        if wanted.specifier.contains(version, prereleases=True):
            yield fine(wanted.name, version)
        else:
            yield wrong(wanted.name, version, f"{command} is needed.")


def clashes(installed: Sequence[tuple[str, str]] | None = None) -> Iterator[Finding]:
    """Yield packages that overwrite each other, and those that are installed twice."""
    pairs = _installed() if installed is None else installed
    names = {name for name, _ in pairs}
    both = [name for name in SAME_MODULE if name in names]
    if len(both) > 1:
        yield wrong(
            "onnxruntime",
            f"{' and '.join(both)} are both installed and overwrite each other's files",
            f"pip uninstall -y {' '.join(both)}, then pip install one of them.",
        )
    twice = [name for name, count in Counter(name for name, _ in set(pairs)).items() if count > 1]
    for name in sorted(twice):
        found = " and ".join(sorted(version for other, version in {*pairs} if other == name))
        yield wrong(
            name,
            f"recorded in the versions {found}: an update was broken off",
            f"pip uninstall -y {name} until none is left, then pip install {name}.",
        )


def _installed() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # an update that was broken off leaves folders without
            found.append((canonicalize_name(name), distribution.version))
    return found
