"""What is made beside a stage of the file: its controls, and the same again with other seeds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgekd.core import kinds
from edgekd.core.errors import Problem
from edgekd.core.member import Member
from edgekd.core.refs import UseStage
from edgekd.pipeline.document import Document, Steps
from edgekd.pipeline.spec import MAX_STAGES


@dataclass
class Family:
    """All stages by name, in the order of the file, each with what it was made from."""

    stages: dict[str, UseStage]
    members: dict[str, Member] = field(default_factory=dict)
    """Of every stage that is one of several."""
    origins: dict[Steps, Steps] = field(default_factory=dict)
    """Where the options of a stage stand that the file does not name itself."""

    def add(self, name: str, of: str, use: UseStage, **about: Any) -> None:
        """Put a stage into the group of another, whose place in the file is its own."""
        own = self.members.setdefault(of, Member(of, of))
        self.stages[name] = use
        self.members[name] = replace(own, **about)
        self.origins["stages", name] = ("stages", of)


def with_members(family: Family, seed: int, document: Document) -> tuple[Family, list[Problem]]:
    """Return the stages with their controls and further seeds, and what is wrong with asking so.

    `seed` is the one of stages that name none.
    """
    problems = list(_check(family.stages, document))
    whole = _with_seeds(_with_controls(family), seed)
    if len(whole.stages) > MAX_STAGES:
        message = (
            f"with controls and seeds these are {len(whole.stages)} stages; "
            f"{MAX_STAGES} are the most."
        )
        problems.append(document.problem(("stages",), message, "Lower seeds."))
        return family, problems
    return whole, problems


def _check(stages: Mapping[str, UseStage], document: Document) -> Iterator[Problem]:
    for name, use in stages.items():
        if use.controls and "controls" not in use.plugin.traits:
            able = ", ".join(plugin.name for plugin in kinds.stage if "controls" in plugin.traits)
            at = ("stages", name, "controls")
            message = f"a stage of kind '{use.kind}' has no controls."
            yield document.problem(at, message, f"Remove it. Kinds that have some: {able}.")


def _with_controls(family: Family) -> Family:
    """Return the stages with what each that asks for it is to be compared with.

    A control that is the stage itself, or one that its group has already, is left out.
    """
    found = replace(family, stages={})
    for name, use in family.stages.items():
        found.stages[name] = use
        controls = use.plugin.traits.get("controls") if use.controls else None
        for control, options in controls(use.options).items() if controls else ():
            made = use.model_copy(update={"options": options, "controls": False})
            if made.options != use.options and made not in _of_group(found, name):
                arm = f"{name}.{control}"
                about = {"setting": control, "words": f"control of {name}"}
                found.add(arm, name, made, arm=arm, control=True, **about)
    return found


def _of_group(family: Family, name: str) -> list[UseStage]:
    group = family.members[name].group if name in family.members else name
    return [
        use
        for n, use in family.stages.items()
        if n in family.members and family.members[n].group == group
    ]


def _with_seeds(family: Family, seed: int) -> Family:
    """Return the stages, each followed by itself with the seeds after its own."""
    found = replace(family, stages={})
    for name, use in family.stages.items():
        found.stages[name] = use
        first = seed if use.seed is None else use.seed
        for later in range(first + 1, first + use.seeds):
            again = use.model_copy(update={"seed": later})
            found.add(f"{name}.seed-{later}", name, again, words=f"seed {later} of {name}")
    return found
