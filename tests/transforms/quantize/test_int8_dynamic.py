import pytest
import torch

from edgekd.core.errors import RequestError
from edgekd.core.kinds import transform
from edgekd.core.refs import UseTransform
from edgekd.ops.named import call_by_name
from edgekd.testing.tiny import CASES


def quantize(name, **options):
    case = CASES[name]
    use = UseTransform.model_validate({"kind": "int8_dynamic", **options})
    return use.build()(case.model(), signature=case.signature, batches=[case.samples(16)])


def error(name, simulated):
    case = CASES[name]
    batch = case.samples(40, seed=3)
    expected = call_by_name(case.model(), case.signature, batch)
    found = call_by_name(simulated, case.signature, batch)
    return max(((found[k] - v).norm() / v.norm()).item() for k, v in expected.items())


def problems(name, **options):
    plugin = transform.get("int8_dynamic")
    return [*plugin.traits["check"](plugin.config(**options), CASES[name].model())]


def left(name, **options):
    plugin = transform.get("int8_dynamic")
    return [*plugin.traits["leaves"](plugin.config(**options), CASES[name].model())]


def test_the_simulation_is_near_the_model_and_not_equal_to_it():
    assert 0 < error("pair", quantize("pair")) < 0.05


def test_convolutions_are_rounded_only_where_they_are_asked_for():
    alone = error("depthwise", quantize("depthwise"))  # it has no linear layer
    assert alone < 1e-6
    asked = quantize("depthwise", convolutions=True)
    assert 1e-4 < error("depthwise", asked) < 0.1
    assert len(asked.get_parameter("head.weight").unique()) > 255
    one_scale = quantize("depthwise", convolutions=True, granularity="tensor")
    assert len(one_scale.get_parameter("head.weight").unique()) <= 255


def test_the_range_is_that_of_the_call():
    case, simulated = CASES["depthwise"], quantize("depthwise", convolutions=True)
    image = case.samples(1, seed=5)["image"]
    large, small = simulated(image * 1000), simulated(image * 0.001)
    model = case.model()
    for given, found in ((image * 1000, large), (image * 0.001, small)):
        expected = model(given)
        assert (found - expected).norm() / expected.norm() < 0.1


def test_an_excluded_module_is_not_rounded():
    every = ("hidden", "embedding", "logits")
    assert error("pair", quantize("pair", exclude=every)) < 1e-6
    with pytest.raises(RequestError, match=r"no module 'hiden'[\s\S]*Did you mean 'hidden'"):
        quantize("pair", exclude=("hiden",))


def test_a_model_that_is_mostly_convolutions_is_refused_with_the_reason_unless_asked_for():
    (problem,) = problems("plain")
    assert "4,752 of the model's 5,072 weights are in convolutions" in problem.message
    assert "9 to 10 times slower" in problem.message
    assert "convolutions: true" in problem.next_step
    assert not problems("plain", convolutions=True)
    assert not problems("pair")
    assert (
        "no linear layer" in problems("pair", exclude=("hidden", "embedding", "logits"))[0].message
    )


def test_what_stays_in_fp32_is_told():
    assert left("plain") == ["2 convolutions"]
    assert left("plain", convolutions=True) == left("pair") == []


def test_zero_stays_zero_when_it_is_rounded():
    from edgekd.transforms.quantize.int8_dynamic import _rounded

    for values in (torch.tensor([0.0, 0.3, 7.1]), torch.tensor([-3.0, 0.0]), torch.zeros(3)):
        rounded = _rounded(values)
        assert (rounded[values == 0] == 0).all()
        assert (rounded - values).abs().max() <= values.abs().max() / 255 + 1e-7
