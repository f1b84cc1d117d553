"""Every objective learns under every augmentation and in every way, or the plan says why not.

A way is what else a training may be: terms whose weights rise together, a share that is learned, a
choice of examples, few labels, a head that is not as usual. A pair of objective and augmentation is
tried in one way, so that each of both meets each way; where the three do not go together, the pair
is tried alone and the objective in that way without the augmentation.
"""

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jaxtyping
import pytest
import torch
from torch import nn

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.needs import ALONE
from edgekd.core.refs import UseModel
from edgekd.core.registry import PACKAGE
from edgekd.core.signals import TAPPED, TEACHER
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.ops.batches import batch_ids
from edgekd.testing.runs import ExampleRun

CLASSES, WIDTH = 5, 6
EXAMPLES = {"train": 33, "validation": 16, "test": 16}
OURS = {
    kind: [p.name for p in registry if p.source.is_relative_to(PACKAGE)]
    for kind, registry in (("objective", kinds.objective), ("augment", kinds.augment))
}


class Pictures:
    """Pictures by chance with everything that a batch of any task carries."""

    quality = ("accuracy",)
    columns = ("labels", "ids", "answers")

    def __init__(self, **outputs):
        self.outputs = outputs

    def signature(self):
        return Signature(
            (Port("image", "float32", ("batch", 1, 8, 8)),),
            tuple(Port(name, "float32", ("batch", size)) for name, size in self.outputs.items()),
        )

    def files(self):
        return ()

    def facts(self):
        return {"labels": [*"abcde"]}

    def size(self, split):
        return EXAMPLES[split]

    def batches(self, split, batch_size, *, device, **how):
        for ids in batch_ids(self.size(split), batch_size, **how):
            image = torch.randn(
                self.size(split), 1, 8, 8, generator=torch.Generator().manual_seed(0)
            )
            answers = torch.where(ids % 2 == 0, ids + 1, -1)
            yield {"image": image[ids], "labels": ids % CLASSES, "ids": ids, "answers": answers}


class Network(nn.Module):
    """Features of every form to tap, scores that are the mean of two heads, and an embedding."""

    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.parts, self.embedding = nn.Linear(width, 2 * CLASSES), nn.Linear(width, WIDTH)
        self.heads = nn.Unflatten(1, (2, CLASSES))

    def forward(self, image):
        pooled = self.pool(self.body(image))
        return self.heads(self.parts(pooled)).mean(1), self.embedding(pooled)


class Classifier(Network):
    """Scores alone, by a linear layer."""

    def __init__(self, width, classes):
        super().__init__(width)
        self.head = nn.Linear(width, classes)
        del self.parts, self.embedding, self.heads

    def forward(self, image):
        return self.head(self.pool(self.body(image)))


def vit(width):
    return {"kind": "vit", "width": width, "depth": 2, "heads": 2, "patch": 4}


class Room(NamedTuple):
    """A task with a student and a teacher of another width."""

    task: Pictures
    student: object
    teacher: object


BOTH, SCORES = Pictures(logits=CLASSES, embedding=WIDTH), Pictures(logits=CLASSES)
ROOMS = {
    "both": Room(BOTH, "narrow", "wide"),
    "scores": Room(SCORES, "narrow_classifier", "wide_classifier"),
    "patches": Room(SCORES, vit(4), vit(8)),
}


@dataclass(frozen=True)
class Way:
    """How an objective is learned by."""

    room: str = "both"
    places: tuple = tuple((place, place) for place in ("body", "pool", "parts", "heads"))
    """Where to tap both: maps, a vector, one with parts for each class, scores by head."""
    own: dict = field(default_factory=dict)
    """Of the term."""
    beside: tuple = ()
    train: dict = field(default_factory=dict)
    head: dict = field(default_factory=dict)
    """What is around the student."""


IN_BODY = (("body", "body"), ("pool", "pool"))
ALONE_AND_STEADY = Way()
SOME_PATCHES = Way("patches", tuple((p, p) for p in ("norm", "blocks.0", "head")))
SMALL = {
    "masked_reconstruction": {"width": 8, "depth": 1, "heads": 2},
    "patch_mask": {"patch": 4, "ratio": 0.5},
}
"""Options of what by itself is large or for other networks."""
RISING = {"kind": "cross_entropy", "weight": 0.5, "warmup": 0.9}
WAYS = {
    "alone": ALONE_AND_STEADY,
    "rising_beside_another": Way(own={"warmup": 0.5}, beside=(RISING,)),
    "beside_a_learned_share": Way(beside=("tgeo",)),
    "chosen_examples": Way(train={"select": {"kind": "blended_confidence", "cut": 0.2}}),
    "few_labels": Way(train={"labelled": 12}),
    "two_heads": Way("scores", (("head.both", "head"), *IN_BODY), head={"kind": "dual_head"}),
    "parts": Way(
        "scores",
        (("network", "pool"), ("network.body", "body"), ("network.pool", "pool")),
        head={"kind": "subclasses", "parts": 2},
    ),
    "shared_head": Way(
        "scores", (("projector", "body"), *IN_BODY), head={"kind": "shared_classifier", "width": 8}
    ),
}


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    for name, width in (("narrow", 4), ("wide", 8)):

        def classifier(config, signature, width=width):
            return Classifier(width, signature.outputs[0].shape[-1])

        plugged(kinds.model, name, lambda config, signature, width=width: Network(width))
        plugged(kinds.model, f"{name}_classifier", classifier)


@pytest.fixture(scope="module")
def folders(plug_ins, tmp_path_factory):
    """Return for each room a folder with an untrained teacher in it."""
    found = {}
    for name, room in ROOMS.items():
        found[name] = folder = tmp_path_factory.mktemp(name)
        (folder / "teacher").mkdir()
        use, task = UseModel.model_validate(room.teacher), room.task
        torch.manual_seed(0)
        module = use.build()(task.signature())
        save_model(folder / "teacher", StoredModel(module, use, task.signature(), task.facts()))
    return found


def preview(way):
    """Return what a plan would know."""
    room = ROOMS[way.room]
    return SimpleNamespace(
        task=room.task, task_of=lambda ref: room.task, targets={}, hands=ALONE,
        makes=lambda ref: "model", kind=lambda ref: "teacher",
        model=lambda ref: UseModel.model_validate(room.teacher),
        options=lambda ref: None, runtime=lambda ref: None, transform=lambda ref: None,
    )  # fmt: skip


def distilled(objective, augment, way, places):
    """Return the options of a stage that trains so, tapped where the objective asks for it."""
    term = {"kind": objective} | SMALL.get(objective, {}) | way.own
    if way == SOME_PATCHES and objective == "tgeo":  # attention cannot be differentiated twice
        term["inner_params"] = "head"
    if tapped := {TAPPED[n] for n in kinds.objective.get(objective).needs if n in TAPPED}:
        term["tap"] = {n: p for n, p in zip(("student", "teacher"), places, strict=True)
                       if n in tapped}  # fmt: skip
    terms = (term, *way.beside)
    kinds_of = [one if isinstance(one, str) else one["kind"] for one in terms]
    asks = any(n.startswith(TEACHER) for k in kinds_of for n in kinds.objective.get(k).needs)
    taught = {"teacher": "$teacher"} if asks or way.train or way.head else {}
    change = {"kind": augment} | SMALL.get(augment, {})
    train = {"epochs": 1, "batch_size": 12, "augment": (change,)} | way.train
    student = ROOMS[way.room].student
    model = way.head | {"of": student} if way.head else student
    stage = kinds.stage.get("distill")
    return stage.config.model_validate(
        {"model": model, "objective": terms, "train": train, **taught}
    )


def places_of(objective, way):
    """Return where a term may be tapped: which form it takes, it tells by what it refuses."""
    taps = {*kinds.objective.get(objective).needs} & {*TAPPED}
    return way.places if taps else way.places[:1]


def problems(objective, augment, way, places=None):
    """Return why the plan refuses, each with what to do."""
    options = distilled(objective, augment, way, places or way.places[0])
    found = list(kinds.stage.get("distill").traits["check"](options, preview(way)))
    assert all(problem.message and problem.next_step for problem in found)
    return found


def learns(objective, augment, way, folders):
    """Train so; tell whether it was not refused before anything is paid for."""
    folder: Path = folders[way.room]
    refusals, stage = [], kinds.stage.get("distill")
    for places in places_of(objective, way):
        if problems(objective, augment, way, places):
            return False
        name = f"{objective}-{augment}-{len([*folder.iterdir()])}"
        run = ExampleRun(folder, ROOMS[way.room].task, name=name)
        try:
            stage.build(distilled(objective, augment, way, places))(run)
        except (StageError, jaxtyping.TypeCheckError) as error:
            refusals.append(error)
            continue
        assert len(run.epochs) == 1
        assert all(isfinite(epoch["loss"]) for epoch in run.epochs)
        learned = load_model(run.out).module.state_dict()
        assert all(value.isfinite().all() for value in learned.values())
        return True
    if kinds.objective.get(objective).traits.get("teaches") and way != ALONE_AND_STEADY:
        return False  # it teaches a student of another kind alone, and has said so
    raise AssertionError("it takes no form of features") from refusals[0]


@pytest.mark.parametrize("augment", OURS["augment"])
@pytest.mark.parametrize("objective", OURS["objective"])
def test_an_objective_learns_under_an_augmentation_and_in_a_way(objective, augment, folders):
    number = OURS["objective"].index(objective) + OURS["augment"].index(augment)
    way = SOME_PATCHES if augment == "patch_mask" else [*WAYS.values()][number % len(WAYS)]
    if not learns(objective, augment, way, folders) and way not in (ALONE_AND_STEADY, SOME_PATCHES):
        learns(objective, augment, ALONE_AND_STEADY, folders)
        learns(objective, "none", way, folders)


def test_most_pairs_are_not_refused():
    """A check that refused everything would leave nothing of the test above."""
    changes = [name for name in OURS["augment"] if name != "patch_mask"]
    pairs = [(o, a, ALONE_AND_STEADY) for o in OURS["objective"] for a in changes]
    pairs += [(o, "none", way) for o in OURS["objective"] for way in WAYS.values()]
    refused = [pair[:2] for pair in pairs if problems(*pair)]
    assert len(refused) < len(pairs) / 3, refused
