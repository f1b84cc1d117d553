"""What a second process is worth: two with gloo on two cores against one with one thread.

    python tests/benchmarks/bench_processes.py [--repeats 5] [--width 32]

All run the same pipeline by `edgekd.run`, in turns: a ResNet-20 on Fashion-MNIST from labels, a
batch of 128 for all processes together. Speed is that which the report tells, examples per second
of wall time without the first step, scoring and checkpoints. One process with two threads stands
beside them: as another way to use two cores, and as the measure of what rounding alone does to the
losses. `apart` is how far they are from those of one thread.
"""

import argparse
import json
import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import edgekd

TEXT = """\
name: processes
seed: 0
threads: {threads}
task:
  kind: image_classification
  data: {{kind: fashion_mnist, validation: 500}}
  train_examples: {examples}
stages:
  student:
    kind: distill
    model: {{kind: resnet, depth: 20, width: {width}}}
    objective: [cross_entropy]
    train: {{epochs: 2, batch_size: 128, optimizer: sgd, learning_rate: 0.02}}
"""
SIDES = {"1 process": (1, 1), "2 processes": (2, 1), "1 process, 2 threads": (1, 2)}
"""Processes, and threads of each."""
GOAL = 1.7


def trained(folder: Path, text: str, nproc: int) -> tuple[float, list[float]]:
    """Return examples per second, and the loss of each epoch."""
    folder.mkdir()
    file = folder / "processes.yaml"
    file.write_text(text)
    result = edgekd.run(file, store=folder / "store", runs=folder / "runs", nproc=nproc)
    history = json.loads((result.folders["student"] / "history.json").read_text())
    speed = result.facts["student"]["training"]["samples_per_s"]
    return speed, [epoch["loss"] for epoch in history["epochs"]]


def apart(losses: list[float], others: list[float]) -> str:
    """Return how far each epoch's loss is from another's, as a share of it."""
    return ", ".join(f"{abs(a / b - 1):.1e}" for a, b in zip(losses, others, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--examples", type=int, default=1536)
    asked = parser.parse_args()
    ratios: dict[str, list[float]] = {name: [] for name in SIDES}
    print(f"| repeat | load before | {', examples/s | '.join(SIDES)} | losses apart, by epoch |")
    print("|---:|" + "---:|" * (len(SIDES) + 1) + "---|")
    with TemporaryDirectory() as folder:
        for repeat in range(asked.repeats):
            load, found = os.getloadavg()[0], {}
            for name in sorted(SIDES, reverse=repeat % 2 == 1):
                nproc, threads = SIDES[name]
                text = TEXT.format(threads=threads, width=asked.width, examples=asked.examples)
                found[name] = trained(Path(folder) / f"{repeat} {name}", text, nproc)
            first, losses = found["1 process"]
            for name, (speed, _) in found.items():
                ratios[name].append(speed / first)
            speeds = " | ".join(f"{found[name][0]:.0f}" for name in SIDES)
            far = "; ".join(f"{n}: {apart(found[n][1], losses)}" for n in list(SIDES)[1:])
            print(f"| {repeat + 1} | {load:.1f} | {speeds} | {far} |", flush=True)
    for name, each in list(ratios.items())[1:]:
        print(f"{name}: {median(each):.2f} ({min(each):.2f} to {max(each):.2f})", end="; ")
    verdict = "met" if median(ratios["2 processes"]) >= GOAL else "short"
    print(f"goal of 2 processes {GOAL}: {verdict}")


if __name__ == "__main__":
    main()
