"""Prints what an ONNX file takes and gives: see `describing`."""

from pathlib import Path

import external_data
from describing import answer

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


def described(path):
    """Return the inputs and outputs of a file; its graph is left as it is.

    A .ort file holds all that it needs.
    """
    beside = [] if Path(path).suffix == ".ort" else external_data.check(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    ends = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    return {"beside": beside, "version": onnxruntime.__version__} | {
        end: [port(each) for each in ports] for end, ports in ends.items()
    }


def port(found):
    """Return an input or output as the runners describe it; a type that is not known stays."""
    dtype = DTYPES.get(found.type, found.type)
    return {"name": found.name, "dtype": dtype, "shape": list(found.shape or ())}


if __name__ == "__main__":
    answer(described)
