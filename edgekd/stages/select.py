"""Choose which training examples to label next (active learning): once, or round by round.

`pcoreset` covers the space of predicted probabilities: one by one it takes the example whose
prediction is farthest from those of all labelled so far, which stand by what the model says of
them and not by their labels. Departures from the authors' code: distances are kept from pick to
pick, for the same picks at a cost of O((labelled + budget) x pool x classes); and where nothing is
labelled yet, the first pick is the farthest from the mean of the pool.

The others are there to be compared with. `badge` is that of its own authors (Ash et al., 2020,
k-means++ on gradient embeddings); in the code of PCoreSet that name stands for a deterministic
farthest-first walk over normalised embeddings, which is another method.

`train: {labelled: $stage}` learns from the labels of these examples alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Facts
from edgekd.core.quantity import Quantity
from edgekd.core.refs import ModelRef, Ref, SelectionRef
from edgekd.core.registry import Paper
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import load_model
from edgekd.ops.features import pooled
from edgekd.ops.named import call_by_name
from edgekd.ops.selection import (
    Picks,
    balanced,
    entropy,
    farthest_first,
    gradient_seeds,
    highest,
    margin,
)
from edgekd.train.check import check_full_precision, check_paths, columns_of
from edgekd.train.evaluate import BATCH
from edgekd.train.keeping import class_count
from edgekd.train.labelled import read_selection, write_selection
from edgekd.train.memory import enough_memory
from edgekd.train.needs import compression_needs, count, unbuilt
from edgekd.train.taps import tapped
from edgekd.train.teaching import SCORES

PAPER = Paper(
    "PCoreSet: Effective Active Learning through Knowledge Distillation from Vision-Language "
    "Models",
    "2506.00910",
    "its selection",
)
BADGE = Paper(
    "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds",
    "1906.03671",
    "strategy `badge`",
)
CORESET = Paper(
    "Active Learning for Convolutional Neural Networks: A Core-Set Approach",
    "1708.00489",
    "strategy `coreset`",
)
MOST_ROUNDS = 100
SMALLER = "Lower the model's width or the size of its inputs, or run where there is more memory."

Strategy = Literal[
    "pcoreset",
    "random",
    "entropy",
    "margin",
    "coreset",
    "badge",
    "class_balanced",
    "stratified",
]


class Select(Config):
    """Who chooses how many examples, by what, and after which others."""

    strategy: Strategy = "pcoreset"
    """How the next are chosen: by covering the space of predictions (`pcoreset`) or of features
    (`coreset`, by cosine); the least decided (`entropy`, `margin`); gradients that are long and
    apart (`badge`); the predicted classes that are labelled the least (`class_balanced`); by chance
    (`random`). `stratified` draws evenly from the true classes: for a first draw, since it looks
    at labels of the whole pool."""
    model: ModelRef | None = None
    """Whose predictions decide, without augmentation; `random` and `stratified` need none."""
    after: SelectionRef | None = None
    """The selection that these are added to; nothing is labelled before where it is left out."""
    budget: PositiveCount | None = None
    """How many are taken, in each round; as many as there are classes where nothing is said."""
    candidates: PositiveCount | None = None
    """Choose among this many of the pool, drawn by chance under the seed, anew each round, as the
    authors do among 100,000 of ImageNet; among all where nothing is said."""
    rounds: Annotated[PositiveCount, Field(le=MOST_ROUNDS)] | None = None
    """How often the stages between this one and the model that decides are made anew: a first
    stratified draw, then each round selects by what was made of the round before."""
    initial: PositiveCount | None = None
    """With `rounds`: how many are drawn before the first, evenly over the true classes; one of each
    where nothing is said."""
    tap: str | None = None
    """Module path whose output is the feature that `coreset` and `badge` look at; for `badge` what
    goes into the last layer."""

    @model_validator(mode="after")
    def _rounds_begin_by_themselves(self) -> "Select":
        if self.rounds is not None and (self.model is None or self.after is not None):
            raise ValueError("rounds need a model, and begin with a draw of their own, not after")
        if self.rounds is None and self.initial is not None:
            raise ValueError("initial is what rounds begin with; without them give a budget")
        return self


def in_round(config: Select, before: Ref | None) -> Select:
    """Return what one round does, given the selection before it; None before the first."""
    if before is None:
        return Select(strategy="stratified", budget=config.initial)
    return config.model_copy(update={"rounds": None, "initial": None, "after": before})


def check(config: Select, preview: Preview) -> Iterator[Problem]:
    """Yield why nothing can be selected."""
    if "labels" not in columns_of(preview.task) or class_count(preview.task) is None:
        message = "this task has no classes whose labels could be asked for."
        yield Problem("", message, "Take a task of classes.")
    wanted = config.budget or class_count(preview.task) or 0
    if config.candidates is not None and config.candidates < wanted:
        message = f"of {config.candidates} candidates {wanted} cannot be taken."
        yield Problem("candidates", message, "Raise it, or lower the budget.")
    asks = _STRATEGIES[config.strategy].asks
    if asks and config.model is None:
        message = f"{config.strategy} goes by what a model says, and none is named."
        yield Problem("model", message, "Add model: $stage, or take strategy: random.")
    if asks == "features" and config.tap is None:
        message = f"{config.strategy} compares features, and no module is tapped."
        yield Problem("tap", message, "Add tap: with the module whose output is the feature.")
    if config.model is not None:
        yield from check_full_precision(config.model, preview, "model")
        taps = () if config.tap is None else (config.tap,)
        for problem in check_paths(taps, preview.model(config.model), preview.task, "tap"):
            yield replace(problem, path="tap")


def estimate(config: Select, preview: Preview) -> Needs | None:
    """Return what a pass over the pool takes, with what is held of it."""
    if config.model is None:
        return None
    lower = ("the width of the model",)
    needs = compression_needs(
        unbuilt(config.model, preview), preview.task, copies=1, examples=0, lower=lower
    )
    held = 8 * count(preview.task, "train") * (class_count(preview.task) or 0)
    return needs and replace(needs, memory_bytes=needs.memory_bytes + 2 * held)


@stage(
    config=Select,
    makes="selection",
    paper=PAPER,
    also=(CORESET, BADGE),
    check=check,
    estimate=estimate,
    in_round=in_round,
    named=False,
)
def select(config: Select, run: Run) -> Facts:
    r"""Return which examples were taken, and of which classes they turned out to be.

    `pcoreset` takes $\arg\max_i \min_j \|p_i - p_j\|_2$ again and again, i of the pool and j of all
    that are labelled or taken. StageError where a model says what is not finite.
    """
    known = read_selection(run, config.after)
    labelled = torch.tensor(known, dtype=torch.long)
    marks = torch.ones(run.task.size("train"), dtype=torch.bool)
    pool = marks.index_fill_(0, labelled, False).nonzero()[:, 0]
    classes = class_count(run.task) or 0
    asked = config.budget or classes
    seen = _looked(config, run)
    rng = torch.Generator().manual_seed(sub_seed(run.seed, "select", len(known)))
    among = _candidates(pool, config.candidates, rng)
    choice = _Choice(
        {name: column[among.to(column.device)] for name, column in seen.items()},
        {name: column[labelled.to(column.device)] for name, column in seen.items()},
        classes,
        min(asked, len(among)),
        rng,
    )
    rows = _STRATEGIES[config.strategy].pick(choice).cpu()
    taken = among[rows].tolist()
    if len(taken) < asked:
        run.notice(f"the pool is exhausted: {len(taken)} of {asked} examples were left to take.")
    write_selection(run.out, [*known, *taken])
    names = run.task.facts()["labels"]
    found = torch.bincount(choice.pool["labels"][rows.to(seen["labels"].device)], minlength=classes)
    every, left = len(known) + len(taken), len(pool) - len(taken)
    return {
        "says": f"{len(taken)} of {len(pool):,} by {config.strategy}, {every:,} labelled",
        "result": Quantity(every, "labels"),
        "selection": {
            "strategy": config.strategy,
            "taken": taken,
            "labelled": every,
            "left": left,
            "classes": {n: c for n, c in zip(names, found.tolist(), strict=True) if c},
        },
    }


def _candidates(pool: Tensor, count: int | None, rng: torch.Generator) -> Tensor:
    """Return the ids that are chosen among, in their order."""
    if count is None or count >= len(pool):
        return pool
    return pool[torch.randperm(len(pool), generator=rng)[:count].sort().values]


@dataclass(frozen=True)
class _Choice:
    """What a strategy is given: columns of numbers, as far as it asks for them."""

    pool: Mapping[str, Tensor]
    labelled: Mapping[str, Tensor]
    classes: int
    budget: int
    """No more than there are in the pool."""
    rng: torch.Generator


@dataclass(frozen=True)
class _Way:
    """A strategy: what it asks a model for, and what it picks: rows of the pool."""

    asks: Literal["", "probs", "features"]
    pick: Callable[[_Choice], Picks]


def _balanced(choice: _Choice, classes: Tensor) -> Picks:
    counts = torch.bincount(choice.labelled["labels"], minlength=choice.classes)
    return balanced(classes, counts, choice.budget, choice.rng)


def _covering(choice: _Choice, name: str) -> Picks:
    return farthest_first(choice.pool[name], choice.labelled[name], choice.budget).picks


_STRATEGIES: Mapping[Strategy, _Way] = {
    "pcoreset": _Way("probs", lambda c: _covering(c, "probs")),
    "coreset": _Way("features", lambda c: _covering(c, "direction")),
    "entropy": _Way("probs", lambda c: highest(entropy(c.pool["probs"]), c.budget)),
    "margin": _Way("probs", lambda c: highest(margin(c.pool["probs"]), c.budget)),
    "badge": _Way(
        "features",
        lambda c: gradient_seeds(c.pool["probs"], c.pool["features"], c.budget, c.rng),
    ),
    "class_balanced": _Way("probs", lambda c: _balanced(c, c.pool["probs"].argmax(-1))),
    "stratified": _Way("", lambda c: _balanced(c, c.pool["labels"])),
    "random": _Way(
        "", lambda c: torch.randperm(len(c.pool["labels"]), generator=c.rng)[: c.budget]
    ),
}


@torch.inference_mode()
def _looked(config: Select, run: Run) -> dict[str, Tensor]:
    """Return the labels of all training examples, and what the strategy wants of the model.

    StageError where that is not finite, or memory runs out.
    """
    device, asks = torch.device(run.device), _STRATEGIES[config.strategy].asks
    stored = load_model(run.input(config.model)) if asks and config.model else None
    columns: dict[str, list[Tensor]] = {}
    with enough_memory(f"asking the model about {BATCH} examples at once", SMALLER):
        module = stored.module.to(device).eval() if stored else torch.nn.Identity()
        with tapped(module, [config.tap] if asks == "features" and config.tap else []) as tap:
            for batch in run.task.batches("train", BATCH, device=device):
                own = {"ids": batch["ids"], "labels": batch["labels"]}
                if stored:
                    scores = call_by_name(module, stored.signature, batch)[SCORES]
                    own |= {"probs": scores.float().softmax(-1)}
                for feature in tap.values():
                    own["features"] = pooled(feature).float()
                for name, column in own.items():
                    columns.setdefault(name, []).append(column)
    whole: dict[str, Any] = {name: torch.cat(parts) for name, parts in columns.items()}
    order = whole.pop("ids").argsort()
    seen = {name: column[order] for name, column in whole.items()}
    if not all(column.isfinite().all() for column in seen.values()):
        message = f"{config.model} gives numbers that are not finite."
        raise StageError(message, "Train it at a lower rate, or with clip_norm.")
    if "features" in seen:
        seen["direction"] = F.normalize(seen["features"].double(), dim=-1)
    return seen
