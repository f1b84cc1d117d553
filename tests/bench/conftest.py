"""Small ONNX files, and a target that is measured in no time."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.bench.opened import Input, Opened

TARGET = """description: here, for tests
transport: {kind: local}
runtimes: [onnxruntime]
bench: {restarts: 2, max_restarts: 2, warmup_runs: 2, warmup_s: 0.01, min_runs: 40, min_s: 0.01,
  tolerance: 99, max_drift: 99, profile: false}
"""
Write = Callable[..., Path]


def write_model(
    path: Path,
    *,
    inputs: Sequence[tuple[str, int, Sequence[int | str | None]]] = (
        ("x", TensorProto.FLOAT, ("batch", 4)),
    ),
    table: int = 0,
    operator: str = "Identity",
    domain: str = "",
) -> Path:
    """Write a file whose outputs are its inputs, or rows of a table chosen by them."""
    nodes, kept = [], []
    for index, (port, _, _) in enumerate(inputs):
        if table:
            kept.append(numpy_helper.from_array(np.ones((table, 2), "f4"), f"t{index}"))
            nodes.append(helper.make_node("Gather", [f"t{index}", port], [f"y{index}"]))
        else:
            nodes.append(helper.make_node(operator, [port], [f"y{index}"], domain=domain))
    ends = [helper.make_tensor_value_info(*port) for port in inputs]
    outs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT if table else kind, None)
            for i, (_, kind, _) in enumerate(inputs)]  # fmt: skip
    graph = helper.make_graph(nodes, "g", ends, outs, kept)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def write_targets(folder: Path) -> None:
    """Describe the target `fast`, and `emulated`, which is none to be timed on."""
    (folder / "targets").mkdir()
    (folder / "targets" / "fast.yaml").write_text(TARGET)
    (folder / "targets" / "emulated.yaml").write_text(TARGET + "emulated: true\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with its own targets."""
    write_targets(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(place: Path) -> Write:
    """Return what writes a model there, under a name of its own if none is given."""
    numbers = itertools.count()

    def written(name: str = "", **options: Any) -> Path:
        return write_model(place / (name or f"m{next(numbers)}.onnx"), **options)

    return written


def model(*inputs: Input, name: str = "m.onnx") -> Opened:
    """Return a model that takes so much, without a file."""
    return Opened(Path(name), "onnxruntime", inputs, ("y",), "1.0")
