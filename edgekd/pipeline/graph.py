"""Which stage rests on which: references that meet, exports that are implied, and the order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from edgekd.core.errors import Problem, nearest
from edgekd.core.protocols import Preview
from edgekd.core.refs import Implied, Ref, UseRuntime, UseStage, as_written, refs_of
from edgekd.pipeline.document import Document, Steps, spell

IMPLIED_RUNTIME = "onnxruntime"
"""What a model is exported to where a program is wanted."""


@dataclass(frozen=True)
class Node:
    """A stage with the stages that it reads."""

    name: str
    use: UseStage
    inputs: tuple[str, ...]
    implied_by: str = ""
    """The stage that asked for this one, where the file does not name it."""
    instead: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the kind of result that is wanted, for which stages of the file others are read."""

    @property
    def makes(self) -> str:
        """The kind of its result."""
        return str(self.use.plugin.traits["makes"])


def read_instead(ref: Ref, instead: Mapping[str, Mapping[str, str]]) -> str:
    """Return the stage that a reference leads to: the one it names, or one that stands between."""
    return instead.get(ref.makes[0], {}).get(ref.stage, ref.stage)


def check_edges(stages: Mapping[str, UseStage], document: Document) -> Iterator[Problem]:
    """Yield every reference that leads nowhere or to the wrong kind of result, and cycles."""
    named = document.value.get("stages")
    named = named if isinstance(named, dict) else {}
    for name, use in stages.items():
        for path, ref in refs_of(use.options):
            at: Steps = ("stages", name, *path)
            if ref.stage in named and ref.stage not in stages:
                continue  # that stage has problems of its own
            if ref.stage not in stages:
                yield Problem(
                    spell(at),
                    f"no stage is named '{ref.stage}'.",
                    nearest(ref.stage, named),
                    document.place(at),
                )
            elif (makes := stages[ref.stage].plugin.traits["makes"]) not in ref.makes:
                wanted = " or ".join(ref.makes)
                fitting = [n for n, u in stages.items() if u.plugin.traits["makes"] in ref.makes]
                step = (
                    f"Stages that make one: {', '.join(fitting)}."
                    if fitting
                    else (f"No stage of this file makes a {wanted}.")
                )
                yield Problem(
                    spell(at),
                    f"'${ref.stage}' is {_article(makes)}; expected {_article(wanted)}.",
                    step,
                    document.place(at),
                )
    yield from _check_cycle(stages, document)


def make_nodes(stages: Mapping[str, UseStage], preview: Preview) -> list[Node]:
    """Return all stages and implied ones, each after what it reads, else in file order.

    A model is exported where a program is wanted. What else stands between two stages, the one
    that reads says: it registers `implies(options, preview)`, which yields `Implied`.
    """
    nodes: dict[str, Node] = {}
    for name, use in stages.items():
        implies = use.plugin.traits.get("implies")
        between = [*_exports(use, stages), *(implies(use.options, preview) if implies else ())]
        instead: dict[str, dict[str, str]] = {}
        for one in between:
            node = _implied(one, name, nodes)
            nodes[node.name] = node
            instead.setdefault(one.ref.makes[0], {})[one.ref.stage] = node.name
        inputs = [read_instead(ref, instead) for _, ref in refs_of(use.options)]
        nodes[name] = Node(name, use, tuple(dict.fromkeys(inputs)), instead=instead)
    ordered: dict[str, Node] = {}
    for name in stages:
        _place(nodes[name], nodes, ordered)
    return list(ordered.values())


def _exports(use: UseStage, stages: Mapping[str, UseStage]) -> Iterator[Implied]:
    """Yield an export for each model that stands where a program is wanted."""
    for _, ref in refs_of(use.options):
        if ref.makes[0] == "program" and stages[ref.stage].plugin.traits["makes"] == "model":
            runtime = UseRuntime.model_validate(IMPLIED_RUNTIME)
            options = {"kind": "export", "model": f"${ref.stage}", "runtime": runtime}
            yield Implied(ref, UseStage.model_validate(options))


def _implied(one: Implied, asked_by: str, nodes: Mapping[str, Node]) -> Node:
    """Return the stage that stands between: one that is there already, where it is the same."""
    kind = "onnx" if one.use.kind == "export" else one.use.kind
    name, number = f"{one.ref.stage}.{kind}", 1
    while name in nodes:
        if as_written(nodes[name].use) == as_written(one.use):
            return nodes[name]
        number += 1
        name = f"{one.ref.stage}.{kind}-{number}"
    return Node(name, one.use, (one.ref.stage,), asked_by)


def _place(node: Node, nodes: Mapping[str, Node], ordered: dict[str, Node]) -> None:
    """Add a node to the order, after all that it reads; there are no cycles any more."""
    if node.name in ordered:
        return
    for name in node.inputs:
        _place(nodes[name], nodes, ordered)
    ordered[node.name] = node


def _check_cycle(stages: Mapping[str, UseStage], document: Document) -> Iterator[Problem]:
    edges = {
        name: {ref.stage for _, ref in refs_of(use.options)} & {*stages}
        for name, use in stages.items()
    }
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        cycle = error.args[1][::-1]
        at = ("stages", cycle[0])
        yield Problem(
            spell(at),
            f"stages wait for each other: {' -> '.join(cycle)}.",
            "Let one of them start from another result.",
            document.place(at),
        )


def _article(what: str) -> str:
    return f"{'an' if what[:1] in 'aeiou' else 'a'} {what}" if what != "measurements" else what
