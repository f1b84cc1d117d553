"""What is made beside a stage of the file: its controls, and the same again with other seeds.

A stage of a later seed rests on that of its own seed of each stage that it reads and that has the
same seeds, and else on the first. Selections are of its own seed in any case: what is to be
labelled is chosen anew for each, so a training learns from the selection of its own seed, and a
selection goes by the model of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.errors import Problem
from edgekd.core.refs import Ref, UseStage, refs_of, rewired
from edgekd.pipeline.document import Document
from edgekd.pipeline.family import Family
from edgekd.pipeline.preview import StagePreview
from edgekd.pipeline.rounds import with_rounds
from edgekd.pipeline.spec import MAX_STAGES

SELECTION = "selection"


def with_members(
    family: Family, seed: int, document: Document, preview: StagePreview | None
) -> tuple[Family, list[Problem]]:
    """Return the stages with their controls and further seeds, and what is wrong with asking so.

    `seed` is the one of stages that name none; `preview` tells which controls can be, and is None
    where the task is not known.
    """
    problems = list(_check(family.stages, document))
    once, wrong = with_rounds(_with_controls(family, preview), document)
    problems += wrong
    count = sum(use.seeds for use in once.stages.values())
    if count > MAX_STAGES:
        message = (
            f"with controls, rounds and seeds these are {count} stages; {MAX_STAGES} are the most."
        )
        problems.append(document.problem(("stages",), message, "Lower seeds or rounds."))
        return family, problems
    return _with_seeds(once, seed), problems


def _check(stages: Mapping[str, UseStage], document: Document) -> Iterator[Problem]:
    for name, use in stages.items():
        if use.controls and "controls" not in use.plugin.traits:
            able = ", ".join(plugin.name for plugin in kinds.stage if "controls" in plugin.traits)
            at = ("stages", name, "controls")
            message = f"a stage of kind '{use.kind}' has no controls."
            yield document.problem(at, message, f"Remove it. Kinds that have some: {able}.")


def _with_controls(family: Family, preview: StagePreview | None) -> Family:
    """Return the stages with what each that asks for it is to be compared with.

    A control that is the stage itself, one that its group has already, and one that would hear of
    a teacher what it does not tell, is left out.
    """
    found = replace(family, stages={})
    for name, use in family.stages.items():
        found.stages[name] = use
        controls = use.plugin.traits.get("controls") if use.controls else None
        for control, options in controls(use.options).items() if controls else ():
            made = use.model_copy(update={"options": options, "controls": False})
            new = made.options != use.options and made not in _of_group(found, name)
            if new and not _unheard(made, preview):
                arm = f"{name}.{control}"
                about = {"setting": control, "words": f"control of {name}"}
                found.add(arm, name, made, arm=arm, control=True, **about)
    return found


def _unheard(use: UseStage, preview: StagePreview | None) -> bool:
    """Tell whether a stage would hear what its teacher does not tell: see `across`."""
    across = use.plugin.traits.get("across")
    return bool(preview and across and any(across(use.options, preview.seen_by(use))))


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
    firsts = {n: seed if use.seed is None else use.seed for n, use in family.stages.items()}
    for name, use in family.stages.items():
        found.stages[name] = use
        own = _of_own_seed(name, family, firsts)
        for after in range(1, use.seeds):
            names = {n: f"{n}.seed-{firsts[n] + after}" for n in own if own[n] > after}
            later = firsts[name] + after
            again = use.model_copy(update={"seed": later, "options": _led(use, names)})
            found.add(f"{name}.seed-{later}", name, again, words=f"seed {later} of {name}")
    return found


def _of_own_seed(name: str, family: Family, firsts: Mapping[str, int]) -> dict[str, int]:
    """Return the stages that one reads of its own seed, with how many seeds they have."""
    use, circle = family.stages[name], family.circles.get(name, "")
    selects = use.plugin.traits["makes"] == SELECTION
    read = {
        ref.stage
        for _, ref in refs_of(use.options)
        if selects
        or ref.makes == (SELECTION,)
        or family.circles.get(ref.stage) == circle
        or firsts.get(ref.stage) == firsts[name]
    }
    return {one: family.stages[one].seeds for one in read if one in family.stages}


def _led(use: UseStage, names: Mapping[str, str]) -> Config:
    """Return a stage's options with other names for what it reads; where none is, the very same."""

    def lead(ref: Ref) -> Ref:
        return replace(ref, stage=names.get(ref.stage, ref.stage))

    options: Config = rewired(use.options, lead) if names else use.options
    return options
