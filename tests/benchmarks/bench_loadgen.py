"""Prints our percentiles beside those of MLPerf LoadGen, of the same calls in the same run.

    pip install mlcommons-loadgen==6.0.17
    python tests/benchmarks/bench_loadgen.py

LoadGen's SingleStream asks for one query after another. Each is answered by the runner's program,
on the runner's samples, between the two clock readings that the runner takes: LoadGen times the
query around that, which costs it some microseconds more in Python. The first line says how many,
of queries that run nothing; `p50` and `p90` are LoadGen's over ours as they are, in brackets less
that, and `cold` less what it is of queries that do no more than read as many bytes as the network
has weights: its own code is then out of the caches as after a network. `estimate` is LoadGen's
early stopping estimate of p90 in ns, beside that of `ops.statistics.early_stopping_estimate` from
the latencies that LoadGen itself noted of each query, and how many of the slowest queries it leaves
out. Exit status 1 where the two differ at all, or p50 or p90, in brackets, by more than 3 %.
"""

import re
import sys
import tempfile
import time
from pathlib import Path

import mlperf_loadgen as loadgen
import numpy as np
from bench_harness_overhead import write_network
from numpy.typing import NDArray

from edgekd.core.shipped import shipped
from edgekd.ops.statistics import Floats, early_stopping_estimate, quantile

NETWORKS = ((256, 8), (512, 4), (1024, 4), (1024, 12), (2048, 10))
"""Width and depth: from 0.05 to some tens of ms on the machine that this was written on."""
SECONDS, WARM_UP_S, MOST_APART = 5, 1, 0.03
SHARES = {"p50": 0.5, "p90": 0.9}
Array = NDArray[np.float32]
QUERY = re.compile(r'"issue_start_ns":(\d+),"complete_ns":(\d+)')
"""When LoadGen asked, and when it had the answer, in what it notes of each query."""
LINES = {
    "p50": r"50\.00 percentile latency \(ns\) *: (\d+)",
    "p90": r"90\.00 percentile latency \(ns\) *: (\d+)",
    "discards": r"Would discard (\d+) highest latency queries",
    "estimate": r"Early stopping 90\.0th percentile estimate: (\d+)",
}


class Nothing:
    """Runs nothing, to see what a query costs LoadGen."""

    def prepare(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """Return what `run` takes."""
        return arrays

    def run(self, _prepared: dict[str, Array]) -> None:
        """Return at once."""


class Reads(Nothing):
    """Reads as much as a network of such weights, and computes nothing of it."""

    def __init__(self, num_weights: int):
        self.weights = np.ones(num_weights, np.float32)

    def run(self, _prepared: dict[str, Array]) -> None:
        """Return when all was read."""
        self.weights.sum()


def answered(file: Path | None, instead: Nothing, samples: Path, logs: Path) -> list[int]:
    """Run LoadGen over a program, or instead of it; return nanoseconds by the runner's clock."""
    sys.path.insert(0, str(shipped("targets") / "runners"))
    from bench_onnxruntime import Program  # type: ignore[import-not-found]
    from feeds import Feeds  # type: ignore[import-not-found]

    ports = [{"name": "x", "dtype": "float32", "shape": ["batch", 0]}]
    options = {"inputs": ["x"], "outputs": ["y"], "threads": 1, "graph_level": "all"}
    program = Program(str(file), **options) if file else instead
    feeds = Feeds(program, {"x": np.load(samples)}, ports, [])
    run, clock, taken = program.run, time.perf_counter_ns, []
    respond, done = loadgen.QuerySampleResponse, loadgen.QuerySamplesComplete

    def issue(queries: list[loadgen.QuerySample]) -> None:
        for query in queries:
            feed = feeds.next()
            began = clock()
            run(feed)
            ended = clock()
            taken.append(ended - began)
            done([respond(query.id, 0, 0)])

    end = clock() + WARM_UP_S * 1e9
    while clock() < end:
        run(feeds.next())
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms, settings.min_query_count = SECONDS * 1000, 64
    settings.single_stream_expected_latency_ns = 10_000
    output, log = loadgen.LogOutputSettings(), loadgen.LogSettings()
    output.outdir, output.copy_summary_to_stdout = str(logs), False
    log.log_output, log.enable_trace = output, True
    sut = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(32, 32, lambda _: None, lambda _: None)
    loadgen.StartTestWithLogSettings(sut, library, settings, log)
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(sut)
    return taken


def measured(
    width: int, layers: int, instead: Nothing | None = None
) -> tuple[Floats, Floats, dict[str, int]]:
    """Return our samples and LoadGen's in ns, and its figures, of a network or instead of it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        file = None if instead else folder / "n.onnx"
        if file:
            write_network(file, width, layers)
        np.save(folder / "x.npy", np.random.default_rng(1).normal(size=(32, width)).astype("f4"))
        own = np.array(answered(file, instead or Nothing(), folder / "x.npy", folder), np.float64)
        text = (folder / "mlperf_log_summary.txt").read_text()
        noted = QUERY.findall((folder / "mlperf_log_trace.json").read_text())
    found = {name: re.search(line, text) for name, line in LINES.items()}
    theirs = np.array([int(done) - int(asked) for asked, done in noted], np.float64)
    return own, theirs, {name: int(match[1]) for name, match in found.items() if match}


def cost_of(instead: Nothing) -> dict[str, float]:
    """Return what LoadGen has more than we, in ns, of queries that run no network."""
    own, _, theirs = measured(8, 0, instead)
    return {name: theirs[name] - quantile(own, share) for name, share in SHARES.items()}


def compare(width: int, layers: int, cost: dict[str, float]) -> bool:
    """Print one line; tell whether all of it agrees. `cost` is of a query that runs nothing."""
    own, noted, theirs = measured(width, layers)
    cold = cost_of(Reads(layers * width**2))
    estimate = early_stopping_estimate(noted)
    ours = {name: quantile(own, share) for name, share in SHARES.items()}
    plain, apart, less = (
        {name: (theirs[name] - more.get(name, 0)) / ours[name] - 1 for name in ours}
        for more in ({}, cost, cold)
    )
    shown = "  ".join(
        f"{name} {plain[name]:+6.2%} [{apart[name]:+6.2%}] cold {less[name]:+6.2%}"
        f" ({cold[name] / 1e3:.2f} of {(theirs[name] - ours[name]) / 1e3:.2f} us)"
        for name in ours
    )
    print(
        f"{layers:>3} x {width:>4}^2 {len(own):>6} runs {ours['p50'] / 1e6:8.4f} ms  {shown}  "
        f"estimate {theirs['estimate']} and {estimate:.0f}, without {theirs['discards']}",
        flush=True,
    )
    return estimate == theirs["estimate"] and all(abs(by) <= MOST_APART for by in apart.values())


def main() -> int:
    """Compare every network."""
    cost = cost_of(Nothing())
    print(f"a query costs LoadGen {cost['p50'] / 1e3:.2f} us, {cost['p90'] / 1e3:.2f} us at p90")
    agree = [compare(*network, cost) for network in NETWORKS]
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
