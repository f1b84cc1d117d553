"""Observers of what a clamp cuts off at once, as ReLU6 does: they look at what it leaves.

XNNPACK's quantizer takes a convolution and a ReLU for one, but not a convolution and a ReLU6: the
convolution's own output is rounded, and most of its range may lie where the clamp cuts. Rounding to
the range that the clamp leaves, and saturating, gives what the clamp would give, with finer steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from edgekd.transforms.padded import pads_with_zeros

DEFAULT = [-1.0, 1.0]
"""What hardtanh cuts off where nothing is said."""
CLAMPS = (torch.ops.aten.hardtanh.default, torch.ops.aten.hardtanh_.default)
STAYS_WITHIN = (
    torch.ops.aten.adaptive_avg_pool2d.default,
    torch.ops.aten.flatten.using_ints,
    torch.ops.aten.view.default,
    torch.ops.aten.dropout.default,
)
"""What gives no value beyond the least and the largest that goes in."""
Bounds = tuple[float, float]


@contextmanager
def clamped(graph: fx.GraphModule) -> Iterator[None]:
    """Show observers what clamps leave of a value, where all that they see is clamped so.

    What is computed stays the same: the clamp comes next, and once more changes nothing.
    """
    hooks = [
        graph.get_submodule(target).register_forward_pre_hook(_clamping(bounds))
        for target, bounds in _bounded(graph)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _clamping(bounds: Bounds) -> Any:
    def clamp(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (given[0].clamp(*bounds), *given[1:])

    return clamp


def _bounded(graph: fx.GraphModule) -> Iterator[tuple[str, Bounds]]:
    """Yield the observers that see nothing but what one clamp cuts, or left, with its bounds."""
    groups: dict[int, list[fx.Node]] = {}
    for node in graph.graph.nodes:
        if _observes(node):
            groups.setdefault(id(graph.get_submodule(node.target)), []).append(node)
    for nodes in groups.values():
        found = {_cut(node) or _left(node) for node in nodes}
        bounds = found.pop()
        if bounds and not found and bounds[0] <= 0 <= bounds[1]:  # 0 is a level of its own
            yield str(nodes[0].target), bounds


def _observes(node: fx.Node) -> bool:
    return node.op == "call_module" and str(node.target).startswith("activation_post_process")


def _cut(node: fx.Node) -> Bounds | None:
    """Return the bounds of the clamp that alone reads an observed value."""
    found = {_bounds(user) for user in node.users}
    return found.pop() if len(found) == 1 else None


def _left(node: Any) -> Bounds | None:
    """Return the bounds of the clamp that an observed value came out of."""
    value = node.args[0]
    while _observes(value) or value.target in STAYS_WITHIN or pads_with_zeros(value):
        value = value.args[0]
    return _bounds(value)


def _bounds(node: fx.Node) -> Bounds | None:
    if node.target not in CLAMPS:
        return None
    given = [float(str(bound)) for bound in node.args[1:]]
    low, high = given + DEFAULT[len(given) :]
    return low, high
