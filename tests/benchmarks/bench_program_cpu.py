"""CPU time of two ONNX programs in turns, where other work makes wall time useless.

    python tests/benchmarks/bench_program_cpu.py SLOW.onnx FAST.onnx [--sequence 24]

One process and one thread; each turn is five calls of one, then five of the other. Prints both
medians, and the median of the ratio within a turn with the middle 80 %. A claim of latency is for
`edgekd run`, which measures in fresh processes; this tells how much there is to compute.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

TURNS, CALLS = 60, 5
TOKENS = 1000
"""Fewer than any vocabulary has."""
TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


def opened(file: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def feed(session: Any, sequence: int) -> dict[str, Any]:
    """Return one example: numbers of tokens by chance, ones for masks and all else."""
    given, rng = {}, np.random.default_rng(0)
    for port in session.get_inputs():
        free = [d if isinstance(d, int) else sequence for d in port.shape[1:]]
        given[port.name] = np.ones((1, *free), TYPES[port.type])
        if port.name.endswith("ids"):
            given[port.name] = rng.integers(1, TOKENS, (1, *free), TYPES[port.type])
    return given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs=2, type=Path)
    parser.add_argument("--sequence", type=int, default=24, help="size of inputs that may vary")
    asked = parser.parse_args()
    sessions = [opened(file) for file in asked.programs]
    feeds = [feed(session, asked.sequence) for session in sessions]
    times: list[list[float]] = [[], []]
    for _ in range(TURNS):
        for session, given, own in zip(sessions, feeds, times, strict=True):
            began = time.process_time()
            for _ in range(CALLS):
                session.run(None, given)
            own.append((time.process_time() - began) / CALLS * 1e3)
    slow, fast = map(np.array, times)
    low, middle, high = np.quantile(slow / fast, [0.1, 0.5, 0.9])
    print(f"{np.median(slow):.2f} ms and {np.median(fast):.2f} ms of CPU time: "
          f"{middle:.2f} times ({low:.2f} to {high:.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
