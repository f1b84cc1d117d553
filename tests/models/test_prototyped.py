"""Prototypes in a student: where it begins, who gives them, what it hands on."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.kinds import runtime
from edgekd.core.refs import UseModel, UseObjective, UseTask
from edgekd.core.registry import Plugin
from edgekd.models.folder import load_model, save_model, stored_for
from edgekd.testing.runs import ExampleRun
from edgekd.testing.tiny import PICTURES
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.teaching import Said
from edgekd.train.terms import Terms
from edgekd.train.views import Views

INNER = {"kind": "depthwise", "width": 4, "blocks": (1, 1), "stem_stride": 1}
TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 80}
).build()


def use(**options):
    given = {"kind": "prototyped", "of": INNER, "prototypes": 6, "width": 5}
    return UseModel.model_validate(given | options)


def network(**options):
    torch.manual_seed(0)
    return use(**options).build()(PICTURES)


def filled(model):
    """Return a model that has something to recall, and adds it."""
    part = model.stages
    part.recall.keep(torch.randn(6, 5), torch.tensor(0.7))
    nn.init.normal_(part.value.weight)
    return model


def test_it_begins_as_the_model_that_it_is_made_of():
    torch.manual_seed(0)
    plain = UseModel.model_validate(INNER).build()(PICTURES).eval()
    model, images = network().eval(), torch.randn(3, 1, 8, 8)
    model.stages.recall.keep(torch.randn(6, 5), torch.tensor(0.7))
    assert torch.equal(model(images), plain(images))


def test_what_is_added_is_the_formula_at_each_place():
    part, before = filled(network()).stages.eval(), torch.randn(2, 4, 8, 8)
    feature = part.inner(before)
    asked = torch.einsum("nchw,dc->nhwd", feature, part.query.weight.flatten(1)) + part.query.bias
    far = (asked[..., None, :] - part.recall.prototypes).square().sum(-1)
    told = (-far / 0.7).softmax(-1) @ part.recall.prototypes @ part.value.weight.flatten(1).T
    assert_close(part(before), feature + told.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)


def test_tokens_are_added_to_as_maps_are(plugged):
    def rows(config, signature):
        flat = nn.Sequential(nn.Flatten(2), nn.Linear(64, 6))  # [n, 1, 64] to [n, 1, 6]
        return nn.Sequential(flat, nn.Flatten(), nn.Linear(6, 10))

    plugged(kinds.model, "test_rows", rows)
    torch.manual_seed(0)
    model = use(of="test_rows", at="0").build()(PICTURES)
    assert model(torch.randn(3, 1, 8, 8)).shape == (3, 10)
    assert isinstance(model[0].value, nn.Linear)


def test_a_path_without_a_feature_is_refused():
    with pytest.raises(ValueError, match="depthwise has no module 'stage'"):
        network(at="stage")
    with pytest.raises(ValueError, match=r"'pool' gives \[8\]: neither a map nor tokens"):
        network(at="pool")


def teacher(batch, view):
    feature = torch.nn.functional.avg_pool2d(batch["image"], 2).expand(-1, 5, -1, -1)
    return Said({"logits": torch.zeros(len(batch["ids"]), 10)}, {"it": feature + torch.arange(16.0)
                .view(4, 4)})  # fmt: skip


def lesson(folder, model, **options):
    term = {"kind": "prock", "prototypes": 6, "projector": False,
            "tap": {"student": "stages.query", "teacher": "it"}} | options  # fmt: skip
    terms = Terms([UseObjective.model_validate(one) for one in ("cross_entropy", term)])
    train_options = Train(epochs=2, batch_size=40, ema=0.5)
    return Lesson(
        ExampleRun(folder, TASK), model, {"teacher": teacher}, terms, train_options, Views(0)
    )


def test_prock_gives_the_student_its_prototypes_which_stay_and_are_handed_on(tmp_path):
    model = network()
    taught = lesson(tmp_path, model)
    train(taught)
    term, part = taught.terms.built["prock"], model.stages
    assert term.prototypes.any()
    assert torch.equal(part.recall.prototypes, term.prototypes)
    assert torch.equal(part.recall.spread, term.spread)
    assert part.value.weight.any(), "it learned to add them"
    assert not [*term.parameters()]
    (tmp_path / "kept").mkdir()
    save_model(tmp_path / "kept", stored_for(TASK, model, use()))
    images = torch.randn(3, 1, 8, 8)
    assert_close(load_model(tmp_path / "kept").module(images), model.eval()(images))


def test_a_student_with_other_room_and_a_feature_of_another_width_are_refused(tmp_path):
    said = r"cannot recall prototypes: there is room for .* \[9, 5\], and these are \[6, 5\]"
    with pytest.raises(StageError, match=said):
        train(lesson(tmp_path, network(prototypes=9)))
    with pytest.raises(StageError, match=r"feature is 7 wide and the teacher's 5(?s:.*)projector"):
        train(lesson(tmp_path, network(width=7)))


def test_an_exported_program_recalls_the_same(tmp_path):
    model, image = filled(network()).eval(), torch.randn(64, 1, 8, 8)
    plugin = runtime.get("onnxruntime")
    program = plugin.build(plugin.config())
    file = tmp_path / f"m{program.suffix}"
    program.export(model, signature=PICTURES, samples={"image": image}, metadata={},
                   quantization=None, calibration=[], activation="uint8", out=file)  # fmt: skip
    given = program.open(file)({"image": image.numpy()})
    np.testing.assert_allclose(given["logits"], model(image).detach().numpy(), atol=1e-4)


def test_what_the_inner_model_says_is_passed_on(monkeypatch):
    class Whole(Config):
        folder: str = "/models"

    def whole(config, signature):
        raise AssertionError("it is not built")

    told = {
        "has_weights": lambda options: True,
        "settle": lambda options, module: Whole(folder=""),
    }
    own = Plugin("model", "test_whole", whole, Whole, traits=told)
    monkeypatch.setitem(kinds.model._loaded, "test_whole", own)
    options, traits = use(of="test_whole").options, kinds.model.get("prototyped").traits
    assert traits["has_weights"](options)
    assert traits["settle"](options, nn.Identity()).of.options.folder == ""
