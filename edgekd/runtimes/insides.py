"""What a program computes on its way, beside the PyTorch graph that it was made from."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch

from edgekd.core.protocols.values import Arrays

Ask = Callable[[Arrays, Collection[str]], tuple[Arrays, Arrays]]
"""Takes inputs by name and the PyTorch nodes that are asked for; returns the program's outputs by
name and its own values of those nodes, as floats where it computes in 8 bits."""


@dataclass(frozen=True)
class Insides:
    """A program that can be asked for what it computes in between.

    Asking changes what the runtime may fuse: a value that is handed out cannot vanish inside a
    larger operator.
    """

    graph: torch.export.ExportedProgram
    """The fp32 model in PyTorch, operator by operator."""
    operators: Mapping[str, str]
    """By the node of that graph, in its order, the program's operator that gives its value."""
    ask: Ask
    rows: int | None
    """Examples that graph and program take at a time; None where any number goes."""
