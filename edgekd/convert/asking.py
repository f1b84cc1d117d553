"""What is asked of the process that rewrites a program, and how it is asked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgekd.core.apart import ask
from edgekd.core.errors import StageError

PROCESS = "edgekd.convert.process"


@dataclass(frozen=True)
class Wanted:
    """A program file of others, and the form that it is to have."""

    file: str
    transform: Mapping[str, Any] | None
    """How it is quantized, as a file says it."""
    opset: int | None
    """None leaves it, unless what is asked needs a higher one."""
    exclude_at: str = "transform.exclude"
    """Where the request names the nodes that stay."""


@dataclass(frozen=True)
class Written:
    """Where the new program goes, and what it is made with."""

    out: str
    signature: Mapping[str, Any]
    samples: str
    """Folder with one .npz of inputs per batch, by the names of the signature."""
    activation: Literal["uint8", "int8"]
    graph_level: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Objection:
    """Why a program cannot have a form."""

    path: str
    """Of the option that asks for it; empty where it is the program itself."""
    message: str
    next_step: str


def survey(wanted: Wanted) -> Objection | None:
    """Return what can be told against the form by looking at the graph alone."""
    answer = ask(PROCESS, {"wanted": asdict(wanted)}, Path(wanted.file).name)
    return Objection(**answer["objection"]) if "objection" in answer else None


def rewrite(wanted: Wanted, written: Written) -> dict[str, Any]:
    """Have the new program written; return what is said of it. StageError where it cannot be."""
    request = {"wanted": asdict(wanted), "written": asdict(written)}
    answer = ask(PROCESS, request, Path(wanted.file).name)
    if "objection" in answer:
        objection = Objection(**answer["objection"])
        raise StageError(objection.message, objection.next_step)
    found: dict[str, Any] = answer["found"]
    return found
