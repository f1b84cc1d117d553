from edgekd.ops.cost import cost
from edgekd.testing.tiny import CASES


def test_cost_is_what_the_layers_say_written_out():
    case = CASES["depthwise"]
    found = cost(case.model(), case.signature, case.samples(5))
    pixels, width = 64, 16
    stem, depthwise, pointwise = 9 * width, 9 * width, width * 2 * width
    head = 2 * width * 10
    assert found.macs == pixels * (stem + depthwise + pointwise + head)
    norms = 2 * (width + width + 2 * width)
    assert found.parameters == stem + depthwise + pointwise + 2 * width + head + 10 + norms
