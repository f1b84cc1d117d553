import copy

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.core.errors import StageError
from edgekd.core.refs import UseTransform
from edgekd.core.signature import Port, Signature
from edgekd.ops.named import call_by_name
from edgekd.testing.tiny import CASES
from edgekd.transforms.observed import observed
from edgekd.transforms.rounding import _one_less

UNTIL = 6


def specification(**options):
    return UseTransform.model_validate({"kind": "int8_static", **options})


def student(case, use):
    return use.plugin.traits["learns"](
        use.options,
        case.model(),
        signature=case.signature,
        batches=[case.samples(32)],
        until=UNTIL,
        device=torch.device("cpu"),
    )


def learn(case, rounding, steps=8, rate=0.05):
    optimizer = torch.optim.SGD(rounding.parameters(), lr=rate)
    rounding.train()
    for step in range(steps):
        batch = case.samples(32, seed=step)
        logits = call_by_name(rounding, case.signature, batch)["logits"]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, batch["labels"]).backward()
        optimizer.step()
    return rounding.eval()


@pytest.fixture(scope="module")
def trained():
    """Return a case, what learned, the plain model, and what is converted of that."""
    case, use = CASES["residual"], specification()
    rounding = learn(case, student(case, use))
    plain = case.model()
    rounding.write_into(plain)
    options = use.options.model_copy(update={"ranges": rounding.ranges()})
    trained_use = use.model_copy(update={"options": options})
    simulated = trained_use.build()(plain, signature=case.signature, batches=[case.samples(2)])
    return case, rounding, plain, simulated


def test_the_plain_model_folds_to_the_weights_that_were_trained_to_the_bit(trained):
    case, rounding, plain, _ = trained
    again = observed(specification().options, plain, case.signature, case.samples(2)).graph
    own, begun = dict(rounding.graph.named_parameters()), case.model().state_dict()
    assert own.keys() == dict(again.named_parameters()).keys()
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, own[name]), name
    assert any(not torch.equal(own[name], tensor) for name, tensor in begun.items() if name in own)


def test_the_converted_graph_has_the_scales_that_were_trained(trained):
    _, rounding, _, simulated = trained
    calls = [n for n in simulated.graph.nodes if "dequantize_per_tensor" in str(n.target)]
    rounded = {(node.args[1], node.args[2]) for node in calls}
    converted = {*rounded}
    for name in rounding.places.values():
        own = rounding.graph.get_submodule(name)
        scale, zero = own.levels.steps(own.low, own.high)
        assert (scale.item(), zero.item()) in converted
        converted -= {(scale.item(), zero.item())}
    assert not converted
    assert any(zero for _, zero in rounded)


def test_what_learns_computes_what_the_converted_graph_computes(trained):
    case, rounding, _, simulated = trained
    batch = case.samples(50, seed=9)
    with torch.no_grad():
        ours = call_by_name(rounding, case.signature, batch)["logits"]
        theirs = call_by_name(simulated, case.signature, batch)["logits"]
    low, high = rounding.ranges()[[*rounding.places][-1]]
    steps = ((ours - theirs) / (high - low) * 255).abs()
    assert steps.max() < 2.1  # a value on the edge may round either way
    assert (steps > 0.5).float().mean() < 0.05


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_weights_of_a_transposed_convolution_are_rounded_as_its_program_rounds_them(granularity):
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(3, 8, 3, stride=2)
    with torch.no_grad():
        up.weight.mul_(torch.logspace(-2, 0, 8)[None, :, None, None])  # each output of its own size
    model = nn.Sequential(up, nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
    batch = {"image": torch.randn(4, 3, 8, 8)}
    model(batch["image"])
    signature = Signature(
        (Port("image", "float32", ("batch", 3, 8, 8)),),
        (Port("logits", "float32", ("batch", 4)),),
    )
    use = specification(granularity=granularity)
    learning = use.plugin.traits["learns"](
        use.options,
        model,
        signature=signature,
        batches=[batch],
        until=UNTIL,
        device=torch.device("cpu"),
    ).eval()
    simulated = use.build()(model, signature=signature, batches=[batch])
    torch.testing.assert_close(learning(batch["image"]), simulated(batch["image"]))


def test_ranges_follow_what_is_seen_in_training_until_they_are_fixed():
    case = CASES["plain"]
    rounding = student(case, specification())
    begun = rounding.ranges()
    rounding.eval()(case.samples(8)["image"] * 100)
    assert rounding.ranges() == begun
    learn(case, rounding, steps=UNTIL - 1)
    before_last = rounding.ranges()
    learn(case, rounding, steps=1)
    fixed = rounding.ranges()
    learn(case, rounding, steps=3)
    assert begun != before_last != fixed
    assert rounding.ranges() == fixed


def test_a_copy_with_the_same_state_computes_the_same(trained):
    case, rounding, _, _ = trained
    image, other = case.samples(9)["image"], copy.deepcopy(rounding)
    for tensor in other.state_dict().values():
        tensor.zero_()
    assert not torch.equal(other(image), rounding(image))
    other.load_state_dict(rounding.state_dict())
    assert torch.equal(other(image), rounding(image))


def test_ranges_of_another_graph_are_refused():
    case, use = CASES["plain"], specification(ranges={"nowhere": (0.0, 1.0)})
    with pytest.raises(StageError, match=r"other values: image[\s\S]*Train it again"):
        use.build()(case.model(), signature=case.signature, batches=[case.samples(2)])


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 1e-12, 0.1, 2.0**-20])
def test_a_variance_is_found_that_makes_a_batch_norm_divide_by_one(eps):
    variance = np.float32(_one_less(eps))
    assert variance + np.float32(eps) == 1
    assert torch.rsqrt(torch.tensor(float(variance)) + eps).item() == 1
