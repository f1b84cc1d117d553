"""Distil, compress, export and measure models for devices: `edgekd run pipeline.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.core.version import VERSION

if TYPE_CHECKING:
    from edgekd.pipeline.events import Listener
    from edgekd.pipeline.outcome import RunResult
    from edgekd.pipeline.plan import Plan
    from edgekd.pipeline.rehearsal import Rehearsed
    from edgekd.pipeline.resolved import Request
    from edgekd.pipeline.run import Settings

__version__ = VERSION
__all__ = ["__version__", "plan", "rehearse", "run"]


def run(
    file: str | Path,
    *,
    sets: Sequence[str] = (),
    until: str | None = None,
    targets: Sequence[str] = (),
    store: str | Path = ".edgekd",
    runs: str | Path = "runs",
    remeasure: bool = False,
    jobs: int = 1,
    ray: str | None = None,
    nproc: int = 1,
    listener: Listener | None = None,
) -> RunResult:
    """Run a pipeline file and return what came of it; finished stages are kept in `store`.

    `sets` are overrides such as `stages.student.train.epochs=3`; `remeasure` measures again what
    was measured before; `jobs` independent stages run at the same time, on the nodes of a
    cluster where `ray` is `local`, `auto` or `HOST:PORT`; `nproc` processes train together;
    `listener` is called with every event, one at a time. Raises an
    `edgekd.core.errors.EdgekdError` where the command would end with a message.
    """
    from edgekd.pipeline.run import run_pipeline

    request = _request(file, sets, targets, nproc)
    settings, hear = _settings(store, runs), listener or (lambda _: None)
    return run_pipeline(request, settings, hear, until, remeasure=remeasure, jobs=jobs, ray=ray)


def plan(
    file: str | Path,
    *,
    sets: Sequence[str] = (),
    until: str | None = None,
    targets: Sequence[str] = (),
    store: str | Path = ".edgekd",
    nproc: int = 1,
) -> Plan:
    """Return what running a pipeline file would do, and why; RequestError has all its problems."""
    from edgekd.pipeline.run import plan_pipeline

    request = _request(file, sets, targets, nproc)
    return plan_pipeline(request, _settings(store, "runs"), until)


def rehearse(
    file: str | Path,
    *,
    sets: Sequence[str] = (),
    until: str | None = None,
    targets: Sequence[str] = (),
    store: str | Path = ".edgekd",
    nproc: int = 1,
    listener: Listener | None = None,
) -> Rehearsed:
    """Measure what a pipeline file would make, with untrained students, and keep nothing of it.

    Returns what was measured, whether it keeps the gates of time, size and memory, and what the
    run would take. Raises an `edgekd.core.errors.EdgekdError` where a run would.
    """
    from edgekd.pipeline.rehearsal import rehearse_pipeline

    request = _request(file, sets, targets, nproc)
    return rehearse_pipeline(request, _settings(store, "runs"), listener or (lambda _: None), until)


def _request(file: str | Path, sets: Sequence[str], targets: Sequence[str], nproc: int) -> Request:
    """Return what is asked for; a launcher that started several processes says how many."""
    from edgekd.core.errors import Problem, RequestError
    from edgekd.core.launcher import launched, processes, processes_here
    from edgekd.pipeline.resolved import Request

    if launched() and nproc > 1:
        message = f"a launcher has started {processes()} processes already."
        raise RequestError(Problem("", message, "Leave it out, or start one process.", "--nproc"))
    here = processes_here() if launched() else nproc
    path = str(Path(file).absolute())
    return Request(path, tuple(sets), tuple(targets), max(nproc, processes()), here)


def _settings(store: str | Path, runs: str | Path) -> Settings:
    from edgekd.pipeline.run import Settings

    return Settings(Path(store).expanduser().absolute(), Path(runs).expanduser().absolute())
