"""What a second process is worth: two with gloo on two cores against one with one thread.

    python tests/benchmarks/bench_processes.py [--repeats 5] [--width 32]

Both run the same pipeline by `edgekd.run`, in turns: a ResNet-20 on Fashion-MNIST from labels, a
batch of 128 for all processes together. Speed is that which the report tells, examples per second
of wall time without the first step, scoring and checkpoints. The loss of every epoch is compared.
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
threads: 1
task: {{kind: image_classification, data: fashion_mnist, train_examples: {examples}}}
stages:
  student:
    kind: distill
    model: {{kind: resnet, depth: 20, width: {width}}}
    objective: [cross_entropy]
    train: {{epochs: 2, batch_size: 128, optimizer: sgd, learning_rate: 0.05}}
"""
GOAL = 1.7


def trained(folder: Path, nproc: int, text: str) -> tuple[float, list[float]]:
    """Return examples per second, and the loss of each epoch."""
    folder.mkdir()
    file = folder / "processes.yaml"
    file.write_text(text)
    result = edgekd.run(file, store=folder / "store", runs=folder / "runs", nproc=nproc)
    history = json.loads((result.folders["student"] / "history.json").read_text())
    speed = result.facts["student"]["training"]["samples_per_s"]
    return speed, [epoch["loss"] for epoch in history["epochs"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--examples", type=int, default=1536)
    asked = parser.parse_args()
    text, ratios, apart = TEXT.format(width=asked.width, examples=asked.examples), [], []
    print("| repeat | load before | 1 process, examples/s | 2 processes | ratio | losses apart |")
    print("|---:|---:|---:|---:|---:|---:|")
    with TemporaryDirectory() as folder:
        for repeat in range(asked.repeats):
            load, order, found = os.getloadavg()[0], (1, 2) if repeat % 2 == 0 else (2, 1), {}
            for nproc in order:
                found[nproc] = trained(Path(folder) / f"{repeat}-{nproc}", nproc, text)
            (one, losses), (two, others) = found[1], found[2]
            ratios.append(two / one)
            apart.append(max(abs(a / b - 1) for a, b in zip(others, losses, strict=True)))
            row = f"| {repeat + 1} | {load:.1f} | {one:.0f} | {two:.0f} | {ratios[-1]:.2f} "
            print(f"{row}| {apart[-1]:.1e} |", flush=True)
    verdict = "met" if median(ratios) >= GOAL else "short"
    spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"\nmedian {median(ratios):.2f} {spread}; goal {GOAL}", end="")
    print(f": {verdict}; losses apart by {max(apart):.1e} at most")


if __name__ == "__main__":
    main()
