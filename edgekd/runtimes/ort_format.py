"""ONNX Runtime's own format: the graph as ONNX Runtime rewrote it, in a file that it maps."""

from pathlib import Path

from edgekd.core.errors import StageError
from edgekd.core.quiet import quiet
from edgekd.runtimes.onnx_graph import LARGEST_FILE


def convert(program: Path, out: Path, level: str) -> None:
    """Write an ONNX file as `.ort`, its graph rewritten to a level of ONNX Runtime's enumeration.

    The bytes differ from time to time, as ONNX Runtime orders parts of the file by a random hash;
    what it computes does not. StageError where the model is too large.
    """
    import onnxruntime as ort

    size = sum(file.stat().st_size for file in program.parent.iterdir())
    if size > LARGEST_FILE:
        raise StageError(
            f"the program has {size / 2**30:.1f} GiB, and a .ort file holds 2 at most.",
            "Leave format out: a large ONNX program has its weights beside it.",
        )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(out)
    options.add_session_config_entry("session.save_model_format", "ORT")
    with quiet(native=True):
        ort.InferenceSession(program, options, providers=["CPUExecutionProvider"])
