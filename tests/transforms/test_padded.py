"""Zeros set around a rounded value: one step for both, in the simulation and in XNNPACK."""

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from edgekd.core.quantization import Int8Static
from edgekd.core.quiet import quiet
from edgekd.core.refs import UseTransform
from edgekd.core.signature import Port, Signature
from edgekd.runtimes.executorch import ExecuTorch, ExecuTorchRuntime
from edgekd.runtimes.xnnpack_taps import tapped
from edgekd.transforms.observed import calibrate, observed
from edgekd.transforms.padded import PAD, pads_with_zeros
from edgekd.transforms.quantize.int8_static import int8_static

SIGNATURE = Signature(
    (Port("image", "float32", ("batch", 3, 8, 8)),), (Port("logits", "float32", ("batch", 3)),)
)
PADDING = "StaticConstantPad"
BATCH = {"image": torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))}


class Net(nn.Module):
    """Two convolutions; before the second comes padding on two sides, as TensorFlow pads."""

    def __init__(self, **how):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, stride=2)
        self.head = nn.Linear(4, 3)
        self.how = how

    def forward(self, image):
        padded = functional.pad(
            functional.hardtanh(self.first(image), 0, 6), (0, 1, 0, 1), **self.how
        )
        return self.head(functional.relu(self.second(padded)).mean((2, 3), keepdim=True).flatten(1))


@pytest.mark.parametrize(
    ("arguments", "is_it"),
    [
        (([0, 1, 0, 1],), True),
        (([0, 1, 0, 1], "constant"), True),
        (([0, 1], "constant", 0.0), True),
        (([0, 1], "constant", 1.0), False),
        (([0, 1], "reflect"), False),
        (([0, -1],), False),
    ],
)
def test_only_zeros_around_a_value_are_meant(arguments, is_it):
    graph = fx.Graph()
    value = graph.placeholder("value")
    assert pads_with_zeros(graph.call_function(PAD, (value, *arguments))) == is_it
    assert not pads_with_zeros(value)


def observers(model):
    """Return the graph's value names by the observer that looks at them."""
    with quiet():
        seen = observed(Int8Static(), model.eval(), SIGNATURE, BATCH)
        calibrate(Int8Static(), seen, [BATCH])
    by_observer = {}
    for node in seen.graph.graph.nodes:
        if node.op == "call_module":
            observer = id(seen.graph.get_submodule(node.target))
            by_observer.setdefault(observer, set()).add(node.args[0].name)
    return seen, list(by_observer.values())


def test_what_is_padded_keeps_its_step():
    _, found = observers(Net())
    (together,) = [names for names in found if "pad" in names]
    assert together == {"conv2d", "hardtanh", "pad"}


def test_other_padding_is_left_to_the_quantizer():
    _, found = observers(Net(value=0.5))
    assert {"pad"} in found


def test_the_clamp_before_it_still_bounds_the_range():
    net = Net()
    with torch.no_grad():
        net.first.weight.mul_(50)
    seen, _ = observers(net)
    observer = seen.graph.get_submodule(seen.activations()["conv2d"])
    assert float(observer.max_val) <= 6


@pytest.fixture(scope="module")
def lowered(tmp_path_factory):
    """Return the program's file with the simulation that it was made of."""
    net, out = Net().eval(), tmp_path_factory.mktemp("lowered") / "net.pte"
    facts = export(net, out)
    with quiet():
        return out, facts, int8_static(Int8Static(), net, signature=SIGNATURE, batches=[BATCH])


def export(net, out):
    """Write the int8 program; return its facts."""
    return ExecuTorchRuntime(ExecuTorch()).export(
        net,
        signature=SIGNATURE,
        samples=BATCH,
        metadata={},
        quantization=UseTransform.model_validate("int8_static"),
        calibration=[BATCH],
        activation="int8",
        out=out,
    )


def test_the_program_pads_in_int8(lowered):
    program, facts, _ = lowered
    _, taps, _ = tapped(program.read_bytes())
    before, pad = (next(t for t in taps if t.operator == kind) for kind in ("Clamp", PADDING))
    assert (pad.scale, pad.zero) == (before.scale, before.zero)
    assert pad.scale is not None
    assert facts["delegated_share"] == 1


def test_padding_with_a_step_of_its_own_is_computed_in_floats(tmp_path):
    net, out = Net(value=9.0).eval(), tmp_path / "net.pte"  # beyond the clamp
    export(net, out)
    _, taps, _ = tapped(out.read_bytes())
    assert next(t for t in taps if t.operator == PADDING).scale is None
    with quiet():
        agrees(out, int8_static(Int8Static(), net, signature=SIGNATURE, batches=[BATCH]))


def test_the_program_computes_what_is_simulated(lowered):
    program, _, simulated = lowered
    agrees(program, simulated)


def agrees(program, simulated):
    """Assert that a program's answers are those of the simulation, but for a step."""
    ask = ExecuTorchRuntime(ExecuTorch()).open(program)
    image = BATCH["image"][:8]
    given = torch.from_numpy(ask({"image": image.numpy()})["logits"])
    with torch.no_grad():
        expected = simulated(image)
    step = (expected.max() - expected.min()) / 255
    assert (given - expected).abs().max() <= 1.5 * step
