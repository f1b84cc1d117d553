"""Fields that name something else: another stage's result, or a plug-in with its options."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializeAsAny,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from edgekd.core import kinds
from edgekd.core.config import Config, Count, LocalPath, NonNegative, PositiveCount, Share
from edgekd.core.registry import Plugin, Registry

MOST_SEEDS = 100


@dataclass(frozen=True)
class Ref:
    """An edge of the graph: the result of another stage, written `$name`."""

    stage: str
    makes: tuple[str, ...]
    """The kinds of result that are acceptable here. A result of another kind than the first may
    be turned into the first by a stage that stands between."""

    def __str__(self) -> str:
        return f"${self.stage}"


@dataclass(frozen=True)
class Made:
    """Annotates a `Ref` with the kinds of result that it accepts."""

    makes: tuple[str, ...]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def read(value: object) -> Ref:
            if isinstance(value, Ref):
                return value
            if isinstance(value, str) and value.startswith("$") and len(value) > 1:
                return Ref(value[1:], self.makes)
            what = " or ".join(self.makes)
            raise PydanticCustomError(
                "not_a_ref", "expected the {what} of a stage, written $stage", {"what": what}
            )

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
            json_schema_input_schema=core_schema.str_schema(pattern=r"^\$"),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": r"^\$",
            "description": f"the {' or '.join(self.makes)} of another stage",
        }


ModelRef = Annotated[Ref, Made(("model",))]
"""The model of another stage: `$student`."""
ModelOrProgramRef = Annotated[Ref, Made(("model", "program"))]
"""A model, or a program, each as it is."""
TeacherRef = Annotated[Ref, Made(("outputs", "model", "program"))]
"""What a teacher said, kept; for a model or a program, what it says is kept where that can be."""
ProgramRef = Annotated[Ref, Made(("program", "model"))]
"""An exported program; for a model, its fp32 export to ONNX is made and used."""
GivenRef = Annotated[Ref, Made(("program",))]
"""A program as it is; a model is not made into one."""
TeacherName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Teachers = Annotated[
    Annotated[TeacherRef, Tag("<ref>")] | Annotated[dict[TeacherName, TeacherRef], Tag("<named>")],
    Discriminator(lambda value: "<named>" if isinstance(value, Mapping) else "<ref>"),
]
"""One teacher, or several by names that terms of the loss can ask for."""
SelectionRef = Annotated[Ref, Made(("selection",))]
"""Which training examples were chosen to be labelled."""
MeasurementsRef = Annotated[Ref, Made(("measurements",))]
"""What a `validate` stage measured."""


class Use(Config):
    """A plug-in by name with its options: `{kind: kd, temperature: 4}`, or just `kd`.

    In the file the options stand beside `kind`; here they are gathered in `options`.
    """

    registry: ClassVar[Registry]

    kind: str
    options: SerializeAsAny[Config]

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: object) -> object:
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping):
            raise PydanticCustomError(
                "not_a_use",
                "expected the name of a {kind}, or a mapping with its kind and options",
                {"kind": cls.registry.kind},
            )
        if isinstance(value.get("options"), Config):
            return value
        own = {k: v for k, v in value.items() if k in cls.model_fields and k != "options"}
        return own | {"options": {k: v for k, v in value.items() if k not in own}}

    @field_validator("kind", mode="after")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            cls.registry.get(name)
        except KeyError as error:
            raise PydanticCustomError(
                "unknown_name", "{text}", {"text": str(error.args[0])}
            ) from error
        return name

    @field_validator("options", mode="wrap")
    @classmethod
    def _typed(cls, value: object, _: Any, info: ValidationInfo) -> Config:
        if isinstance(value, Config):
            return value
        if "kind" not in info.data:  # its own error is reported; the options cannot be read
            return Config()
        config = cls.registry.get(info.data["kind"]).config
        return config.model_validate(value, context=info.context)

    @property
    def plugin(self) -> Plugin:
        """The plug-in that is named."""
        return self.registry.get(self.kind)

    def build(self) -> Any:
        """Return the plug-in with its options bound."""
        return self.plugin.build(self.options)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return a mark: what may stand there depends on the plug-ins that are installed."""
        return {"$comment": cls.__name__}


class UseTask(Use):
    """A task by name."""

    registry = kinds.task


class UseSource(Use):
    """A data source by name."""

    registry = kinds.source


class UseModel(Use):
    """A model by name."""

    registry = kinds.model


ModelOrRef = Annotated[
    Annotated[UseModel, Tag("<use>")] | Annotated[ModelRef, Tag("<ref>")],
    Discriminator(lambda value: "<ref>" if _is_ref(value) else "<use>"),
]
"""A model to build, or the model of another stage to go on from."""

LabelledOrRef = Annotated[
    Annotated[PositiveCount, Tag("<count>")] | Annotated[SelectionRef, Tag("<ref>")],
    Discriminator(lambda value: "<ref>" if _is_ref(value) else "<count>"),
]
"""How many examples have labels, or which: those of a selection."""


def _is_ref(value: object) -> bool:
    return isinstance(value, Ref) or (isinstance(value, str) and value.startswith("$"))


class UseStage(Use):
    """A stage by name."""

    registry = kinds.stage

    seed: Count | None = None
    """Chance of this stage alone; the pipeline's seed where nothing is said."""
    seeds: Annotated[PositiveCount, Field(le=MOST_SEEDS)] = 1
    """How many times it is made: with its seed and the ones after it. Other stages rest on the
    first; a report compares them all."""
    keep: Literal["pays"] | dict[str, Any] | None = None
    """`pays`: what it makes is kept only where it is faster or smaller on the targets and loses no
    more than is allowed; else what it was made from is passed on. A mapping has the options of a
    stage `keep`."""
    controls: bool = False
    """Whether it is made also as what it must be better than, at equal cost: see the stage."""
    task: UseTask | None = None
    """What it learns, and from which data, where that is another than the pipeline's: for a teacher
    of other classes."""


class UseAugment(Use):
    """A data augmentation by name."""

    registry = kinds.augment


class UseSelect(Use):
    """A choice of examples by name."""

    registry = kinds.select


class UseTransform(Use):
    """A transform by name."""

    registry = kinds.transform


class UseMeasure(Use):
    """A measure by name."""

    registry = kinds.measure


class UseRuntime(Use):
    """A runtime by name."""

    registry = kinds.runtime


class UseTransport(Use):
    """A transport by name."""

    registry = kinds.transport


class Tap(Config):
    """Dotted paths of the modules whose outputs a feature term compares."""

    student: str | None = None
    """Module path in the student, as `named_modules()` spells it."""
    teacher: str | None = None
    """Module path in the teacher."""


class UseObjective(Use):
    """A term of the loss: an objective with its weight and, for features, its tap."""

    registry = kinds.objective

    weight: NonNegative = 1.0
    """What the term counts in the sum."""
    warmup: Share = 0.0
    """Share of the training in which the weight rises from 0, evenly in each step: 0.083 for 20
    epochs of 240."""
    tap: Tap | None = None
    """Where a feature term takes its features."""
    teacher: str | None = None
    """Which of several teachers the term listens to, by name; the first where nothing is said."""


@dataclass(frozen=True)
class Implied:
    """A stage that nobody wrote and that stands between two: it makes of `ref` what is wanted."""

    ref: Ref
    use: UseStage


def refs_of(value: object) -> Iterator[tuple[tuple[str | int, ...], Ref]]:
    """Yield every `Ref` inside a config with its path in the file."""
    return ((path, item) for path, item in placed(value) if isinstance(item, Ref))


def placed(
    value: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Yield a config and everything inside it with its path in the file, outermost first."""
    yield path, value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            inner = path if isinstance(value, Use) and name == "options" else (*path, name)
            yield from placed(getattr(value, name), inner)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from placed(item, (*path, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from placed(item, (*path, index))


def uses_of(value: object) -> Iterator[Use]:
    """Yield every plug-in that a config names, outermost first."""
    return (item for _, item in placed(value) if isinstance(item, Use))


def paths_of(value: object) -> Iterator[LocalPath]:
    """Yield every file and folder of the user that a config names."""
    return (item for _, item in placed(value) if isinstance(item, LocalPath))


def rewired(
    value: Any,
    lead: Callable[[Ref], Ref],
    gather: Callable[[Ref], Iterable[Ref]] | None = None,
) -> Any:
    """Return options in which each `Ref` leads where `lead` says.

    One that stands in a list gives way to all that `gather` says, where that is given.
    """
    if isinstance(value, Ref):
        return lead(value)
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return value.model_copy(
            update={name: rewired(item, lead, gather) for name, item in fields.items()}
        )
    if isinstance(value, Mapping):
        return {key: rewired(item, lead, gather) for key, item in value.items()}
    if isinstance(value, tuple):
        gather = gather or (lambda ref: (lead(ref),))
        return tuple(
            one
            for item in value
            for one in (gather(item) if isinstance(item, Ref) else (rewired(item, lead, gather),))
        )
    return value


def as_written(value: Any) -> Any:
    """Return a config as JSON values in the form of the file: options stand beside `kind`."""
    if isinstance(value, Use):
        own = {n: as_written(getattr(value, n)) for n in type(value).model_fields if n != "options"}
        return own | as_written(value.options)
    if isinstance(value, BaseModel):
        return {name: as_written(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: as_written(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [as_written(item) for item in value]
    return str(value) if isinstance(value, Ref | LocalPath) else value


def as_read(value: Any) -> Any:
    """Return JSON values with lists as tuples, as configs want them."""
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in value.items()}
    return tuple(map(as_read, value)) if isinstance(value, list) else value
