"""Imports what it is told to, in this process, and prints what happened, a JSON line each.

The doctor runs it as a process of its own: a package that crashes takes this process with it and
nothing else, and the last line says which one it was.
"""

import importlib
import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import Any

OPENMP = re.compile(r"/lib(?:g|i)?omp[^/]*\.(?:so|dylib)[^/]*$")


def main(names: list[str]) -> None:
    """Import each module, or each `group:name` of an entry point, in this order."""
    for name in names:
        _say({"start": name})
        try:
            _load(name)
        except BaseException as error:  # another package's code may raise anything
            _say({"done": name, "error": f"{type(error).__name__}: {error}"})
        else:
            _say({"done": name, "error": ""})
    _say({"openmp": _openmp(), "cuda": _cuda()})


def _load(name: str) -> None:
    group, is_point, point = name.partition(":")
    if is_point:
        for found in importlib.metadata.entry_points(group=group, name=point):
            found.load()
    else:
        importlib.import_module(name)


def _openmp() -> list[str]:
    """Return the OpenMP libraries that are loaded."""
    try:
        lines = Path("/proc/self/maps").read_text("utf-8").splitlines()
    except OSError:
        return []
    paths = {line.split(maxsplit=5)[-1] for line in lines if "/" in line}
    return sorted(path for path in paths if OPENMP.search(path))


def _cuda() -> dict[str, Any] | None:
    """Return what PyTorch says of a GPU; None where PyTorch did not load."""
    torch: Any = sys.modules.get("torch")
    version = getattr(getattr(torch, "version", None), "cuda", None)
    if torch is None or not hasattr(torch, "cuda"):
        return None
    usable, error = bool(version and torch.cuda.is_available()), ""
    if version and not usable:
        try:
            torch.cuda.init()
        except Exception as raised:
            error = str(raised).strip().splitlines()[0]
    return {"built": version or "", "usable": usable, "error": error}


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 (the doctor reads it)


if __name__ == "__main__":
    main(sys.argv[1:])
