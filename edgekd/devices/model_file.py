"""What a model file is, asked of processes that may crash over it: see `targets/runners`."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.protocols.transport import Transport
from edgekd.core.shipped import shipped

ONNX = ".onnx"
READING_S = 60
"""Processor time that reading a file may take."""
EXTERNAL_DATA = "external_data.py"


def describe(file: Path, script: str = "") -> dict[str, Any]:
    """Return what a model file takes and gives, and in `beside` the files that belong to it.

    Only another process under limits opens the file; StageError says why it could not be read,
    or how that process ended. A `script` of the runners asks for something else.
    """
    local = kinds.transport.get("local")
    transport: Transport = local.build(local.config.model_validate({"alone": False}))  # type: ignore[assignment]
    assert transport.python is not None
    asking = shipped("targets") / "runners" / "describe.py"
    words = [str(asking), str(file.absolute()), str(READING_S), "0", *([script] if script else [])]
    found: dict[str, Any] = json.loads(transport.run([transport.python, "-s", "-E", *words]))
    if "refused" in found:
        raise StageError(
            f"{file.name} cannot be read: {found['refused']}",
            "Check that the file is whole, and that the runtime which is installed knows its form.",
        )
    return found


def program_files(program: Path) -> list[Path]:
    """Return a program with the external data that it names; that of a bad file stays behind.

    The process that loads the program on a device refuses a bad file before the runtime sees it.
    """
    about = program.stat()
    return list(_files(program, about.st_mtime_ns, about.st_size))


@lru_cache(maxsize=256)
def _files(program: Path, _changed_at: int, _size: int) -> tuple[Path, ...]:
    if program.suffix != ONNX:
        return (program,)
    try:
        beside = describe(program, EXTERNAL_DATA)["beside"]
    except StageError:
        beside = []
    return (program, *(program.parent / name for name in beside))
