import pytest
import torch

from edgekd.core.errors import RequestError
from edgekd.core.kinds import transform
from edgekd.core.refs import UseTransform
from edgekd.ops.named import call_by_name
from edgekd.testing.tiny import CASES

CASE = CASES["pair"]


def quantize(**options):
    use = UseTransform.model_validate({"kind": "int4_weights", **options})
    return use.build()(CASE.model(), signature=CASE.signature, batches=[CASE.samples(16)])


def traits(name):
    return transform.get("int4_weights").traits[name]


def options(**given):
    return transform.get("int4_weights").config(**given)


def error(simulated):
    batch = CASE.samples(40, seed=3)
    expected = call_by_name(CASE.model(), CASE.signature, batch)["embedding"]
    found = call_by_name(simulated, CASE.signature, batch)["embedding"]
    return ((found - expected).norm() / expected.norm()).item()


def test_four_bits_are_coarser_than_eight_and_still_near():
    assert 0.01 < error(quantize()) < 0.3


def test_a_block_has_at_most_sixteen_values():
    weight = quantize(activation="float32").get_submodule("embedding").weight.dequantize()
    blocks = weight.reshape(-1, 32)
    assert max(len(block.unique()) for block in blocks) <= 16
    assert len(weight.unique()) > 16  # each block has a scale of its own


def test_layers_that_a_block_does_not_divide_and_excluded_ones_stay():
    model, rounded = CASE.model(), quantize()
    assert torch.equal(rounded.hidden.weight, model.hidden.weight)  # 16 inputs
    assert error(quantize(exclude=("embedding",))) == 0
    with pytest.raises(RequestError, match="no module 'embeding'"):
        quantize(exclude=("embeding",))


def test_what_stays_in_fp32_is_told():
    said = "on XNNPACK 2 linear layers whose inputs 32 does not divide"
    assert [*traits("leaves")(options(), CASE.model())] == [said]
    assert "2 convolutions" in [*traits("leaves")(options(), CASES["plain"].model())]


def test_a_model_that_is_mostly_convolutions_is_refused():
    (problem,) = traits("check")(options(), CASES["plain"].model())
    assert "only 320 of the model's 5,072 weights are in linear layers" in problem.message
    assert not [*traits("check")(options(), CASE.model())]
