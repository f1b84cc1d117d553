"""The resolved pipeline: kept from an earlier time, or made by the worker."""

import importlib.metadata
import os
from dataclasses import asdict
from pathlib import Path

from edgekd.core.artifact import digest_file, digest_json
from edgekd.core.limits import allowed_processors
from edgekd.pipeline.code import installed, package_digest
from edgekd.pipeline.document import read_text
from edgekd.pipeline.kept import read_sealed, write_sealed
from edgekd.pipeline.resolved import Request, Resolved
from edgekd.pipeline.store import Store
from edgekd.pipeline.targets import find_targets
from edgekd.pipeline.workshop import Workshop


def resolved(request: Request, store: Store, workshop: Workshop) -> Resolved:
    """Return the resolved pipeline: as kept, where nothing that it was read from changed."""
    key = digest_json(
        {
            "request": asdict(request),
            "text": read_text(Path(request.file)),
            "package": package_digest(),
            "plug-ins": _entry_points(),
            "processors": allowed_processors(),
            "gpu": [Path("/dev/nvidiactl").exists(), os.environ.get("CUDA_VISIBLE_DEVICES", "")],
        }
    )
    file = store.root / "plans" / f"{key[:20]}.json"
    kept = _kept(file, request)
    if kept is not None:
        return kept
    fresh = workshop.resolve(request)
    write_sealed(file, fresh.as_dict())
    return fresh


def _kept(file: Path, request: Request) -> Resolved | None:
    """Return what is kept; None where it is absent, altered, or rests on files that changed."""
    try:
        found = Resolved.from_dict(read_sealed(file) or {})
        nearest_targets = find_targets(Path(request.file).parent)
        moved = [n for n, at in found.target_files.items() if str(nearest_targets.get(n)) != at]
        same = all(_is(path, digest) for path, digest in found.depends.items())
        same = same and all(installed(name) == at for name, at in found.versions.items())
    except importlib.metadata.PackageNotFoundError:
        return None
    except (KeyError, TypeError, AttributeError, ValueError):  # it says no more what a plan says
        return None
    return found if same and not moved else None


def _entry_points() -> list[list[str]]:
    """Return the plug-ins of other packages: a new one can change what a name means."""
    points = importlib.metadata.entry_points()
    groups = sorted(group for group in points.groups if group.startswith("edgekd."))
    found = [point for group in groups for point in points.select(group=group)]
    return [[p.group, p.name, p.value, p.dist.version if p.dist else ""] for p in found]


def _is(path: str, digest: str) -> bool:
    try:
        return digest_file(Path(path)) == digest
    except (OSError, ValueError):
        return False
