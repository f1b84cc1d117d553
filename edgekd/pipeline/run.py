"""Doing what a plan says, and leaving what people look for where they find it."""

import os
import shlex
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgekd.core.errors import Problem, RequestError
from edgekd.core.launcher import launched, processes, rank
from edgekd.core.protocols.stage import Origin
from edgekd.core.trouble import named_trouble
from edgekd.pipeline.cluster import check_address
from edgekd.pipeline.events import Listener, RunDone, RunStarted, RunStopping
from edgekd.pipeline.execution import Execution, now
from edgekd.pipeline.outcome import RunResult, leave
from edgekd.pipeline.plan import Plan, Planner
from edgekd.pipeline.ray_workshop import on_cluster
from edgekd.pipeline.records import RunFolders
from edgekd.pipeline.resolution import resolved
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.store import Store
from edgekd.pipeline.together import Together
from edgekd.pipeline.tracking import tracked
from edgekd.pipeline.workshop import Workshop


@dataclass(frozen=True)
class Settings:
    """Where a run keeps things."""

    store: Path
    runs: Path


def plan_pipeline(request: Request, settings: Settings, until: str | None = None) -> Plan:
    """Return what a run would do; RequestError holds every problem of the file."""
    store = Store(settings.store)
    with named_trouble():
        store.prepare()
        with Workshop(log_of(store)) as workshop:
            return Planner(resolved(request, store, workshop), store).plan(until)


def run_pipeline(
    request: Request,
    settings: Settings,
    listener: Listener,
    until: str | None = None,
    *,
    remeasure: bool = False,
    jobs: int = 1,
    ray: str | None = None,
) -> RunResult:
    """Run what is not kept yet, `jobs` stages at the same time, and return what came of it.

    RequestError before anything runs where the request is wrong; StageError where a stage fails;
    UnreachableError where a disk is full or cannot be written; RunInterruptedError after Ctrl-C,
    with every finished stage kept, and of the unfinished one what it wrote down.
    `ray` is the address of a cluster whose nodes make what need not stay on this machine.
    """
    _check_hands(request, jobs, ray)
    began, started_at = time.monotonic(), now()
    store, runs = Store(settings.store), RunFolders(settings.runs)
    with ExitStack() as trackers:
        with named_trouble():
            store.prepare()
            runs.prepare()
            log = log_of(store)
            with ExitStack() as open_ones:
                own = [
                    open_ones.enter_context(Workshop(log, lambda p: listener(RunStopping(p))))
                    for _ in range(jobs if ray is None else 1)
                ]
                planner = Planner(resolved(request, store, own[0]), store, remeasure=remeasure)
                plan = planner.plan(until)
                names = [step.stage.name for step in plan.steps]
                device = plan.resolved.device
                listener(RunStarted(plan.resolved.name, device, str(store.root), names, str(log)))
                origin = origin_of(plan, started_at)
                listener = trackers.enter_context(tracked(plan, origin, store, listener))
                execution = Execution(plan, planner, store, listener, origin)
                if ray is not None:
                    with on_cluster(ray, plan, store, log, jobs) as workshops:
                        Together(execution, workshops, here=own[0]).all()
                elif jobs == 1:
                    execution.in_turn(own[0])
                else:
                    Together(execution, own).all()
                if launched():
                    own[0].ask({"do": "dismiss"}, lambda _: None)
            result = leave(execution, runs)
        listener(_done(result, time.monotonic() - began))
    return result


def _done(result: RunResult, seconds: float) -> RunDone:
    return RunDone(
        exit_code=result.exit_code,
        folder=str(result.folder),
        report=str(result.report) if result.report else None,
        artifacts=[str(path) for path in result.artifacts],
        gates=result.gates,
        comparisons=result.comparisons,
        failed=result.failed,
        ran=result.ran,
        seconds=seconds,
    )


def _check_hands(request: Request, jobs: int, ray: str | None) -> None:
    """Raise RequestError where what was asked for cannot work on the stages."""
    if ray is not None:
        check_address(ray)
    if not launched():
        return
    if rank() or request.processes != processes():
        message = f"this is process {rank() + 1} of {processes()} that a launcher has started."
        step = "Start the command `edgekd run` with the launcher: then they work together."
        raise RequestError(Problem("", message, step))
    if jobs > 1 or ray is not None:
        message = "the processes of a launcher work on one stage after the other."
        asked = "--ray" if ray is not None else "--jobs"
        raise RequestError(Problem("", message, "Leave it out.", asked))


def log_of(store: Store) -> Path:
    """Return the file that the workers of this process write what libraries print to."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return store.root / "logs" / f"{stamp}-{os.getpid()}.log"


def origin_of(plan: Plan, started_at: str) -> Origin:
    """Return what was asked, for the report of the run."""
    request = plan.resolved.request
    words = ["edgekd", "run", os.path.relpath(request.file)]
    words += [word for assignment in request.sets for word in ("--set", assignment)]
    words += [word for target in request.targets for word in ("--target", target)]
    words += ["--nproc", str(request.processes)] if request.processes > 1 else []
    return Origin(
        name=plan.resolved.name,
        file=request.file,
        text=plan.resolved.text,
        sets=tuple(request.sets),
        command=shlex.join(words),
        started_at=started_at,
        members={s.stage.name: s.stage.member for s in plan.steps if s.stage.member},
    )
