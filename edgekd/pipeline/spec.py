"""The pipeline file as a typed value, and every problem of a file in its own terms."""

import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import ErrorDetails

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.config import Config, Count, PositiveCount
from edgekd.core.errors import Problem, nearest
from edgekd.core.refs import Use, UseStage, UseTask
from edgekd.pipeline.document import Document, Steps
from edgekd.pipeline.trials import Sweep
from edgekd.track.options import Track

U = TypeVar("U", bound=Use)
MAX_STAGES = 300
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)]


def _of_stage(name: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> str:
    """Return the name of a trial as it was made, any other if people may write it."""
    made: Collection[str] = (info.context or {}).get("trials", ())
    return str(name if name in made else check(name))


StageName = Annotated[Name, WrapValidator(_of_stage)]


class Pipeline(Config):
    """What a pipeline file says."""

    name: Name
    """Names the run and its folder."""
    description: str = ""
    """For people."""
    seed: Count = 0
    """All chance of the run comes from it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models train; auto takes a GPU where there is one."""
    threads: PositiveCount | None = None
    """Processor threads of torch, which shape the last bits of a result; else all cores.
    One is the thriftiest for networks as small as these."""
    checkpoint: Checkpoint = Checkpoint()
    """How often training writes down its state; a run that was ended goes on from there."""
    track: Track = Track()
    """Where the numbers of a run are told as they come, besides the run's own files."""
    plugins: tuple[str, ...] = ()
    """Modules with plug-ins of your own: .py files beside this one, or installed packages."""
    task: UseTask
    """What is learned, and from which data."""
    targets: tuple[str, ...] = ()
    """Devices that every `validate` stage without targets of its own measures on."""
    stages: Annotated[dict[StageName, UseStage], Field(min_length=1, max_length=MAX_STAGES)]
    """The stages by name; `$name` refers to another stage's result."""
    sweep: dict[str, Sweep] = Field(default_factory=dict)
    """Stages that become several trials, by name: what each of them sets."""


@dataclass(frozen=True)
class Reading:
    """A pipeline file as far as it could be typed."""

    pipeline: Pipeline | None
    task: UseTask | None
    stages: Mapping[str, UseStage]
    """The stages without problems of their own."""
    problems: Sequence[Problem]


def validate(document: Document, beside: Path, trials: Collection[str] = ()) -> Reading:
    """Return the typed pipeline, and every problem of the file; paths are relative to `beside`.

    `trials` are the names of stages that stand in the place of a swept one.
    """
    context = {"beside": beside, "trials": trials}
    try:
        pipeline = Pipeline.model_validate(document.value, context=context)
    except ValidationError as error:
        found = [_problem(details, document) for details in error.errors()]
        problems = list({(p.path, p.place): p for p in reversed(found)}.values())[::-1]
        stages = document.value.get("stages")
        readable = isinstance(stages, dict) and len(stages) <= MAX_STAGES
        parts = {
            name: _typed(UseStage, value, context)
            for name, value in (stages if readable else {}).items()
        }
        return Reading(
            None,
            _typed(UseTask, document.value.get("task"), context),
            {name: part for name, part in parts.items() if part is not None},
            problems,
        )
    return Reading(pipeline, pipeline.task, pipeline.stages, ())


def _typed(kind: type[U], value: object, context: dict[str, Any]) -> U | None:
    """Return a part of a file that is right by itself, else None."""
    try:
        return kind.model_validate(value, context=context)
    except ValidationError:
        return None


def _problem(details: ErrorDetails, document: Document) -> Problem:
    loc = _steps(details, document.value)
    written = _written(loc)
    kind, found = details["type"], details["input"]
    message, next_step = details["msg"], ""
    if kind == "extra_forbidden":
        message = f"unknown key '{written[-1]}'."
        next_step = nearest(str(written[-1]), _fields_at(loc[:-1], document.value))
    elif kind == "missing":
        message, next_step = "this key is required.", f"Add {written[-1]}: ..."
    elif kind in ("value_error", "assertion_error"):
        message = re.sub(r"^(Value|Assertion) error, ", "", message)
    elif kind == "unknown_name":
        message, _, next_step = message.partition(". ")
        message += "."
    elif kind == "string_pattern_mismatch":
        message = f"'{found}' is not a name."
        next_step = "Use letters, digits, - and _, beginning with a letter."
    elif message.startswith("Input should be "):
        expected = message.removeprefix("Input should be ")
        expected = f"a value {expected}" if expected.startswith(("greater", "less")) else expected
        message = f"expected {expected}, found {_shown(found)}."
    elif kind in ("not_a_use", "not_a_ref"):
        message += f", found {_shown(found)}."
    return document.problem(written, message, next_step)


def _steps(details: ErrorDetails, value: Any) -> Steps:
    """Return the location without pydantic's names for keys; what else it adds is `_Added`."""
    names_a_key = details["type"] in ("missing", "extra_forbidden")
    steps: list[str | int] = []
    gathered = False
    for index, step in enumerate(details["loc"]):
        last = names_a_key and index == len(details["loc"]) - 1
        if not last and step == "options" and not gathered and _has_options(value):
            gathered = True
            steps.append(_Added(step))
        elif not last and str(step)[:1] == "<":
            steps.append(_Added(step))
        elif isinstance(value, Mapping | tuple) and step in _steps_into(value):
            value, gathered = value[step], False  # type: ignore[index]
            steps.append(step)
        elif last:
            steps.append(step)
    return tuple(steps)


class _Added(str):
    """A step of pydantic's and not of the file: into a plug-in's options, a member of a union."""

    __slots__ = ()


def _has_options(value: Any) -> bool:
    """Tell whether a value names a plug-in, whose options are gathered."""
    return isinstance(value, str) or (isinstance(value, Mapping) and "kind" in value)


def _steps_into(value: Mapping[str, Any] | tuple[Any, ...]) -> Collection[str | int]:
    return value.keys() if isinstance(value, Mapping) else range(len(value))


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    text = text.lower() if isinstance(value, bool) else text
    return text if len(text) <= 60 else text[:57] + "..."


def _written(loc: Steps) -> Steps:
    """Return where a value stands in the file: options stand beside their `kind`."""
    return tuple(step for step in loc if not isinstance(step, _Added))


def _fields_at(loc: Steps, value: Any) -> Iterator[str]:
    """Yield the keys that are known at a place, following the types of the configs."""
    kind: Any = Pipeline
    for step in loc:
        if isinstance(step, _Added) and step != "options":
            continue  # which alternative of a union it was; `_inner` finds it again
        if isinstance(step, _Added):
            name = value if isinstance(value, str) else value.get("kind")
            use = next(c for c in _alternatives(kind) if issubclass(c, Use))
            kind = use.registry.get(name).config
        else:
            value, kind = value[step], _inner(kind, step)
    for config in _alternatives(kind):
        if isinstance(config, type) and issubclass(config, BaseModel):
            yield from (name for name in config.model_fields if name != "options")


def _inner(kind: Any, step: str | int) -> Any:
    """Return the type of a field of a config, or of an item of a container."""
    for one in _alternatives(kind):
        if isinstance(one, type) and issubclass(one, BaseModel) and step in one.model_fields:
            return one.model_fields[str(step)].annotation
        if arguments := typing.get_args(one):
            return arguments[1] if typing.get_origin(one) in (dict, Mapping) else arguments[0]
    return Config


def _alternatives(kind: Any) -> list[Any]:
    """Return the types of a union, without their annotations."""
    origin = typing.get_origin(kind)
    if origin is Annotated:
        return _alternatives(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [one for argument in typing.get_args(kind) for one in _alternatives(argument)]
    return [kind]
