"""Questions to a process of its own, which may open what nobody here made and crash over it.

    python -P -m MODULE REQUEST.json

The module's `main` calls `serve`, and what answers calls `confine` before it opens the file.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgekd.core.endings import ended
from edgekd.core.errors import StageError
from edgekd.core.shipped import shipped

SECONDS, WRITTEN_MIB = 3600, 4096
"""Most processor time of such a process, and the largest file that it may write."""
PATIENCE_S = 6 * SECONDS
"""How long it is waited for: it may wait for others' work, or for ever for something."""


def ask(module: str, request: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return what a module answers about a file.

    StageError where its process ended otherwise, or not within `PATIENCE_S`; it is killed then.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgekd-apart-") as folder,
        Path(folder, "log").open("w+b") as log,
    ):
        place = Path(folder, "request.json")
        place.write_text(json.dumps(request), "utf-8")
        command = [sys.executable, "-P", "-m", module, str(place)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=log, check=False, timeout=PATIENCE_S
            )
        except subprocess.TimeoutExpired as error:
            raise StageError(
                f"the process that opened {file} did not end within {PATIENCE_S / 3600:g} h.",
                "Check that the file is whole; ask for fewer examples, or end other programs.",
            ) from error
        log.seek(0)
        last = log.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    if done.returncode:
        raise StageError(
            f"the process that opened {file} {ended(done.returncode)}: {last}",
            "Check that the file is whole; where memory ran out, ask for fewer examples, or end "
            "other programs.",
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def serve(answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Answer the request of the file that the command line names, as one JSON object."""
    request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    print(json.dumps(answer(request)), file=channel, flush=True)


def confine(file: Path) -> str:
    """Limit this process; return why it must not open the file, where it names others' files."""
    sys.path.insert(0, str(shipped("targets") / "runners"))
    import external_data  # type: ignore[import-not-found]
    import limits  # type: ignore[import-not-found]

    limits.confine(memory_mib=0, seconds=SECONDS, written_mib=WRITTEN_MIB)
    if file.suffix != ".onnx":
        return ""
    try:
        external_data.check(file)
    except external_data.RefusedError as error:
        return str(error)
    return ""
