"""The process that compares a program's layers: a file that was altered can harm nothing else.

    python -P -m edgekd.bisect.process REQUEST.json

It confines itself before it opens the file, and prints one JSON object.
"""

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekd.bisect.find import Wanted
from edgekd.core.apart import confine, serve
from edgekd.core.errors import EdgekdError, Problem, RequestError, StageError
from edgekd.core.protocols.values import Arrays
from edgekd.core.refs import UseRuntime, UseTask, as_read
from edgekd.core.registry import load_user_module

HIDDEN = "<file>"
"""Stands for a path in what a key is made of."""


def main() -> None:
    """Answer the request of the command line."""
    serve(answer)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was found, or why the program cannot be compared."""
    wanted = Wanted(**request["wanted"])
    try:
        if refused := confine(Path(wanted.program)):
            name = Path(wanted.program).name
            raise StageError(f"{name} cannot be read: {refused}.", _step(wanted))
        return compared(wanted, request["samples"])
    except EdgekdError as error:
        return {"refused": str(error), "exit_code": error.exit_code}


def compared(wanted: Wanted, rows: int) -> dict[str, Any]:
    """Return what was found of a program's layers, in sentences and as a table."""
    from edgekd.localise.case import Case, inspect
    from edgekd.localise.locate import sentences, table

    program = Path(wanted.program)
    if wanted.model:
        task, stored = _made_from(wanted)
        runtime = wanted.runtime
        quantized = wanted.precision != "fp32"
        samples = _samples(task, stored.signature, rows)
    else:
        case, samples = Case.read(program.parent)
        if case.own_code:
            load_user_module(Path(case.own_code).name, Path(case.own_code).parent)
        stored, runtime = _model(case.model), case.runtime
        quantized = stored.quantization is not None
    use = UseRuntime.model_validate(as_read(dict(runtime)))
    try:
        found = inspect(use, stored, program, samples, quantized=quantized)
    except EdgekdError:
        raise
    except Exception as error:  # what runtimes raise over a bad file shares no other ancestor
        reason = str(error).strip().split("\n", 1)[0]
        raise StageError(
            f"{program.name} cannot be looked into: {reason}", _step(wanted)
        ) from error
    said = {"says": list(sentences(found)), "table": list(table(found))}
    return {"found": found.as_dict() | {"samples": len(next(iter(samples.values())))}, **said}


def _step(wanted: Wanted) -> str:
    """Return what to do about a file that cannot be looked into."""
    if wanted.altered:
        return f"It is not as stage {wanted.stage} made it: give the program of a new run."
    return "Export the model once more; if that does not help, report this message."


def _made_from(wanted: Wanted) -> tuple[Any, Any]:
    """Return the task and the model of a program.

    Where paths were left out of what is known, or a plug-in of the user's own is named, the
    pipeline file of the run says the rest; it is read only then, since it loads that code.
    """
    if HIDDEN not in json.dumps(wanted.task):
        with suppress(ValidationError):
            return _task(wanted.task), _model(wanted.model)
    if not Path(wanted.file).is_file():
        message = (
            f"data or model of {Path(wanted.program).name} cannot be found: its pipeline file "
        )
        step = "Give the program in its run's folder, and put the pipeline file back."
        raise RequestError(Problem("", f"{message}{wanted.file or 'is not known'}.", step))
    from edgekd.pipeline.resolve import resolve
    from edgekd.pipeline.resolved import Request

    words = shlex.split(wanted.command)
    sets = [after for word, after in pairwise(words) if word == "--set"]
    return _task(resolve(Request(wanted.file, tuple(sets))).task), _model(wanted.model)


def _task(task: Mapping[str, Any]) -> Any:
    return UseTask.model_validate(as_read(dict(task))).build()


def _model(folder: str) -> Any:
    from edgekd.models.folder import load_model

    return load_model(Path(folder))


def _samples(task: Any, signature: Any, rows: int) -> Arrays:
    import torch

    from edgekd.ops.named import at_rest
    from edgekd.train.samples import take

    batches = take(task, "validation", rows)
    columns = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    complete = at_rest(signature, columns)
    return {port.name: complete[port.name].numpy() for port in signature.inputs}


if __name__ == "__main__":
    main()
