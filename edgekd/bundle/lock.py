"""The packages that shape a run: versions, and a digest of what each installed.

The digest is over the lines of a distribution's RECORD that come from its wheel: two builds of one
version differ in it, two installations of one build do not. Scripts are left out, as their first
line names the environment, and so is what the installer notes for itself.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    entry_points,
    packages_distributions,
)

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from edgekd.bundle.document import Package
from edgekd.pipeline.resolved import Resolved

NOTES = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json")
"""What an installer writes beside the wheel's own files."""


@dataclass(frozen=True)
class Locked:
    """A distribution and the distributions that it asks for."""

    package: Package
    distribution: Distribution
    needs: tuple[str, ...]


def lock(roots: Iterable[str]) -> dict[str, Locked]:
    """Return every installed distribution that the roots rest on, by normal name, sorted."""
    waiting: list[tuple[str, str]] = [(canonicalize_name(root), "") for root in roots]
    seen: set[tuple[str, str]] = set()
    found: dict[str, Distribution] = {}
    needs: dict[str, set[str]] = {}
    while waiting:
        name, extra = waiting.pop()
        installed = _installed(name)
        if installed is None or (name, extra) in seen:  # absent: optional, or of another system
            continue
        seen.add((name, extra))
        found[name] = installed
        asked = list(_asked(installed, extra))
        needs[name] = needs.get(name, set()) | {need for need, _ in asked}
        waiting += asked
    return {
        name: Locked(
            Package(name=name, version=dist.version, record=record_digest(dist)),
            dist,
            tuple(sorted(needs[name] & found.keys() - {name})),
        )
        for name, dist in sorted(found.items())
    }


def roots(resolved: Resolved) -> set[str]:
    """Return the distributions whose closure is locked: ours, and those of plug-ins."""
    named = {name for stage in resolved.stages for name in stage.libraries}
    return {"edgekd"} | named | _plugin_packages(resolved.plugins)


def _plugin_packages(modules: Iterable[str]) -> set[str]:
    """Return the distributions of installed plug-ins: by entry point, or named in a pipeline."""
    points = entry_points()
    groups = [group for group in points.groups if group.startswith("edgekd.")]
    found = {p.dist.name for group in groups for p in points.select(group=group) if p.dist}
    names = [module.partition(".")[0] for module in modules if not module.endswith(".py")]
    known = packages_distributions() if names else {}
    return found | {dist for name in names for dist in known.get(name, ())}


def record_digest(installed: Distribution) -> str:
    """Return the digest of what a wheel installed, or nothing where no RECORD tells."""
    lines = (installed.read_text("RECORD") or "").splitlines()
    kept = sorted(line for line in lines if _from_wheel(line))
    return hashlib.sha256("\n".join(kept).encode()).hexdigest() if kept else ""


def as_requirements(packages: Mapping[str, Locked]) -> str:
    """Return the lock as a requirements file, the digests as comments."""
    lines = [f"{p.name}=={p.version}" for p in (one.package for one in packages.values())]
    width = max(map(len, lines), default=0)
    rows = [
        f"{line:<{width}}  # RECORD {one.package.record or 'absent'}\n"
        for line, one in zip(lines, packages.values(), strict=True)
    ]
    return "".join(rows)


@cache
def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _asked(installed: Distribution, extra: str) -> Iterable[tuple[str, str]]:
    """Yield what a distribution asks for here, each with every extra that it asks for."""
    for text in installed.requires or ():
        try:
            wanted = Requirement(text)
        except InvalidRequirement:  # old metadata; pip would not install it either
            continue
        if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
            for one in ("", *wanted.extras):
                yield canonicalize_name(wanted.name), one


def _from_wheel(line: str) -> bool:
    path, _, rest = line.partition(",")
    hashed = rest.startswith("sha256=")
    return hashed and not path.startswith("../") and not path.endswith((".pyc", *NOTES))
