import pytest
import torch

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseTransform
from edgekd.ops.named import call_by_name
from edgekd.testing.tiny import CASES


def quantize(case, model=None, **options):
    use = UseTransform.model_validate({"kind": "int8_static", **options})
    batches = [case.samples(32, 0), case.samples(1, 1)]
    return use.build()(model or case.model(), signature=case.signature, batches=batches)


def error(case, simulated, rows=40):
    batch = case.samples(rows, seed=3)
    expected = call_by_name(case.model(), case.signature, batch)
    found = call_by_name(simulated, case.signature, batch)
    return max(((found[k] - v).norm() / v.norm()).item() for k, v in expected.items())


def weights_rounded(simulated):
    names = [str(node.target) for node in simulated.graph.nodes]
    return sum("dequantize_per_channel" in n for n in names)


@pytest.mark.parametrize("name", ["residual", "depthwise", "pair"])
def test_the_simulation_is_near_the_model_and_not_equal_to_it(name):
    case = CASES[name]
    assert 0 < error(case, quantize(case)) < 0.1


def test_it_takes_any_batch_and_eval_and_leaves_the_model_alone():
    case = CASES["plain"]
    model = case.model()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    simulated = quantize(case, model)
    simulated.eval()
    for rows in (1, 2, 70):
        assert simulated(case.samples(rows)["image"]).shape == (rows, 10)
    assert all(torch.equal(model.state_dict()[name], t) for name, t in before.items())


def test_an_excluded_module_is_not_rounded():
    case = CASES["plain"]
    assert weights_rounded(quantize(case)) == 3
    assert weights_rounded(quantize(case, exclude=("body.0", "head"))) == 1


def test_one_scale_per_tensor_is_an_option():
    assert weights_rounded(quantize(CASES["plain"], granularity="tensor")) == 0


def test_a_histogram_serves_where_min_max_is_not_asked_for():
    case = CASES["plain"]
    assert 0 < error(case, quantize(case, calibration="percentile")) < 0.3


def test_an_excluded_path_that_is_no_module_is_named():
    with pytest.raises(RequestError, match=r"no module 'haed'[\s\S]*Did you mean 'head'"):
        quantize(CASES["plain"], exclude=("haed",))


def test_symmetric_ranges_of_activations_have_zero_in_the_middle():
    graph = quantize(CASES["plain"], symmetric=True).graph
    calls = [n for n in graph.nodes if "quantize_per_tensor" in str(n.target)]
    assert {node.args[2] for node in calls} == {0}
