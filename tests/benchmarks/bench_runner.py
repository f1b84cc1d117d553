"""One .pte program by the C++ runner and by the Python runner, in turns: time, start, memory.

    python tests/benchmarks/bench_runner.py PROGRAM.pte ... [--restarts 8]

Both are given the same samples and must answer alike, bit for bit. Each restart is two fresh
processes that are timed in turns, as `edgekd bench --against` does. The ratio is the C++ runner's
median over the Python runner's, restarts paired: its geometric mean with Student's 95 % interval.
Python's call makes tensors of its arguments and results: some microseconds, which small programs
show.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Scores, Timing
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.model_file import describe
from edgekd.devices.native.build import build_runner
from edgekd.devices.native.runners import this_machine
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target

RUNNERS = ("C++", "Python")
EXAMPLES = 16


def signature(file: Path) -> Signature:
    """Return what a program takes and gives, its ports named by their places."""
    found = describe(file)

    def ports(end: str) -> tuple[Port, ...]:
        numbered = enumerate(found[end])
        return tuple(Port(f"{end}{n}", p["dtype"], tuple(p["shape"])) for n, p in numbered)

    return Signature(ports("inputs"), ports("outputs"))


def write(ports: tuple[Port, ...], folder: Path) -> None:
    """Write samples by chance: normal, whole numbers 0 and 1."""
    rng = np.random.default_rng(0)
    for port in ports:
        fixed = port.shape[0] if port.shape and isinstance(port.shape[0], int) else 1
        shape = (EXAMPLES * fixed, *port.shape[1:])
        made = rng.normal(size=shape) if "float" in port.dtype else rng.integers(0, 2, shape)
        np.save(folder / f"{port.name}.npy", made.astype(port.dtype))


def ratio(first: NDArray[np.float64], second: NDArray[np.float64]) -> str:
    """Return the geometric mean of paired ratios with Student's 95 % interval."""
    ratios = np.log(first / second)
    low, high = stats.t.interval(0.95, len(ratios) - 1, ratios.mean(), stats.sem(ratios))
    return f"{np.exp(ratios.mean()):.4f} [{np.exp(low):.4f}, {np.exp(high):.4f}]"


def compare(file: Path, restarts: int, folder: Path) -> None:
    about = signature(file)
    rows = folder / "rows"
    rows.mkdir()
    write(about.inputs, rows)
    described = {"description": "here", "transport": "local", "runtimes": ("executorch",)}
    target = Target.model_validate(described | {"native": ("executorch",)})
    jobs = [Job(name, file, "executorch", about) for name in RUNNERS]
    session = Session(target, jobs, Journal(folder / "journal"))
    session._brought[1]["Python"]["runner"] = jobs[1].runner  # else both are the C++ runner's
    settings = settle(target.bench, Bench(mode="quick", warmup_s=0.5, min_s=1.0))
    scores = [session.score(name, rows, settings) for name in RUNNERS]
    assert all(isinstance(each, Scores) for each in scores), scores
    same = all(
        np.array_equal(scores[0].outputs[name], scores[1].outputs[name])
        for name in scores[1].outputs
    )
    taken = {name: [] for name in RUNNERS}
    for number in range(restarts):
        for name, timing in session.time(RUNNERS, rows, settings, number).items():
            assert isinstance(timing, Timing), timing
            taken[name].append(timing)
    medians = {n: np.array([np.median(t.latencies_ms) for t in taken[n]]) for n in RUNNERS}
    print(f"{file.name}: outputs {'equal bit for bit' if same else 'DIFFER'}; C++ over Python "
          f"{ratio(medians['C++'], medians['Python'])}")  # fmt: skip
    for name in RUNNERS:
        starts = [timing.restart for timing in taken[name]]
        print(f"  {name:7} p50 {np.median(medians[name]):.4g} ms, load + first "
              f"{median(s.load_ms + s.first_ms for s in starts):.3g} ms, peak "
              f"{median(s.peak_rss_mib for s in starts):.1f} MiB")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs="+", type=Path)
    parser.add_argument("--restarts", type=int, default=8)
    asked = parser.parse_args()
    build_runner("executorch", this_machine(), None)
    for file in asked.programs:
        with tempfile.TemporaryDirectory() as made:
            compare(file.absolute(), asked.restarts, Path(made))


if __name__ == "__main__":
    main()
