"""Programs of one network side by side: accuracy by pairs, CPU time of a call in turns."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from network import Shared

from edgekd.ops.paired import paired_t
from edgekd.ops.statistics import share_interval

TURNS, CALLS, BATCH = 200, 20, 64


def opened(file: Path) -> ort.InferenceSession:
    """Return the program with one thread, at graph level `all`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def rights(session: ort.InferenceSession, shared: Shared) -> np.ndarray:
    """Return for each test picture whether its class was named."""
    pictures, labels = shared.test()
    name = session.get_inputs()[0].name
    parts = np.array_split(pictures, len(pictures) // BATCH)
    scores = np.concatenate([session.run(None, {name: part})[0] for part in parts])
    return (scores.argmax(-1) == labels).astype(np.float64)


def timed(sessions: Mapping[str, ort.InferenceSession], picture: np.ndarray) -> dict[str, list]:
    """Return CPU time of a call on one picture in ms, by program, one value per turn."""
    found: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(TURNS):
        names = [*sessions] if turn % 2 else [*reversed(sessions)]
        for name in names:
            feed = {sessions[name].get_inputs()[0].name: picture}
            sessions[name].run(None, feed)
            began = time.process_time()
            for _ in range(CALLS):
                sessions[name].run(None, feed)
            found[name].append((time.process_time() - began) / CALLS * 1e3)
    return found


def print_programs(programs: Mapping[str, Path], shared: Shared, own: str = "edgekd") -> None:
    """Print every program beside edgekd's: accuracy, CPU time of a call, size."""
    sessions = {name: opened(file) for name, file in programs.items()}
    right = {name: rights(session, shared) for name, session in sessions.items()}
    times = timed(sessions, shared.test()[0][:1])
    print(f"\n{len(right[own]):,} test pictures; edgekd's accuracy less the other's in points, by "
          "pairs with 95 % and p of no difference;\nCPU ms of a call, and the other's by edgekd's, "
          f"median of {TURNS} turns with the middle 80 %\n\n"
          "| program | accuracy, % | edgekd less this | p | CPU ms | this by edgekd's | KiB |\n"
          "|---|---|---|---|---|---|---|")  # fmt: skip
    for name, file in programs.items():
        low, high = share_interval(int(right[name].sum()), len(right[name]))
        share = f"{100 * right[name].mean():.2f} [{100 * low:.2f}, {100 * high:.2f}]"
        cells = [name, share, *_pairs(right[own], right[name], name == own)]
        cells += [f"{np.median(times[name]):.3f}", _ratio(times[name], times[own])]
        print(f"| {' | '.join(cells)} | {file.stat().st_size / 1024:.0f} |", flush=True)


def _pairs(own: np.ndarray, other: np.ndarray, same: bool) -> tuple[str, str]:
    pairs = paired_t(own, other)
    if same or pairs.interval is None:
        return "-", "-"
    low, high = (100 * bound for bound in pairs.interval)
    p = "-" if pairs.p is None else f"{pairs.p:.2g}"
    return f"{100 * pairs.mean:+.2f} [{low:+.2f}, {high:+.2f}]", p


def _ratio(times: list[float], own: list[float]) -> str:
    low, middle, high = np.quantile(np.array(times) / np.array(own), [0.1, 0.5, 0.9])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
