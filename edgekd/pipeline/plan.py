"""What would run and what is kept, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgekd.core.artifact import Manifest, digest_json
from edgekd.core.differences import differences, shown
from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.pipeline.digests import Digests
from edgekd.pipeline.machine import features, this_machine
from edgekd.pipeline.resolved import Resolved, ResolvedStage
from edgekd.pipeline.store import Found, Store

REMEASURE = "asked for by --remeasure"


@dataclass(frozen=True)
class Step:
    """One stage of a plan."""

    stage: ResolvedStage
    key: str
    """Empty as long as an input is still to be made: what it will hold is part of the key."""
    work: str
    """What the key is made of without the options that only judge."""
    identity: Mapping[str, Any]
    """All that the key is made of."""
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

    def named(self, name: str) -> list[Step]:
        """Return a stage's step, with those of all that was made from it in the file.

        RequestError where there is no such stage.
        """
        group = [s for s in self.steps if s.stage.member and s.stage.member.group == name]
        return group or [self.step(name)]


class Planner:
    """Says of a stage what is to be done, given what its inputs came to."""

    def __init__(self, resolved: Resolved, store: Store, *, remeasure: bool = False):
        self.resolved, self.store, self.remeasure = resolved, store, remeasure
        self.digests = Digests(store.root / "digests.json")

    def plan(self, until: str | None = None) -> Plan:
        """Return what is to be done; `until` keeps a stage, its group, and what these rest on."""
        steps: dict[str, Step] = {}
        for stage in self.resolved.stages:
            steps[stage.name] = self.step(stage, lambda name: steps[name].kept)
        self.digests.save()
        plan = Plan(self.resolved, tuple(steps.values()))
        if until is None:
            return plan
        last = [step.stage for step in plan.named(until)]
        wanted = {s.name for s in last}.union(*(ancestors(stage, plan) for stage in last))
        return Plan(self.resolved, tuple(s for s in plan.steps if s.stage.name in wanted))

    def step(self, stage: ResolvedStage, made: Callable[[str], Manifest | None]) -> Step:
        """Return what is to be done for a stage; `made` gives the result of an input, if any."""
        inputs = {name: made(name) for name in stage.inputs}
        identity = self._identity(stage, inputs)
        earlier = self.store.latest(self.resolved.name, stage.name)
        if None in inputs.values():
            awaited = [f"input {name} changes" for name, found in inputs.items() if not found]
            reasons = [*_changed(earlier, identity), *awaited] if earlier else _first(stage)
            return Step(stage, "", "", identity, "run", reasons, None)
        key, work = digest_json(identity), digest_json(_shaping(identity, stage))
        found = self.store.look(key)
        again = self.remeasure and stage.measures
        failed = found.manifest.facts.get("failures", ()) if found.manifest else ()
        if found.manifest and not again and not failed:
            return Step(stage, key, work, identity, "keep", (), found.manifest)
        tried = [f"{f['program']} on {f['target']} failed and is tried again" for f in failed]
        reasons = [REMEASURE] if again else tried or _reasons(stage, found, earlier, identity)
        return Step(stage, key, work, identity, "run", reasons, None)

    def _identity(
        self, stage: ResolvedStage, inputs: Mapping[str, Manifest | None]
    ) -> dict[str, Any]:
        resolved = self.resolved
        identity: dict[str, Any] = {
            "stage": stage.kind,
            "options": _without_paths(stage.options, stage.paths),
            "seed": stage.seed,
            "code": dict(stage.code),
            "libraries": dict(stage.libraries),
            "files": self.files(stage),
            "inputs": {name: manifest.content for name, manifest in inputs.items() if manifest},
            "targets": {name: dict(target) for name, target in stage.targets.items()},
        }
        if stage.computes:
            identity |= {
                name: getattr(resolved, name) for name in ("device", "precision", "threads")
            }
        if stage.shared and resolved.request.processes > 1:
            identity["processes"] = resolved.request.processes
        if stage.named:
            identity["name"] = stage.name
        if stage.reads_data:
            own = (stage.task, stage.task_judges) if stage.task else None
            task, judges = own or (resolved.task, resolved.task_judges)
            shaping = {k: v for k, v in task.items() if k not in judges}
            identity["task"] = _without_paths(shaping, stage.paths)
        if stage.makes == "report":  # it shows the request that it answers
            request = resolved.request
            identity["request"] = {
                "name": resolved.name,
                "text": resolved.text,
                "sets": list(request.sets),
                "targets": list(request.targets),
            }
        if stage.measures:
            identity["machine"] = {**this_machine(), "features": features()}
        return identity

    def files(self, stage: ResolvedStage) -> dict[str, str]:
        """Return the digests of the data that a stage reads; RequestError where some is gone."""
        try:
            return dict(self.digests.of_all(stage.files))
        except OSError as error:
            raise RequestError(
                Problem(
                    f"stages.{stage.name}",
                    f"{error.filename} cannot be read: {error.strerror}.",
                    "Put it back, or change the file that names it.",
                )
            ) from error


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
    """Return why a stage and its group run, following changed inputs to what changed first."""
    lines: list[str] = []
    waiting = [step.stage.name for step in plan.named(name)]
    seen = {*waiting}
    while waiting:
        stage = waiting.pop(0)
        for reason in plan.step(stage).reasons:
            lines.append(f"{stage}: {reason}")
            source = reason.removeprefix("input ").partition(" ")[0]
            if reason.startswith("input ") and source not in seen:
                seen.add(source)
                waiting.append(source)
    return lines


def _shaping(identity: Mapping[str, Any], stage: ResolvedStage) -> dict[str, Any]:
    """Return an identity without what does not forbid to go on from what was begun.

    That is the options that only judge, and how many processes and threads share the work: they
    shape no more than the last bits.
    """
    options = {k: v for k, v in identity["options"].items() if k not in stage.judges}
    hands = {"processes", "threads"} if stage.shared else set()
    return {k: v for k, v in identity.items() if k not in hands} | {"options": options}


def _without_paths(value: Any, paths: Sequence[str]) -> Any:
    """Return options with paths left out: what lies there is in the identity, not where."""
    if isinstance(value, Mapping):
        return {key: _without_paths(item, paths) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(item, paths) for item in value]
    return "<file>" if isinstance(value, str) and value in paths else value


def _reasons(
    stage: ResolvedStage, found: Found, earlier: Manifest | None, identity: Mapping[str, Any]
) -> list[str]:
    """Return why a stage without a whole result runs."""
    if found.harm:
        return [f"its kept result is damaged ({found.harm}) and is made anew"]
    if earlier is None:
        return _first(stage)
    return _changed(earlier, identity) or ["its result is gone"]


def _first(stage: ResolvedStage) -> list[str]:
    return [f"implied by {stage.implied_by}" if stage.implied_by else "no earlier result"]


def _changed(earlier: Manifest, identity: Mapping[str, Any]) -> list[str]:
    """Return what differs from the result that the stage used last."""
    known = {k: v for k, v in earlier.identity["inputs"].items() if k in identity["inputs"]}
    before = {**earlier.identity, "inputs": known}
    changes = list(differences(before, identity))
    code = [path.removeprefix("code.") for path, *_ in changes if path.startswith("code.")]
    others = [_worded(*change) for change in changes if not change[0].startswith("code.")]
    named = [f"the code of {', '.join(sorted(code))} changed"] if code else []
    return list(dict.fromkeys([*others, *named]))


def _worded(path: str, old: object, new: object) -> str:
    head, _, rest = path.partition(".")
    if head == "request":
        return "the report shows another request"
    if head == "inputs":
        return f"input {rest} changes"
    if head == "files":
        return f"the content of {rest.partition(':')[2]} changed"
    if head == "libraries":
        return f"{rest} {shown(old)} -> {shown(new)}"
    if path == "machine.features":
        words = {*str(old).split()} ^ {*str(new).split()}
        return f"machine.features differ in {' '.join(sorted(words))}"
    if head == "options":
        path = rest
    return f"{path}: {shown(old)} -> {shown(new)}"
