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
    from edgekd.pipeline.run import Settings

__version__ = VERSION
__all__ = ["__version__", "plan", "run"]


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
    listener: Listener | None = None,
) -> RunResult:
    """Run a pipeline file and return what came of it; finished stages are kept in `store`.

    `sets` are overrides such as `stages.student.train.epochs=3`; `remeasure` measures again what
    was measured before; `jobs` independent stages run at the same time, on the nodes of a
    cluster where `ray` is `local`, `auto` or `HOST:PORT`; `listener` is called with every event,
    one at a time. Raises an `edgekd.core.errors.EdgekdError` where the command would end with a
    message.
    """
    from edgekd.pipeline.resolved import Request
    from edgekd.pipeline.run import run_pipeline

    request = Request(str(Path(file).absolute()), tuple(sets), tuple(targets))
    settings, hear = _settings(store, runs), listener or (lambda _: None)
    return run_pipeline(request, settings, hear, until, remeasure=remeasure, jobs=jobs, ray=ray)


def plan(
    file: str | Path,
    *,
    sets: Sequence[str] = (),
    until: str | None = None,
    targets: Sequence[str] = (),
    store: str | Path = ".edgekd",
) -> Plan:
    """Return what running a pipeline file would do, and why; RequestError has all its problems."""
    from edgekd.pipeline.resolved import Request
    from edgekd.pipeline.run import plan_pipeline

    request = Request(str(Path(file).absolute()), tuple(sets), tuple(targets))
    return plan_pipeline(request, _settings(store, "runs"), until)


def _settings(store: str | Path, runs: str | Path) -> Settings:
    from edgekd.pipeline.run import Settings

    return Settings(Path(store).expanduser().absolute(), Path(runs).expanduser().absolute())
