from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekd.core.signature import Signature
from edgekd.runtimes.folder import Program
from edgekd.trial.entry import Entry


def test_the_size_counts_external_data_and_no_descriptions(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((8, 8), np.float32), "weights")
    graph = helper.make_graph([], "g", [], [], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    file = tmp_path / "p.onnx"
    beside = {"save_as_external_data": True, "location": "p.onnx.data", "size_threshold": 0}
    onnx.save(model, file, **beside)
    (tmp_path / "program.json").write_text("{}")
    (tmp_path / "other.data").write_bytes(b"x" * 90)
    program = Program("p.onnx", "onnxruntime", "fp32", Signature((), ()), {}, "m", "d", 1, {})
    entry = Entry("p", "candidate", tmp_path / "p.onnx", program)
    assert entry.size_bytes == entry.described().size_bytes
    assert entry.size_bytes == file.stat().st_size + 256
