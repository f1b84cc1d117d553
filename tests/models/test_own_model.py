"""A user's own network in a file beside the pipeline."""

import pytest
import torch

from edgekd.core import kinds
from edgekd.core.errors import RequestError
from edgekd.core.refs import UseModel
from edgekd.core.registry import load_user_module
from edgekd.core.signature import Port, Signature

FILE = '''
"""Two layers of my own."""
from torch import nn
from edgekd.core.config import Config, PositiveCount
from edgekd.core.kinds import model

class Mine(Config):
    hidden: PositiveCount = 8
    """Units between the layers."""

class Network(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )
    def forward(self, image):
        return self.layers(image)

@model(config=Mine)
def NAME(config, signature):
    _, *shape = signature.inputs[0].shape
    return Network(shape[0] * shape[1] * shape[2], config.hidden, signature.outputs[0].shape[-1])
'''
SIGNATURE = Signature(
    (Port("image", "float32", ("batch", 1, 4, 4)),), (Port("logits", "float32", ("batch", 3)),)
)


def test_it_is_named_after_its_file_and_built_like_any_other(tmp_path):
    (tmp_path / "my_network.py").write_text(FILE.replace("NAME", "build"))
    (path,) = load_user_module("my_network.py", tmp_path)
    use = UseModel.model_validate({"kind": "my_network", "hidden": 5})
    assert use.build()(SIGNATURE)(torch.rand(2, 1, 4, 4)).shape == (2, 3)
    assert kinds.model.get("my_network").source == path
    assert kinds.model.summary("my_network") == "Two layers of my own."


def test_two_files_of_one_name_in_different_folders_clash(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twice.py").write_text(FILE.replace("NAME", "build"))
    load_user_module("one/twice.py", tmp_path)
    with pytest.raises((RequestError, ValueError), match="two plug-ins are both the model 'twice'"):
        load_user_module("two/twice.py", tmp_path)


def test_a_file_that_fails_is_named_with_its_reason_and_can_be_mended(tmp_path):
    path = tmp_path / "broken_network.py"
    path.write_text("import nothing_of_that_name")
    with pytest.raises(ValueError, match=r"broken_network\.py raised ModuleNotFoundError"):
        load_user_module("broken_network.py", tmp_path)
    path.write_text(FILE.replace("NAME", "build"))
    load_user_module("broken_network.py", tmp_path)
    assert "broken_network" in kinds.model.names()
