"""Finding and reading the files that describe devices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.core.shipped import shipped
from edgekd.pipeline.document import read_document, spell


def find_targets(beside: Path) -> dict[str, Path]:
    """Return target files by name: beside the pipeline, here, or shipped; the nearest wins."""
    folders = (shipped("targets"), Path("targets").absolute(), beside / "targets")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def read_target(name: str, known: Mapping[str, Path]) -> dict[str, Any]:
    """Return a target's description as JSON values; RequestError says what is wrong with it."""
    from edgekd.core.refs import as_written
    from edgekd.devices.target import Target

    if name not in known:
        raise RequestError(Problem("", f"no target is named '{name}'.", nearest(name, known)))
    document = read_document(known[name])
    try:
        described: dict[str, Any] = as_written(Target.model_validate(document.value))
    except ValidationError as error:
        raise RequestError(
            Problem(spell(details["loc"]), details["msg"], "", document.place(details["loc"]))
            for details in error.errors()
        ) from error
    return described


def check_transport(described: Mapping[str, Any]) -> None:
    """Raise RequestError where this machine lacks what the way to a target takes."""
    from edgekd.core.refs import UseTransport, as_read

    use = UseTransport.model_validate(as_read(described["transport"]))
    check = use.plugin.traits.get("check")
    if problems := [*check(use.options)] if check else []:
        raise RequestError(problems)


def check_runners(name: str, described: Mapping[str, Any]) -> None:
    """Raise RequestError where a C++ runner that a target takes was not built yet."""
    from edgekd.devices.native.runners import check

    if problems := [*check(described["native"], described["hardware"]["arch"], name)]:
        raise RequestError(problems)
