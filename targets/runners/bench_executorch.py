"""Loads an ExecuTorch program through its Python binding, which needs torch for its tensors.

The binding's own module is imported: `executorch.runtime` would load the exporter with it. The
memory of this process therefore holds torch, which a phone's C++ runner does not.
"""

import tempfile
from importlib.metadata import version
from pathlib import Path

import etdump
import torch
from executorch.extension.pybindings import _C

VERSION = version("executorch")
TRACED_RUNS = 20


def check(_file):
    """Refuse nothing: a .pte file holds all that it needs."""


def undelegated_time(file, feeds):
    """Return the share of time outside the delegate, of a program loaded anew that keeps count."""
    module = _C._load_for_executorch(file, enable_etdump=True)
    for _ in range(TRACED_RUNS):
        module.forward(feeds.next())
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "noted.etdp"
        module.write_etdump_result_to_file(str(noted))
        return etdump.undelegated(noted.read_bytes())


def profile(program, _file, folder, skipped):
    """Return what each operator took, of a program that was loaded to note it."""
    noted = Path(folder) / "noted.etdp"
    program.module.write_etdump_result_to_file(str(noted))
    return etdump.operators(noted.read_bytes(), skipped)


class Program:
    """The method `forward` of a .pte file."""

    def __init__(self, file, *, inputs, outputs, threads, graph_level, noted=""):
        del graph_level  # the graph was fixed when it was lowered
        torch.set_num_threads(threads)
        _C._unsafe_reset_threadpool(threads)
        self.module = _C._load_for_executorch(file, enable_etdump=bool(noted))
        self.inputs, self.outputs = inputs, outputs
        meta = self.module.method_meta("forward")
        shapes = [meta.input_tensor_meta(index).sizes() for index in range(meta.num_inputs())]
        self.max_batch = min((shape[0] for shape in shapes if shape), default=1)

    def prepare(self, arrays):
        """Return what `run` takes, made of arrays by name."""
        return tuple(torch.from_numpy(arrays[name].copy()) for name in self.inputs)

    def run(self, prepared):
        """Return the raw outputs: this call is what is timed."""
        return self.module.forward(prepared)

    def arrays(self, raw):
        """Return the outputs as arrays by name."""
        return {n: t.detach().numpy().copy() for n, t in zip(self.outputs, raw, strict=True)}
