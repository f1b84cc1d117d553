"""Keep the examples of a pool that teacher and student, blended, are sure of: KD^3's selection.

The teacher counts for nearly all at first and for nothing from the middle of the training on. Of a
class that is found rarely less certainty is asked. The history has what was found and kept of each
class, since next to nothing is asked of a class that is hardly ever found; `floor` asks more. The
views are plain ones and nothing is differentiated; the authors' code has augmented views.
"""

from math import exp

import torch
from jaxtyping import Float, Int

from edgekd.core.config import Config, Share
from edgekd.core.kinds import select
from edgekd.core.protocols.training import Chosen
from edgekd.core.registry import Paper
from edgekd.ops.draws import Draws
from edgekd.ops.shapes import Logits

PAPER = Paper(
    "Distribution Shift Matters for Knowledge Distillation with Webly Collected Images",
    "2307.11469",
    "its dynamic instance selection",
)
ALONE_FROM, FALLS_TO = 1 / 2, 2 / 3
"""Shares of the epochs: 120 and 160 of the authors' 240."""

Counts = Int[torch.Tensor, " classes"]


class BlendedConfidence(Config):
    """How sure one must be; the default is the authors'."""

    cut: Share = 0.95
    """Probability that is asked of the class that is found most often."""
    floor: Share = 0.0
    """Least probability that is asked of any class."""
    by_chance: bool = False
    """Keep as many, drawn by chance: what the choice must be better than."""


@select(config=BlendedConfidence, paper=PAPER)
def blended_confidence(
    config: BlendedConfidence,
    draws: Draws,
    *,
    student_logits: Logits,
    teacher_logits: Logits,
    epoch: Int[torch.Tensor, ""],
    epochs: Int[torch.Tensor, ""],
) -> Chosen:
    r"""Keep x where $\max p > t_c$, $p = softmax(a\,z_t + (1-a)\,z_s)$, c the likeliest class."""
    share = teacher_share(int(epoch), int(epochs))
    blended = torch.lerp(student_logits, teacher_logits, share)
    confidence, found = blended.softmax(-1).max(-1)
    counts = found.bincount(minlength=blended.shape[-1])
    wanted = thresholds(counts, config.cut).clamp(min=config.floor)
    kept = confidence > wanted[found]
    if config.by_chance:
        kept = kept[draws.uniform().argsort(stable=True)]
    by_class = found[kept].bincount(minlength=blended.shape[-1])
    facts = {
        "teacher_share": share,
        "found_by_class": counts.tolist(),
        "kept_by_class": by_class.tolist(),
    }
    return Chosen(kept, facts)


def teacher_share(epoch: int, epochs: int) -> float:
    r"""Return $a_e = 1 - e^{-5 ((e+1)/(2E/3) - 1)^2}$, 0 from the middle on; e begins with 0."""
    if epoch >= ALONE_FROM * epochs:
        return 0.0
    return 1 - exp(-5 * ((epoch + 1) / (FALLS_TO * epochs) - 1) ** 2)


def thresholds(counts: Counts, cut: float) -> Float[torch.Tensor, " classes"]:
    r"""Return $t_c = p\,\beta_c / (2 - \beta_c)$, $\beta_c = n_c / \max_c n_c$, by class."""
    often = counts.float() / counts.max()
    return cut * often / (2 - often)
