"""A user's own file: two integer sequences in, two outputs out, and the task that makes them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekd.core.config import Config, Count, PositiveCount
from edgekd.core.kinds import model, task
from edgekd.core.protocols.values import Batch, Facts, Split
from edgekd.core.seeds import sub_seed
from edgekd.core.signature import Port, Signature
from edgekd.ops.batches import batch_ids

VOCABULARY, LENGTH = 16, 6
LABELS = ("left", "right")


class PairModel(Config):
    width: PositiveCount = 8
    """Numbers per token."""


@model(config=PairModel, name="pair_model")
def pair_model(config: PairModel, signature: Signature) -> nn.Module:
    """Return a network for token ids and the segment that each of them is in."""
    return PairNetwork(config.width, int(signature.outputs[0].shape[-1]))


class PairNetwork(nn.Module):
    def __init__(self, width: int, classes: int):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, width)
        self.segment = nn.Embedding(2, width)
        self.mix = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores by class and the summary of the pair that they rest on."""
        read = self.mix(self.token(tokens) * self.segment(segments))
        summary = read.mean(1)
        return self.head(summary), summary


class Pairs(Config):
    examples: PositiveCount = 256
    """How many there are in each split."""
    data_seed: Count = 0
    """Seed of the sequences."""


@task(config=Pairs, name="pairs")
class PairTask:
    """Which half of a sequence has the larger sum: nothing here is an image or a float."""

    quality: Sequence[str] = ("accuracy", "calibration")

    def __init__(self, options: Pairs):
        self.options = options

    def signature(self) -> Signature:
        # The summary's width is the model's own affair, so it is named and not numbered.
        inputs = (
            Port("tokens", "int64", ("batch", LENGTH)),
            Port("segments", "int64", ("batch", LENGTH)),
        )
        outputs = (
            Port("logits", "float32", ("batch", len(LABELS))),
            Port("summary", "float32", ("batch", "width")),
        )
        return Signature(inputs, outputs)

    def files(self) -> Sequence[Path]:
        return ()

    def facts(self) -> Facts:
        return {"labels": list(LABELS), "preprocessing": {"vocabulary": VOCABULARY}}

    def size(self, split: Split) -> int:
        return self.options.examples

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        device: torch.device,
        rng: torch.Generator | None = None,
        part: tuple[int, int] = (0, 1),
        start: int = 0,
    ) -> Iterator[Batch]:
        count = self.options.examples
        chance = torch.Generator().manual_seed(sub_seed(self.options.data_seed, split))
        tokens = torch.randint(VOCABULARY, (count, LENGTH), generator=chance)
        segments = (torch.arange(LENGTH) >= LENGTH // 2).long().expand(count, LENGTH)
        labels = ((tokens * (2 * segments - 1)).sum(1) > 0).long()
        for ids in batch_ids(count, batch_size, rng=rng, part=part, start=start):
            columns = {"tokens": tokens, "segments": segments, "labels": labels}
            yield {k: v[ids].to(device) for k, v in columns.items()} | {"ids": ids.to(device)}
