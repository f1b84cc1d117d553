"""The usual troubles of an installation, and their cures."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from packaging.requirements import Requirement

MIN_FREE_GIB = 2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    cure: str = ""


def examine(_store: Path, as_json: bool) -> int:
    """Print every finding; return 0 where all is well, else 2."""
    findings = [finding for check in CHECKS for finding in check()]
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            typer.echo(f"  {'ok   ' if finding.ok else 'WRONG'}  {finding.what}: {finding.found}")
            if not finding.ok:
                typer.echo(f"         {finding.cure}")
    return 0 if all(finding.ok for finding in findings) else 2


def _python() -> list[Finding]:
    version = sys.version.split()[0]
    return [Finding("Python", sys.version_info >= (3, 11), version, "Use Python 3.11 or newer.")]


def _packages() -> list[Finding]:
    """Compare what is installed with what edgekd asks for."""
    findings = []
    for text in importlib.metadata.requires("edgekd") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        cure = f"pip install '{wanted.name}{wanted.specifier}'"
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(wanted.name, False, "not installed", cure))
            continue
        fits = wanted.specifier.contains(version, prereleases=True)
        findings.append(Finding(wanted.name, fits, version, f"{cure} is needed."))
    return findings


def _torchvision() -> list[Finding]:
    """Transformers imports torchvision where it is installed; one that does not fit breaks it."""
    if importlib.util.find_spec("torchvision") is None:
        return []
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, AttributeError) as error:
        return [Finding("torchvision", False, str(error), "pip uninstall torchvision")]
    return [Finding("torchvision", True, importlib.metadata.version("torchvision"))]


def _disk() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        Finding(
            "free disk here",
            free >= MIN_FREE_GIB,
            f"{free:.1f} GiB",
            "Free some space, or use --store on another disk.",
        )
    ]


def _writable() -> list[Finding]:
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()):
            pass
    except OSError as error:
        return [Finding("this folder", False, str(error), "Use --store and --runs elsewhere.")]
    return [Finding("this folder", True, "can be written")]


def _processors() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [Finding("processors", True, str(cores))]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    _python,
    _packages,
    _torchvision,
    _processors,
    _disk,
    _writable,
)
