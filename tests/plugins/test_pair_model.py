"""The two-input task that shows that nothing takes one float image for granted."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from edgekd.core import kinds
from edgekd.core.refs import UseModel, UseTask
from edgekd.core.registry import load_user_module
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.ops.named import call_by_name
from edgekd.testing.conformance import EVERY_TASK

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def _pair_plugins():
    load_user_module("pair_model.py", Path(__file__).parent)


@pytest.fixture
def pairs():
    return UseTask.model_validate({"kind": "pairs", "examples": 200}).build()


def test_both_are_listed_like_any_other_plug_in():
    assert "pair_model" in kinds.model.names()
    assert "pairs" in kinds.task.names()


def test_loading_the_file_twice_is_no_clash():
    load_user_module("pair_model.py", Path(__file__).parent)


def test_batches_have_the_inputs_of_the_signature_in_their_types_and_shapes(pairs):
    for batch in pairs.batches("train", 64, device=CPU, rng=torch.Generator()):
        for port in pairs.signature().inputs:
            assert str(batch[port.name].dtype) == f"torch.{port.dtype}"
            assert batch[port.name].shape == port.concrete(batch=len(batch["labels"]))


@pytest.mark.parametrize("promise", EVERY_TASK, ids=lambda p: p.__name__)
def test_the_task_keeps_the_promises_of_tasks(pairs, promise):
    promise(pairs)


def test_splits_differ(pairs):
    first = {s: next(pairs.batches(s, 200, device=CPU))["tokens"] for s in ("train", "test")}
    assert not torch.equal(first["train"], first["test"])


def test_the_model_learns_the_task_and_survives_its_folder(pairs, tmp_path):
    torch.manual_seed(0)
    use = UseModel.model_validate({"kind": "pair_model", "width": 16})
    network = use.build()(pairs.signature())
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02)
    for epoch in range(15):
        rng = torch.Generator().manual_seed(epoch)
        for batch in pairs.batches("train", 50, device=CPU, rng=rng):
            logits = call_by_name(network, pairs.signature(), batch)["logits"]
            loss = functional.cross_entropy(logits, batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    batch = next(pairs.batches("test", 200, device=CPU))
    before = call_by_name(network.eval(), pairs.signature(), batch)
    assert (before["logits"].argmax(1) == batch["labels"]).float().mean() > 0.8

    save_model(tmp_path, StoredModel(network, use, pairs.signature(), pairs.facts()))
    again = load_model(tmp_path)
    after = call_by_name(again.module, again.signature, batch)
    assert torch.equal(after["logits"], before["logits"])
    assert after["summary"].shape == (200, 16)
