"""Prints how much the measuring harness adds to a bare `session.run` loop.

    python tests/benchmarks/bench_harness_overhead.py

The harness times each call between two clock readings. `bare` is the processor time per call of
a loop that does nothing else; `median` is what the harness reports as p50, `cpu` the processor
time per call of its loop, the work between calls included. Fresh processes, in turns; processor
time, because neighbours on a shared machine stretch wall time. Where they are many, caches make
fresh processes differ by more than what is looked for: `in turns` is the processor time of the
harness's loop over that of a bare one around the same session, in one process, A B B A, as the
median over pairs of blocks.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd.core.shipped import shipped
from edgekd.core.signature import Port, Signature
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target

RESTARTS, SECONDS, PAIRS = 5, 0.5, 100
BARE = """
import json, sys, time
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feeds = [{"x": row[None]} for row in np.load(sys.argv[2])]
seconds = float(sys.argv[3])
for measured in (False, True):
    calls, end, cpu = 0, time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end:
        for feed in feeds:
            session.run(["y"], feed)
        calls += len(feeds)
print(json.dumps((time.process_time() - cpu) / calls * 1e6))
"""


def write_network(path: Path, width: int, layers: int) -> None:
    """Write a stack of square matrix products."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(width, width)).astype(np.float32) / width for _ in range(layers)]
    names = ["x", *(f"h{index}" for index in range(layers - 1)), "y"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(layers)],
        "stack",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


def in_turns(width: int, layers: int) -> float:
    """Return the harness's processor time over that of a bare loop, minus 1."""
    sys.path.insert(0, str(shipped("targets") / "runners"))
    from worker import Worker  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_network(folder / "n.onnx", width, layers)
        np.save(folder / "x.npy", np.random.default_rng(1).normal(size=(32, width)).astype("f4"))
        ports = {end: [{"name": name, "dtype": "float32", "shape": ["batch", width]}]
                 for end, name in (("inputs", "x"), ("outputs", "y"))}  # fmt: skip
        about = ports | {"state": [], "samples": made, "file": str(folder / "n.onnx")}
        about |= {"runner": "bench_onnxruntime.py", "graph_level": "all"}
        worker = Worker({"threads": 1}, about)
        worker.load()
    session, rows = worker.program.session, [worker.feeds.next() for _ in range(32)]

    def bare(calls: int) -> None:
        for call in range(calls):
            session.run(["y"], rows[call % 32])

    def harness(calls: int) -> None:
        worker.timed(calls, 0)

    def spent(loop: Callable[[int], None], calls: int) -> float:
        began = time.process_time()
        loop(calls)
        return time.process_time() - began

    calls = max(4, round(32 * 0.02 / spent(bare, 32)))
    ratios = []
    for pair in range(PAIRS):
        order = (bare, harness) if pair % 2 else (harness, bare)
        took = {loop: spent(loop, calls) for loop in order}
        ratios.append(took[harness] / took[bare])
    return float(np.median(ratios)) - 1


def compare(width: int, layers: int) -> list[float]:
    """Return bare processor time, the harness's p50 and its processor time, in microseconds."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        program, samples = folder / "p" / "n.onnx", folder / "samples"
        program.parent.mkdir()
        samples.mkdir()
        write_network(program, width, layers)
        np.save(samples / "x.npy", np.random.default_rng(1).normal(size=(32, width)).astype("f4"))
        ports = [(Port(name, "float32", ("batch", width)),) for name in ("x", "y")]
        target = Target.model_validate(
            {"description": "here", "transport": "local", "runtimes": ("onnxruntime",)}
        )
        job = Job("n", program, "onnxruntime", Signature(*ports))
        session = Session(target, [job], Journal(folder / "journal"))
        settings = settle(Bench(), Bench(mode="quick", min_s=SECONDS, warmup_s=SECONDS))
        taken = []
        for restart in range(RESTARTS):
            command = [sys.executable, "-c", BARE, program, samples / "x.npy", str(SECONDS)]
            bare = json.loads(subprocess.check_output(command))
            timing = session.time(["n"], samples, settings, restart)["n"]
            cpu = timing.restart.cpu_s / timing.restart.runs * 1e6
            taken.append((bare, float(np.median(timing.latencies_ms)) * 1e3, cpu))
        return [float(np.median(column)) for column in zip(*taken, strict=True)]


def main() -> None:
    """Print one line per network."""
    print(
        f"{'network':>13} {'bare us':>10} {'median us':>10} {'cpu us':>10} {'median added':>13} "
        f"{'in turns':>9}"
    )
    for width, layers in ((8, 1), (64, 4), (256, 8), (512, 8), (1024, 8)):
        bare, median, cpu = compare(width, layers)
        share = (median - bare) / bare
        print(
            f"{layers:>4} x {width:>4}^2 {bare:10.2f} {median:10.2f} {cpu:10.2f} {share:13.1%}",
            end="",
        )
        print(f" {in_turns(width, layers):9.2%}", flush=True)


if __name__ == "__main__":
    main()
