"""A user's own file: a network with memory, whose state goes out and comes in again."""

import torch
from pairs_package.pair_model import LABELS, LENGTH, VOCABULARY, Pairs, PairTask
from torch import Tensor, nn

from edgekd.core.config import Config
from edgekd.core.kinds import model, task
from edgekd.core.signature import Port, Signature

WIDTH = 8


@model(config=Config, name="memory")
def memory(config: Config, signature: Signature) -> nn.Module:
    """Return a network that mixes what it reads into what it remembers."""
    return Memory(int(signature.outputs[0].shape[-1]))


class Memory(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, WIDTH)
        self.segment = nn.Embedding(2, WIDTH)
        self.keep = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, tokens: Tensor, segments: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        read = (self.token(tokens) * self.segment(segments)).mean(1)
        after = torch.tanh(read + self.keep(before))
        return self.head(after), after


@task(config=Pairs, name="streams")
class Streams(PairTask):
    """The pairs again, for a network with memory."""

    def signature(self) -> Signature:
        inputs = (
            Port("tokens", "int64", ("batch", LENGTH)),
            Port("segments", "int64", ("batch", LENGTH)),
            Port("before", "float32", ("batch", WIDTH)),
        )
        outputs = (
            Port("logits", "float32", ("batch", len(LABELS))),
            Port("after", "float32", ("batch", WIDTH)),
        )
        return Signature(inputs, outputs, (("after", "before"),))
