"""Whether `edgekd bench --against` calls equal models equal and a slower one slower.

    python tests/benchmarks/bench_same_and_slower.py [--folder DIR] [--times 20] [--mode standard]

Three groups of comparisons, each a command of its own: `same`, a model and its copy; `slower`, 21
equal layers against 20; `busy`, both in turns, while a process uses the same core now and then. To
be measured on a core that is otherwise idle: `taskset -c 0` before the command keeps everything
there. What the layer more really takes is measured apart, in one process in turns. Wrong is what
the models do not bear out: any difference between equal ones, or that the slower one is faster; an
invalid comparison, or one that shows nothing, is not wrong. Of n comparisons at most 5 % may be
wrong in `same`, at least 90 % must be called slower in `slower`, none may be wrong in `busy`: exit
status 1 where that is missed. With `--folder` an interrupted run goes on where it was, and
`--most 5` ends one after five comparisons.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
from bench_harness_overhead import write_network

from edgekd.report.outcome import compared
from edgekd.report.schema.report import Report

WIDTH, LAYERS, ROWS = 128, 20, 64
GROUPS = ("same", "slower", "busy")
WORDS = {"No valid": "invalid", "No difference": "no difference"}
BUSY = """
import random, sys, time
chance = random.Random(int(sys.argv[1]))
while True:
    end = time.perf_counter() + chance.uniform(0.2, 3)
    while time.perf_counter() < end:
        pass
    time.sleep(chance.uniform(0.2, 3))
"""


def main() -> int:
    """Compare as often as asked and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--most", type=int, default=10**6)
    parser.add_argument("--mode", default="standard")
    asked = parser.parse_args()
    with TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        models = write_models(folder / "models")
        left = [
            (group, number, folder / f"{group}-{number:02}.json")
            for number in range(asked.times)
            for group in GROUPS
        ]
        left = [one for one in left if not one[2].exists()][: asked.most]
        for group, number, file in left:
            base, other = pair(group, number, models)
            with busy(number) if group == "busy" else idle():
                compare(base, other, asked.mode, file)
            print(f"{group} {number}: {called(file)}", flush=True)
        print(f"{LAYERS + 1} layers take {longer(models):.1%} more time than {LAYERS}")
        return tell(folder)


def write_models(folder: Path) -> dict[str, Path]:
    """Write the model, its copy, and the one with a layer more."""
    folder.mkdir(parents=True, exist_ok=True)
    models = {name: folder / f"{name}.onnx" for name in ("base", "copy", "slower")}
    write_network(models["base"], WIDTH, LAYERS)
    write_network(models["slower"], WIDTH, LAYERS + 1)
    shutil.copyfile(models["base"], models["copy"])
    return models


def pair(group: str, number: int, models: dict[str, Path]) -> tuple[Path, Path]:
    """Return what is compared with, and what is compared."""
    slower = group == "slower" or (group == "busy" and number % 2 == 1)
    return models["base"], models["slower" if slower else "copy"]


def compare(base: Path, other: Path, mode: str, file: Path) -> None:
    """Let the command compare; its report is there when it is whole."""
    with TemporaryDirectory() as made:
        report = Path(made) / "report.json"
        command = [sys.executable, "-m", "edgekd", "bench", other, "--against", base]
        command += ["--dim", f"batch={ROWS}", "--mode", mode, "--no-profile"]
        command += ["--runs", f"{made}/runs", "-o", report]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        shutil.copyfile(report, file.with_suffix(".part"))
        file.with_suffix(".part").rename(file)


@contextmanager
def busy(seed: int) -> Iterator[None]:
    """Keep the core busy now and then, for a fifth of a second to three at a time."""
    process = subprocess.Popen([sys.executable, "-c", BUSY, str(seed)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def idle() -> Iterator[None]:
    """Leave the core as it is."""
    yield


def called(file: Path) -> str:
    """Return what a report calls the model compared: `slower`, `faster`, or none of both."""
    (check,) = Report.model_validate_json(file.read_text("utf-8")).checks
    rows = {row.program == check.reference: row for row in check.rows}
    words = compared(rows[False], rows[True])
    start = next((said for begin, said in WORDS.items() if words.startswith(begin)), "")
    return start or ("slower" if " is slower than " in words else "faster")


def longer(models: dict[str, Path], blocks: int = 200) -> float:
    """Return how much more a run with a layer more takes: median over blocks, in turns."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    feed = {"x": np.random.default_rng(1).normal(size=(ROWS, WIDTH)).astype("f4")}
    sessions = [ort.InferenceSession(str(models[n]), options) for n in ("base", "slower")]
    ratios = []
    for block in range(blocks):
        took = [0.0, 0.0]
        for place in (0, 1) if block % 2 else (1, 0):
            began = time.perf_counter()
            for _ in range(50):
                sessions[place].run(["y"], feed)
            took[place] = time.perf_counter() - began
        ratios.append(took[1] / took[0])
    return float(np.median(ratios)) - 1


def tell(folder: Path) -> int:
    """Print a line for each group; return 1 where a goal is missed."""
    kept = []
    kinds = ("no difference", "slower", "faster", "invalid")
    print(f"{'':<8} {'n':>4}", *(f"{kind:>14}" for kind in kinds), f"{'wrong':>6}  goal")
    for group in GROUPS:
        files = sorted(folder.glob(f"{group}-*.json"))
        count = Counter(called(file) for file in files)
        wrong = sum(is_wrong(group, int(file.stem[-2:]), called(file)) for file in files)
        goals = {
            "same": (wrong <= 0.05 * len(files), "at most 5 % wrong"),
            "slower": (count["slower"] >= 0.9 * len(files), "at least 90 % slower"),
            "busy": (wrong == 0, "none wrong"),
        }
        good, goal = goals[group]
        kept.append(good)
        print(f"{group:<8} {len(files):4}", *(f"{count[kind]:14}" for kind in kinds),
              f"{wrong:6}  {goal}: {'kept' if good else 'missed'}")  # fmt: skip
    return 0 if all(kept) else 1


def is_wrong(group: str, number: int, word: str) -> bool:
    """Tell whether the models do not bear out what was said."""
    slower = group == "slower" or (group == "busy" and number % 2 == 1)
    return word == "faster" or (word == "slower" and not slower)


if __name__ == "__main__":
    sys.exit(main())
