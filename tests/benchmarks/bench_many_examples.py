"""Prints what a pass costs in memory and CPU time per picture, for more and more pictures.

    python tests/benchmarks/bench_many_examples.py [--side 8] [--counts 10000 100000 1000000]

Synthetic grey pictures in .npy files, shuffled, batch 64, through the task that a training reads:
held in memory, and streamed from the files; each row of the table is a process of its own. Memory
is what the process has for itself (RssAnon) at its peak, above what it had after the same with 40
pictures; what it has mapped of the files (RssFile, which the system takes back where it is wanted)
stands beside it. `alone` is one epoch before any audit, with mean and std given; `audit` looks at
all pictures for statistics and twins, `pass` is an epoch after it, `outputs` one that also reads
what a teacher said of 10 classes. Time is the process's own: median, least and most of five epochs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from edgekd.core.refs import UseTask
from edgekd.train.shards import ShardWriter
from edgekd.train.teaching import Description, Kept, Said, columns_of

COUNTS = (10_000, 100_000, 1_000_000)
FEW, CLASSES, BATCH, REPEATS = 40, 10, 64, 5
AT_ONCE = 100_000
COLUMNS = ("alone", "audit", "pass", "outputs", "mapped")
"""What is told in MiB."""
CPU = torch.device("cpu")


class Peak:
    """Looks at this process's memory every few milliseconds while it is entered."""

    def __enter__(self):
        self.anon = self.file = 0.0
        self._over = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self):
        while not self._over.wait(0.003):
            self._look()

    def _look(self):
        lines = Path("/proc/self/status").read_text().splitlines()
        now = {n: int(s.split()[0]) / 1024 for n, _, s in (li.partition(":") for li in lines)
               if n.startswith("Rss")}  # fmt: skip
        self.anon, self.file = max(self.anon, now["RssAnon"]), max(self.file, now["RssFile"])


def write_data(folder: Path, count: int, side: int) -> None:
    """Write arrays of pictures, the training split in pieces."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, size in (("train", count), ("validation", FEW), ("test", FEW)):
        file, shape = folder / f"{split}_image.npy", (size, side, side)
        image = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
        for start in range(0, size, AT_ONCE):
            piece = image[start : start + AT_ONCE]
            piece[:] = rng.integers(0, 256, piece.shape, np.uint8)
        np.save(folder / f"{split}_label.npy", np.arange(size) % CLASSES)


def write_outputs(folder: Path, count: int) -> None:
    """Keep scores of every training picture."""
    waiting = folder / "waiting"
    waiting.mkdir(parents=True)
    writer, rng = ShardWriter(waiting, count, 2 * CLASSES + 4), torch.Generator().manual_seed(0)
    while writer.next < count:
        rows = min(AT_ONCE, count - writer.next)
        writer.append(
            columns_of(Said({"logits": torch.randn(rows, CLASSES, generator=rng)}, {}), None)
        )
    writer.flush()
    writer.gather(folder)
    Description(count, 1, 0, [], CLASSES, None, ["logits"], []).write(folder)


def task_of(folder: Path, memory: str, **options):
    """Return the task that reads what `write_data` wrote."""
    data = {"kind": "arrays", "root": str(folder)}
    given = {"kind": "image_classification", "data": data, "memory": memory, **options}
    return UseTask.model_validate(given).build()


def one_pass(task, rng: torch.Generator, kept: Kept | None = None) -> float:
    """Return the CPU time in us a picture of one epoch."""
    began, seen = time.process_time(), 0
    for batch in task.batches("train", BATCH, device=CPU, rng=rng):
        seen += len(batch["ids"])
        if kept is not None:
            kept(batch, 0)
    return (time.process_time() - began) / seen * 1e6


def measure(folder: Path, memory: str) -> None:
    """Print as JSON what one data set takes."""
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    with Peak() as before:
        few = task_of(folder / "few", memory)
        few.audit()
        one_pass(few, rng, Kept(folder / "few" / "outputs", CPU))
    found = {"mapped": 0.0}
    known = {"mean": (0.5,), "std": (0.3,)}  # no look at all pictures is needed first
    task, kept = task_of(folder / "many", memory), Kept(folder / "many" / "outputs", CPU)
    for name, step in (
        ("alone", lambda: one_pass(task_of(folder / "many", memory, **known), rng)),
        ("audit", task.audit),
        ("pass", lambda: one_pass(task, rng)),
        ("outputs", lambda: one_pass(task, rng, kept)),
    ):
        with Peak() as peak:
            step()
        found[name] = peak.anon - before.anon
        found["mapped"] = max(found["mapped"], peak.file - before.file)
    found["us"] = sorted(one_pass(task, rng) for _ in range(REPEATS))
    found["us_outputs"] = sorted(one_pass(task, rng, kept) for _ in range(REPEATS))
    print(json.dumps(found))


def told(took: list[float]) -> str:
    """Return median, least and most."""
    return f"{took[len(took) // 2]:.2f} ({took[0]:.2f} to {took[-1]:.2f})"


def main() -> None:
    """Print one line per number of pictures and way of reading them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=8, help="pixels")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        measure(Path(asked.one[0]), asked.one[1])
        return
    sizes = ("data", *COLUMNS)
    print(f"| | pictures | {' | '.join(sizes)} | us a picture | with outputs |")
    print("|---" + "|---:" * (len(sizes) + 3) + "|")
    for count in asked.counts:
        with tempfile.TemporaryDirectory() as name:
            for data, size in (("few", FEW), ("many", count)):
                write_data(Path(name) / data, size, asked.side)
                write_outputs(Path(name) / data / "outputs", size)
            for memory in ("hold", "stream"):
                command = [sys.executable, __file__, "--one", name, memory]
                found = json.loads(subprocess.check_output(command))
                sizes = " | ".join(f"{found[n]:.1f}" for n in COLUMNS)
                data = count * asked.side**2 / 2**20
                times = f"{told(found['us'])} | {told(found['us_outputs'])}"
                print(f"| {memory} | {count:,} | {data:.1f} | {sizes} | {times} |", flush=True)


if __name__ == "__main__":
    main()
