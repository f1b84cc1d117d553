from torch import nn

from edgekd.testing.tiny import CASES
from edgekd.transforms.weighted import CONVOLUTIONS, layers_of


def test_layers_are_told_apart_by_kind_and_biases_are_not_counted():
    model = CASES["plain"].model()
    assert layers_of(model, nn.Linear, ()).weights == 32 * 10
    convolutions = layers_of(model, CONVOLUTIONS, ())
    assert convolutions.paths == ("body.0.0", "body.1.0")
    assert convolutions.weights == 16 * 9 + 32 * 16 * 9


def test_what_lies_in_a_module_that_is_left_out_is_not_counted():
    model = CASES["plain"].model()
    assert layers_of(model, CONVOLUTIONS, ("body.1",)).paths == ("body.0.0",)
    assert layers_of(model, CONVOLUTIONS, ("body.1.0", "bod")).paths == ("body.0.0",)
