"""What is tried of the registry, and why the rest is not."""

import pytest

from edgekd.core.config import Config
from edgekd.core.kinds import objective
from edgekd.core.refs import UseModel, UseTask
from edgekd.core.registry import Plugin
from edgekd.recommend.candidates import candidates
from edgekd.recommend.taps import Place, Places, find_places
from edgekd.train.optim import Train

TASK = {"kind": "image_classification", "data": "digits"}
STUDENT = {"kind": "depthwise", "width": 4, "blocks": (1, 1)}
TEACHER = {"kind": "resnet", "depth": 8, "width": 4}


@pytest.fixture(scope="module")
def setting():
    return (
        UseTask.model_validate(TASK).build(),
        UseModel.model_validate(STUDENT),
        UseModel.model_validate(TEACHER),
    )


def tried(setting, places=None, only=(), **train):
    task, student, teacher = setting
    found = places or find_places(student, teacher, task)
    return candidates(task, Train(**train), student, teacher, found, only)


def test_modules_to_tap_are_found_by_their_shapes(setting):
    task, student, teacher = setting
    found = find_places(student, teacher, task)
    assert found.vectors == Place("pool", "pool")
    assert found.maps == Place("stages", "stages")
    assert find_places(student, None, task) == Places()


def test_every_objective_that_hears_a_teacher_is_tried_or_named(setting):
    found = tried(setting)
    methods = {one.method for one in found.candidates}
    hears = {p.name for p in objective if any(n.startswith("teacher_") for n in p.needs)}
    assert methods | found.left_out.keys() == hears
    assert {"kd", "pld", "hint", "crd"} <= methods
    assert "model: dual_head" in found.left_out["dho"]
    assert "student_embedding" in found.left_out["embedding_cosine"]
    words = [one.words for one in found.candidates if one.method == "kd"]
    assert words[0] == "0.1 cross_entropy + 0.9 kd (temperature 4)"


def test_what_an_objective_has_tried_is_itself_beside_others_that_there_are():
    for plugin in objective:
        for loss in plugin.traits.get("tries", ()):
            kinds = {term if isinstance(term, str) else term["kind"] for term in loss}
            assert plugin.name in kinds
            assert kinds <= {*objective.names()}


def test_without_modules_to_tap_feature_terms_are_left_out(setting):
    found = tried(setting, Places())
    assert found.left_out["hint"] == "no maps of places were found in both networks"
    assert found.left_out["crd"] == "no vectors before the scores were found in both networks"
    assert "kd" in {one.method for one in found.candidates}


def test_what_the_training_does_not_suit_is_left_out(setting):
    found = tried(setting, augment=({"kind": "mixup"},))
    assert "one true class" in found.left_out["pld"]
    assert "mixkd" in {one.method for one in found.candidates}


def test_more_examples_held_out_than_there_are_leave_out_who_asks_for_them(setting):
    found = tried(setting, held_out=10**6)
    assert "1000000 examples are held out" in found.left_out["tgeo"]
    assert "kd" in {one.method for one in found.candidates}
    assert [o.sets["objective"] for o in tried(setting, only=("tgeo",)).candidates] == [["tgeo"]]


def test_only_what_is_asked_for_is_tried(setting):
    found = tried(setting, only=("pld",))
    assert {one.method for one in found.candidates} == {"pld"}
    assert not found.left_out


def test_an_objective_of_another_package_may_say_its_settings(setting, monkeypatch):
    def mine(config, *, student_logits, teacher_logits):
        return (student_logits - teacher_logits).square().mean(-1)

    losses = ([{"kind": "mine", "weight": 3}], ["mine"])
    for traits, expected in (
        ({}, ["cross_entropy + mine"]),
        ({"tries": losses}, ["3 mine", "mine"]),
    ):
        plugin = Plugin("objective", "mine", mine, Config, traits=traits)
        monkeypatch.setitem(objective._loaded, "mine", plugin)
        found = tried(setting, only=("mine",))
        assert [one.words for one in found.candidates] == expected
