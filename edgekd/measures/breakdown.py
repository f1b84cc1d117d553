"""How a program's answers are spread: accuracy by class, and by how sure it was."""

from collections.abc import Sequence

import torch
from torch import Tensor

from edgekd.core.bits import pack
from edgekd.core.quantity import Quantity
from edgekd.core.results import Quality, Reliability
from edgekd.ops.reliability import NUM_BINS, confidence_bins
from edgekd.ops.statistics import share_interval


def break_down(
    program: str, target: str, logits: Tensor, labels: Tensor, names: Sequence[str]
) -> Quality:
    """Return the spread of answers; classes and bins without an example are left out."""
    confidence, choice = logits.float().softmax(-1).flatten(0, -2).max(-1)
    truth = labels.flatten()
    correct = choice == truth
    bins = confidence_bins(confidence)
    return Quality(
        program=program,
        target=target,
        reliability=[
            Reliability(
                confidence=confidence[bins == index].mean().item(),
                accuracy=correct[bins == index].float().mean().item(),
                count=int((bins == index).sum()),
            )
            for index in range(NUM_BINS)
            if (bins == index).any()
        ],
        per_class={
            _name(index, names): _share(correct[truth == index])
            for index in torch.unique(truth).tolist()
        },
        right=pack(correct.tolist()),
    )


def _name(index: int, names: Sequence[str]) -> str:
    return str(names[index]) if index < len(names) else str(index)


def _share(correct: Tensor) -> Quantity:
    hits, count = int(correct.sum()), len(correct)
    low, high = share_interval(hits, count)
    return Quantity(hits / count, "share", low, high, count)
