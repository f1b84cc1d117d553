"""Which layers to leave in fp32 so that the others keep an accuracy budget in 8 bits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import fx

from edgekd.core.protocols.task import Task
from edgekd.core.quantity import Quantity
from edgekd.ops.rounding import with_rounding
from edgekd.runtimes.onnx_graph import is_inside
from edgekd.train.evaluate import evaluate
from edgekd.train.sensitivity import Ranking, sign_of


@dataclass(frozen=True)
class Choice:
    """Layers to leave in fp32 so that a model keeps its budget."""

    excluded: tuple[str, ...]
    """Most sensitive first; empty where none is needed, or none helps."""
    kept: bool
    lost: float
    """What of the score the simulated model loses: so chosen, or with all layers in fp32 where
    even that does not keep the budget."""
    tried: int
    """How many choices were scored."""


def choose_excluded(
    simulated: fx.GraphModule,
    ranking: Ranking,
    task: Task,
    fp32: Quantity,
    *,
    most: float,
    progress: Callable[[int, int], None],
) -> Choice:
    """Return the layers without which the validation score falls by at most `most` from `fp32`."""
    paths = [layer.path for layer in ranking.layers]
    reference = with_rounding(simulated, lambda _: False)
    drops: dict[tuple[str, ...], float] = {}

    def fits(excluded: Sequence[str]) -> bool:
        progress(len(drops), 2 + len(paths).bit_length() + len(paths))
        model = without(simulated, excluded)
        cpu = torch.device("cpu")
        found = evaluate(model, task, "validation", cpu, reference=reference)
        drops[tuple(excluded)] = sign_of(task) * (fp32.value - found.value)
        return drops[tuple(excluded)] <= most

    excluded = least_excluded(paths, fits)
    lost = drops[tuple(paths) if excluded is None else excluded]
    return Choice(excluded or (), excluded is not None, lost, len(drops))


def without(simulated: fx.GraphModule, excluded: Sequence[str]) -> fx.GraphModule:
    """Return the simulation with the modules at these paths, and what is in them, in fp32."""
    return with_rounding(
        simulated, lambda path: not any(is_inside(path, module) for module in excluded)
    )


def least_excluded(
    ranked: Sequence[str], fits: Callable[[Sequence[str]], bool]
) -> tuple[str, ...] | None:
    """Return layers, ranked as given, without which the model fits; None where none will do.

    The least number of the worst that fits is found by bisection, as if each one more could only
    help; then each is put back that is not needed, the least sensitive first. What is returned
    fits, and stops fitting with any one put back.
    """
    if fits(()):
        return ()
    if not fits(ranked):
        return None
    too_few, enough = 0, len(ranked)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if fits(ranked[:middle]):
            enough = middle
        else:
            too_few = middle
    excluded = list(ranked[:enough])
    for path in reversed(ranked[: enough - 1]):  # without its last the list is known not to fit
        fewer = [other for other in excluded if other != path]
        if fits(fewer):
            excluded = fewer
    return tuple(excluded)
