"""Blend labels with a model's own answers for its next generation, in the share that is best.

The share comes in closed form from what two models say of the validation split: one that was
trained on labels, one on answers alone. So a generation costs one training more, and no search. It
is exact for linear smoothers and an estimate for networks. Students name the stage as their teacher
and learn with `selfkd`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Batch, Facts
from edgekd.core.quantity import Quantity
from edgekd.core.refs import ModelRef, Ref
from edgekd.core.registry import Paper
from edgekd.core.rehearsal import Rehearsal
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import StoredModel, load_model
from edgekd.ops.named import call_by_name
from edgekd.ops.self_distillation import Probs, best_share
from edgekd.train.check import check_full_precision, columns_of
from edgekd.train.evaluate import BATCH
from edgekd.train.filling import fill
from edgekd.train.keeping import class_count, row_bytes
from edgekd.train.memory import enough_memory
from edgekd.train.needs import compression_needs, count, unbuilt
from edgekd.train.shards import ShardWriter
from edgekd.train.teaching import SCORES, Description, Online, Said

PAPER = Paper(
    "Even your Teacher Needs Guidance: Ground-Truth Targets Dampen Regularization Imposed by "
    "Self-Distillation",
    "2102.13088",
    "its optimal weight",
)
LEAST = 1e-7
"""Of a probability in a target, whose logarithm is kept."""


class MixedTargets(Config):
    """Whose answers are blended with the labels, and what the share is found by."""

    plain: ModelRef
    """A model that was trained on labels alone, with `brier`."""
    taught: ModelRef
    """The same model trained on the answers of `previous` alone, with `selfkd`."""
    previous: ModelRef | None = None
    """Whose answers are blended: the generation before; the plain model where nothing is said."""


def check(config: MixedTargets, preview: Preview) -> Iterator[Problem]:
    """Yield why nothing can be blended."""
    for name in ("plain", "taught", "previous"):
        if (ref := getattr(config, name)) is not None:
            yield from check_full_precision(ref, preview, name)
            yield from _check_all_labels(ref, preview, name)
    if "labels" not in columns_of(preview.task) or class_count(preview.task) is None:
        message = "this task has no classes whose labels could be blended with answers."
        yield Problem("", message, "Take a task of classes.")


def _check_all_labels(ref: Ref, preview: Preview, name: str) -> Iterator[Problem]:
    """Yield that a model learned from some of the labels, where the targets would hold them all."""
    train = getattr(preview.options(ref), "train", None)
    if train is not None and train.labelled is not None:
        message = f"{ref} learned from some labels, and those of all examples would be kept."
        step = "Take train_examples of the task in the place of labelled, or leave it out."
        yield Problem(name, message, step)


def estimate(config: MixedTargets, preview: Preview) -> Needs | None:
    """Return what a pass over the data takes, and what is kept of it."""
    teacher = unbuilt(_previous(config), preview)
    lower = ("the width of the model",)
    needs = compression_needs(teacher, preview.task, copies=1, examples=0, lower=lower)
    if needs is None:
        return None
    kept = count(preview.task, "train") * row_bytes(teacher, preview.task.signature(), ())
    return Needs(needs.memory_bytes, needs.disk_bytes + 2 * kept, needs.device_bytes, lower)


def rehearse(config: MixedTargets, _run: Run) -> Rehearsal:
    """Return the stage as it is: what it keeps is as long as the training split."""
    return Rehearsal(config, grows=True)


@stage(
    config=MixedTargets,
    makes="outputs",
    paper=PAPER,
    check=check,
    estimate=estimate,
    rehearse=rehearse,
    stops=True,
    named=False,
)
def mixed_targets(config: MixedTargets, run: Run) -> Facts:
    r"""Return the share of the labels, as computed and as taken: at least 0 and at most 1.

    It is $\alpha^* = \langle f_1 - f_0, y - f_0 \rangle / |f_1 - f_0|^2$, $f_1$ what `plain` says
    of the validation split, $f_0$ what `taught` says and y its labels; what is kept is
    $\alpha y + (1 - \alpha) f$, f what `previous` says of the training split. StageError where both
    say the same.
    """
    device, task = torch.device(run.device), run.task
    truth, plain = _answers(load_model(run.input(config.plain)), run)
    _, taught = _answers(load_model(run.input(config.taught)), run)
    try:
        found = best_share(plain, taught, truth)
    except ValueError as error:
        step = "Train taught on the answers of previous alone, from other weights."
        raise StageError(f"no share can be found: {error}.", step) from error
    share = min(max(found, 0.0), 1.0)
    if found >= 1:
        run.notice(
            f"self-distillation is not useful here: the best share of the labels would be "
            f"{found:.3g}, so the targets are the labels alone."
        )
    stored = load_model(run.input(_previous(config)))
    online = Online(stored.module, stored.signature, (), task, device)
    _keep(_Blend(online, share), run)
    says = f"{share:.3g} of the labels, {1 - share:.3g} of {_previous(config)}'s answers"
    return {"says": says, "result": Quantity(share, "share"), "computed_share": found}


class _Blend:
    """A teacher that says the blend of the labels and of what another one says."""

    def __init__(self, previous: Online, share: float):
        self.previous, self.share = previous, share

    def __call__(self, batch: Batch, view: int) -> Said:
        answers = self.previous(batch, view).outputs[SCORES].softmax(-1)
        target = self.share * F.one_hot(batch["labels"], answers.shape[-1])
        target = target + (1 - self.share) * answers
        return Said({SCORES: target.clamp(min=LEAST).log()}, {})


def _previous(config: MixedTargets) -> Ref:
    return config.plain if config.previous is None else config.previous


@torch.no_grad()
def _answers(stored: StoredModel, run: Run) -> tuple[Probs, Probs]:
    """Return the truth and a model's probabilities on the validation split."""
    device = torch.device(run.device)
    module: nn.Module = stored.module.to(device).eval()
    given: list[tuple[Tensor, Tensor]] = []
    for batch in run.task.batches("validation", BATCH, device=device):
        scores = call_by_name(module, stored.signature, batch)[SCORES]
        given.append((F.one_hot(batch["labels"], scores.shape[-1]).float(), scores.softmax(-1)))
    truth, answers = (torch.cat(column) for column in zip(*given, strict=True))
    return truth, answers


def _keep(blend: _Blend, run: Run) -> None:
    """Write what a blend says of every training example; what an earlier run wrote is taken up."""
    task = run.task
    about = Description(
        examples=task.size("train"),
        views=1,
        seed=sub_seed(run.seed, "augment"),
        augment=[],
        classes=class_count(task),
        top=None,
        outputs=[SCORES],
        taps=[],
    )
    smaller = "Run where there is more memory."
    with enough_memory(f"asking the model about {BATCH} examples at once", smaller):
        writer = ShardWriter(run.unfinished, about.rows, row_bytes(None, task.signature(), ()))
        fill(writer, about, blend, BATCH, run, in_step=False)
    writer.gather(run.out)
    about.write(run.out)
