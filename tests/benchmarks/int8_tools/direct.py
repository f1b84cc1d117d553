"""Conversion, static int8 and evaluation by direct calls: what no tool around them can go below.

    python tests/benchmarks/int8_tools/direct.py --folder /tmp/int8

With the folder that `bench_olive.py` has filled. PyTorch's exporter as edgekd calls it (dynamo,
opset 20, optimised), ONNX Runtime's quantizer as both tools call it, the 10,000 test pictures, 30
calls on one. Nothing is checked, kept or reported. One process, one thread; CPU seconds by part.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

BATCH, CALLS = 64, 30


class Parts:
    """CPU seconds of this process, part by part."""

    def __init__(self) -> None:
        self.began, self.shown = time.process_time(), list[str]()

    def over(self, name: str) -> None:
        """End a part."""
        now = time.process_time()
        self.shown.append(f"{name} {now - self.began:.1f}")
        self.began = now


def main() -> None:
    """Print what each part takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    shared = parser.parse_args().folder
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    parts = Parts()
    import numpy as np
    import onnx
    import onnxruntime as ort
    import torch
    from onnxruntime import quantization

    parts.over("import")
    model = torch.load(shared / "network.pt", weights_only=False).eval()
    rows = ({0: torch.export.Dim("batch", min=1)},)
    example = (torch.zeros(2, 1, 28, 28),)
    program = torch.onnx.export(
        model, example, dynamo=True, opset_version=20, dynamic_shapes=rows, verbose=False
    )
    assert program is not None
    parts.over("export")
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, int8 = (f"{folder}/{name}.onnx" for name in ("plain", "ready", "int8"))
        graph = program.model_proto
        del graph.graph.value_info[:]
        onnx.save(graph, plain)
        quantization.shape_inference.quant_pre_process(plain, ready, skip_symbolic_shape=True)
        drawn = np.load(shared / "calibration.npy")
        feeds = iter([{graph.graph.input[0].name: part} for part in np.split(drawn, 4)])

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> dict[str, object] | None:
                return next(feeds, None)

        unsigned = quantization.QuantType.QUInt8
        quantization.quantize_static(
            ready, int8, Reader(), per_channel=True, activation_type=unsigned
        )
        parts.over("int8")
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = ort.InferenceSession(int8, options)
    name, pictures = session.get_inputs()[0].name, np.load(shared / "test.npy")
    for first in range(0, len(pictures), BATCH):
        session.run(None, {name: pictures[first : first + BATCH]})
    for _ in range(CALLS):
        session.run(None, {name: pictures[:1]})
    parts.over("evaluate")
    print(f"{time.process_time():.1f} CPU seconds: {', '.join(parts.shown)}")


if __name__ == "__main__":
    main()
