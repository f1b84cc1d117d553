"""Trainings that teach a network to see, and not yet what it answers."""

from collections.abc import Iterable

from edgekd.core.refs import UseObjective


def pretrains(uses: Iterable[UseObjective]) -> bool:
    """Tell whether no term teaches what a model answers: `@objective(..., pretrains=True)`.

    Such a training asks for no label, is judged by its own loss on the validation split, and what
    it hands on is not scored: its answers are chance until another training teaches them.
    """
    return all(use.plugin.traits.get("pretrains") for use in uses)
