"""Which stage rests on which: references that meet, exports that are implied, and the order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from edgekd.core.errors import Problem, nearest
from edgekd.core.refs import UseRuntime, UseStage, refs_of
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
    """The stage that asked for this export, where the file does not name it."""

    @property
    def makes(self) -> str:
        """The kind of its result."""
        return str(self.use.plugin.traits["makes"])


def implied_export(name: str) -> str:
    """Return the name of the export that is made where a model stands for a program."""
    return f"{name}.onnx"


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


def make_nodes(stages: Mapping[str, UseStage]) -> list[Node]:
    """Return all stages and implied exports, each after what it reads, else in file order."""
    nodes: dict[str, Node] = {}
    for name, use in stages.items():
        inputs = []
        for _, ref in refs_of(use.options):
            makes = stages[ref.stage].plugin.traits["makes"]
            if "program" in ref.makes and makes == "model":
                export = implied_export(ref.stage)
                nodes.setdefault(export, _export(ref.stage, name))
                inputs.append(export)
            else:
                inputs.append(ref.stage)
        nodes[name] = Node(name, use, tuple(dict.fromkeys(inputs)))
    ordered: dict[str, Node] = {}
    for name in stages:
        _place(nodes[name], nodes, ordered)
    return list(ordered.values())


def _place(node: Node, nodes: Mapping[str, Node], ordered: dict[str, Node]) -> None:
    """Add a node to the order, after all that it reads; there are no cycles any more."""
    if node.name in ordered:
        return
    for name in node.inputs:
        _place(nodes[name], nodes, ordered)
    ordered[node.name] = node


def _export(model: str, asked_by: str) -> Node:
    runtime = UseRuntime.model_validate(IMPLIED_RUNTIME)
    use = UseStage.model_validate({"kind": "export", "model": f"${model}", "runtime": runtime})
    return Node(implied_export(model), use, (model,), asked_by)


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
