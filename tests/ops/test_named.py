"""Calls by name, and state at rest."""

import pytest
import torch
from torch import nn

from edgekd.core.signature import Port, Signature
from edgekd.ops.named import at_rest, call_by_name

SIGNATURE = Signature(
    (Port("x", "float32", ("batch", 3)), Port("before", "int64", ("batch", 2, "past"))),
    (Port("y", "float32", ("batch", 3)), Port("after", "int64", ("batch", 2, "past"))),
    (("after", "before"),),
)


class Counter(nn.Module):
    def forward(self, x, before):
        return x * 2, before + 1


def test_state_that_is_not_given_is_zeros_of_its_type_and_the_batch():
    complete = at_rest(SIGNATURE, {"x": torch.ones(5, 3)})
    assert complete["before"].shape == (5, 2, 1)
    assert complete["before"].dtype == torch.int64
    assert not complete["before"].any()


def test_state_that_is_given_stays():
    given = {"x": torch.ones(5, 3), "before": torch.full((5, 2, 4), 7)}
    assert call_by_name(Counter(), SIGNATURE, given)["after"].unique().item() == 8


def test_outputs_have_their_names_and_a_missing_input_is_an_error():
    assert set(call_by_name(Counter(), SIGNATURE, {"x": torch.ones(1, 3), "more": 1})) == {
        "y",
        "after",
    }
    stateless = Signature(SIGNATURE.inputs, SIGNATURE.outputs)
    with pytest.raises(KeyError, match="before"):
        call_by_name(Counter(), stateless, {"x": torch.ones(1, 3)})
