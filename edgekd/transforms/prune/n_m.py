"""N of M: of every M weights next to each other along a layer's inputs, the N largest stay.

2 of 4 is the pattern that tensor cores of GPUs can skip. The zeros stay zeros in every `distill`
stage that goes on from the model; on the runtimes here they make it smaller when it is compressed
and no faster.
"""

import copy
from collections.abc import Sequence

import torch
from pydantic import model_validator
from torch import Tensor, nn

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import transform
from edgekd.core.protocols.values import Batch
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.transforms.in_steps import Masks
from edgekd.transforms.masks import maskable
from edgekd.transforms.paths import check_paths

TRANSPOSED = nn.modules.conv._ConvTransposeNd
"""Its weights have the inputs on another axis."""
PAPER = Paper("Accelerating Sparse Deep Neural Networks", "2104.08378", "its 2:4 pattern")


class NOfM(Config):
    """The pattern, and what is spared."""

    n: PositiveCount = 2
    """How many of them stay."""
    m: PositiveCount = 4
    """How many weights make a group; a layer whose inputs are no multiple of it stays as it is."""
    exclude: tuple[str, ...] = ()
    """Module paths whose weights stay, as `named_modules()` spells them."""

    @model_validator(mode="after")
    def _fewer(self) -> "NOfM":
        if self.n >= self.m:
            raise ValueError(f"n must be below m; found {self.n} of {self.m}")
        return self


def partly(config: NOfM, share: float) -> NOfM | None:
    """Return the options that spare so many more of each group; None where that is all of it."""
    gone = round((config.m - config.n) * share)
    return config.model_copy(update={"n": config.m - gone}) if gone else None


@transform(config=NOfM, paper=PAPER, purpose="prune", masks=True, in_steps=Masks(partly))
def n_m(
    config: NOfM,
    model: nn.Module,
    *,
    signature: Signature,  # noqa: ARG001
    batches: Sequence[Batch],  # noqa: ARG001
) -> nn.Module:
    """Return a copy of the model in that pattern; no example is looked at.

    RequestError where `exclude` names no module, StageError where no layer fits the pattern.
    """
    check_paths(config.exclude, model)
    sparse = copy.deepcopy(model)
    fitting = [
        weight
        for name, weight in maskable(sparse, config.exclude).items()
        if weight.shape[1] % config.m == 0
        and not isinstance(sparse.get_submodule(name.removesuffix(".weight")), TRANSPOSED)
    ]
    if not fitting:
        raise StageError(
            f"no layer has a number of inputs that is a multiple of {config.m}.",
            "Choose a smaller m, or use magnitude.",
        )
    for weight in fitting:
        weight.mul_(_pattern(weight, config.n, config.m))
    return sparse


def _pattern(weight: Tensor, n: int, m: int) -> Tensor:
    """Return 1 where a weight stays; the second axis is that of a layer's inputs."""
    last = weight.abs().movedim(1, -1)
    order = last.unflatten(-1, (-1, m)).argsort(dim=-1, descending=True, stable=True)  # type: ignore[no-untyped-call]
    kept = torch.zeros_like(order, dtype=weight.dtype).scatter(-1, order[..., :n], 1)
    return kept.flatten(-2).movedim(-1, 1)
