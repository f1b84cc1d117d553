"""Noise in every pixel."""

import torch

from edgekd.data.augment.noise import Noise, noise
from edgekd.ops.draws import Draws


def test_it_is_normal_with_its_deviation_and_other_columns_stay():
    batch = {"image": torch.zeros(200, 1, 10, 10), "ids": torch.arange(200)}
    found = noise(Noise(deviation=0.5), batch, Draws(0, 0, batch["ids"]))
    x = found["image"].flatten() / 0.5
    assert x.isfinite().all()
    assert abs(x.mean().item()) < 0.02
    assert abs(x.std().item() - 1) < 0.02
    assert abs((x.abs() < 1).float().mean().item() - 0.6827) < 0.01
    assert abs((x.abs() < 2).float().mean().item() - 0.9545) < 0.01
    assert torch.equal(found["ids"], batch["ids"])
