"""Every objective learns under every augmentation, or the plan says why not."""

from math import isfinite
from types import SimpleNamespace

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

    def signature(self):
        outputs = (("logits", CLASSES), ("embedding", WIDTH))
        return Signature(
            (Port("image", "float32", ("batch", 1, 8, 8)),),
            tuple(Port(name, "float32", ("batch", size)) for name, size in outputs),
        )

    def files(self):
        return ()

    def facts(self):
        return {}

    def size(self, split):
        return EXAMPLES[split]

    def batches(self, split, batch_size, *, device, rng=None, part=(0, 1), start=0):
        for ids in batch_ids(self.size(split), batch_size, rng=rng, part=part, start=start):
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


PLACES = ("body", "pool", "parts", "heads")
"""Where to tap: maps of features, a vector, one with parts for each class, scores by head."""


@pytest.fixture(scope="module")
def preview(plugged):
    """Return what a plan would know of a teacher of another width than the student's."""
    plugged(kinds.model, "narrow", lambda config, signature: Network(4))
    plugged(kinds.model, "wide", lambda config, signature: Network(8))
    return SimpleNamespace(
        task=Pictures(), targets={}, hands=ALONE, makes=lambda ref: "model",
        kind=lambda ref: "teacher", model=lambda ref: UseModel.model_validate("wide"),
        options=lambda ref: None, runtime=lambda ref: None, transform=lambda ref: None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(preview, tmp_path_factory):
    """Return a folder with an untrained teacher in it."""
    folder = tmp_path_factory.mktemp("combinations")
    (folder / "teacher").mkdir()
    use, task = UseModel.model_validate("wide"), preview.task
    torch.manual_seed(0)
    module = use.build()(task.signature())
    save_model(folder / "teacher", StoredModel(module, use, task.signature(), task.facts()))
    return folder


def distilled(objective, augment, place):
    """Return the options of a stage that trains by both, tapped at a place where it asks for it."""
    needs = kinds.objective.get(objective).needs
    term = {"kind": objective}
    if tapped := {TAPPED[need]: place for need in needs if need in TAPPED}:
        term["tap"] = tapped
    taught = {"teacher": "$teacher"} if any(need.startswith(TEACHER) for need in needs) else {}
    train = {"epochs": 2, "batch_size": 16, "augment": (augment,)}
    stage = kinds.stage.get("distill")
    return stage.config.model_validate(
        {"model": "narrow", "objective": (term,), "train": train, **taught}
    )


def places_of(objective):
    """Return where a term may be tapped: which form it takes, it tells by what it refuses."""
    return PLACES if {*kinds.objective.get(objective).needs} & {*TAPPED} else PLACES[:1]


@pytest.mark.parametrize("augment", OURS["augment"])
@pytest.mark.parametrize("objective", OURS["objective"])
def test_an_objective_learns_under_an_augmentation(objective, augment, preview, folder):
    stage, refusals = kinds.stage.get("distill"), []
    for place in places_of(objective):
        options = distilled(objective, augment, place)
        problems = list(stage.traits["check"](options, preview))
        assert all(problem.message and problem.next_step for problem in problems)
        if problems:  # refused before anything is paid for: these two do not go together
            return
        run = ExampleRun(folder, preview.task, name=f"{objective}-{augment}-{place}")
        try:
            stage.build(options)(run)
        except (StageError, jaxtyping.TypeCheckError) as error:
            refusals.append(error)
            continue
        assert len(run.epochs) == 2
        assert all(isfinite(epoch["loss"]) for epoch in run.epochs)
        learned = load_model(run.out).module.state_dict()
        assert all(value.isfinite().all() for value in learned.values())
        return
    raise AssertionError("it takes no form of features") from refusals[0]


def test_most_pairs_are_not_refused(preview):
    """A check that refused everything would leave nothing of the test above."""
    stage = kinds.stage.get("distill")
    pairs = [(o, a) for o in OURS["objective"] for a in OURS["augment"]]
    refused = [
        pair for pair in pairs if [*stage.traits["check"](distilled(*pair, PLACES[0]), preview)]
    ]
    assert len(refused) < len(pairs) / 2, refused
