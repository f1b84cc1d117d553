"""Few labels and many examples: which labels a training may look at, and which terms ask for them.

A term that asks for labels is given labelled examples alone, so its mean is theirs: that of all of
a batch, in however many parts and processes it is learned from. One that says
`@objective(..., unlabelled=True)` is given all, with `UNKNOWN` where the label is not known.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from edgekd.core.errors import Problem
from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch, Signals
from edgekd.core.refs import Ref, UseObjective
from edgekd.core.seeds import sub_seed
from edgekd.parallel.group import group
from edgekd.train.needs import count
from edgekd.train.optim import Train
from edgekd.train.pretraining import pretrains
from edgekd.train.samples import marked

UNKNOWN = -1
"""Label of an example without one."""

LABELLED = "labelled"
"""Column of a batch that marks the examples with a label, where some have none."""

SHARE = "labelled_share"
"""Column of such a batch: the share of them in all of it, the same for each of its examples."""

SELECTION = "selection.json"

Known = Bool[Tensor, " examples"]
Rows = Bool[Tensor, " batch"]


def known_labels(run: Run, labelled: int | Ref | None) -> Known | None:
    """Return a mark on the examples whose labels may be looked at; None where all may."""
    if labelled is None:
        return None
    if isinstance(labelled, Ref):
        chosen = torch.tensor(read_selection(run, labelled), dtype=torch.long)
    else:
        rng = torch.Generator().manual_seed(sub_seed(run.seed, "labelled"))
        chosen = torch.randperm(run.task.size("train"), generator=rng)[:labelled]
    known = torch.zeros(run.task.size("train"), dtype=torch.bool)
    return known.index_fill_(0, chosen, True).to(run.device)


def write_selection(folder: Path, ids: Sequence[int]) -> None:
    """Write the ids of all examples that are labelled, in the order in which they were chosen."""
    (folder / SELECTION).write_text(json.dumps({"ids": [*ids]}) + "\n", "utf-8")


def read_selection(run: Run, ref: Ref | None) -> list[int]:
    """Return the ids of a selection, none where no stage is named."""
    if ref is None:
        return []
    found: list[int] = json.loads((run.input(ref) / SELECTION).read_text("utf-8"))["ids"]
    return found


class Pool:
    """The labelled examples, held in memory, to be drawn from in every step."""

    def __init__(self, run: Run, known: Known, options: Train):
        self.seed, self.share, self.known = run.seed, options.labelled_share, known
        self.columns = marked(run.task, known)

    def drawn_into(self, batch: Batch, step: int) -> Batch:
        """Return a batch of which some are drawn among the labelled examples, evenly spread.

        So every part of it has as many of them as any other. Its `SHARE` is that of the batches of
        all processes together.
        """
        there = len(batch["ids"])
        count, device = round(self.share * there), batch["ids"].device
        rng = torch.Generator().manual_seed(
            sub_seed(self.seed, f"labelled, step {step}, process {group().rank}")
        )
        chosen = torch.randint(len(self.columns["ids"]), (count,), generator=rng).to(device)
        places = torch.arange(count, device=device) * there // max(1, count)
        drawn = {n: c.index_copy(0, places, self.columns[n][chosen]) for n, c in batch.items()}
        numbers = torch.tensor([0, there], device=device)
        numbers[0] = self.known[drawn["ids"]].sum()
        labelled, every = group().total(numbers)
        return drawn | {SHARE: (labelled / every).expand(there)}


def without_others(batch: Mapping[str, Tensor], known: Known | None) -> dict[str, Tensor]:
    """Return the batch without the labels that are not known, and a mark on those that are."""
    if known is None:
        return dict(batch)
    rows = known[batch["ids"]]
    return {**batch, "labels": batch["labels"].where(rows, UNKNOWN), LABELLED: rows}


def rows_for(use: UseObjective, signals: Signals) -> Rows | None:
    """Return a mark on the examples that a term is given; None where it is given all."""
    takes_all = "labels" not in use.plugin.needs or use.plugin.traits.get("unlabelled")
    return None if takes_all else signals.get(LABELLED)


def counted(rows: Rows | None, signals: Signals) -> Tensor | float:
    """Return what a mean over these examples counts, so that of all parts it is that of the batch.

    Parts are weighted by their examples, and of a mean over the labelled only those are to count.
    """
    if rows is None or SHARE not in signals:
        return 1.0
    return rows.float().mean() / signals[SHARE][0]


def only(rows: Rows | None, own: Signals) -> Signals:
    """Return signals of these examples alone; what belongs to none of them stays."""
    if rows is None:
        return own
    return {n: value[rows] if value.shape[:1] == rows.shape else value for n, value in own.items()}


def check_labelled(uses: Sequence[UseObjective], train: Train, task: Task) -> Iterator[Problem]:
    """Yield why a training cannot look at some of the labels alone."""
    if train.labelled is None:
        return
    path, there = "train.labelled", count(task, "train")
    lacks = "labels" not in getattr(task, "columns", ("labels",))
    if lacks or pretrains(uses):
        message = "this task's examples have no labels." if lacks else "no term here asks for one."
        yield Problem(path, message, "Leave it out.")
    elif isinstance(train.labelled, int) and there and train.labelled > there:
        message = f"{train.labelled} labels are asked for; there are {there} examples."
        yield Problem(path, message, "Ask for fewer, or leave it out to use all.")
    for use in uses:
        if use.plugin.fits and "labels" in use.plugin.needs:
            message = f"{use.kind} is fitted to the labels of all training examples."
            yield Problem(path, message, "Leave one of them out.")
    for change in train.augment:
        if change.plugin.traits.get("mixes"):
            message = f"{change.kind} mixes labels, and some are not to be looked at."
            yield Problem(path, message, "Leave one of them out.")
