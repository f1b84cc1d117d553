"""Asking a teacher about every view of every example, and writing down what it says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekd.core.errors import RunInterruptedError
from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.parallel.group import group
from edgekd.train.learners import made_augments
from edgekd.train.shards import ShardWriter
from edgekd.train.teaching import SCORES, Description, Teaching, columns_of
from edgekd.train.views import view_of

SAMPLED = 1024
"""Rows on which the loss of keeping only the likeliest classes is measured."""


@dataclass(frozen=True)
class Span:
    """The rows of a batch: those of one view of some examples that follow one another."""

    view: int
    begin: int
    end: int


def fill(
    writer: ShardWriter,
    about: Description,
    ask: Teaching,
    size: int,
    run: Run,
    *,
    in_step: bool,
) -> Sequence[Tensor]:
    """Ask about batches of `size` what the writer lacks; return scores of the first rows, [n, c].

    These are float32, of all classes, and of the first process alone; none where all classes are
    kept. `in_step`: all processes must ask equally often, so some ask for nothing in the end.
    RunInterruptedError where the run is asked to end; what was written is taken up again.
    """
    augments, sample = made_augments(about.changes(), run), list[Tensor]()
    sampled = SAMPLED if about.top is not None and group().first else 0
    own = [s for s in spans(about, size) if _lacks(writer, s) or s.begin < sampled]
    total = max(1, writer.end - writer.begin)  # this process may have none to write
    most = int(group().gathered(torch.tensor([len(own)])).max()) if in_step else len(own)
    for span, given in _batches(about, run.task, size, torch.device(run.device), own):
        said = ask(view_of(given, augments, about.seed, span.view), span.view)
        if span.begin < sampled:
            sample.append(said.outputs[SCORES].float())
        new = slice(max(0, writer.next - span.begin), max(0, writer.end - span.begin))
        columns = columns_of(said, about.top)
        writer.append({name: column[new] for name, column in columns.items()})
        run.progress(min(total, writer.next - writer.begin), total, "asking the teacher")
        if run.stop_asked():
            at = f"{writer.next - writer.begin:,} of {writer.end - writer.begin:,}"
            raise RunInterruptedError(f"The teacher was asked about {at}.")
    if len(own) < most:
        given = next(run.task.batches("train", size, device=torch.device(run.device)))
        for _ in range(most - len(own)):
            ask(given, 0)
    writer.flush()
    return sample


def spans(about: Description, size: int) -> Iterator[Span]:
    """Yield the rows of every batch of `size`, in order."""
    for view in range(about.views):
        first, last = view * about.examples, (view + 1) * about.examples
        for begin in range(first, last, size):
            yield Span(view, begin, min(begin + size, last))


def _lacks(writer: ShardWriter, span: Span) -> bool:
    return span.begin < writer.end and span.end > writer.next


def _batches(
    about: Description, task: Task, size: int, device: torch.device, wanted: Sequence[Span]
) -> Iterator[tuple[Span, Batch]]:
    """Yield the batches of some spans, in order; no other is read."""
    for together in _runs(wanted):
        first = together[0]
        start = (first.begin - first.view * about.examples) // size
        batches = task.batches("train", size, device=device, start=start)
        yield from zip(together, batches, strict=False)  # what follows the run is left


def _runs(wanted: Sequence[Span]) -> Sequence[list[Span]]:
    """Return the spans in runs that follow one another within a view."""
    runs: list[list[Span]] = []
    for span in wanted:
        last = runs[-1][-1] if runs else None
        if last is not None and (last.view, last.end) == (span.view, span.begin):
            runs[-1].append(span)
        else:
            runs.append([span])
    return runs
