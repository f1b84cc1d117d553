"""Ranges of what a clamp cuts off at once: those that it leaves, and nothing else changes."""

import pytest
import torch
from torch import nn

from edgekd.core.quantization import Int8Static
from edgekd.core.quiet import quiet
from edgekd.core.signature import Port, Signature
from edgekd.transforms.clamped import clamped
from edgekd.transforms.observed import calibrate, observed
from edgekd.transforms.quantize.int8_static import int8_static

SIGNATURE = Signature(
    (Port("image", "float32", ("batch", 1, 4, 4)),), (Port("logits", "float32", ("batch", 3)),)
)
BATCH = {"image": torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))}


class Net(nn.Module):
    """A convolution whose output is mostly cut off; `reads` looks at it before that, too."""

    def __init__(self, activation, reads=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.activation, self.reads = activation, reads
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4, 3)
        with torch.no_grad():
            self.conv.weight.mul_(50)

    def forward(self, image):
        before = self.norm(self.conv(image))
        after = self.activation(before)
        return self.head(self.pool(after + before if self.reads else after))


def ranges(model, calibration="minmax"):
    """Return the ranges of all activations by the value's name."""
    config = Int8Static(calibration=calibration)
    with quiet():
        seen = observed(config, model.eval(), SIGNATURE, BATCH)
        calibrate(config, seen, [BATCH])
    found = {}
    for value, name in seen.activations().items():
        observer = seen.graph.get_submodule(name)
        found[value] = (float(observer.min_val), float(observer.max_val))
    return found


@pytest.mark.parametrize(
    ("activation", "low", "high", "calibration"),
    [(nn.ReLU6(), 0, 6, "minmax"), (nn.ReLU6(), 0, 6, "mse"), (nn.Hardtanh(), -1, 1, "minmax")],
)
def test_what_is_cut_off_at_once_has_no_part_in_the_range(activation, low, high, calibration):
    found = [r for value, r in ranges(Net(activation), calibration).items() if "conv" in value]
    assert found
    for least, most in found:
        assert low <= least < most <= high


@pytest.mark.parametrize("model", [Net(nn.ReLU6(), reads=True), Net(nn.Hardtanh(1.0, 2.0))])
def test_what_others_read_or_cannot_be_nought_keeps_its_range(model):
    assert max(most for value, (_, most) in ranges(model).items() if "conv" in value) > 20


def test_nothing_else_is_computed():
    with quiet():
        seen = observed(Int8Static(), Net(nn.ReLU6()).eval(), SIGNATURE, BATCH)
    with torch.no_grad():
        expected = seen.graph(BATCH["image"])
        with clamped(seen.graph):
            assert torch.equal(seen.graph(BATCH["image"]), expected)
        assert not any(module._forward_pre_hooks for module in seen.graph.modules())


def test_int8_departs_less():
    model = Net(nn.ReLU6()).eval()
    with torch.no_grad():
        exact = model(BATCH["image"])
        rounded = int8_static(Int8Static(), model, signature=SIGNATURE, batches=[BATCH])
        error = (rounded(BATCH["image"]) - exact).norm() / exact.norm()
    assert error < 0.01
