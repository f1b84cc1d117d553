"""What is tried: the objectives that are registered and that the task can feed, at a few settings.

Settings are the authors', as docs/distillation.md has them. An objective of another package says
its own: `@objective(..., tries=[[...], ...])`, each a loss as a file has it; without that it is
tried as it is, beside cross-entropy, unless it asks for a tap.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from edgekd.core import kinds
from edgekd.core.protocols import Task
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
MAPS, VECTORS = "<maps>", "<vectors>"
"""What stands for a tap until it is known what there is to tap."""

SETTINGS: Mapping[str, Sequence[Loss]] = {
    "kd": (
        [{"kind": CE, "weight": 0.1}, {"kind": "kd", "weight": 0.9, "temperature": 4}],
        [{"kind": CE, "weight": 0.1}, {"kind": "kd", "weight": 0.9, "temperature": 2}],
        [{"kind": "kd", "temperature": 1}],
        [CE, {"kind": "kd", "weight": 9, "temperature": 2, "standardise": True}],
    ),
    "dkd": ([CE, "dkd"], [CE, {"kind": "dkd", "weight": 0.25}]),
    "dist": ([CE, "dist"], [CE, {"kind": "dist", "temperature": 4}]),
    "pld": (["pld"], [{"kind": "pld", "temperature": 4}]),
    "mixkd": (["mixkd"],),
    "tgeo": (["tgeo"],),
    "selfkd": ([{"kind": "brier", "weight": 0.5}, {"kind": "selfkd", "weight": 0.5}],),
    "bdkd": (
        [CE, {"kind": "bdkd", "online": False}],
        [{"kind": CE, "weight": 0.1}, {"kind": "bdkd", "weight": 0.9, "online": False}],
    ),
    "ofa": ([CE, "ofa"], [CE, {"kind": "ofa", "gamma": 1.5}]),
    "ofa_branch": ([CE, "ofa", {"kind": "ofa_branch", "tap": MAPS}],),
    "hint": ([CE, {"kind": "hint", "weight": 20, "tap": MAPS}],),
    "attention": ([CE, {"kind": "attention", "weight": 100, "tap": MAPS}],),
    "vid": ([CE, {"kind": "vid", "tap": MAPS}],),
    "prock": ([CE, {"kind": "prock", "tap": MAPS}],),
    "token_graph": ([CE, "kd", {"kind": "token_graph", "tap": MAPS}],),
    "nd": ([CE, "kd", {"kind": "nd", "tap": VECTORS}],),
    "crd": ([CE, {"kind": "crd", "weight": 0.8, "negatives": 1024, "tap": VECTORS}],),
    "rkd": ([CE, {"kind": "rkd", "tap": VECTORS}],),
    "spkd": ([CE, {"kind": "spkd", "weight": 300, "tap": VECTORS}],),
    "embedding_neighbours": (["embedding_cosine", "embedding_neighbours"],),
    "embedding_cosine": (["embedding_cosine"],),
}
"""Losses to try of each objective."""
OWN_STUDENT = {"dho": "dual_head", "lelp": "subclasses"}
"""Objectives that teach a student of another shape."""


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
    if plugin.name in OWN_STUDENT:
        return (), f"it teaches a student of its own kind (model: {OWN_STUDENT[plugin.name]})"
    losses = plugin.traits.get("tries") or SETTINGS.get(plugin.name)
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
