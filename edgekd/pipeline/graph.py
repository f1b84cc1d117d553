"""Which stage rests on which: references that meet, exports that are implied, and the order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from edgekd.core.errors import Problem, nearest
from edgekd.core.member import Member
from edgekd.core.refs import Implied, Ref, UseRuntime, UseStage, UseTask, as_written, refs_of
from edgekd.pipeline.document import Document, Steps

if TYPE_CHECKING:
    from edgekd.pipeline.preview import StagePreview

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
    member: Member | None = None
    """What it is among the stages that were made from one of the file; None where it is alone."""

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
    written = {name.partition(".")[0] for name in named}
    for name, use in stages.items():
        for path, ref in refs_of(use.options):
            at: Steps = ("stages", name, *path)
            if any(one in named and one not in stages for one in _leading_to(ref.stage)):
                continue  # that stage has problems of its own
            if ref.stage not in stages:
                yield document.problem(
                    at, f"no stage is named '{ref.stage}'.", nearest(ref.stage, written)
                )
            elif (makes := stages[ref.stage].plugin.traits["makes"]) not in ref.makes:
                wanted = " or ".join(ref.makes)
                fitting = [n for n, u in stages.items() if u.plugin.traits["makes"] in ref.makes]
                step = (
                    f"Stages that make one: {', '.join(fitting)}."
                    if fitting
                    else (f"No stage of this file makes a {wanted}.")
                )
                yield document.problem(
                    at, f"'${ref.stage}' is {_article(makes)}; expected {_article(wanted)}.", step
                )
    yield from _check_cycle(stages, document)


def make_nodes(
    stages: Mapping[str, UseStage], members: Mapping[str, Member], preview: "StagePreview"
) -> list[Node]:
    """Return all stages and implied ones, each after what it reads, else in file order.

    A model is exported where a program is wanted. What else stands between two stages, the one
    that reads says: it registers `implies(options, preview)`, which yields `Implied`.
    """
    nodes: dict[str, Node] = {}
    for name, use in stages.items():
        implies, seen = use.plugin.traits.get("implies"), preview.seen_by(use)
        between = [*_exports(use, stages), *(implies(use.options, seen) if implies else ())]
        instead: dict[str, dict[str, str]] = {}
        for one in between:
            node = _implied(one, name, use.task, nodes)
            nodes[node.name] = node
            instead.setdefault(one.ref.makes[0], {})[one.ref.stage] = node.name
        inputs = [read_instead(ref, instead) for _, ref in refs_of(use.options)]
        reads = tuple(dict.fromkeys(inputs))
        nodes[name] = Node(name, use, reads, instead=instead, member=members.get(name))
    for name, use in stages.items():
        if use.plugin.traits.get("compares"):
            nodes[name] = _beside(nodes[name], nodes)
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


def _implied(one: Implied, asked_by: str, task: UseTask | None, nodes: Mapping[str, Node]) -> Node:
    """Return the stage that stands between: one that is there already, where it is the same.

    It has the task of the one that asks for it.
    """
    use = one.use.model_copy(update={"task": task})
    kind = "onnx" if one.use.kind == "export" else one.use.kind
    name, number = f"{one.ref.stage}.{kind}", 1
    while name in nodes:
        if as_written(nodes[name].use) == as_written(use):
            return nodes[name]
        number += 1
        name = f"{one.ref.stage}.{kind}-{number}"
    return Node(name, use, (one.ref.stage,), asked_by)


def _beside(node: Node, nodes: Mapping[str, Node]) -> Node:
    """Return a stage that also reads all members of the groups that it rests on."""
    above, waiting = {node.name}, [node]
    while waiting:
        for name in waiting.pop().inputs:
            if name not in above:
                above.add(name)
                waiting.append(nodes[name])
    groups = {member.group for name in above if (member := nodes[name].member)}
    members = [n for n, one in nodes.items() if one.member and one.member.group in groups]
    return replace(node, inputs=tuple(dict.fromkeys([*node.inputs, *members])))


def _leading_to(name: str) -> Iterator[str]:
    """Yield `student`, `student.1` and `student.1.no_kd` for the last of them."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


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
        yield document.problem(
            ("stages", cycle[0]),
            f"stages wait for each other: {' -> '.join(cycle)}.",
            "Let one of them start from another result.",
        )


def _article(what: str) -> str:
    return f"{'an' if what[:1] in 'aeiou' else 'a'} {what}" if what != "measurements" else what
