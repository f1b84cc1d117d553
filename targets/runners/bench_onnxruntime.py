"""Loads an ONNX program in ONNX Runtime: no spinning, so that idle threads take nobody's core."""

from pathlib import Path

import external_data
import onnxruntime
import ort_profile

LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
VERSION = onnxruntime.__version__
ERRORS_ONLY = 3


def check(file):
    """Refuse a file that names data outside its folder, before the runtime opens it.

    A .ort file holds all that it needs.
    """
    if Path(file).suffix != ".ort":
        external_data.check(file)


class Program:
    """A session on the CPU."""

    max_batch = None
    """Any number of examples goes."""

    def __init__(self, file, *, inputs, outputs, threads, graph_level, noted=""):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = LEVELS[graph_level]
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if noted:
            options.enable_profiling, options.profile_file_prefix = True, f"{noted}/ort"
        self.session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = named(inputs, self.session.get_inputs())
        self.outputs = named(outputs, self.session.get_outputs())
        self.own_outputs = list(self.outputs.values())

    def prepare(self, arrays):
        """Return what `run` takes, made of arrays by name."""
        return {own: arrays[name] for name, own in self.inputs.items()}

    def run(self, prepared):
        """Return the raw outputs: this call is what is timed."""
        return self.session.run(self.own_outputs, prepared)

    def arrays(self, raw):
        """Return the outputs as arrays by name."""
        return dict(zip(self.outputs, raw, strict=True))


def profile(program, file, _folder, skipped):
    """Return what each operator took, of a program that was loaded to note it."""
    return ort_profile.operators(program.session.end_profiling(), file, skipped)


def named(names, ports):
    """Return the file's own name of each port: the same, or that of its place."""
    own = [port.name for port in ports]
    return dict(zip(names, names if set(names) <= set(own) else own, strict=True))
