"""Parts of classes in a network's head, added up for whoever runs it."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.errors import Problem
from edgekd.core.refs import UseModel, UseTask
from edgekd.core.registry import Plugin
from edgekd.core.signature import Signature
from edgekd.models.folder import load_model, save_model, stored_for
from edgekd.testing.tiny import PAIRS
from edgekd.train.check import check_model

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
USE = UseModel.model_validate(
    {"kind": "subclasses", "of": {"kind": "depthwise", "width": 4, "blocks": (1,)}, "parts": 3}
)


def test_a_class_is_as_likely_as_its_parts_together():
    torch.manual_seed(0)
    model = USE.build()(TASK.signature()).eval()
    images = torch.randn(5, 1, 8, 8)
    parts = model.network(images)
    assert parts.shape == (5, 30)
    whole = parts.softmax(-1).view(5, 10, 3).sum(-1)
    assert_close(model(images).softmax(-1), whole)


def test_it_comes_back_from_its_folder(tmp_path):
    model = USE.build()(TASK.signature()).eval()
    save_model(tmp_path, stored_for(TASK, model, USE))
    again = load_model(tmp_path)
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(again.module(images), model(images))
    assert again.use.options.of.options.width == 4


class Own(Config):
    """Options of a network that leads outside its folder."""

    place: str = "outside"


def test_what_the_network_says_of_itself_is_said_of_it(monkeypatch):
    def build(config, signature):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, signature.outputs[0].shape[-1]))

    traits = {
        "check": lambda options, task, *, taught: [Problem("place", f"taught: {taught}.", "")],
        "settle": lambda options, module: Own(place=type(module).__name__),
        "has_weights": lambda options: options.place == "outside",
    }
    own = Plugin("model", "test_own", build, Own, traits=traits)
    monkeypatch.setitem(kinds.model._loaded, "test_own", own)
    use = UseModel.model_validate({"kind": "subclasses", "of": "test_own"})
    (problem,) = check_model(use, TASK, "model", taught=False)
    assert (problem.path, problem.message) == ("model.of.place", "taught: False.")
    assert use.plugin.traits["has_weights"](use.options)
    settled = use.plugin.traits["settle"](use.options, use.build()(TASK.signature()))
    assert settled.of.options.place == "Sequential"
    assert not use.plugin.traits["has_weights"](settled)
    plain = USE.plugin.traits
    assert plain["settle"](USE.options, USE.build()(TASK.signature())) == USE.options
    assert not plain["has_weights"](USE.options)


def test_a_task_with_other_outputs_is_refused():
    pairs = Signature(PAIRS.inputs, PAIRS.outputs)
    with pytest.raises(ValueError, match="asks for other outputs"):
        USE.build()(pairs)
    with pytest.raises(ValueError, match="takes 3 inputs, this task 4"):
        USE.build()(Signature(PAIRS.inputs * 2, PAIRS.outputs[:1]))
