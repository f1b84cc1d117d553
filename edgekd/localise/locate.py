"""The first layer of a program that departs from its model, and how it is told."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgekd.core.protocols.values import Arrays
from edgekd.core.signature import Signature
from edgekd.localise.layers import Layer, common_nodes, compare_layers, first_departing, parts
from edgekd.runtimes.insides import Insides
from edgekd.runtimes.parity import relative_error

SAME_FP32, SAME_INT8 = 1e-4, 0.05
"""How far the outputs may move when values are handed out, before that is a finding itself."""
MOST_NAMED = 3
ITSELF = "(the model itself)"


@dataclass(frozen=True)
class Located:
    """A program's layers, each beside the model's."""

    layers: Sequence[Layer]
    hides: bool = False
    """Whether the outputs are others as soon as inner values are handed out, so that what departs
    is what the runtime makes of several operators, and not one of them."""
    fused: str = ""
    """Then the first node whose value makes that difference, where it could be found."""

    @property
    def first(self) -> Layer | None:
        """The first layer that departs, if any does."""
        return first_departing(self.layers)

    @property
    def departs(self) -> bool:
        """Whether anything was found."""
        return self.first is not None or self.hides

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; what is infinite as None."""
        layers = [asdict(layer) for layer in self.layers]
        for layer in layers:
            for name in ("error", "local_error"):
                layer[name] = layer[name] if layer[name] < float("inf") else None
        first = self.first
        found = {"first": first.node if first else None, "hides": self.hides, "fused": self.fused}
        return {"departs": self.departs, **found, "layers": layers}


def locate(
    program: Callable[[Arrays], Arrays],
    insides: Insides,
    samples: Arrays,
    signature: Signature,
    *,
    quantized: bool,
) -> Located:
    """Return the layers of a program, and whether a fault of it hides while it is watched."""
    layers = compare_layers(insides, samples, signature, quantized=quantized)
    sample = next(parts(samples, signature, insides.rows))
    limit = SAME_INT8 if quantized else SAME_FP32
    nodes = list(common_nodes(insides))

    def same(watched: Sequence[str]) -> bool:
        """Tell whether the outputs are those of the program on its own."""
        given, _ = insides.ask(sample, watched)
        return all(relative_error(given[name], alone[name]) <= limit for name in alone)

    alone = program(sample)
    hides = not same(nodes)
    return Located(layers, hides, _first_that_changes(nodes, same) if hides and same([]) else "")


def _first_that_changes(nodes: Sequence[str], same: Callable[[Sequence[str]], bool]) -> str:
    """Return the first node whose watching changes the outputs, given those before it do not."""
    low, high = 0, len(nodes)  # watching `low` nodes changes nothing, watching `high` does
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if same(nodes[:middle]) else (low, middle)
    return nodes[high - 1]


def sentences(found: Located) -> Iterator[str]:
    """Yield what people should know of it, the most important first."""
    layers, first = found.layers, found.first
    if found.hides:
        fused = next((named(layer) for layer in layers if layer.node == found.fused), "any layer")
        yield (
            f"The outputs change as soon as the value of {fused} is handed out, which keeps the "
            f"runtime from making one operator of it and others: its optimisation departs."
        )
    if first is not None:
        yield f"The first layer that departs is {named(first)}: {_errors(found, first)}"
        if first.joined:
            yield f"In the same value are {', '.join(each or ITSELF for each in first.joined)}."
    elif not found.hides and layers:
        most = sorted(layers, key=lambda layer: -layer.local_error)[:MOST_NAMED]
        shares = ", ".join(f"{layer.module or ITSELF} {_size(layer.local_error)}" for layer in most)
        yield f"No layer departs on its own. The largest errors that layers add: {shares}."


def _errors(found: Located, layer: Layer) -> str:
    before = [each.local_error for each in found.layers[: found.layers.index(layer)]]
    rest = f"; layers before it add at most {_size(max(before))}" if before else ""
    return f"on the program's own inputs its error is {_size(layer.local_error)} of its size{rest}."


def named(layer: Layer) -> str:
    """Return a layer as people look for it."""
    return f"{layer.module or ITSELF} ({layer.type}; {layer.operator} in the program)"


def table(found: Located) -> Iterator[str]:
    """Yield the layers as aligned lines, in the order of the model."""
    head = ("module", "type", "operator", "shape", "error", "local error", "")
    rows = [
        (
            layer.module or ITSELF,
            layer.type,
            layer.operator,
            "x".join(map(str, layer.shape)),
            _size(layer.error),
            _size(layer.local_error),
            "departs" if layer.departs else "",
        )
        for layer in found.layers
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        yield "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()


def _size(error: float) -> str:
    """Return an error in percent where it can be seen, else as a power of ten."""
    if error == float("inf"):
        return "inf"
    return f"{error:.3g}" if error < 1e-4 else f"{100 * error:.3g} %"
