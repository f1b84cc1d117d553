"""What is tried: the objectives that are registered and that the task can feed, at a few settings.

An objective says which settings, as `@objective(..., tries=[[...], ...])`: each a loss as a file
has it, with `tap: maps` or `tap: vectors` where the modules are yet to be found. Without that it is
tried as it is, beside cross-entropy, unless it asks for a tap. One that needs a student of its own
says whose: `teaches="dual_head"`.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from edgekd.core import kinds
from edgekd.core.protocols.task import Task
from edgekd.core.refs import UseModel, UseObjective, as_written
from edgekd.core.registry import Plugin
from edgekd.core.signals import TAPPED, TEACHER
from edgekd.recommend.taps import Place, Places
from edgekd.train.check import check_mixing, check_terms
from edgekd.train.held_out import check_held_out
from edgekd.train.labelled import check_labelled
from edgekd.train.optim import Train

Term = str | Mapping[str, Any]
Loss = Sequence[Term]
CE = "cross_entropy"
MAPS, VECTORS = "maps", "vectors"
"""What a loss of `tries` names for a tap, until it is known what there is to tap."""


@dataclass(frozen=True)
class Candidate:
    """One loss to try."""

    method: str
    """The objective that it is a setting of; `labels alone`, `plain KD` or `as written`."""
    sets: Mapping[str, Any]
    """What it changes in the stage."""
    control: bool = False

    @property
    def words(self) -> str:
        """The loss, with what of it is not the default."""
        return " + ".join(map(_words, self.sets["objective"]))


@dataclass(frozen=True)
class Tried:
    """What a trial begins with."""

    candidates: Sequence[Candidate]
    left_out: Mapping[str, str]
    """Why, by objective."""


def candidates(
    task: Task,
    train: Train,
    student: UseModel | None,
    teacher: UseModel | None,
    places: Places,
    only: Collection[str] = (),
) -> Tried:
    """Return every loss to try that the task and both networks can feed, and what is left out."""
    found: list[Candidate] = []
    left_out: dict[str, str] = {}
    for plugin in kinds.objective:
        if (only and plugin.name not in only) or not _hears_a_teacher(plugin):
            continue
        losses, why = _losses(plugin, places)
        for loss in losses:
            why = _wrong(loss, task, train, student, teacher)
            if why:
                break
            found.append(Candidate(plugin.name, {"objective": loss}))
        if why:
            left_out[plugin.name] = why
    return Tried(found, left_out)


def key(candidate: Candidate) -> str:
    """Return what tells two losses apart."""
    uses = [UseObjective.model_validate(term) for term in candidate.sets["objective"]]
    terms = [as_written(use) for use in uses]
    return json.dumps([candidate.sets.get("teacher", True), terms], sort_keys=True)


def _hears_a_teacher(plugin: Plugin) -> bool:
    return any(need.startswith(TEACHER) for need in plugin.needs)


def _losses(plugin: Plugin, places: Places) -> tuple[Sequence[Loss], str]:
    """Return the losses to try of an objective; why there are none."""
    if own := plugin.traits.get("teaches"):
        return (), f"it teaches a student of its own kind (model: {own})"
    losses = plugin.traits.get("tries")
    if losses is None:
        if TAPPED.keys() & {*plugin.needs}:
            return (), "nothing says where it is to be tapped"
        losses = ([CE, plugin.name],)
    given = {MAPS: places.maps, VECTORS: places.vectors}
    absent = [name for name in given if given[name] is None and _asks(losses, name)]
    if absent:
        what = "maps of places" if MAPS in absent else "vectors before the scores"
        return (), f"no {what} were found in both networks"
    return [[_placed(term, given) for term in loss] for loss in losses], ""


def _asks(losses: Sequence[Loss], name: str) -> bool:
    return any(isinstance(t, Mapping) and t.get("tap") == name for loss in losses for t in loss)


def _placed(term: Term, given: Mapping[str, Place | None]) -> Term:
    """Return a term with the modules that it is tapped at, as far as it asks for them."""
    if isinstance(term, str) or not isinstance(term.get("tap"), str):
        return term
    place = given[term["tap"]]
    needs = kinds.objective.get(term["kind"]).needs
    wanted = [TAPPED[need] for need in needs if need in TAPPED]
    return {**term, "tap": {who: getattr(place, who) for who in wanted}}


def _wrong(
    loss: Loss, task: Task, train: Train, student: UseModel | None, teacher: UseModel | None
) -> str:
    """Return why a loss cannot be learned by here; empty where it can."""
    try:
        uses = [UseObjective.model_validate(term) for term in loss]
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return next(_problems(uses, task, train, student, teacher), "")


def _problems(
    uses: Sequence[UseObjective],
    task: Task,
    train: Train,
    student: UseModel | None,
    teacher: UseModel | None,
) -> Iterator[str]:
    for found in (
        check_terms(uses, task, student, {"teacher": teacher}),
        check_mixing(uses, train),
        check_labelled(uses, train, task),
        check_held_out(uses, train, task),
    ):
        yield from (problem.message.rstrip(".") for problem in found)


def _words(term: Term) -> str:
    """Return `0.9 kd (temperature 4)`."""
    if isinstance(term, str):
        return term
    options = {k: v for k, v in term.items() if k not in ("kind", "weight", "tap")}
    weight = "" if term.get("weight", 1) == 1 else f"{term['weight']:g} "
    inside = ", ".join(f"{name} {_shown(value)}" for name, value in options.items())
    return f"{weight}{term['kind']}" + (f" ({inside})" if inside else "")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
