"""A student under its teacher's own classifier."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.refs import UseModel, UseTask
from edgekd.core.registry import Plugin
from edgekd.models.folder import load_model, save_model, stored_for
from edgekd.testing.tiny import PAIRS

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
IMAGES = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
BODY = {"kind": "depthwise", "width": 4, "blocks": (1,)}


def use(**options):
    given = {"kind": "shared_classifier", "of": BODY, "width": 16} | options
    return UseModel.model_validate(given)


def built(seed=0, **options):
    torch.manual_seed(seed)
    return use(**options).build()(TASK.signature())


def teacher(width=4):
    torch.manual_seed(9)
    given = {"kind": "resnet", "depth": 8, "width": width}
    return UseModel.model_validate(given).build()(TASK.signature()).eval()


def adopt(model, other, **options):
    own = use(**options)
    own.plugin.traits["adopt"](own.options, model, other)
    return model


def test_its_classifier_is_the_teachers_and_does_not_learn():
    whom = teacher()
    model = adopt(built(), whom)
    assert torch.equal(model.head.weight, whom.head.weight)
    assert torch.equal(model.head.bias, whom.head.bias)
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == [
        "head.weight",
        "head.bias",
    ]


def test_where_the_features_are_the_teachers_so_are_the_scores():
    whom = teacher()
    model = adopt(built(), whom).eval()
    feature = whom.stages(whom.stem(IMAGES))
    model.body, model.projector = nn.Identity(), nn.Identity()
    assert torch.equal(model(feature), whom(IMAGES))


def test_scores_are_no_farther_apart_than_the_classifier_lets_features_be():
    whom = teacher()
    model = adopt(built(), whom).eval()
    mine, theirs = model.projector(model.body(IMAGES)), whom.stages(whom.stem(IMAGES))
    gap = (mine.mean((2, 3)) - theirs.mean((2, 3))).norm(dim=1)
    most = torch.linalg.matrix_norm(whom.head.weight, 2) * gap
    assert ((model(IMAGES) - whom(IMAGES)).norm(dim=1) <= most * 1.0001).all()


def test_its_projector_is_narrower_inside_and_keeps_the_size_of_a_map():
    model = built(width=20, factor=4)
    convs = [m for m in model.projector if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convs] == [
        (4, 5, 1),
        (5, 5, 3),
        (5, 20, 1),
    ]
    assert model.projector(model.body(IMAGES)).shape[2:] == model.body(IMAGES).shape[2:]


def test_a_body_that_gives_a_vector_gets_linear_layers(monkeypatch):
    def build(config, signature):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.ReLU(), nn.Linear(7, 10))

    monkeypatch.setitem(kinds.model._loaded, "mlp", Plugin("model", "mlp", build, Config))
    model = built(of="mlp", pool=None)
    assert [m.in_features for m in model.projector if isinstance(m, nn.Linear)] == [7, 8, 8]
    assert model(IMAGES).shape == (5, 10)


def test_it_comes_back_from_its_folder_and_still_does_not_learn(tmp_path):
    model = adopt(built(), teacher()).eval()
    save_model(tmp_path, stored_for(TASK, model, use()))
    again = load_model(tmp_path).module
    assert_close(again(IMAGES), model(IMAGES))
    assert not again.head.weight.requires_grad


def test_a_teacher_that_does_not_fit_is_refused():
    with pytest.raises(StageError, match=r"reads 32 numbers, and width is 16.*\n.*width: 32"):
        adopt(built(), teacher(width=8))
    with pytest.raises(StageError, match="ends in no linear layer that gives 10 classes"):
        adopt(built(), nn.Linear(3, 4))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pool": "nope"}, "depthwise has no module 'nope' that pools"),
        ({"of": "headless"}, "headless ends in no linear layer that gives 10 classes"),
        ({"of": "tokens", "pool": None}, r"is \[4, 16\], neither a map nor a vector"),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused(options, says, monkeypatch):
    def headless(config, signature):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    def tokens(config, signature):
        return nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (4, 16)), nn.Flatten(1, 2),
                             nn.Linear(16, 10))  # fmt: skip

    for build in (headless, tokens):
        own = Plugin("model", build.__name__, build, Config)
        monkeypatch.setitem(kinds.model._loaded, build.__name__, own)
    with pytest.raises(ValueError, match=says):
        built(**options)


def test_a_task_of_something_else_is_refused():
    with pytest.raises(ValueError, match="scores of classes for one input"):
        use().build()(PAIRS)
