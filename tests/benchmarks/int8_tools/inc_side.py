"""neural-compressor's side: `python inc_side.py NETWORK.pt CALIBRATION.npy OUT.onnx`.

Its release 3.10 has back-ends for PyTorch, TensorFlow and JAX and none for ONNX Runtime: this is
its static quantization by PT2E (quantizer of x86 Inductor), exported to ONNX by PyTorch.
"""

import sys

import numpy as np
import torch
from neural_compressor.torch.export import export
from neural_compressor.torch.quantization import convert, get_default_static_config, prepare

BATCH = 64


def main() -> None:
    network, calibration, out = sys.argv[1:]
    model = torch.load(network, weights_only=False).eval()
    pictures = torch.from_numpy(np.load(calibration))
    rows = torch.export.Dim("batch", min=1)
    traced = export(model, example_inputs=(pictures[:2],), dynamic_shapes=({0: rows},))
    prepared = prepare(traced, get_default_static_config())
    with torch.no_grad():
        for batch in pictures.split(BATCH):
            prepared(batch)
    quantized = convert(prepared)
    torch.onnx.export(
        quantized, (pictures[:2],), out, dynamo=True, opset_version=20, external_data=False,
        input_names=["image"], output_names=["logits"], dynamic_shapes=({0: rows},),
    )  # fmt: skip


if __name__ == "__main__":
    main()
