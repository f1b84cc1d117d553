"""How much of a model goes: a share, or the least so that a budget is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator
from torch import Tensor, nn

from edgekd.core.config import Config, Positive, PositiveCount, Share
from edgekd.core.errors import StageError
from edgekd.core.quantity import significant
from edgekd.core.refs import UseRuntime
from edgekd.core.signature import Signature
from edgekd.ops.cost import cost

STEPS = 12
"""Halvings of the ratio: finer than any width can follow."""
MIB = 2**20
AMOUNTS = ("ratio", "parameters", "macs", "size_mib", "latency")


class Latency(Config):
    """A budget in time, kept by measuring real exports on the target."""

    p50_ms: Positive
    """Median of one call in milliseconds that the pruned model may take."""
    runtime: UseRuntime
    """What it is exported for and runs on: onnxruntime or executorch."""
    target: str = "cpu"
    """The device, by the name of its file in `targets/`."""
    mode: Literal["quick", "standard", "thorough"] | None = None
    """How much is measured of each candidate; as the target's file says where nothing is said."""


class HowMuch(Config):
    """How much goes. Exactly one of `ratio`, `parameters`, `macs`, `size_mib` and `latency`."""

    ratio: Share | None = None
    """Share that goes, of each layer or of all together."""
    parameters: PositiveCount | None = None
    """Budget: at most this many parameters stay."""
    macs: PositiveCount | None = None
    """Budget: at most this many multiply-accumulate operations per example stay."""
    size_mib: Positive | None = None
    """Budget: what stays takes at most this many MiB, four bytes for each parameter and each
    number that batch norms keep. The graph of an exported program comes on top: some KiB."""
    latency: Latency | None = None
    """Budget in time: the least that must go is found by measuring exports on the target."""
    max_ratio: Share = 0.9
    """Largest share that may go from any one layer."""

    @model_validator(mode="after")
    def _one_amount(self) -> "HowMuch":
        given = [name for name in AMOUNTS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            wanted = f"{', '.join(AMOUNTS[:-1])} and {AMOUNTS[-1]}"
            raise ValueError(f"give exactly one of {wanted}; found {found}")
        if self.ratio is not None and self.ratio > self.max_ratio:
            raise ValueError(
                f"ratio {self.ratio:g} is above max_ratio {self.max_ratio:g}, the most that any "
                "one layer may lose; raise max_ratio too"
            )
        return self


def check_most(ratios: Mapping[str, float], most: float) -> None:
    """Raise ValueError where a layer's own ratio is more than any one layer may lose."""
    for path, ratio in ratios.items():
        if ratio > most:
            raise ValueError(
                f"ratios: {ratio:g} for '{path}' is above max_ratio {most:g}, the "
                "most that any one layer may lose; raise max_ratio too"
            )


@dataclass(frozen=True)
class Budget:
    """What may stay."""

    limit: int
    price: Callable[[nn.Module], int]
    say: Callable[[int], str]
    """A price in words."""


def how_much(
    config: HowMuch,
    dense: nn.Module,
    remove: Callable[[float], nn.Module],
    *,
    anyway: bool,
    signature: Signature,
    batch: Mapping[str, Tensor],
) -> float | None:
    """Return the ratio that `remove` is to take: the given one, or the least that keeps the budget.

    `anyway` says that `remove` takes something whatever the ratio is; where it does not, and the
    dense model keeps the budget, nothing has to go: None. StageError where a budget cannot be
    reached, or where it is one that only a stage can measure.
    """
    if config.ratio is not None:
        return config.ratio
    if config.latency is not None:
        raise StageError(
            "a budget in latency is found by measuring, which the transform itself cannot.",
            "Give it to a prune stage, or give ratio.",
        )
    budget, whole = _budget(config, signature, batch), remove(0.0) if anyway else dense
    if budget.price(whole) <= budget.limit:
        return 0.0 if anyway else None
    return _least(budget, whole, remove, config.max_ratio)


def _least(
    budget: Budget, dense: nn.Module, remove: Callable[[float], nn.Module], most: float
) -> float:
    """Return the smallest ratio that keeps the budget, by bisection; StageError if none does."""
    best = budget.price(remove(most))
    if best > budget.limit:
        raise StageError(
            f"pruning cannot reach {budget.say(budget.limit)}: the dense model has "
            f"{budget.say(budget.price(dense))}, and the least that these options leave is "
            f"{budget.say(best)}.",
            "Raise the budget, lower round_to, raise max_ratio, or begin with a smaller model.",
        )
    low, high = 0.0, most
    for _ in range(STEPS):
        middle = (low + high) / 2
        if budget.price(remove(middle)) <= budget.limit:
            high = middle
        else:
            low = middle
    return high


def size_bytes(model: nn.Module) -> int:
    """Return what a model's parameters and buffers take, one that is shared once."""
    tensors = {id(t): t for t in [*model.parameters(), *model.buffers()]}
    return sum(tensor.nbytes for tensor in tensors.values())


def _budget(config: HowMuch, signature: Signature, batch: Mapping[str, Tensor]) -> Budget:
    if config.size_mib is not None:
        return Budget(
            round(config.size_mib * MIB), size_bytes, lambda n: f"{significant(n / MIB)} MiB"
        )
    if config.parameters is not None:
        return Budget(
            config.parameters,
            lambda m: cost(m, signature, batch).parameters,
            lambda n: f"{n:,} parameters",
        )
    assert config.macs is not None
    return Budget(config.macs, lambda m: cost(m, signature, batch).macs, lambda n: f"{n:,} MACs")
