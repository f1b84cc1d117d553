"""Small networks with the structures that compression and export must carry, and their inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Port, Signature

CLASSES = 10
PICTURES = Signature(
    (Port("image", "float32", ("batch", 1, 8, 8)),),
    (Port("logits", "float32", ("batch", CLASSES)),),
)
PAIRS = Signature(
    (Port("tokens", "int64", ("batch", 6)), Port("segment", "int64", ("batch",))),
    (Port("logits", "float32", ("batch", 3)), Port("embedding", "float32", ("batch", 16))),
)


def _unit(inside: int, outside: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


class Plain(nn.Module):
    """Convolutions in a row."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.body = nn.Sequential(_unit(1, width), _unit(width, 2 * width, stride=2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2 * width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.pool(self.body(image)).flatten(1))
        return logits


class Residual(nn.Module):
    """Sums whose two sides must keep the same width."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.stem = _unit(1, width)
        self.first = nn.Sequential(_unit(width, width), nn.Conv2d(width, width, 3, padding=1))
        self.second = _unit(width, 2 * width, stride=2)
        self.shortcut = nn.Conv2d(width, 2 * width, 1, stride=2)
        self.head = nn.Linear(2 * width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        x = self.stem(image)
        x = torch.relu(x + self.first(x))
        x = self.second(x) + self.shortcut(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Depthwise(nn.Module):
    """Convolutions that take every channel for itself."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.stem = _unit(1, width)
        self.depthwise = _unit(width, width, groups=width)
        self.pointwise = nn.Conv2d(width, 2 * width, 1)
        self.norm = nn.BatchNorm2d(2 * width)
        self.head = nn.Conv2d(2 * width, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        x = torch.relu(self.norm(self.pointwise(self.depthwise(self.stem(image)))))
        logits: Tensor = self.head(x).mean((2, 3))
        return logits


class Pair(nn.Module):
    """Two integer inputs, two outputs, no picture in sight."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.tokens = nn.Embedding(50, 16)
        self.segment = nn.Embedding(2, 16)
        self.hidden = nn.Linear(16, width)
        self.embedding = nn.Linear(width, 16)
        self.logits = nn.Linear(16, 3)

    def forward(self, tokens: Tensor, segment: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding."""
        x = self.tokens(tokens).mean(1) + self.segment(segment)
        embedding = torch.tanh(self.embedding(torch.relu(self.hidden(x))))
        return self.logits(embedding), embedding


@dataclass(frozen=True)
class Case:
    """A network with what it takes."""

    net: Callable[[], nn.Module]
    signature: Signature

    def model(self, seed: int = 0) -> nn.Module:
        """Return the network in eval mode, its batch norms used to its inputs."""
        torch.manual_seed(seed)
        model = self.net().train()
        with torch.no_grad():
            model(*(self.samples(64, seed)[port.name] for port in self.signature.inputs))
        return model.eval()

    def samples(self, rows: int, seed: int = 0) -> Batch:
        """Return seeded inputs with labels."""
        rng = torch.Generator().manual_seed(seed)
        batch: Batch = {"labels": torch.randint(0, 3, (rows,), generator=rng)}
        for port in self.signature.inputs:
            shape = port.concrete(batch=rows)
            integer = port.dtype == "int64"
            batch[port.name] = (
                torch.randint(0, 2, shape, generator=rng)
                if integer
                else torch.randn(shape, generator=rng)
            )
        return batch


CASES = {
    "plain": Case(Plain, PICTURES),
    "residual": Case(Residual, PICTURES),
    "depthwise": Case(Depthwise, PICTURES),
    "pair": Case(Pair, PAIRS),
}
