"""Whether what some methods are for does happen, on digits that nobody learned from, by seed.

    python -m tests.benchmarks.bench_mechanisms [nd] [trg] [ofa]

Trains the students of pipelines/papers beside the same with cross-entropy and KD alone. Of `nd` it
prints the mean cosine of the student's feature to the teacher's mean of the class and the ratio of
their lengths, of `trg` the inner and the local term, of `ofa` how often the branch is right (that
of the last epoch, on the student of the best).
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseTask, as_read
from edgekd.models.folder import load_model
from edgekd.objectives.features.ofa_branch import OFABranchLoss
from edgekd.objectives.relations.token_graph import TokenGraph, TokenGraphLoss
from edgekd.ops.named import call_by_name
from edgekd.pipeline.document import read_document
from edgekd.testing.runs import ExampleRun
from edgekd.train.taps import tapped

from .bench_tgeo_shares import FILE, plain, work

PLAIN = ["cross_entropy", "kd"]
Seen = tuple[Tensor, Batch]
"""What a module gave of a whole split, and that split."""


def main() -> None:
    """Train and print."""
    for name in sys.argv[1:] or MECHANISMS:
        stage, path, against, look = MECHANISMS[name]
        made = read_document(FILE.with_name(f"{name}.yaml")).value
        task = UseTask.model_validate(as_read(plain(made["task"]))).build()
        options = plain(made["stages"][stage])
        losses = {stage: options["objective"]} | ({"kd": PLAIN} if against else {})
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder)
            work(plain(made["stages"]["teacher"]), ExampleRun(runs, task, "teacher"))
            splits = ("train", "test") if against else ()
            teacher = {split: seen(runs / "teacher", path, task, split) for split in splits}
            for seed in range(options["seeds"]):
                for arm, loss in losses.items():
                    run = ExampleRun(runs, task, f"{arm}{seed}", seed)
                    work(options | {"objective": loss}, run)
                    found = look(seen(run.out, path, task, "test"), teacher)
                    words = ", ".join(f"{what} {value:.4g}" for what, value in found.items())
                    print(f"{name} seed {seed} {arm}: {words}", flush=True)


def seen(folder: Path, path: str, task: Task, split: str) -> Seen:
    """Return what a module of a stored model gives of a split."""
    model = load_model(folder).module.eval()
    batch = next(task.batches(split, task.size(split), device=torch.device("cpu")))
    with torch.inference_mode(), tapped(model, [path]) as found:
        call_by_name(model, task.signature(), batch)
    return found[path], batch


def direction(own: Seen, teacher: Mapping[str, Seen]) -> dict[str, float]:
    """Return how near to the mean of their class features lie, and how long they are."""
    (feature, batch), (wanted, _), (shown, before) = own, teacher["test"], teacher["train"]
    member = F.one_hot(before["labels"]).float()
    means = (member.T @ shown) / member.sum(0)[:, None]
    near = F.cosine_similarity(feature, means[batch["labels"]]).mean().item()
    return {"cosine": near, "length": (feature.norm(dim=1) / wanted.norm(dim=1)).mean().item()}


def relations(own: Seen, teacher: Mapping[str, Seen]) -> dict[str, float]:
    """Return the terms of token_graph of all examples, over the same tokens each time."""
    found = {}
    for term in ("inner", "local"):
        weights = {name: float(name == term) for name in ("inner", "local", "contextual")}
        torch.manual_seed(0)
        signals = {"student_feature": own[0], "teacher_feature": teacher["test"][0]}
        loss = TokenGraphLoss(TokenGraph(**weights))(**signals, progress=torch.tensor(1.0))
        found[term] = loss.item()
    return found


def branch(own: Seen, _teacher: Mapping[str, Any]) -> dict[str, float]:
    """Return how often the branch that was made last is right."""
    feature, batch = own
    term = BRANCHES[-1].eval()
    assert isinstance(term, OFABranchLoss)
    with torch.inference_mode():
        right = term.scores(feature).argmax(-1) == batch["labels"]
    return {"right": right.float().mean().item()}


BRANCHES: list[nn.Module] = []
_prepare = OFABranchLoss.prepare


def _noted(term: OFABranchLoss, setting: Any) -> None:
    _prepare(term, setting)
    BRANCHES.append(term)


OFABranchLoss.prepare = _noted  # type: ignore[method-assign]
Look = Callable[..., dict[str, float]]
MECHANISMS: dict[str, tuple[str, str, bool, Look]] = {
    "nd": ("student", "pool", True, direction),
    "trg": ("trg", "stages.1", True, relations),
    "ofa": ("branches", "network.vit.encoder.layer.0", False, branch),
}
"""By paper: the stage, the module, whether KD alone is trained beside it, what is looked at."""

if __name__ == "__main__":
    main()
