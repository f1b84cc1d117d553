"""A pipeline rehearsed before it is paid for: untrained students measured on the real targets.

The same stages run on few examples in a store of their own, which is gone at the end. What is kept
is taken from the user's store, into which no result goes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from edgekd.core import kinds
from edgekd.core.artifact import Manifest
from edgekd.core.errors import Problem, RequestError, RunInterruptedError
from edgekd.core.quantity import significant
from edgekd.core.results import Measurements
from edgekd.core.signals import EVIDENCE
from edgekd.core.trouble import named_trouble
from edgekd.measures.contract import gate_names
from edgekd.pipeline.events import (
    Event,
    Listener,
    RunStarted,
    StageDone,
    StageKept,
    StageStarted,
    StageWaits,
)
from edgekd.pipeline.execution import Execution, now
from edgekd.pipeline.plan import Plan, Planner, Step
from edgekd.pipeline.resolution import resolved
from edgekd.pipeline.resolved import Request, Resolved, ResolvedStage
from edgekd.pipeline.run import Settings, log_of, origin_of
from edgekd.pipeline.store import Store
from edgekd.pipeline.workshop import Workshop

WORK = "rehearsal"
STEPS, FEWEST, SCORED = 32, 1024, 512
"""Batches of the largest size that a training is shown, the least of its examples, and how many of
each other split."""
OF_ALL = ("outputs", "selection")
"""Results that are of all training examples."""
APART = 2**62
"""Added to the seeds of what is rehearsed, so that no key of it is that of a run."""


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal came to."""

    plan: Plan
    """What a run would do."""
    made: Mapping[str, Manifest]
    """What each stage came to: what is kept of it, else its rehearsal."""
    measurements: Mapping[str, Measurements]
    """Of each `validate` stage."""
    failed: Mapping[str, str]
    """Why stages came to nothing; each is one of several."""
    exit_code: int
    """0 where no gate of cost fails; 1 where one does, or a stage or a program failed."""


def rehearse_pipeline(
    request: Request, settings: Settings, listener: Listener, until: str | None = None
) -> Rehearsed:
    """Rehearse what a run would do, and return what came of it; nothing of it is kept.

    Raises what a run would: RequestError, StageError where a stage cannot be done whatever the
    weights, UnreachableError where a target or the disk is not there; RunInterruptedError.
    """
    if request.processes > 1:
        message = "a rehearsal is of one process, whose steps it times."
        raise RequestError(Problem("", message, "Leave it out.", "--nproc"))
    store = Store(settings.store)
    with named_trouble():
        store.prepare()
        log = log_of(store)
        with _own_store(store, listener) as own, Workshop(log) as workshop:
            planner = Planner(resolved(request, store, workshop), store)
            plan = planner.plan(until)
            names = [step.stage.name for step in plan.steps]
            device = plan.resolved.device
            listener(RunStarted(plan.resolved.name, device, str(store.root), names, str(log)))
            return _rehearse(plan, planner, own, _brief(listener), workshop)


@contextmanager
def _own_store(store: Store, listener: Listener) -> Iterator[Store]:
    """Yield a store inside the folder for what is half made, where a killed one is swept from."""
    told: set[str] = set()

    def wait() -> None:
        if not told:
            listener(StageWaits(WORK))
        told.add(WORK)

    with store.locked(WORK, wait), store.filling(WORK) as folder:
        own = Store(folder)
        own.prepare()
        yield own


def _brief(listener: Listener) -> Listener:
    """Return a listener that hears how long a stage will take, and not what chance has found."""

    def hear(event: Event) -> None:
        if isinstance(event, StageStarted):
            event = replace(event, reasons=("rehearsed",))
        elif isinstance(event, StageDone | StageKept) and (told := event.facts.get("rehearsed")):
            says = f"will take ~{significant(told['seconds'], 2)} s: {told['rests_on']}"
            event = replace(event, facts={"says": says})
        listener(event)

    return hear


def _rehearse(
    plan: Plan, planner: Planner, own: Store, listener: Listener, workshop: Workshop
) -> Rehearsed:
    """Take what is kept, rehearse the rest, and read what was measured."""
    again = _to_rehearse(plan)
    pipeline = replace(plan.resolved, stages=[_as_rehearsed(plan, s, again) for s in plan.steps])
    inner = Planner(pipeline, own)
    inner.digests = planner.digests  # no file is read twice
    execution = Execution(
        plan, inner, own, listener, origin_of(plan, now()), rehearse=_examples(pipeline)
    )
    for step, stage in zip(plan.steps, pipeline.stages, strict=True):
        if step.kept is not None and stage.name not in again:
            _take(step, step.kept, planner.store, execution)
        else:
            _settle(stage, execution, workshop)
    made = execution.results()
    wrong = any(_fails(manifest) for manifest in made.values())
    return Rehearsed(
        plan=plan,
        made=made,
        measurements={
            name: Measurements.model_validate_json(
                (own.folder(manifest.key) / "measurements.json").read_bytes()
            )
            for name, manifest in made.items()
            if manifest.makes == "measurements"
        },
        failed={name: str(error) for name, error in execution.failed.items()},
        exit_code=1 if wrong or execution.failed else 0,
    )


def budgets(made: Manifest) -> list[Mapping[str, Any]]:
    """Return the verdicts of a stage on gates of time, size and memory.

    One that is kept has been judged by its answers too, of which a rehearsal says nothing.
    """
    costs = {
        name
        for plugin in kinds.measure.within("cost")
        if EVIDENCE.keys() & set(plugin.needs)
        for name in gate_names(plugin)
    }
    return [gate for gate in made.facts.get("gates", ()) if gate["name"] in costs]


def _fails(made: Manifest) -> bool:
    """Tell whether a program could not be measured, or cannot keep a gate."""
    broken = any(gate["verdict"] == "fail" for gate in budgets(made))
    return broken or bool(made.facts.get("failures"))


def _to_rehearse(plan: Plan) -> set[str]:
    """Return the stages that are rehearsed: those that would run, and some that they read.

    Outputs and selections that are kept are of all examples, and stages are shown few.
    """
    names = {step.stage.name for step in plan.to_run}
    waiting = [*names]
    while waiting:
        read = {*plan.step(waiting.pop()).stage.inputs} - names
        again = {name for name in read if plan.step(name).stage.makes in OF_ALL}
        names |= again
        waiting += again
    return names


def _as_rehearsed(plan: Plan, step: Step, again: set[str]) -> ResolvedStage:
    """Return a stage with the seed of its arm's first: of several seeds one is enough."""
    stage = step.stage
    if stage.name not in again:
        return stage
    arm = stage.member.arm if stage.member else stage.name
    seed = next(each.seed for each in plan.resolved.stages if each.name == arm)
    return replace(stage, seed=seed + APART)


def _examples(resolved: Resolved) -> dict[str, int]:
    """Return how many examples of each split are shown: enough for a few steps of any training."""
    trainings = [stage.options.get("train") or {} for stage in resolved.stages]
    most = max((int(options.get("batch_size", 0)) for options in trainings), default=0)
    return {"train": max(FEWEST, STEPS * most), "validation": SCORED, "test": SCORED}


def _take(step: Step, kept: Manifest, store: Store, execution: Execution) -> None:
    """Take the result of a stage as it is kept."""
    link = execution.store.folder(step.key)
    if not link.exists():  # another stage shares the result
        link.symlink_to(store.folder(step.key))
    execution.made[step.stage.name] = kept
    execution.tell(StageKept(step.stage.name, step.key, kept.facts, kept.started_at))


def _settle(stage: ResolvedStage, execution: Execution, workshop: Workshop) -> None:
    try:
        execution.settle(stage, workshop)
    except (KeyboardInterrupt, RunInterruptedError):
        message = f"Interrupted while stage {stage.name} was rehearsed; nothing of it is kept."
        raise RunInterruptedError(message) from None
