"""Prints what distilling costs: against torchdistill, against no teacher, against a bare teacher.

    python -m venv /tmp/other
    /tmp/other/bin/pip install "torch~=2.13.0" numpy pyyaml scipy cython pillow pydantic jaxtyping
    /tmp/other/bin/pip install --no-deps torchdistill==1.1.5
    python tests/benchmarks/bench_distillation.py --other /tmp/other/bin/python

torchdistill gets the same build of torch as edgekd, and no torchvision: `distilling/stub` stands
in for what it imports of it and does not use here. Both sides build edgekd's networks from the
same seeds and must agree on the digest of all weights and on the first loss.

Each side is a process of its own with one thread. It is told to take so many steps, again and
again, and says what CPU time they took, in turns A B C, C B A. A ratio is that of two sides within
one repeat; its median over the repeats is printed with the least and the largest. Set-up, warm-up,
validation and checkpoints are in nobody's time.

"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent / "distilling"
ROOT = HERE.parent.parent.parent
BATCH, REPEATS, STEPS, WARM = 64, 5, 8, 4
PAIR_STEPS = 16
EXAMPLES = BATCH * (WARM + 2 * REPEATS * PAIR_STEPS + 4)
FILL_STEPS = 3
FILLED = 256 * (WARM + 2 * REPEATS * FILL_STEPS + 4)
TEACHERS = {
    "ResNet-20": {"kind": "resnet", "depth": 20, "width": 16},
    "twice as wide": {"kind": "resnet", "depth": 20, "width": 32},
}
STUDENTS = {
    "ResNet-20, width 8, half resolution": {
        "kind": "resnet", "depth": 20, "width": 8, "stem_stride": 2,
    },
    "depthwise, width 44": {"kind": "depthwise", "width": 44},
    "ResNet-8, width 15": {"kind": "resnet", "depth": 8, "width": 15},
}  # fmt: skip
SIDES = {
    "kept fp32": ("kept", "float32"),
    "kept bf16": ("kept", "bfloat16"),
    "online fp32": ("online", "float32"),
    "online bf16": ("online", "bfloat16"),
    "nobody fp32": ("nobody", "float32"),
    "nobody bf16": ("nobody", "bfloat16"),
}
PARTS = ("filling", "speed", "nobody")
GOALS = {
    ("ResNet-20", "kept fp32"): 2.8,
    ("ResNet-20", "kept bf16"): 3.5,
    ("ResNet-20", "online fp32"): 1.15,
    ("twice as wide", "kept fp32"): 6.4,
    ("twice as wide", "kept bf16"): 8.5,
    ("twice as wide", "online fp32"): 1.15,
    ("twice as wide", "online bf16"): 1.8,
}


@dataclass(frozen=True)
class Ratio:
    """One ratio per repeat."""

    values: Sequence[float]

    def __str__(self) -> str:
        median = statistics.median(self.values)
        return f"{median:.2f} ({min(self.values):.2f} to {max(self.values):.2f})"

    def against(self, goal: float | None, *, least: bool = True) -> str:
        """Return columns of the table: goal, figure, whether it is met."""
        median = statistics.median(self.values)
        sign, met = (">=", median >= (goal or 0)) if least else ("<=", median <= (goal or 0))
        if goal is None:
            return f"- | {self} | |"
        return f"{sign} {goal:g} | {self} | {'yes' if met else 'no'} |"


class Side:
    """A process that takes steps and says what they took."""

    def __init__(self, command: Sequence[str], asked: Mapping[str, object]):
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*command, json.dumps(asked)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        self.hello = self._said()

    def take(self, steps: int) -> float:
        """Return the CPU seconds of so many steps."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        return float(self._said())

    def end(self) -> None:
        """Let it go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _said(self):
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended early.")
        return json.loads(line)


def in_turns(sides: Mapping[str, Side], steps: int) -> list[dict[str, float]]:
    """Return CPU seconds by side for each repeat, in turns A B C, C B A."""
    for side in sides.values():
        side.take(WARM)
    found = []
    for _ in range(REPEATS):
        taken = dict.fromkeys(sides, 0.0)
        for name in [*sides, *reversed(sides)]:
            taken[name] += sides[name].take(steps)
        found.append(taken)
    for side in sides.values():
        side.end()
    return found


def ratio(found: Sequence[Mapping[str, float]], over: str, under: str) -> Ratio:
    """Return how many times as long `over` takes as `under`, by repeat."""
    return Ratio([taken[over] / taken[under] for taken in found])


def ours(work: str, **asked: object) -> Side:
    """Return a process of edgekd's."""
    return Side([sys.executable, str(HERE / "edgekd_side.py"), work], asked)


def speed(other: str, folder: Path, teacher: str, student: str, store: Path) -> None:
    """Print edgekd's throughput relative to torchdistill's, and to no teacher at all."""
    asked = {
        "teacher": TEACHERS[teacher], "student": STUDENTS[student], "examples": EXAMPLES,
        "store": str(store),
    }  # fmt: skip
    sides = {"torchdistill": Side([other, str(HERE / "torchdistill_side.py")], asked)}
    for name, (taught, precision) in SIDES.items():
        own = Path(tempfile.mkdtemp(dir=folder))
        sides[name] = ours("train", **asked, folder=str(own), teaching=taught, precision=precision)
        check_same(sides["torchdistill"].hello, sides[name].hello, taught)
    parameters = sides["torchdistill"].hello["parameters"]
    found = in_turns(sides, STEPS)
    base = statistics.median(taken["torchdistill"] for taken in found) / (2 * STEPS) * 1e3
    what = f"{teacher}, {student} ({parameters:,} parameters)"
    print(f"\n{what}: torchdistill {base:.0f} ms a step\n")
    print("| throughput, torchdistill = 1 | goal | median (range) | met |\n|---|---|---|---|")
    for name in SIDES:
        print(f"| {name} |", ratio(found, "torchdistill", name).against(GOALS.get((teacher, name))))


def beside_nobody(folder: Path, student: str, store: Path) -> None:
    """Print the throughput with a kept teacher relative to that of labels alone."""
    print(f"\n| {student}, no teacher = 1 | goal | median (range) | met |\n|---|---|---|---|")
    for precision in ("float32", "bfloat16"):
        asked = {
            "teacher": TEACHERS["ResNet-20"],
            "student": STUDENTS[student],
            "examples": EXAMPLES,
            "store": str(store),
            "precision": precision,
        }
        own = {name: tempfile.mkdtemp(dir=folder) for name in ("kept", "nobody")}
        sides = {
            name: ours("train", **asked, folder=path, teaching=name) for name, path in own.items()
        }
        found = ratio(in_turns(sides, PAIR_STEPS), "nobody", "kept")
        print(f"| kept, {precision} |", found.against(0.95), flush=True)


def check_same(theirs: Mapping[str, object], own: Mapping[str, object], taught: str) -> None:
    """Stop where the two sides do not learn the same from the same."""
    assert theirs["weights"] == own["weights"], (theirs, own)
    if taught == "online" and abs(float(theirs["loss"]) - float(own["loss"])) > 0.05:
        raise SystemExit(f"The losses differ: {theirs} and {own}.")


def filling(folder: Path, teacher: str) -> None:
    """Print what keeping a teacher's outputs costs over its forward pass."""
    print("\n| filling the store, time of the bare pass = 1 | goal | median (range) | met |")
    print("|---|---|---|---|")
    for precision in ("float32", "bfloat16"):
        asked = {"teacher": TEACHERS[teacher], "examples": FILLED, "precision": precision}
        own = tempfile.mkdtemp(dir=folder)
        sides = {"fill": ours("fill", **asked, folder=own, turns=True)}
        sides |= {name: ours(name, **asked) for name in ("bare", "read_and_forward")}
        found = in_turns(sides, FILL_STEPS)
        for name, goal in (("bare", 1.05), ("read_and_forward", None)):
            beside = {"bare": "floats ready in memory", "read_and_forward": "pictures read"}[name]
            figures = ratio(found, "fill", name).against(goal, least=False)
            print(f"| {teacher}, {precision}, {beside} |", figures, flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="What distilling costs.")
    parser.add_argument("--other", required=True, help="the interpreter that has torchdistill")
    parser.add_argument("--only", default="", help="only students whose name has this in it")
    parser.add_argument("--part", choices=PARTS, nargs="*", default=PARTS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        students = [name for name in STUDENTS if asked.only in name]
        for teacher in TEACHERS:
            if "filling" in asked.part:
                filling(folder, teacher)
            if not {"speed", "nobody"} & {*asked.part}:
                continue
            store = kept(folder / teacher, teacher)
            for student in students:
                if "speed" in asked.part:
                    speed(asked.other, folder, teacher, student, store)
                if "nobody" in asked.part and teacher == "ResNet-20":
                    beside_nobody(folder, student, store)


def kept(folder: Path, teacher: str) -> Path:
    """Keep what a teacher says of all pictures and return where."""
    folder.mkdir()
    asked = {"teacher": TEACHERS[teacher], "examples": EXAMPLES, "precision": "float32"}
    asked |= {"folder": str(folder), "turns": False}
    command = [sys.executable, str(HERE / "edgekd_side.py"), "fill", json.dumps(asked)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return folder / "kept"


if __name__ == "__main__":
    main()
