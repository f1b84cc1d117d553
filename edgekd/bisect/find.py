"""From a program file to the model that it was made from: by the run or the store that has it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.core.artifact import Manifest, digest_file
from edgekd.core.errors import Problem, RequestError
from edgekd.pipeline.records import RECORD, Record, read_record
from edgekd.pipeline.store import Store
from edgekd.runtimes.folder import Program, load_program

CASE = "case.json"
"""Beside a program that an export stage refused; it says all that is needed."""
ENDINGS = (".onnx", ".pte")


@dataclass(frozen=True)
class Wanted:
    """A program with what it takes to compare its layers."""

    program: str
    model: str
    """The folder of its model; empty where `case.json` beside the program says it."""
    runtime: Mapping[str, Any]
    task: Mapping[str, Any]
    """As the key of the stage has it: paths are left out."""
    file: str = ""
    """The pipeline file of the run, with ..."""
    command: str = ""
    """... the command that ran it."""
    stage: str = ""
    precision: str = ""
    """fp32, or what the quantization calls itself."""
    altered: bool = False
    """Whether the file is other than the stage made it."""


def find(artifact: Path, store: Store) -> Wanted:
    """Return what is known of a program; RequestError where it cannot be compared."""
    artifact = artifact.expanduser().absolute()
    if artifact.suffix == ".ort":
        raise _refusal(
            f"{artifact.name} has ONNX Runtime's own format, in which layers cannot be told apart.",
            "Export the model with format: onnx too, and give that program.",
        )
    if artifact.suffix not in ENDINGS or not artifact.is_file():
        raise _refusal(
            f"{artifact} is no {' or '.join(ENDINGS)} file.", "Give an exported program."
        )
    refused = artifact.parent.parent == store.root.absolute() / "unfinished"
    if refused and (artifact.parent / CASE).is_file():  # elsewhere anyone could have written it
        return Wanted(str(artifact), "", {}, {})
    record = read_record(artifact.parent / RECORD)
    made = _program(artifact, record, store)
    if len(made.inputs) != 1 or "program" in made.identity["options"]:
        raise _refusal(
            f"{artifact.name} was given, and stage {made.stage} took or converted it: there is no "
            "PyTorch model to compare it with.",
            "Give a program that an export stage made.",
        )
    program = load_program(store.folder(made.key))
    return Wanted(
        program=str(artifact),
        model=str(store.folder(_model(made, record, store).key)),
        runtime=made.identity["options"].get("runtime") or _written_by(program),
        precision=program.precision,
        task=made.identity.get("task", {}),
        file=record.file if record else "",
        command=record.command if record else "",
        stage=made.stage,
        altered=digest_file(artifact) != made.files[program.file]["sha256"],
    )


def _written_by(program: Program) -> dict[str, Any]:
    """Return the runtime of a program that a stage chose among several, with what it says of it."""
    said = program.facts.get("program", {})
    options = {name: said[name] for name in ("opset", "graph_level", "max_batch") if name in said}
    return {"kind": program.runtime} | options


def _program(artifact: Path, record: Record | None, store: Store) -> Manifest:
    """Return what the stage said that made a program."""
    programs = [m for m in _manifests(store) if m.makes == "program"]
    if record is not None:
        programs = [m for m in programs if m.key in record.keys.values()]
    elif artifact.parent.parent == store.root.absolute() / "results":
        programs = [m for m in programs if store.folder(m.key).name == artifact.parent.name]
    else:
        digest = digest_file(artifact)
        programs = [m for m in programs if digest in [f["sha256"] for f in m.files.values()]]
        for made in programs:
            return made
    for made in programs:
        if artifact.name in made.files:
            return made
    raise _refusal(
        f"{artifact} was not made by edgekd, or its result is no longer in the store {store.root}.",
        "Give a program of a run's folder, and its store with --store; if the store was cleaned, "
        "run the pipeline again.",
    )


def _model(made: Manifest, record: Record | None, store: Store) -> Manifest:
    """Return the model that a program was made from, every byte of it checked."""
    ((stage, content),) = made.inputs.items()
    own = record.keys.get(stage) if record else None
    known = sorted(_manifests(store), key=lambda m: m.key != own)
    model = next((m for m in known if m.makes == "model" and m.content == content), None)
    if model is None:
        raise _refusal(
            f"the model that {made.stage} was made from, of stage {stage}, is gone from the store.",
            "Run the pipeline again: what is gone is made anew.",
        )
    store.refuse_altered(stage, model)
    return model


def _manifests(store: Store) -> Iterator[Manifest]:
    for folder in sorted((store.root / "results").glob("*")):
        try:
            yield Manifest.read(folder)
        except (OSError, ValueError, RecursionError):  # half removed, or harmed: no result
            continue


def _refusal(message: str, step: str) -> RequestError:
    return RequestError(Problem("", message, step, "ARTIFACT"))
