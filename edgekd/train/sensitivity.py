"""What each layer costs in 8 bits.

Each layer is rounded alone, all others in fp32: what it costs by itself then stands apart from
what the rest of the model adds. Layers are ranked by the error of the outputs and not by the
score, whose changes by one layer are mostly smaller than its interval.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgekd.core.kinds import measure
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.quantity import Quantity
from edgekd.core.registry import Plugin
from edgekd.core.signature import Signature
from edgekd.ops.named import at_rest, call_by_name
from edgekd.ops.rounding import rounded_layers, with_rounding
from edgekd.ops.statistics import mean_interval, paired_share_interval
from edgekd.train.evaluate import asked_by, mean_score, score_each

BETWEEN = ""
"""Stands for the operators outside of any layer: sums, pooling, products of activations."""


@dataclass(frozen=True)
class Layer:
    """What a model loses with this layer alone in 8 bits."""

    path: str
    """As `named_modules()` spells it, or BETWEEN."""
    score: Quantity
    lost: Quantity
    """What of the fp32 model's score is lost, over the same examples."""
    error: float
    """Size of the outputs' error over that of the outputs, both as root mean squares."""


@dataclass(frozen=True)
class Ranking:
    """All layers, the most sensitive first, and what they are compared with."""

    fp32: Quantity
    layers: Sequence[Layer]
    between: Layer


class _Judge:
    """Compares models with one whose scores and outputs it holds."""

    def __init__(self, model: nn.Module, task: Task, signature: Signature, batches: list[Batch]):
        self.plugin: Plugin = measure.get(task.quality[0])
        self.sign = sign_of(task)
        self.signature = signature
        self.batches = [at_rest(signature, batch) for batch in batches]
        self.outputs = self._outputs(model)
        self.scores = self._scores(self.outputs)

    def layer(self, path: str, model: nn.Module) -> Layer:
        outputs = self._outputs(model)
        scores = self._scores(outputs)
        lost = self.sign * (self.scores - scores)
        return Layer(
            path,
            mean_score(self.plugin, scores),
            _mean_lost(lost, self.plugin.traits["unit"]),
            relative_error(outputs, self.outputs),
        )

    @torch.inference_mode()
    def _outputs(self, model: nn.Module) -> list[Batch]:
        return [call_by_name(model, self.signature, batch) for batch in self.batches]

    def _scores(self, outputs: list[Batch]) -> Tensor:
        parts = zip(outputs, self.batches, self.outputs, strict=True)
        return score_each(self.plugin, [asked_by(self.plugin, *part) for part in parts])


def rank_layers(
    simulated: fx.GraphModule,
    task: Task,
    signature: Signature,
    batches: list[Batch],
    progress: Callable[[int, int], None],
) -> Ranking:
    """Return the layers by the error that each makes alone, measured on the batches.

    `simulated` is what a transform's `by_layer` gives; `progress` is told how many of all layers
    are done.
    """
    paths = rounded_layers(simulated)
    judge = _Judge(with_rounding(simulated, lambda _: False), task, signature, batches)
    layers = []
    for done, path in enumerate(paths):
        progress(done, len(paths))
        layers.append(judge.layer(path, with_rounding(simulated, path.__eq__)))
    rest = with_rounding(simulated, lambda path: path not in paths)
    return Ranking(
        mean_score(judge.plugin, judge.scores),
        sorted(layers, key=lambda layer: layer.error, reverse=True),
        judge.layer(BETWEEN, rest),
    )


def relative_error(given: Sequence[Batch], expected: Sequence[Batch]) -> float:
    """Return the RMS of the difference over the RMS of what is expected, of the worst output.

    Outputs that are not of floats are passed over.
    """
    errors = [0.0]
    for name, column in expected[0].items() if expected else ():
        if column.is_floating_point():
            right = torch.cat([batch[name].double().flatten() for batch in expected])
            found = torch.cat([batch[name].double().flatten() for batch in given])
            size = right.square().mean().sqrt()
            error = (found - right).square().mean().sqrt()
            errors.append(float(error / size) if size else float(error))
    return max(errors)


def sign_of(task: Task) -> int:
    """Return 1 where a higher score is the better one, else -1."""
    return -1 if measure.get(task.quality[0]).traits.get("better") == "lower" else 1


def _mean_lost(lost: Tensor, unit: str) -> Quantity:
    """Return the mean of what each example lost, with the interval of paired differences."""
    count = len(lost)
    if torch.isin(lost, torch.tensor([-1.0, 0.0, 1.0], dtype=lost.dtype)).all():
        low, high = paired_share_interval(int((lost < 0).sum()), int((lost > 0).sum()), count)
    else:
        low, high = mean_interval(lost.numpy())
    unit = "share_difference" if unit == "share" else unit
    return Quantity(float(lost.mean()), unit, low, high, count)


def as_facts(ranking: Ranking, excluded: Sequence[str]) -> dict[str, Any]:
    """Return the ranking as facts of a stage."""
    return {
        "examples": ranking.fp32.n,
        "fp32": ranking.fp32.as_dict(),
        "layers": [_row(layer, layer.path in excluded) for layer in ranking.layers],
        "between": _row(ranking.between, excluded=False),
    }


def _row(layer: Layer, excluded: bool) -> dict[str, Any]:
    return {
        "path": layer.path,
        "score": layer.score.as_dict(),
        "lost": layer.lost.as_dict(),
        "error": layer.error,
        "excluded": excluded,
    }
