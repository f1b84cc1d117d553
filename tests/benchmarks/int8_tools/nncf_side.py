"""NNCF's side, by its ONNX backend: `python nncf_side.py NETWORK.onnx CALIBRATION.npy OUT.onnx`."""

import sys

import nncf
import numpy as np
import onnx


def main() -> None:
    network, calibration, out = sys.argv[1:]
    pictures = np.load(calibration)
    rows = nncf.Dataset([{"image": pictures[i : i + 1]} for i in range(len(pictures))])
    quantized = nncf.quantize(
        onnx.load(network), rows, subset_size=len(pictures), target_device=nncf.TargetDevice.CPU
    )
    onnx.save(quantized, out)


if __name__ == "__main__":
    main()
