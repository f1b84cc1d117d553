from pathlib import Path

from edgekd.core.signature import Signature
from edgekd.runtimes.folder import Program
from edgekd.trial.entry import Entry


def test_the_size_counts_external_data_and_no_descriptions(tmp_path: Path) -> None:
    (tmp_path / "p.onnx").write_bytes(b"x" * 10)
    (tmp_path / "p.onnx.data").write_bytes(b"x" * 90)
    (tmp_path / "program.json").write_text("{}")
    program = Program("p.onnx", "onnxruntime", "fp32", Signature((), ()), {}, "m", "d", 1, {})
    entry = Entry("p", "candidate", tmp_path / "p.onnx", program)
    assert entry.size_bytes == entry.described().size_bytes == 100
