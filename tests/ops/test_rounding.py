import pytest
import torch

from edgekd.core.refs import UseTransform
from edgekd.ops.named import call_by_name
from edgekd.ops.rounding import rounded_layers, with_rounding
from edgekd.testing.tiny import CASES

LAYERS = {
    "plain": ["body.0.0", "body.1.0", "head"],
    "residual": ["stem.0", "first.0.0", "first.1", "second.0", "shortcut", "head"],
    "depthwise": ["stem.0", "depthwise.0", "pointwise", "head"],
}


def use(**options):
    return UseTransform.model_validate({"kind": "int8_static", **options})


@pytest.fixture(scope="module")
def simulated():
    """Return each network's simulation with its layers to be switched."""
    made = {}
    for name in LAYERS:
        case, transform = CASES[name], use()
        made[name] = transform.plugin.traits["by_layer"](
            transform.options, case.model(), signature=case.signature, batches=[case.samples(32)]
        )
    return made


def outputs(name, model):
    case = CASES[name]
    with torch.no_grad():
        return call_by_name(model, case.signature, case.samples(40, seed=3))


def same(one, other):
    return all(torch.equal(one[name], value) for name, value in other.items())


@pytest.mark.parametrize("name", LAYERS)
def test_the_layers_are_the_modules_that_have_weights_to_round(simulated, name):
    assert rounded_layers(simulated[name]) == LAYERS[name]


@pytest.mark.parametrize(
    ("name", "excluded"),
    [
        ("plain", ("body.1.0",)),  # a pooling after it is quantized for itself
        # the one takes what the other makes, which a sum takes too
        ("residual", ("stem.0", "first.0.0")),
        ("depthwise", ("head",)),  # the mean after it was quantized for its sake
    ],
)
def test_layers_switched_off_give_what_leaving_them_out_from_the_start_gives(
    simulated, name, excluded
):
    case = CASES[name]
    anew = use(exclude=excluded).build()(
        case.model(), signature=case.signature, batches=[case.samples(32)]
    )
    switched = with_rounding(simulated[name], lambda path: path not in excluded)
    assert same(outputs(name, switched), outputs(name, anew))
    assert not same(outputs(name, simulated[name]), outputs(name, anew))


@pytest.mark.parametrize("name", LAYERS)
def test_with_nothing_rounded_it_is_the_model_and_with_all_the_simulation(simulated, name):
    plain = outputs(name, with_rounding(simulated[name], lambda _: False))
    for key, value in outputs(name, CASES[name].model()).items():
        torch.testing.assert_close(plain[key], value, rtol=1e-5, atol=1e-6)
    everything = outputs(name, with_rounding(simulated[name], lambda _: True))
    assert same(everything, outputs(name, simulated[name]))


def test_switching_leaves_the_simulation_as_it_was(simulated):
    before = outputs("plain", simulated["plain"])
    with_rounding(simulated["plain"], lambda path: path == "head")
    assert same(before, outputs("plain", simulated["plain"]))
