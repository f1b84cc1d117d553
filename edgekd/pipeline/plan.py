"""What would run and what is kept, and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgekd.core.artifact import Manifest, digest_json
from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.resolved import Resolved, ResolvedStage
from edgekd.pipeline.store import Digests, Store


@dataclass(frozen=True)
class Step:
    """One stage of a plan."""

    stage: ResolvedStage
    key: str
    identity: Mapping[str, Any]
    """All that the key was made of."""
    action: Literal["keep", "run"]
    reasons: Sequence[str]
    """Why it runs; empty where it is kept."""
    kept: Manifest | None


@dataclass(frozen=True)
class Plan:
    """The stages in the order in which they run."""

    resolved: Resolved
    steps: Sequence[Step]

    @property
    def to_run(self) -> list[Step]:
        """The stages whose results are not there yet."""
        return [step for step in self.steps if step.action == "run"]

    def step(self, name: str) -> Step:
        """Return a stage's step; RequestError where there is no such stage."""
        for step in self.steps:
            if step.stage.name == name:
                return step
        known = [step.stage.name for step in self.steps]
        raise RequestError(Problem("", f"no stage is named '{name}'.", nearest(name, known)))


def make_plan(resolved: Resolved, store: Store, until: str | None = None) -> Plan:
    """Return what is to be done; `until` keeps a stage and all that it rests on."""
    digests = Digests(store)
    steps: dict[str, Step] = {}
    for stage in resolved.stages:
        identity = _identity(stage, resolved, steps, digests)
        key = digest_json(identity)
        kept = store.find(key)
        reasons = [] if kept else list(_reasons(stage, identity, resolved, store))
        steps[stage.name] = Step(stage, key, identity, "keep" if kept else "run", reasons, kept)
    digests.save()
    plan = Plan(resolved, tuple(steps.values()))
    if until is None:
        return plan
    wanted = {until} | ancestors(plan.step(until).stage, plan)
    return Plan(resolved, tuple(s for s in plan.steps if s.stage.name in wanted))


def ancestors(stage: ResolvedStage, plan: Plan) -> set[str]:
    """Return the names of all stages that a stage rests on."""
    found: set[str] = set()
    waiting = list(stage.inputs)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += plan.step(name).stage.inputs
    return found


def explain(plan: Plan, name: str) -> list[str]:
    """Return why a stage runs, following changed inputs back to what changed first."""
    lines: list[str] = []
    waiting, seen = [name], {name}
    while waiting:
        stage = waiting.pop(0)
        for reason in plan.step(stage).reasons:
            lines.append(f"{stage}: {reason}")
            source = reason.removeprefix("input ").partition(" ")[0]
            if reason.startswith("input ") and source not in seen:
                seen.add(source)
                waiting.append(source)
    return lines


def _identity(
    stage: ResolvedStage, resolved: Resolved, done: Mapping[str, Step], digests: Digests
) -> dict[str, Any]:
    try:
        files = digests.of_all(stage.files)
    except OSError as error:
        raise RequestError(
            Problem(
                f"stages.{stage.name}",
                f"{error.filename} cannot be read: {error.strerror}.",
                "Put it back, or change the file that names it.",
            )
        ) from error
    identity: dict[str, Any] = {
        "stage": stage.kind,
        "name": stage.name,
        "options": _without_paths(stage.options, stage.paths),
        "seed": stage.seed,
        "device": resolved.device,
        "code": stage.code,
        "libraries": dict(stage.libraries),
        "files": dict(files),
        "inputs": {name: done[name].key for name in stage.inputs},
        "targets": {name: dict(target) for name, target in stage.targets.items()},
    }
    if stage.reads_data:
        identity["threads"] = resolved.threads
        identity["task"] = _without_paths(resolved.task, stage.paths)
    if stage.makes == "report":  # it shows the request that it answers
        request = resolved.request
        identity["request"] = {
            "name": resolved.name,
            "text": resolved.text,
            "sets": list(request.sets),
            "targets": list(request.targets),
        }
    if stage.makes == "measurements":
        identity["machine"] = this_machine()
    return identity


def _without_paths(value: Any, paths: Sequence[str]) -> Any:
    """Return options with paths left out: what lies there is in the identity, not where."""
    if isinstance(value, Mapping):
        return {key: _without_paths(item, paths) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(item, paths) for item in value]
    return "<file>" if isinstance(value, str) and value in paths else value


def _reasons(
    stage: ResolvedStage, identity: Mapping[str, Any], resolved: Resolved, store: Store
) -> Iterator[str]:
    """Yield what differs from the newest result of the stage."""
    earlier = store.latest(resolved.name, stage.name)
    if earlier is None:
        yield f"implied by {stage.implied_by}" if stage.implied_by else "no earlier result"
        return
    found = False
    for path, old, new in _changes(earlier.identity, identity):
        found = True
        yield _worded(path, old, new)
    if not found:
        yield "its result is missing or incomplete"


def _worded(path: str, old: object, new: object) -> str:
    if path == "code":
        return "the code of the stage or of a plug-in changed"
    head, _, rest = path.partition(".")
    if head == "request":
        return "the report shows another request"
    if head == "inputs":
        return f"input {rest} changes"
    if head == "files":
        return f"the content of {rest.partition(':')[2]} changed"
    if head == "options":
        path = rest
    return f"{path}: {_value(old)} -> {_value(new)}"


def _value(value: object) -> str:
    return "(absent)" if value is _ABSENT else str(value)


_ABSENT = object()


def _changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield the leaves in which two JSON values differ, with their paths."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*new, *(k for k in old if k not in new)]:
            here = f"{path}.{key}" if path else str(key)
            yield from _changes(old.get(key, _ABSENT), new.get(key, _ABSENT), here)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _changes(*pair, f"{path}[{index}]")
    elif old != new:
        yield path, old, new
