"""Where a program leaves the path of its PyTorch model: every layer on the program's own inputs.

Errors add up on the way, so that the layer where the error is large need not be the one that makes
it. Each layer is therefore computed twice in PyTorch: once as the model goes, and once from the
values that the program itself has before it. The second, the *local* error, is the layer's own.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from edgekd.core.protocols.values import Arrays
from edgekd.core.signature import Signature
from edgekd.localise.forced import compute, module_of
from edgekd.runtimes.insides import Insides

LOCAL_FP32 = 1e-5
"""fp32: local error from which on a layer departs. Rounding alone stays below a tenth of it."""
LOCAL_INT8, TIMES_MEDIAN, MOST_INT8 = 0.02, 4.0, 0.25
"""int8: so much local error, and so many times that of the middle one of all that round; more
than the last departs whatever the others do."""
HUGE = 1e30
"""Larger values stand for infinity, as in the masks of attention."""


@dataclass(frozen=True)
class Layer:
    """One value of the program beside the model's.

    Errors are root mean squares over the size of the model's value; infinite where the shapes
    differ, or where only one of the two is finite.
    """

    node: str
    """Of the PyTorch graph."""
    module: str
    """Path of the module that it comes from: where there are several, the first with weights."""
    type: str
    """Class of that module."""
    joined: Sequence[str]
    """Paths of the other modules that are in the value, as a batch norm in its convolution's."""
    operator: str
    """Of the program."""
    shape: Sequence[int]
    """For the examples of one call."""
    error: float
    """Against the model all the way: what this layer and all before it did."""
    local_error: float
    """Against the same layer in PyTorch, given the program's own values before it."""
    departs: bool = False


@dataclass
class _Sums:
    """Squares of a value and of two differences, added up over calls."""

    shape: Sequence[int]
    size: float = 0.0
    gap: float = 0.0
    local_size: float = 0.0
    local_gap: float = 0.0

    def add(self, own: NDArray[np.generic], plain: Tensor, local: Tensor) -> None:
        size, gap = _squares(own, plain)
        self.size, self.gap = self.size + size, self.gap + gap
        size, gap = _squares(own, local)
        self.local_size, self.local_gap = self.local_size + size, self.local_gap + gap


def compare_layers(
    insides: Insides, samples: Arrays, signature: Signature, *, quantized: bool
) -> list[Layer]:
    """Return every value that program and model have in common, in the model's order."""
    sums: dict[str, _Sums] = {}
    nodes = list(common_nodes(insides))
    for part in parts(samples, signature, insides.rows):
        _, own = insides.ask(part, nodes)
        inputs = [torch.from_numpy(part[port.name]) for port in signature.inputs]
        plain = compute(insides.graph, inputs)
        own = {name: _in_shape(value, tuple(plain[name].shape)) for name, value in own.items()}
        given = {name: torch.from_numpy(np.array(value)) for name, value in own.items()}
        local = compute(insides.graph, inputs, given)
        for name in nodes:
            entry = sums.setdefault(name, _Sums(tuple(plain[name].shape)))
            entry.add(own[name], plain[name], local[name])
    return judged(list(_layers(insides, sums)), quantized=quantized)


def _in_shape(own: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Return a value without, or with, dimensions of size 1 that the runtime sees otherwise."""
    alike = [d for d in own.shape if d != 1] == [d for d in shape if d != 1]
    return own.reshape(shape) if alike else own


def common_nodes(insides: Insides) -> Iterator[str]:
    """Yield the nodes of the PyTorch graph whose value the program has, in order."""
    for node in insides.graph.graph.nodes:
        if node.op == "call_function" and node.name in insides.operators:
            yield node.name


def parts(samples: Arrays, signature: Signature, rows: int | None) -> Iterator[Arrays]:
    """Yield the samples in calls of `rows` examples; inputs without a batch are in each."""
    batched = [port.name for port in signature.inputs if port.shape[:1] == ("batch",)]
    most = len(samples[batched[0]]) if batched else 1
    step = rows or most
    for start in range(0, most, step):
        cut = {name: samples[name][start : start + step] for name in batched}
        yield {**samples, **cut}


def judged(layers: Sequence[Layer], *, quantized: bool) -> list[Layer]:
    """Return the layers with a verdict on each."""
    limit = LOCAL_FP32
    if quantized:
        rounding = [e for layer in layers if LOCAL_FP32 < (e := layer.local_error) < float("inf")]
        limit = min(MOST_INT8, max(LOCAL_INT8, TIMES_MEDIAN * median(rounding or [0.0])))
    return [replace(layer, departs=not layer.local_error <= limit) for layer in layers]


def first_departing(layers: Iterable[Layer]) -> Layer | None:
    """Return the first layer that departs, if any does."""
    return next((layer for layer in layers if layer.departs), None)


def _layers(insides: Insides, sums: Mapping[str, _Sums]) -> Iterator[Layer]:
    """Yield the compared nodes, each with the modules that its value stands for."""
    for node in insides.graph.graph.nodes:
        if node.op != "call_function" or node.name not in sums:
            continue
        found, sources = sums[node.name], _sources(insides.graph, node, sums)
        (path, kind), *rest = sources
        yield Layer(
            node=node.name,
            module=path,
            type=kind,
            joined=tuple(other for other, _ in rest),
            operator=insides.operators[node.name],
            shape=tuple(found.shape),
            error=_relative(found.gap, found.size),
            local_error=_relative(found.local_gap, found.local_size),
        )


def _sources(
    graph: ExportedProgram, node: fx.Node, compared: Collection[str]
) -> list[tuple[str, str]]:
    """Return path and class of the modules behind a value: the first with weights, then others.

    What the program does not hand out before it belongs to it too.
    """
    weights = {
        s.arg.name for s in graph.graph_signature.input_specs if s.kind == InputKind.PARAMETER
    }
    inside, waiting = {node}, [node]
    while waiting:
        for each in waiting.pop().all_input_nodes:
            if each.op == "call_function" and each.name not in compared and each not in inside:
                inside.add(each)
                waiting.append(each)
    ordered = [each for each in graph.graph.nodes if each in inside]
    weighty = [n for n in ordered if any(each.name in weights for each in n.all_input_nodes)]
    found = [module_of(each) for each in [*weighty[:1], node, *ordered]]
    known = [each for each in dict.fromkeys(found) if each[1]]
    return known or [("", "")]


def _squares(own: NDArray[np.generic], reference: Tensor) -> tuple[float, float]:
    """Return the sum of squares of a value, and of the difference; infinite where none is."""
    wanted = reference.detach().numpy().astype(np.float64)
    if own.shape != wanted.shape:
        return 1.0, float("inf")
    found = np.asarray(own).astype(np.float64)
    endless = ~(np.abs(found) < HUGE) | ~(np.abs(wanted) < HUGE)  # NaN is below nothing
    if not np.allclose(found[endless], wanted[endless], rtol=1e-3, equal_nan=True):
        return 1.0, float("inf")
    gap = np.where(endless, 0.0, found - np.where(endless, found, wanted))
    return float(np.square(wanted[~endless]).sum()), float(np.square(gap).sum())


def _relative(gap: float, size: float) -> float:
    return float(np.sqrt(gap / size)) if size else float(np.sqrt(gap))
