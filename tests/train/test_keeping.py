"""Whether outputs can be kept, told from the file."""

from dataclasses import replace

import pytest

from edgekd.core.kinds import augment, objective
from edgekd.core.needs import ALONE
from edgekd.core.refs import Ref, UseModel, UseObjective, UseSource, UseTask
from edgekd.train.keeping import Cache, class_count, fitting, keep_outputs, row_bytes
from edgekd.train.needs import unbuilt
from edgekd.train.optim import Train
from edgekd.train.pool import pooled

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
MODEL = UseModel.model_validate({"kind": "depthwise", "width": 8})
TEACHER = Ref("big", ("outputs", "model"))


class Preview:
    """A pipeline in which every reference leads to one model."""

    task, targets, hands = TASK, {}, ALONE

    def task_of(self, ref):
        return self.task

    def model(self, ref):
        return MODEL

    def makes(self, ref):
        return "model"

    def options(self, ref):
        return None

    runtime = kind = transform = options


class Fitted:
    """Sees the teacher over all examples before training begins."""

    def __init__(self, config):
        self.config = config

    def fit(self, batches):
        raise AssertionError("nothing is trained here")

    def __call__(self, *, teacher_logits):
        return teacher_logits.mean(1)


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(augment, "test_mixes", lambda config, batch, draws: batch)
    plugged(objective, "test_fitted", Fitted)
    plugged(objective, "test_asks_anew", lambda config, *, teacher_logits: teacher_logits.mean(1))


def keeping(augment=(), objectives=("kd",), taps=(), select=None, preview=None, **cache):
    return keep_outputs(
        TEACHER,
        preview or Preview(),
        taps=taps,
        objective=[UseObjective.model_validate(one) for one in objectives],
        train=Train.model_validate({"augment": augment, "select": select}),
        cache=Cache.model_validate(cache),
    )


def test_examples_that_every_epoch_shows_alike_are_kept_whole():
    options = keeping().options
    assert options["model"] == "$big"
    assert (options["views"], options["top"], options["augment"]) == (1, None, ())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keep": "never"}, "cache.keep: never asks for it"),
        ({"augment": ("flip", "none")}, "with flip and none every epoch shows another view"),
        ({"augment": ("test_mixes",), "views": 4}, "test_mixes does not change every example on"),
        ({"budget_gib": 1e-6}, "its outputs for 1,078 examples do not fit into the cache.budget_"),
    ],
)
def test_why_a_teacher_must_look_itself(given, words):
    found = keeping(**given)
    assert found.options is None
    assert found.why.startswith(words)


def test_an_objective_may_say_that_its_teacher_must_look_itself(monkeypatch):
    plugin = objective.get("test_asks_anew")
    assert keeping(objectives=("test_asks_anew",)).options
    stubborn = replace(plugin, traits={"kept": False})
    monkeypatch.setitem(objective._loaded, plugin.name, stubborn)
    assert "test_asks_anew needs a teacher" in keeping(objectives=("test_asks_anew",)).why


def test_for_a_term_that_is_fitted_only_outputs_of_unchanged_examples_are_kept():
    fitted = ("kd", "test_fitted")
    assert keeping(objectives=fitted, views=4).options["views"] == 1
    assert keeping(objectives=fitted, augment=("flip",), views=4).why.startswith(
        "test_fitted is fitted to examples that nothing has changed"
    )


def test_augmented_views_are_kept_where_their_number_is_given():
    options = keeping(augment=("flip",), views=4).options
    assert options["views"] == 4
    assert [use["kind"] for use in options["augment"]] == ["flip"]
    assert keeping(views=4).options["views"] == 1  # nothing is augmented: all views are one


@pytest.mark.parametrize(
    ("budget", "top", "size"),
    [
        (1e12, None, 1000 * 64_004),
        (64_004_000, None, 1000 * 64_004),
        (64_003_999, 15_999, 1000 * (6 + 4 * 15_999)),
        (262_000, 64, 262_000),
        (38_000, 8, 38_000),
        (37_999, None, None),
    ],
)
def test_the_budget_says_how_many_classes_are_kept(budget, top, size):
    assert fitting(32_000, 1000, 0, float(budget)) == (top, size)


def test_taps_take_their_room_first():
    assert fitting(32_000, 1000, 100, 362_000.0) == (64, 362_000)
    model = unbuilt(MODEL, Preview())
    own = row_bytes(model, TASK.signature(), ())
    assert own == 24
    assert row_bytes(model, TASK.signature(), ("head",)) == own + 2 * 10
    assert row_bytes(model, TASK.signature(), ("head",), top=3) == (6 + 4 * 3) + 2 * 10
    assert class_count(TASK) == 10


def test_for_a_choice_of_examples_only_outputs_of_unchanged_ones_are_kept():
    assert keeping(select="blended_confidence").options["views"] == 1
    changed = keeping(select="blended_confidence", augment=("flip",), views=4)
    assert changed.why.startswith("blended_confidence chooses by examples that nothing has changed")


def test_what_is_said_of_a_pool_is_not_kept():
    preview = Preview()
    preview.task = pooled(TASK, UseSource.model_validate("digits"))
    assert keeping(preview=preview).why == "the student learns from a pool"
