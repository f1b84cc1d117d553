"""What `bundle.json` says: the request, the machine, the packages, the data, every stage.

It lists every other file of the bundle with size and SHA-256. It is read as a closed, strict,
versioned document, because whoever opens a bundle did not write it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import from_json

from edgekd.core.errors import Problem, RequestError

NAME = "bundle.json"
PIPELINE = "pipeline.yaml"
RESOLVED = "resolved.json"
LOCK = "requirements.lock.txt"
SBOM = "sbom.cdx.json"
RECORD = "run.json"
SCHEMA_VERSION: Literal[1] = 1

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """A frozen, closed, strict part of the document."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Digest(Part):
    """What a file holds."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0, lt=1 << 50)]


class Asked(Part):
    """The request that the run answered."""

    pipeline: str
    """Its name."""
    file: str
    """Absolute path of the pipeline file, on the machine of the run."""
    sets: list[str]
    targets: list[str]
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """How many trained together; as many do when it is replayed."""
    until: str | None
    command: str


class Package(Part):
    """An installed distribution."""

    name: str
    version: str
    record: Sha256 | Literal[""]
    """Digest of what the wheel installed, by its RECORD; empty where there is none."""


class Code(Part):
    """One line of the pipeline's `plugins:` with its source files in the bundle."""

    reference: str
    members: list[str]


class Data(Part):
    """A file or folder that stages read. It is not in the bundle."""

    name: str
    path: str
    """Where it was: a hint."""
    size: int
    sha256: Sha256


class Stage(Part):
    """A stage as it was finished."""

    name: str
    kind: str
    makes: str
    implied: bool
    inputs: list[str]
    folder: str
    """Folder of its files in the bundle."""
    files: dict[str, Digest]
    """Everything that it made, in the bundle or not."""
    identity: dict[str, Any]
    """All that its key was made of."""
    host: dict[str, str]
    """The machine that it was made on."""
    started_at: str


class Bundle(Part):
    """A finished run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    edgekd: str
    """Version of edgekd."""
    created_at: str
    """When the run ended, ISO 8601, UTC."""
    exit_code: int
    request: Asked
    machine: dict[str, str]
    """The machine that the bundle was written on, Python's version among it."""
    packages: list[Package]
    plugins: list[Code]
    targets: dict[str, str]
    """Member of each target file, by the target's name."""
    paths: dict[str, str]
    """Absolute path behind each option that is a path, by the option's place in the file."""
    data: list[Data]
    stages: list[Stage]
    members: dict[str, Digest]
    """Every other file of the bundle."""

    def text(self) -> str:
        """Return the document as its file holds it."""
        return self.model_dump_json(indent=1) + "\n"


def read_bundle(text: bytes, file: str) -> Bundle:
    """Return the document; RequestError where it is none, or of another version."""
    try:
        found = from_json(text)
    except ValueError as error:
        raise refusal(file, f"its {NAME} is not JSON.") from error
    version = found.get("schema_version") if isinstance(found, Mapping) else None
    if type(version) is int and version != SCHEMA_VERSION:
        made_by = str(found.get("edgekd", "another version"))[:40]
        raise refusal(
            file,
            f"it is of schema {version}; this edgekd reads {SCHEMA_VERSION}.",
            f"Use the edgekd that wrote it: {made_by!r}.",
        )
    try:
        return Bundle.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise refusal(file, f"its {NAME} is wrong at {place[:120]!r}: {first['msg']}.") from error


def refusal(file: str, message: str, next_step: str = "") -> RequestError:
    """Return the error of a bundle that is not opened."""
    step = next_step or "Get the file again from where it was made; nothing of it was used."
    return RequestError(Problem("", f"this bundle is refused: {message}", step, file))
