"""What a delegate took over of a lowered ExecuTorch graph, and what is left to slow kernels."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
PARTITIONER = "executorch.backends.xnnpack.partition"
"""Loggers below this name hear why a node is not taken."""
UNKNOWN = "XNNPACK has no such operator"
UNSAID = "its pattern, such as the rounding around it, was not complete"
Reasons = Mapping[str, str]
"""Why XNNPACK's partitioner left a node out, by the node's name."""


class _Listener(logging.Handler):
    """Keeps the last reason that is given for each node."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.reasons: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        node, reason = (getattr(record.msg, name, None) for name in ("node", "reason"))
        if node is not None and reason:
            self.reasons[node.name] = f"{reason}".strip().rstrip(".")


@contextmanager
def partition_reasons() -> Iterator[Reasons]:
    """Give what XNNPACK's partitioner says, while the call inside lowers, of nodes left out."""
    logger, listener = logging.getLogger(PARTITIONER), _Listener()
    before = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield listener.reasons
    finally:
        logger.removeHandler(listener)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def delegation(graph_module: Any, reasons: Reasons) -> dict[str, Any]:
    """Return how many operators were delegated, their share, and those left out, and why.

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
        "left_out_because": _because(graph_module.graph, reasons),
    }


def _because(graph: Any, reasons: Reasons) -> dict[str, str]:
    """Return for each operator left out why, each reason once."""
    found: dict[str, list[str]] = defaultdict(list)
    known = _known_operators()
    for node in graph.nodes:
        if node.op == "call_function" and _computes(name := _name(node.target)):
            found[name].append(_reason(node, name, known, reasons))
    return {name: "; ".join(dict.fromkeys(said)) for name, said in sorted(found.items())}


def _reason(node: Any, name: str, known: set[str], reasons: Reasons) -> str:
    """Return the partitioner's reason, or why it gave none; types are added to a bare complaint."""
    if name.partition(".")[2] not in known:
        return UNKNOWN
    said = reasons.get(node.name, UNSAID)
    dtypes = {
        str(getattr(one.meta.get("val"), "dtype", "")) for one in (*node.all_input_nodes, node)
    }
    types = ", ".join(sorted(dtype.removeprefix("torch.") for dtype in dtypes if dtype))
    return f"{said} ({types})" if said == "invalid dtype" and types else said


def _known_operators() -> set[str]:
    """Return the operators that XNNPACK's partitioner can take, as `add.Tensor`."""
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS

    return {str(config.target_name) for config in ALL_PARTITIONER_CONFIGS}


def _operators(graph: Any) -> Counter[str]:
    """Count the computing operators of a graph by their plain name, as `aten.mean.dim`."""
    names = (_name(node.target) for node in graph.nodes if node.op == "call_function")
    return Counter(name for name in names if _computes(name))


def _computes(name: str) -> bool:
    return not any(word in name for word in NOT_COMPUTING)


def _name(target: Any) -> str:
    name = getattr(target, "name", None)
    text = name() if callable(name) else getattr(target, "__name__", str(target))
    return str(text).replace("::", ".")
