"""Whose objective is looked for: a stage of the user's file that learns from a teacher."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.core.protocols.task import Task
from edgekd.core.refs import Ref, UseModel, UseTask, as_read, as_written
from edgekd.pipeline.document import Document, read_document
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request, ResolvedStage
from edgekd.recommend.candidates import Candidate, Tried, candidates, key
from edgekd.recommend.taps import find_places

KIND = "distill"
CONTROLS = {"no_kd": "labels alone", "plain_kd": "plain KD"}
AS_WRITTEN = "as written"


@dataclass(frozen=True)
class Subject:
    """A stage, and the stages of the file that it rests on."""

    file: Path
    stage: str
    seed: int
    stages: Mapping[str, Any]
    """As the file has them."""
    config: Any
    """The options of the stage."""
    task: Task

    @property
    def epochs(self) -> int:
        """How long the file has it learn."""
        return int(self.config.train.epochs)

    def sets(self, tried: Sequence[Candidate], epochs: int, seed: int, seeds: int) -> list[str]:
        """Return the overrides that make a round's pipeline of the file."""
        own = {n: value for n, value in self.stages[self.stage].items() if n != "keep"}
        own["train"] = dict(own.get("train") or {}) | {"epochs": epochs}
        own |= {"seed": seed, "seeds": seeds, "controls": False}
        rows = [dict(candidate.sets) for candidate in tried]
        values = {
            "stages": {**self.stages, self.stage: own},
            "sweep": {self.stage: {"list": rows}},
        }
        return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def read_subject(file: Path, stage: str | None) -> Subject:
    """Return the stage that is asked for; RequestError of a file that does not plan or has none."""
    document = read_document(file)
    if isinstance(document.value, dict) and document.value.get("sweep"):
        step = "Take sweep out: what it tries is for you to compare."
        problem = document.problem(("sweep",), "a trial makes a sweep of its own.", step)
        raise RequestError(problem)
    pipeline = resolve(Request(str(file.absolute())))
    stages = {one.name: one for one in pipeline.stages}
    name = _stage(stages, document, stage, file)
    found, under = stages[name], _under(stages, name, document.value["stages"])
    if apart := [one for one in under if stages[one].task]:
        message = f"it is of another task than others under {name}: a trial hears their scores."
        step = "Compare losses by features as stages of the file, with controls: true."
        raise RequestError(document.problem(("stages", apart[0], "task"), message, step))
    task: Task = UseTask.model_validate(as_read(pipeline.task)).build()
    return Subject(
        file=file,
        stage=name,
        seed=found.seed,
        stages=under,
        config=kinds.stage.get(KIND).config.model_validate(as_read(found.options)),
        task=task,
    )


def _stage(
    stages: Mapping[str, ResolvedStage], document: Document, asked: str | None, file: Path
) -> str:
    written = document.value["stages"]
    able = [
        name
        for name, one in stages.items()
        if one.kind == KIND and one.options["teacher"] and name in written
    ]
    if asked is not None and asked not in able:
        message = f"no stage '{asked}' learns from a teacher."
        raise RequestError(Problem("", message, nearest(asked, able), "--stage"))
    if not able:
        message = "no stage learns from a teacher: there is nothing to recommend a loss for."
        step = "Add one of kind distill, with teacher: $<the stage that makes it>."
        raise RequestError(Problem("stages", message, step, str(file)))
    if asked is None and len(able) > 1:
        message = f"several stages learn from a teacher: {', '.join(able)}."
        raise RequestError(Problem("stages", message, "Name one: --stage NAME.", str(file)))
    return asked or able[0]


def _under(
    stages: Mapping[str, ResolvedStage], name: str, written: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the stages of the file that one rests on, and itself, in the file's order."""
    found, left = {name}, [name]
    while left:
        for below in stages[left.pop()].inputs:
            if below not in found:
                found.add(below)
                left.append(below)
    return {one: options for one, options in written.items() if one in found}


def losses_of(subject: Subject, only: Sequence[str]) -> Tried:
    """Return the controls, the loss as the file has it, and all others that can be tried."""
    teacher = next(iter(_models(subject).values()), None)
    student = subject.config.model if isinstance(subject.config.model, UseModel) else None
    places = find_places(student, teacher, subject.task)
    if wrong := [name for name in only if name not in kinds.objective.names()]:
        message = f"no objective is named '{wrong[0]}'."
        raise RequestError(
            Problem("", message, nearest(wrong[0], kinds.objective.names()), "--only")
        )
    found = candidates(subject.task, subject.config.train, student, teacher, places, only)
    tried: dict[str, Candidate] = {}
    for one in [*_controls(subject), *found.candidates]:
        tried.setdefault(key(one), one)
    return Tried([*tried.values()], found.left_out)


def _controls(subject: Subject) -> list[Candidate]:
    """Return what must be beaten, and the loss as the file has it."""
    controls = kinds.stage.get(KIND).traits["controls"](subject.config)
    found = [
        Candidate(CONTROLS[name], _sets(options), control=True)
        for name, options in controls.items()
    ]
    own = Candidate(AS_WRITTEN, _sets(subject.config), control=True)
    if "plain_kd" not in controls:
        own = Candidate(CONTROLS["plain_kd"], own.sets, control=True)
    return [*found, own]


def _sets(config: Config) -> dict[str, Any]:
    """Return what a control changes in the stage, in the form of the file, defaults left out."""
    options = cast(Any, config)
    terms = []
    for use in options.objective:
        own = {
            name: as_written(getattr(use, name))
            for name in ("weight", "tap", "teacher")
            if getattr(use, name) != type(use).model_fields[name].default
        }
        inside = as_written(use.options)
        defaults = as_written(type(use.options)()) if _all_optional(use.options) else {}
        changed = {n: v for n, v in inside.items() if n not in defaults or defaults[n] != v}
        rest = own | changed
        terms.append({"kind": use.kind, **rest} if rest else use.kind)
    return {"objective": terms} | ({"teacher": None} if options.teacher is None else {})


def _all_optional(config: Config) -> bool:
    return not any(info.is_required() for info in type(config).model_fields.values())


def _models(subject: Subject) -> dict[str, UseModel | None]:
    """Return the models that teach, by stage; None of one that is no model to build."""
    teachers = subject.config.teacher
    refs = [teachers] if isinstance(teachers, Ref) else [*teachers.values()]
    found: dict[str, UseModel | None] = {}
    for ref in refs:
        options = subject.stages[ref.stage]
        model = options.get("model") if options.get("kind") == "teacher" else None
        found[ref.stage] = UseModel.model_validate(model) if model else None
    return found
