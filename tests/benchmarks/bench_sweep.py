"""Prints what a sweep of 8 students costs beside one pass of their teacher.

    apt-get install dataset-fashion-mnist
    python tests/benchmarks/bench_sweep.py

Every side is an `edgekd run` of a pipeline file, on a store of its own that holds the teacher
already. Times are those of the stages' manifests, added up:

- `sweep`: the teacher's outputs and the 8 students that read them;
- `own, outputs kept`: the same 8 trainings where the outputs are there already;
- `own, labels only`: 8 students of the same form, with no teacher at all and cross-entropy alone;
- `bare pass`: the same teacher, 256 pictures at a time, channels last, no gradient, on floats that
  lie ready, over as many pictures; no import, no reading, nothing kept. A process of its own.

Sides take turns A B C, C B A; a figure is that within one repeat. One thread each. Last, the same
sweep with `--jobs 2`: its time is that of the command, beside the command of the sweep.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
REPEATS, EXAMPLES = 3, 6_000
RATES = [0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03]
HEAD = f"""\
name: sweep-of-8
seed: 0
threads: 1
task: {{kind: image_classification, data: fashion_mnist, train_examples: {EXAMPLES}}}
"""
TEACHER = """\
  teacher:
    kind: teacher
    model: {kind: resnet, depth: 20, width: 24}
    train: {epochs: 1, batch_size: 128, optimizer: sgd, learning_rate: 0.1, precision: float32}
"""
STUDENT = """\
  student:
    kind: distill
    model: {kind: depthwise, width: 16, blocks: [1, 2, 2], stem_stride: 2}
    train: {epochs: 6, batch_size: 128, optimizer: sgd, learning_rate: 0.2, precision: float32}
"""
TAUGHT = "    teacher: $teacher\n    objective: [{kind: kd, temperature: 4.0}, cross_entropy]\n"
ALONE = "    objective: [cross_entropy]\n"
SWEPT = f"sweep: {{student: {{grid: {{train.learning_rate: {RATES}}}}}}}\n"
FILES = {
    "sweep": f"{HEAD}stages:\n{TEACHER}{STUDENT}{TAUGHT}{SWEPT}",
    "labels": f"{HEAD}stages:\n{STUDENT}{ALONE}{SWEPT}",
}
BARE = """
import json, sys, time
from pathlib import Path
import torch
from edgekd.models.folder import load_model
from edgekd.stages.outputs import BATCH

torch.set_num_threads(1)
module = load_model(Path(sys.argv[1])).module.to(memory_format=torch.channels_last)
left = int(sys.argv[2])
batch = torch.randn(BATCH, 1, 28, 28).contiguous(memory_format=torch.channels_last)
with torch.inference_mode():
    module(batch)  # warm
    began, cpu = time.perf_counter(), time.process_time()
    while left > 0:
        module(batch[:left])
        left -= BATCH
print(json.dumps([time.process_time() - cpu, time.perf_counter() - began]))
"""


@dataclass(frozen=True)
class Taken:
    """CPU and wall seconds: of the stages, and of the command that ran them."""

    cpu: float
    wall: float
    command_cpu: float = 0.0
    command_wall: float = 0.0
    outputs_cpu: float = 0.0
    """Of the stage that asks the teacher."""

    def __add__(self, other: "Taken") -> "Taken":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Taken(*(one + more for one, more in pairs))


class Bench:
    """A folder with the two pipeline files and a store to start each side from."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name, text in FILES.items():
            (folder / f"{name}.yaml").write_text(text)
        self.run("sweep", folder / "taught", "--until", "teacher")
        shutil.copytree(folder / "taught", folder / "filled")
        self.run("sweep", folder / "filled", "--until", "student.1")
        for result in (folder / "filled" / "results").iterdir():
            if json.loads((result / "manifest.json").read_text())["kind"] == "distill":
                shutil.rmtree(result)

    def side(self, name: str) -> Taken:
        """Return what a side took, from a fresh copy of its store."""
        if name == "bare pass":
            return self.bare()
        file = "labels" if name == "own, labels only" else "sweep"
        store = self.folder / "store"
        shutil.copytree(self.folder / ("filled" if "kept" in name else "taught"), store)
        jobs = ("--jobs", "2") if name == "sweep, --jobs 2" else ()
        try:
            return self.run(file, store, *jobs)
        finally:
            shutil.rmtree(store)

    def run(self, file: str, store: Path, *options: str) -> Taken:
        """Run a pipeline and return what its stages took."""
        command = [sys.executable, "-m", "edgekd", "run", f"{file}.yaml", "--json", *options]
        command += ["--store", str(store), "--runs", str(self.folder / "runs")]
        before, began = os.times(), time.perf_counter()
        said = subprocess.check_output(command, cwd=self.folder, env=one_thread(), text=True)
        wall, after = time.perf_counter() - began, os.times()
        events = [json.loads(line) for line in said.splitlines()]
        done = [event for event in events if event["event"] == "stage_done"]
        return Taken(
            cpu=sum(event["cpu_seconds"] for event in done),
            wall=sum(event["seconds"] for event in done),
            command_cpu=sum(after[2:4]) - sum(before[2:4]),
            command_wall=wall,
            outputs_cpu=sum(e["cpu_seconds"] for e in done if e["stage"] == "teacher.outputs"),
        )

    def bare(self) -> Taken:
        """Return what a plain pass of the teacher takes."""
        results = (self.folder / "taught" / "results").glob("*/manifest.json")
        teacher = next(p.parent for p in results if json.loads(p.read_text())["kind"] == "teacher")
        command = [sys.executable, "-c", BARE, str(teacher), str(EXAMPLES)]
        return Taken(*json.loads(subprocess.check_output(command, env=one_thread())))


def one_thread() -> dict[str, str]:
    """Return the environment of every side."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


SIDES = ("sweep", "own, outputs kept", "own, labels only", "bare pass", "sweep, --jobs 2")


def in_turns(bench: Bench) -> list[Mapping[str, Taken]]:
    """Return what each side took in each repeat, added up over its two turns."""
    found = []
    for repeat in range(REPEATS):
        taken: dict[str, Taken] = {}
        for name in [*SIDES, *reversed(SIDES)]:
            now = bench.side(name)
            print(f"{repeat + 1}: {name}: {now}", file=sys.stderr, flush=True)
            taken[name] = taken[name] + now if name in taken else now
        found.append(taken)
    return found


def figures(values: Sequence[float], digits: int = 1) -> str:
    """Return the median with the least and the largest."""
    least, most = (f"{edge(values):.{digits}f}" for edge in (min, max))
    return f"{statistics.median(values):.{digits}f} ({least} to {most})"


def print_times(found: Sequence[Mapping[str, Taken]]) -> None:
    """Print the seconds of one turn of each side."""
    print("| seconds | stages, CPU | stages, wall | command, CPU | command, wall |")
    print("|---|---|---|---|---|")
    for name in SIDES:
        columns = []
        for what in ("cpu", "wall", "command_cpu", "command_wall"):
            values = [getattr(taken[name], what) / 2 for taken in found]
            columns.append(figures(values) if any(values) else "-")
        print(f"| {name} |", " | ".join(columns), "|")
    asked = [taken["sweep"].outputs_cpu / 2 for taken in found]
    print(f"| of the sweep: asking the teacher | {figures(asked)} | | | |\n")


def print_goals(found: Sequence[Mapping[str, Taken]]) -> None:
    """Print the sweep beside the goal, in CPU time of the stages."""
    print("| CPU time of the sweep's stages | goal | median (range) | met |\n|---|---|---|---|")
    for own in ("own, outputs kept", "own, labels only"):
        shares, passes = [], []
        for taken in found:
            bare = taken["bare pass"].cpu
            shares.append(taken["sweep"].cpu / (taken[own].cpu + 1.1 * bare))
            passes.append((taken["sweep"].cpu - taken[own].cpu) / bare)
        met = "yes" if statistics.median(shares) <= 1 else "no"
        print(f"| over ({own} + 1.1 bare passes) | <= 1 | {figures(shares, 3)} | {met} |")
        print(f"| the same in bare passes above ({own}) | <= 1.1 | {figures(passes, 2)} | |")
    faster = [t["sweep"].command_wall / t["sweep, --jobs 2"].command_wall for t in found]
    print(f"| command, wall: one job over --jobs 2 | - | {figures(faster, 2)} | |")


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as made:
        found = in_turns(Bench(Path(made)))
    print_times(found)
    print_goals(found)


if __name__ == "__main__":
    main()
