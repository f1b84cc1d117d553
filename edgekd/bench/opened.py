"""A model file as it describes itself, read by a process that may crash over it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.core.errors import Problem, RequestError, StageError
from edgekd.devices.model_file import describe

RUNTIMES = {".onnx": "onnxruntime", ".ort": "onnxruntime", ".pte": "executorch"}
PTE_READER = (
    "What a .pte file takes is read by ExecuTorch's Python package, with torch, also where a C++ "
    "runner measures it: run edgekd where both are; the device needs neither."
)
STEPS = {
    "is not a registered function/op": "ONNX Runtime as it is installed here lacks that operator; "
    "export the model without it, or with operators of the standard set.",
    "No Op registered for": "ONNX Runtime as it is installed here lacks that operator; export the "
    "model without it, or with an opset that the runtime knows.",
    "NOT_IMPLEMENTED": "ONNX Runtime has no kernel on the CPU for that operator and type; export "
    "the model in another type, or convert it first.",
    "IR version": "The file is newer than the runtime: install a newer onnxruntime, or export with "
    "an older IR version.",
    "under development": "Its opset is newer than the runtime: install a newer onnxruntime, or "
    "export with a lower opset.",
    "No module named 'executorch": PTE_READER,
    "No module named 'torch'": PTE_READER,
    "input_tensor_meta": "Its method 'forward' takes something that is no tensor, which edgekd "
    "cannot make: export it with tensors alone.",
    "does not contain method": "Export it with a method 'forward'.",
    "external data": "Put the data beside the model, under the name that it was saved with.",
}
"""What to do, by words of what the runtime objected."""
OTHERWISE = "Check that the file is whole, and that the runtime which is installed knows its form."


@dataclass(frozen=True)
class Input:
    """One thing that a model takes; None stands for a dimension that varies and has no name."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    @property
    def said(self) -> str:
        """Name, type and sizes as people write them."""
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"'{self.name}', {self.dtype} [{sizes}]"


@dataclass(frozen=True)
class Opened:
    """What is known of a model file."""

    file: Path
    runtime: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    version: str
    """Of the runtime that read it."""


def opened(path: Path) -> Opened:
    """Return what a model file takes; RequestError says why it cannot be measured."""
    if problem := _no_file(path):
        raise RequestError(problem)
    try:
        found = describe(path)
    except StageError as error:
        raise RequestError(Problem("", error.message, _step(error.message))) from error
    inputs = tuple(_input(index, port) for index, port in enumerate(found["inputs"]))
    outputs = tuple(port["name"] for port in found["outputs"])
    return Opened(path, RUNTIMES[path.suffix], inputs, outputs, found["version"])


def _no_file(path: Path) -> Problem | None:
    if path.suffix not in RUNTIMES:
        known = ", ".join(RUNTIMES)
        return Problem(
            "",
            f"{path} is no model file: its name does not end in one of {known}.",
            "Give an ONNX or ExecuTorch program; a model in PyTorch is exported by a pipeline.",
        )
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        return Problem("", f"{path} {what}.", "Give the path of one model file.")
    return None


def _step(message: str) -> str:
    return next((step for words, step in STEPS.items() if words in message), OTHERWISE)


def _input(index: int, port: Mapping[str, Any]) -> Input:
    sizes = tuple(size if _is_name(size) else _fixed(size) for size in port["shape"])
    return Input(port["name"] or f"input{index}", port["dtype"], sizes)


def _is_name(size: Any) -> bool:
    """Tell whether a dimension has a name; some exporters write `?` for want of one."""
    return isinstance(size, str) and bool(size.strip("? "))


def _fixed(size: Any) -> int | None:
    """Return a size that is one; some files say 0 or -1 where it varies."""
    return size if isinstance(size, int) and size > 0 else None
