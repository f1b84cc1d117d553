"""What to rewrite, told from words that exporters really use."""

import pytest

from edgekd.localise.advice import ELSE, advice, in_short

ONNX = """Failed to convert the exported program to an ONNX model. \x1b[96mThis is step 3/3\x1b[0m
- If there is a missing ONNX function, implement it and register it to the registry.

## Exception summary

<class 'DispatchError'>: No ONNX function found for <OpOverload(op='aten._linalg_svd', overload=...
⬆️
"""


@pytest.mark.parametrize(
    ("objection", "word"),
    [
        ("Could not guard on data-dependent expression Eq(u0, 1)", "torch.where"),
        ("Could not extract specialized integer from data-dependent expression", "x.shape"),
        (".numpy() is not supported for tensor subclasses.", "numpy"),
        ("with args: {'self': torch.complex64, 'other': torch.complex64", "cos - y * sin"),
        (ONNX, "aten._linalg_svd"),
        ("Operator torch._ops.aten._linalg_svd.default is not in Core ATen opset", "_linalg_svd"),
        ("Constraints violated (batch)! For more information", "x.shape[0]"),
        ("a view of a leaf Variable that requires grad is being used in an in-place", "torch.cat"),
        ("The tensor attribute self.last was assigned during export", "registered buffer"),
        ("torch._dynamo.exc.Unsupported: call_method", "torch operators"),
    ],
)
def test_each_known_objection_has_its_own_rewriting(objection, word):
    assert word in advice(objection)
    assert advice(objection) != ELSE


def test_an_unknown_objection_gets_the_usual_one():
    assert advice("it is Monday") == ELSE


def test_of_many_words_the_line_that_objects_is_left():
    assert in_short(ONNX).startswith("<class 'DispatchError'>: No ONNX function")
    assert in_short("\n  first\nsecond") == "first"
    assert in_short("") == "nothing"
