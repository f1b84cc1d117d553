"""`keep: pays` on a stage: another stands behind it, which passes on what is worth having."""

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from edgekd.core import kinds
from edgekd.core.errors import Problem, nearest
from edgekd.core.refs import Ref, UseStage
from edgekd.pipeline.document import Document, Steps

JUDGE = "keep"
"""The kind of the stage that stands behind."""
EDGES = ("model", "before")
"""What it gets by where it stands."""
HELP = "See: edgekd show stage keep"


def with_keeping(
    stages: Mapping[str, UseStage], document: Document
) -> tuple[dict[str, UseStage], Document, list[Problem]]:
    """Return the stages with those that judge, the document that knows them, and what is wrong.

    A stage that asks for it is called `name.tried`, and what judges it takes its name: whatever
    goes on from it goes on from what was kept.
    """
    found: dict[str, UseStage] = {}
    origins: dict[Steps, Steps] = {}
    problems: list[Problem] = []
    for name, use in stages.items():
        if use.keep is None:
            found[name] = use
            continue
        wrong = list(_check(name, use, document))
        problems += wrong
        tried = f"{name}.tried"
        found[tried] = use.model_copy(update={"keep": None})
        origins["stages", tried] = ("stages", name)
        if not wrong:
            given = {} if isinstance(use.keep, str) else use.keep
            origins |= {("stages", name, key): ("stages", name, "keep", key) for key in given}
            origins["stages", name, "before"] = ("stages", name, "model")
            before = str(use.options.model)  # type: ignore[attr-defined]
            behind = {"model": f"${tried}", "before": before, "targets": _targets(stages), **given}
            found[name] = UseStage.model_validate({"kind": JUDGE, **behind})
    return found, document.with_origins(origins), problems


def _targets(stages: Mapping[str, UseStage]) -> tuple[str, ...]:
    """Return the targets that the file's stages measure on, each once."""
    named = [
        name
        for use in stages.values()
        if use.plugin.traits["makes"] == "measurements"
        for name in use.options.targets  # type: ignore[attr-defined]
    ]
    return tuple(dict.fromkeys(named)) or ("cpu",)


def _check(name: str, use: UseStage, document: Document) -> Iterator[Problem]:
    """Yield why there is nothing to keep or to pass on, and options that are wrong."""
    at: Steps = ("stages", name, "keep")
    if use.plugin.traits["makes"] != "model" or not isinstance(
        getattr(use.options, "model", None), Ref
    ):
        message = f"a stage of kind '{use.kind}' that goes on from no model has none to pass on."
        step = "Remove it; it is for a stage whose model: is that of another, as of kind prune."
        yield document.problem(at, message, step)
    if use.seeds > 1 or use.controls:
        message = "a stage that is kept only where it pays has no seeds and no controls."
        yield document.problem(at, message, "Remove keep, or seeds and controls.")
    given = use.keep if isinstance(use.keep, dict) else {}
    config = kinds.stage.get(JUDGE).config
    known = [key for key in config.model_fields if key not in EDGES]
    for key in given.keys() - known:
        message = f"unknown key '{key}'."
        yield document.problem((*at, key), message, nearest(key, known))
    try:
        config.model_validate(dict.fromkeys(EDGES, "$it") | given)
    except ValidationError as error:
        for details in error.errors():
            if details["type"] != "extra_forbidden":
                yield document.problem((*at, *details["loc"]), f"{details['msg']}.", HELP)
