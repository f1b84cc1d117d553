"""Prints the memory and the CPU time per picture of one epoch, for more and more pictures.

    python tests/benchmarks/bench_many_examples.py

Synthetic pictures of 8 x 8 bytes, shuffled, through the task that a training reads, each number in
a process of its own. `grown` is the peak of memory over what the process held before the first
picture, `of the data` what the pictures, classes and numbers are as bytes in one copy.
"""

import json
import subprocess
import sys

COUNTS = (62_500, 125_000, 250_000, 500_000, 1_000_000)
REPEATS = 3
CODE = """
import json, sys, time
import numpy as np, torch
from pathlib import Path
from edgekd.core.config import Config
from edgekd.core.kinds import source
from edgekd.core.refs import UseTask

torch.set_num_threads(1)

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

@source(config=Config, name="many")
class Many:
    labels, shapes = tuple("0123456789"), {"image": (8, 8, 1), "label": ()}
    def __init__(self, options): pass
    def files(self): return ()
    def load(self, split):
        count = int(sys.argv[1]) if split == "train" else 20
        image = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
        return {"image": image, "label": np.arange(count) % 10}

task = UseTask.model_validate({"kind": "image_classification", "data": "many"}).build()
cpu, before = torch.device("cpu"), memory("VmRSS")
rng = torch.Generator().manual_seed(0)
began = time.process_time()
next(task.batches("train", 64, device=cpu, rng=rng))
first = time.process_time() - began
took = []
for _ in range(int(sys.argv[2])):
    began, seen = time.process_time(), 0
    for batch in task.batches("train", 64, device=cpu, rng=rng):
        seen += len(batch["ids"])
    took.append((time.process_time() - began) / seen * 1e6)
print(json.dumps([memory("VmHWM") - before, first, sorted(took)]))
"""


def main() -> None:
    """Print one line per number of pictures."""
    print("| pictures | grown MiB | of the data MiB | before the first batch s | us a picture |")
    print("|---:|---:|---:|---:|---:|")
    for count in COUNTS:
        command = [sys.executable, "-c", CODE, str(count), str(REPEATS)]
        grown, first, took = json.loads(subprocess.check_output(command))
        data = count * (64 + 16) / 2**20
        middle = took[REPEATS // 2]
        rest = f"{middle:.2f} ({took[0]:.2f} to {took[-1]:.2f})"
        print(f"| {count:,} | {grown:.0f} | {data:.0f} | {first:.2f} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
