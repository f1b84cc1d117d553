"""Blend pairs of examples, and what their labels say, in an exact share of every batch.

The student and its teacher see the same blend, so the teacher looks at every batch. A share below
1 is the partial mixup of MIX-KD (arXiv 2211.03946): its authors' code asks for 90 % unmixed
examples but draws them with replacement, which leaves 41 % of a batch of 64 mixed; the default is
what it does. There an example can also meet itself, which is never so here. Partners stand in the
same batch: that of one process where several train together.
"""

from collections.abc import Iterator

from edgekd.core.config import Config, Positive, Share
from edgekd.core.errors import Problem
from edgekd.core.kinds import augment
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.registry import Paper
from edgekd.ops.draws import Draws
from edgekd.ops.mixing import OTHER_LABELS, OWN_SHARE, blend, lowest, ring

PAPER = Paper("mixup: Beyond Empirical Risk Minimization", "1710.09412", "equation 1")


class Mixup(Config):
    """How much is mixed."""

    alpha: Positive = 1.0
    """The own share of each mixed example is drawn from Beta(alpha, alpha); lower keeps it nearer
    to 0 or 1. The authors of MIX-KD also tried 0.2 and 0.4."""
    mix_fraction: Share = 0.4
    """Share of each batch that is mixed, rounded to whole examples; 1 is plain mixup."""


def check(_config: Mixup, task: Task) -> Iterator[Problem]:
    """Yield that the task's examples cannot be blended, or have no classes to share."""
    signature = task.signature()
    whole = [port.name for port in signature.inputs if not port.dtype.startswith("float")]
    if whole:
        message = f"mixup blends numbers; {' and '.join(whole)} of this task are choices."
        yield Problem("", message, "Leave it out.")
    elif "labels" not in getattr(task, "columns", ("labels",)) or "logits" not in {
        port.name for port in signature.outputs
    }:
        yield Problem("", "mixup shares out classes; this task has none.", "Leave it out.")


@augment(config=Mixup, paper=PAPER, check=check, mixes=True)
def mixup(config: Mixup, batch: Batch, draws: Draws) -> Batch:
    r"""Return the batch with $\lambda x_i + (1 - \lambda) x_j$ for some of its examples i.

    `own_share` [batch] has each $\lambda$, 1 for those that are not mixed, `other_labels` [batch]
    the labels of the j.
    """
    partner, keys = ring(draws.uniform()), draws.uniform()
    mixed = lowest(keys, round(config.mix_fraction * len(keys)))
    share = draws.symmetric_beta(config.alpha).masked_fill(~mixed, 1.0)
    inputs = {n: blend(x, share, partner) for n, x in batch.items() if x.is_floating_point()}
    return batch | inputs | {OTHER_LABELS: batch["labels"][partner], OWN_SHARE: share}
