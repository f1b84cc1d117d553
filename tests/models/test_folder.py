"""A model on disk."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.refs import UseModel
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import DESCRIPTION, WEIGHTS, StoredModel, load_model, save_model

SIGNATURE = Signature(
    (Port("image", "float32", ("batch", 1, 4, 4)),), (Port("logits", "float32", ("batch", 3)),)
)


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self, classes):
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.head = nn.Linear(16, classes)

    def forward(self, image):
        return self.head(self.second(self.first(image.flatten(1)).relu()))


class ByValue(Tied):
    """Asks for a value, which no outline has."""

    def forward(self, image):
        return super().forward(image) if image.sum().item() < 1e9 else image


@pytest.fixture(params=[Tied, ByValue])
def use(request):
    """Return such a model, registered for as long as a test lasts."""

    @kinds.model(config=Config, name="tied")
    def tied(config, signature):
        return request.param(signature.outputs[0].shape[-1])

    yield UseModel.model_validate("tied")
    del kinds.model._loaded["tied"]


def save(folder, use):
    torch.manual_seed(0)
    module = use.build()(SIGNATURE).eval()
    save_model(folder, StoredModel(module, use, SIGNATURE, {"labels": ["a", "b", "c"]}))
    return module


def test_a_model_with_tied_weights_comes_back_tied_and_answers_alike(use, tmp_path):
    module = save(tmp_path, use)
    again = load_model(tmp_path)
    image = torch.rand(2, 1, 4, 4)
    assert torch.equal(again.module(image), module(image))
    assert again.module.first.weight is again.module.second.weight
    assert not again.module.training
    assert again.facts == {"labels": ["a", "b", "c"]}


@pytest.mark.parametrize("use", [Tied], indirect=True)
def test_weights_of_another_head_are_refused(use, tmp_path):
    save(tmp_path, use)
    state = load_file(tmp_path / WEIGHTS)
    state |= {"head.weight": torch.zeros(5, 16), "head.bias": torch.zeros(5)}
    save_file(state, tmp_path / WEIGHTS)
    with pytest.raises(StageError, match=r"gives 'logits' as \[1, 5\]; its signature says"):
        load_model(tmp_path)


def test_the_description_is_the_models_own_words(use, tmp_path):
    save(tmp_path, use)
    assert json.loads((tmp_path / DESCRIPTION).read_text())["model"] == {"kind": "tied"}
