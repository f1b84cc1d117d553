import pytest

from edgekd.core.quantization import activation_type
from edgekd.core.refs import UseTransform


@pytest.mark.parametrize(
    ("asked", "target", "expected"),
    [
        ("int8", {"quantization": {"activation": "uint8"}}, "int8"),
        ("auto", {"quantization": {"activation": "int8"}}, "int8"),
        ("auto", {"hardware": {"arch": "aarch64"}}, "int8"),
        ("auto", {"hardware": {"arch": "x86_64"}}, "uint8"),
    ],
)
def test_the_specification_comes_before_the_target_and_that_before_the_architecture(
    asked, target, expected
):
    use = UseTransform.model_validate({"kind": "int8_static", "activation": asked})
    assert activation_type(use, target) == expected
