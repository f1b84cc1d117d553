"""`rounds:` on a stage: the circle of stages that it closes, made again and again.

A stage that chooses by what a model says, where that model learns from what was chosen, closes a
circle. Its `rounds` open it: all stages of the circle are made in every round, each from what came
of the round before. The last round keeps their names, so other stages rest on the last.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgekd.core.errors import Problem
from edgekd.core.member import Member
from edgekd.core.refs import Ref, UseStage, refs_of, rewired
from edgekd.pipeline.document import Document
from edgekd.pipeline.family import Family


@dataclass(frozen=True)
class Circle:
    """Stages that are made in every round."""

    closed_by: str
    """The stage with `rounds`."""
    rounds: int
    stages: Sequence[str]
    """All of them, in the order of the file."""

    def named(self, name: str, number: int) -> str:
        """Return what a stage of the circle is called in a round."""
        return name if number == self.rounds else f"{name}.round-{number}"


def with_rounds(family: Family, document: Document) -> tuple[Family, list[Problem]]:
    """Return the stages with those of all rounds, and what is wrong with asking for them.

    Every stage of a circle has as many seeds as the one with the most.
    """
    closing = [name for name, use in family.stages.items() if _rounds(use)]
    circles = [_circle(name, family.stages) for name in closing]
    problems = [p for circle in circles for p in _check(circle, closing, document)]
    if problems:
        return family, problems
    found = replace(family, stages={})
    own = {name: circle for circle in circles for name in circle.stages}
    for name, use in family.stages.items():
        if name in own:
            _add_rounds(found, name, family.stages, own[name])
        else:
            found.stages[name] = use
    return found, []


def _rounds(use: UseStage) -> int:
    return getattr(use.options, "rounds", None) or 0 if "in_round" in use.plugin.traits else 0


def _circle(name: str, stages: Mapping[str, UseStage]) -> Circle:
    """Return what rests on a stage and what it rests on at the same time, itself included."""
    reads = {n: {ref.stage for _, ref in refs_of(use.options)} for n, use in stages.items()}
    readers = {n: {m for m, read in reads.items() if n in read} for n in stages}
    both = _reached(name, reads) & _reached(name, readers)
    inside = [n for n in stages if n == name or n in both]
    return Circle(name, _rounds(stages[name]), inside)


def _reached(name: str, edges: Mapping[str, set[str]]) -> set[str]:
    """Return all that is reached from a stage along edges."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = edges.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _check(circle: Circle, closing: Sequence[str], document: Document) -> Iterator[Problem]:
    name, at = circle.closed_by, ("stages", circle.closed_by, "rounds")
    if len(circle.stages) == 1:
        message = "its model does not learn from what is selected, so there are no rounds to make."
        step = f"Let the model's stage have train: {{labelled: ${name}}}, or leave rounds out."
        yield document.problem(at, message, step)
    others = [other for other in closing if other in circle.stages and other != name]
    if others:
        message = f"{others[0]} makes rounds of the same stages."
        yield document.problem(at, message, "Leave rounds out of one of them.")


def _add_rounds(found: Family, name: str, stages: Mapping[str, UseStage], circle: Circle) -> None:
    """Put a stage of a circle into the family, once for each round."""
    seeds = max(stages[one].seeds for one in circle.stages)
    first = found.members.get(name, Member(name, name))
    for number in range(circle.rounds + 1):
        use = _in_round(stages[name], name, number, circle)
        use = use.model_copy(update={"seeds": seeds})
        called = circle.named(name, number)
        found.circles[called] = circle.closed_by
        if called == name:
            found.stages[name] = use
            found.members.setdefault(name, first)
            continue
        about = {"group": f"{first.group}.round-{number}", "arm": called}
        found.add(called, name, use, **about, words=f"round {number} of {name}")


def _in_round(use: UseStage, name: str, number: int, circle: Circle) -> UseStage:
    """Return a stage as it is in a round: what it reads of the circle is of the same round.

    The one that closes the circle reads what the round before made.
    """
    closes = name == circle.closed_by
    read = number - 1 if closes else number

    def lead(ref: Ref) -> Ref:
        inside = ref.stage in circle.stages
        return replace(ref, stage=circle.named(ref.stage, read)) if inside else ref

    if not closes:
        return use.model_copy(update={"options": rewired(use.options, lead)})
    before = Ref(circle.named(name, read), (use.plugin.traits["makes"],)) if number else None
    options = use.plugin.traits["in_round"](use.options, before)
    wired = rewired(options, lambda ref: ref if ref == before else lead(ref))
    return use.model_copy(update={"options": wired})
