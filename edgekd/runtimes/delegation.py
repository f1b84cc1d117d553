"""What a delegate took over of a lowered ExecuTorch graph, and what is left to slow kernels."""

from collections import Counter
from typing import Any

NOT_COMPUTING = (
    "getitem",
    "alloc",
    "executorch_call_delegate",
    "quantize_",
    "sym_size",
    "view_copy",
)
"""Operators that move or describe values and take no time worth counting."""


def delegation(graph_module: Any) -> dict[str, Any]:
    """Return how many operators were delegated, their share, and those left out by name.

    An operator outside the delegate runs on a portable kernel, which for a convolution is two
    hundred times slower: a share below 1 deserves a look.
    """
    inside: Counter[str] = Counter()
    outside = _operators(graph_module.graph)
    delegates = 0
    for node in graph_module.graph.nodes:
        held = getattr(graph_module, str(node.target), None) if node.op == "get_attr" else None
        original = getattr(held, "original_module", None)
        if original is not None:
            delegates += 1
            inside += _operators(original.graph)
    total = inside.total() + outside.total()
    return {
        "delegates": delegates,
        "delegated_operators": inside.total(),
        "delegated_share": inside.total() / total if total else 0.0,
        "left_out": dict(sorted(outside.items())),
    }


def _operators(graph: Any) -> Counter[str]:
    """Count the computing operators of a graph by their plain name, as `aten.mean.dim`."""
    names = (_name(node.target) for node in graph.nodes if node.op == "call_function")
    return Counter(name for name in names if not any(word in name for word in NOT_COMPUTING))


def _name(target: Any) -> str:
    name = getattr(target, "name", None)
    text = name() if callable(name) else getattr(target, "__name__", str(target))
    return str(text).replace("::", ".")
