"""Prints what a .pte file takes and gives: see `describing`.

Such a file has no names, and its sizes are the largest that it takes: whether it also takes one
example is tried.
"""

import contextlib

from describing import answer

DTYPES = {
    0: "uint8",
    1: "int8",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
"""Numbers of ExecuTorch's ScalarType."""


def described(path):
    """Return the inputs and outputs of the method `forward`."""
    from importlib.metadata import version

    from executorch.extension.pybindings import _C

    module = _C._load_for_executorch(path)
    meta = module.method_meta("forward")
    ends = {
        "inputs": [meta.input_tensor_meta(index) for index in range(meta.num_inputs())],
        "outputs": [meta.output_tensor_meta(index) for index in range(meta.num_outputs())],
    }
    ports = {end: [port(each) for each in found] for end, found in ends.items()}
    if takes_one(module, ports["inputs"]):
        for each in (*ports["inputs"], *ports["outputs"]):
            each["shape"][:1] = ["batch"][: len(each["shape"])]
    return {"beside": [], "version": version("executorch"), **ports}


def port(found):
    """Return an input or output without a name."""
    dtype = DTYPES.get(found.dtype(), f"ScalarType {found.dtype()}")
    return {"name": "", "dtype": dtype, "shape": list(found.sizes())}


def takes_one(module, inputs):
    """Tell whether the program runs with one example of every input."""
    import torch

    if not all(each["shape"] and each["dtype"] in DTYPES.values() for each in inputs):
        return False
    given = [
        torch.zeros([1, *each["shape"][1:]], dtype=getattr(torch, each["dtype"])) for each in inputs
    ]
    with contextlib.suppress(RuntimeError):
        module.forward(tuple(given))
        return True
    return False


if __name__ == "__main__":
    answer(described)
