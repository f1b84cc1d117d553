"""A small trained network and runs that hand it from stage to stage."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.protocols.stage import Origin
from edgekd.core.refs import UseModel, UseTask
from edgekd.models.folder import StoredModel, save_model


@dataclass
class Bench:
    """Folders of finished stages by name, and a run for the next one."""

    folder: Path
    task: Any
    targets: dict[str, Any] = field(default_factory=dict)

    def run(self, name: str, **changes: Any) -> SimpleNamespace:
        (self.folder / name).mkdir()
        (self.folder / f"{name}.unfinished").mkdir()
        given = {
            "name": name,
            "out": self.folder / name,
            "seed": 0,
            "device": "cpu",
            "task": self.task,
            "targets": self.targets,
            "ancestors": {},
            "origin": Origin("test", "test.yaml", "", (), ""),
            "input": lambda ref: self.folder / ref.stage,
            "unfinished": self.folder / f"{name}.unfinished",
            "checkpoint": Checkpoint(),
            "stop_asked": lambda: False,
            "notice": lambda message: None,
            "progress": lambda done, total, what, **numbers: None,
            "epoch": lambda entry: None,
        }
        return SimpleNamespace(**given | changes)


@pytest.fixture(scope="session")
def digits_task():
    return UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


@pytest.fixture(scope="session")
def student(digits_task, tmp_path_factory):
    """Return the folder of a depthwise student after four epochs of digits."""
    folder = tmp_path_factory.mktemp("student")
    use = UseModel.model_validate({"kind": "depthwise", "width": 16})
    torch.manual_seed(0)
    model = use.build()(digits_task.signature())
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for epoch in range(4):
        rng = torch.Generator().manual_seed(epoch)
        for batch in digits_task.batches("train", 64, device=torch.device("cpu"), rng=rng):
            loss = torch.nn.functional.cross_entropy(model(batch["image"]), batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    stored = StoredModel(model.eval(), use, digits_task.signature(), digits_task.facts())
    save_model(folder, stored)
    return folder


@pytest.fixture(scope="session")
def make_bench(digits_task, student):
    """Return a function from a folder to a bench in it that has the student."""

    def make(folder: Path) -> Bench:
        (folder / "student").symlink_to(student)
        return Bench(folder, digits_task)

    return make


@pytest.fixture
def bench(make_bench, tmp_path):
    return make_bench(tmp_path)
