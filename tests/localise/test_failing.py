"""Which part of a model cannot be exported, and the file that shows it."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.refs import UseModel, UseRuntime
from edgekd.core.registry import load_user_module
from edgekd.core.signature import Port, Signature
from edgekd.localise.failing import called, smallest_failing
from edgekd.localise.narrowed import narrowed
from edgekd.models.folder import StoredModel
from edgekd.runtimes.trace import CannotExportError, example_inputs

SIGNATURE = Signature(
    (Port("image", "float32", ("batch", 4)),), (Port("logits", "float32", ("batch", 3)),)
)
OWN = '''
from torch import nn
from edgekd.core.config import Config
from edgekd.core.kinds import model


class Gated(Config):
    width: int = 4
    """Numbers in between."""


class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, x, *, scale):
        if x.sum() > 0:
            return self.mix(x) * scale
        return x


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.plain, self.gate = nn.Linear(width, width), Gate(width)

    def forward(self, x):
        return self.gate(self.plain(x), scale=2.0)


class Network(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, width), Block(width)])
        self.head = nn.Linear(width, 3)

    def forward(self, image):
        for block in self.blocks:
            image = block(image)
        return self.head(image)


@model(config=Gated, name="gated")
def gated(config, signature):
    """Return a network with a gate that looks at values."""
    return Network(config.width)
'''


class StopError(Exception):
    """What the stand-in of an exporter raises."""


class Bad(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Inside(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.bad = nn.Linear(4, 4), Bad()

    def forward(self, x: Tensor) -> Tensor:
        return self.bad(self.first(x))


class Outside(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Inside(), Inside()])

    def forward(self, image: Tensor) -> Tensor:
        return self.blocks[1](self.blocks[0](image))


def refusing(*kinds):
    """Return an exporter that refuses modules which have one of these inside, and what it saw."""
    seen = []

    def attempt(module, inputs):
        seen.append(type(module).__name__)
        if any(isinstance(each, kinds) for each in module.modules()):
            raise StopError("data-dependent expression")

    return attempt, seen


def test_the_innermost_module_that_fails_is_found_without_trying_all():
    attempt, seen = refusing(Bad)
    found = smallest_failing(Outside(), (torch.zeros(2, 4),), attempt)
    assert found.path == "blocks.0.bad"
    assert found.inputs["x"].shape == (2, 4)
    assert seen == ["Outside", "Inside", "Linear", "Bad"]


def test_where_no_part_fails_on_its_own_it_is_the_model():
    attempt, _ = refusing(Outside)
    assert smallest_failing(Outside(), (torch.zeros(2, 4),), attempt).path == ""
    attempt, _ = refusing(Tensor)
    assert smallest_failing(Outside(), (torch.zeros(2, 4),), attempt) is None


def test_no_more_exports_are_tried_than_said(monkeypatch):
    for most in (1, 2, 3):
        monkeypatch.setattr("edgekd.localise.failing.MOST_TRIED", most)
        attempt, seen = refusing(Bad)
        found = smallest_failing(Outside(), (torch.zeros(2, 4),), attempt)
        assert found.path == ("" if most == 1 else "blocks.0")
        assert len(seen) == most


def test_a_part_that_fails_for_another_reason_is_not_taken_for_it():
    def attempt(module, inputs):
        raise StopError("complex64" if isinstance(module, Inside) else "data-dependent expression")

    assert smallest_failing(Outside(), (torch.zeros(2, 4),), attempt).path == ""


def test_inputs_are_those_of_the_first_call_and_only_what_a_file_can_hold():
    class Odd(nn.Module):
        def forward(self, x: Tensor, more: object) -> Tensor:
            return x

    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.odd, self.twice = Odd(), nn.ReLU()

        def forward(self, image: Tensor) -> Tensor:
            return self.twice(self.twice(self.odd(image, object())) + 5)

    calls = called(Root(), (torch.ones(2, 4),))
    assert {*calls} == {"", "twice"}
    assert calls["twice"]["input"].max() == 1


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Return a model from a user's file."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_gate.py").write_text(OWN)
    load_user_module("own_gate.py", folder)
    use = UseModel.model_validate("gated")
    torch.manual_seed(0)
    return StoredModel(use.build()(SIGNATURE).eval(), use, SIGNATURE, {})


def test_a_model_that_cannot_be_exported_is_narrowed_to_a_file_that_shows_it(own, tmp_path):
    use = UseRuntime.model_validate("onnxruntime")
    runtime, samples = use.build(), {"image": torch.randn(4, 4)}
    with pytest.raises(CannotExportError) as failed:
        runtime._trace(own.module, SIGNATURE, samples)
    out = tmp_path / "onnx_fails.py"
    error = narrowed(failed.value, own, use, samples, out)
    assert isinstance(error, StageError)
    text = str(error)
    for part in (
        "cannot be exported to ONNX: its module 'blocks.1.gate' (Gate) fails on its own",
        "own_gate.py:18: if x.sum() > 0:",
        "torch.where",
        f"python {out}",
    ):
        assert part in text, part
    assert {path.name for path in tmp_path.iterdir()} == {"onnx_fails.py", "onnx_fails.safetensors"}
    done = subprocess.run(
        [sys.executable, out], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "data-dependent" in done.stderr
    assert "if x.sum() > 0" in done.stderr


def test_example_inputs_have_as_many_rows_as_the_runtime_traces_with(own):
    pte = UseRuntime.model_validate({"kind": "executorch"}).build()
    rows = example_inputs(SIGNATURE, {"image": torch.randn(4, 4)}, pte.traced_rows)[0]
    assert rows.shape == (1, 4)
