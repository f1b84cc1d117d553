"""Prints what the 64 likeliest of a vocabulary of 32,000 cost on disk, to read, and in a step.

    python tests/benchmarks/bench_kept_vocabulary.py

An example is a text of 512 tokens, or of 64. What a teacher says of it is kept by edgekd's own
writer and read by `Shards` (the columns alone) and by `Kept` (scores of the whole vocabulary, as
terms of the loss get them), in the order of a training: at random. `a bare copy` is the same bytes
out of one array in memory. The step is that of edgekd's own loop on a small language model whose
head is a matrix product from 128 to 32,000. CPU time, one thread.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.refs import UseObjective
from edgekd.core.signature import Port, Signature
from edgekd.ops.batches import batch_ids
from edgekd.testing.runs import ExampleRun
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.shards import Shards, ShardWriter
from edgekd.train.teaching import Description, Kept, Said, columns_of
from edgekd.train.terms import Terms
from edgekd.train.views import Views

CPU = torch.device("cpu")
VOCABULARY, TOP, WIDTH = 32_000, 64, 128
ALL, AT_ONCE, IN_STEP = 2**19, 2**11, 2**10
"""Tokens that are kept, that the teacher sees at once, and of a step."""
REPEATS, STEPS = 5, 12


class Texts:
    """Random tokens; the next token is the label."""

    quality = ("accuracy",)

    def __init__(self, length: int):
        rng = torch.Generator().manual_seed(0)
        self.length = length
        self.tokens = torch.randint(0, VOCABULARY, (ALL // length, length + 1), generator=rng)

    def signature(self) -> Signature:
        return Signature(
            (Port("tokens", "int64", ("batch", self.length)),),
            (Port("logits", "float32", ("batch", self.length, VOCABULARY)),),
        )

    def size(self, split: str) -> int:
        return len(self.tokens) if split == "train" else 1

    def batches(self, split, batch_size, *, device, rng=None, part=(0, 1), start=0):
        for ids in batch_ids(self.size(split), batch_size, rng=rng, part=part, start=start):
            text = self.tokens[ids]
            yield {"tokens": text[:, :-1], "labels": text[:, 1:].contiguous(), "ids": ids}


def write(folder: Path, length: int) -> float:
    """Keep what a teacher says of all texts and return the bytes per token.

    The same scores again and again under other numbers: what they are does not matter to reading.
    """
    rng, texts = torch.Generator().manual_seed(1), ALL // length
    scores = torch.randn(AT_ONCE // length, length, VOCABULARY, generator=rng) * 3
    columns = columns_of(Said({"logits": scores}, {}), TOP)
    waiting = folder / "waiting"
    waiting.mkdir(parents=True)
    writer = ShardWriter(waiting, texts, length * (4 * TOP + 6))
    while writer.next < texts:
        writer.append(columns)
    writer.flush()
    writer.gather(folder)
    Description(texts, 1, 0, [], VOCABULARY, TOP, ["logits"], []).write(folder)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return size / ALL


def tokens_per_second(
    read: Callable[[Tensor], object], length: int, texts: int, share: int = 1
) -> list[float]:
    """Return the tokens that are read per CPU-second, by repeat; all files were touched before."""
    rates = []
    for repeat in range(REPEATS + 1):
        rng = torch.Generator().manual_seed(repeat)
        rows = torch.randperm(ALL // length, generator=rng)[: ALL // length // share]
        batches = rows.split(texts)
        began = time.process_time()
        for batch in batches:
            read(batch)
        rates.append(len(rows) * length / (time.process_time() - began))
    return rates[1:]


def copied_per_second(length: int, texts: int) -> list[float]:
    """Return how many tokens could be read if all of it were two columns in one array in memory."""
    rows = np.ones((2, ALL // length, length * TOP), np.int16)
    room = np.empty((2, texts, length * TOP), np.int16)

    def copy(batch: Tensor) -> None:
        for place, row in enumerate(batch.tolist()):
            room[0, place], room[1, place] = rows[0, row], rows[1, row]

    return tokens_per_second(copy, length, texts)


def step_seconds(kept: Path, folder: Path, length: int) -> tuple[float, float]:
    """Return the CPU seconds of a step of the loop, and of those in it that the teacher takes."""
    marks: list[float] = []

    def stops() -> bool:
        marks.append(time.process_time())
        if len(marks) > STEPS:
            raise KeyboardInterrupt
        return False

    asked: list[float] = []

    class Timed(Kept):
        def __call__(self, batch, view):
            began = time.process_time()
            said = super().__call__(batch, view)
            asked.append(time.process_time() - began)
            return said

    torch.manual_seed(0)
    student = nn.Sequential(
        nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, WIDTH), nn.ReLU(),
        nn.Linear(WIDTH, VOCABULARY),
    )  # fmt: skip
    run = ExampleRun(folder, Texts(length), checkpoint=Checkpoint(every_s=1e9), stops=stops)
    options = Train(epochs=1, batch_size=IN_STEP // length, optimizer="sgd", learning_rate=0.01)
    terms = Terms([UseObjective.model_validate("kd")])
    with suppress(KeyboardInterrupt):
        train(Lesson(run, student, {"teacher": Timed(kept, CPU)}, terms, options, Views(0)))
    steps = [later - before for before, later in pairwise(marks[2:])]
    return statistics.median(steps), statistics.median(asked[3:])


def main() -> None:
    """Print one table per length of the texts."""
    torch.set_num_threads(1)
    for length in (512, 64):
        with tempfile.TemporaryDirectory() as made:
            table(Path(made), length)


def table(folder: Path, length: int) -> None:
    """Print one line per figure."""
    kept, few = folder / "kept", IN_STEP // length
    size = write(kept, length)
    shards, teacher = Shards(kept, CPU), Kept(kept, CPU)
    files = len(json.loads((kept / "shards.json").read_text())["files"])
    print(f"\n{ALL // length:,} texts of {length} tokens in {files} files\n")
    print("| | goal | median (range) |\n|---|---|---|")
    print(f"| bytes a token | <= {4.1 * TOP:.1f} | {size:.1f} |")
    for texts in (few, 8 * few):
        rates = tokens_per_second(shards.take, length, texts)
        print(f"| columns, M tokens/CPU-s, {texts} texts | >= 30 | {spread(rates)} |", flush=True)
    print(f"| a bare copy of such rows | - | {spread(copied_per_second(length, few))} |")
    read = statistics.median(tokens_per_second(shards.take, length, few))
    dense = tokens_per_second(lambda rows: teacher({"ids": rows}, 0), length, few, share=64)
    print(f"| scores of all, M tokens/CPU-s, {few} texts | - | {spread(dense)} |")
    step, asked = step_seconds(kept, folder / "own", length)
    share = IN_STEP / read / step
    print(f"| reading in a step of {step * 1e3:.0f} ms | < 1 % | {share:.3%} |")
    print(f"| reading and spreading over the vocabulary | - | {asked / step:.1%} |", flush=True)


def spread(rates: list[float]) -> str:
    """Return the median with least and largest, in millions."""
    low, middle, high = (f(rates) / 1e6 for f in (min, statistics.median, max))
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


if __name__ == "__main__":
    main()
