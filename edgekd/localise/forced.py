"""Running a traced PyTorch graph with some of its values taken from elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

NO_SCOPE = "_empty_nn_module_stack_from_metadata_hook"


def compute(
    graph: ExportedProgram, inputs: Sequence[Tensor], given: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return the tensor that every node of the graph gives.

    Where `given` has a value of that node, all that comes after is computed from it: each tensor
    then is what PyTorch makes of the values before it, and no earlier error is in it.
    """
    runner = _Forced(graph.graph_module, given or {})
    with torch.no_grad():
        runner.run(*_complete(graph, inputs))
    return runner.found


class _Forced(fx.Interpreter):
    """Notes what nodes give, and goes on with what is given instead."""

    def __init__(self, module: fx.GraphModule, given: Mapping[str, Tensor]):
        super().__init__(module, garbage_collect_values=True)
        self.given = given
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Return what the rest of the graph sees of a node."""
        value = super().run_node(n)
        if n.op != "call_function" or not isinstance(value, Tensor):
            return value
        self.found[n.name] = value
        instead = self.given.get(n.name)
        fits = instead is not None and instead.shape == value.shape
        return instead.to(value.dtype) if instead is not None and fits else value


def _complete(graph: ExportedProgram, inputs: Sequence[Tensor]) -> list[Any]:
    """Return the inputs with the weights before them, as the graph takes them."""
    rest = iter(inputs)
    stored = {**graph.constants, **graph.state_dict}
    specs = graph.graph_signature.input_specs
    return [next(rest) if s.kind == InputKind.USER_INPUT else stored[str(s.target)] for s in specs]


def module_of(node: fx.Node) -> tuple[str, str]:
    """Return path and class of the module that a node comes from; both empty where none is."""
    stack = [each for each in (node.meta.get("nn_module_stack") or {}).values() if each]
    if not stack or NO_SCOPE in str(stack[-1]):
        return "", ""
    path, kind = stack[-1]
    name = kind if isinstance(kind, str) else kind.__name__
    return str(path), name.rpartition(".")[2]
