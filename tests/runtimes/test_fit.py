from typing import Any

import pytest

from edgekd.core.signature import Port, Signature
from edgekd.runtimes.fit import fit

ONE = Signature(
    (Port("image", "float32", ("batch", 1, 8, 8)),), (Port("logits", "float32", ("batch", 10)),)
)
TWO = Signature(
    (Port("tokens", "int64", ("batch", "length")), Port("mask", "bool", ("batch", "length"))),
    (Port("logits", "float32", ("batch", 2)), Port("embedding", "float32", ("batch", 16))),
)


def port(name: str, dtype: str, *shape: Any) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": list(shape)}


IMAGE, LOGITS = port("image", "float32", "n", 1, 8, 8), port("logits", "float32", None, 10)
TOKENS, MASK = port("tokens", "int64", "b", "s"), port("mask", "bool", "b", "s")
BOTH = [port("embedding", "float32", "b", 16), port("logits", "float32", "b", 2)]


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([IMAGE], [LOGITS]),
        ([port("x", "float32", "n", None, "h", "w")], [port("y", "float32", "n", "c")]),
        ([port("", "float32", "batch", 1, 8, 8)], [port("", "float32", "batch", 10)]),
        ([IMAGE], [port("features", "float32", "n", 64), LOGITS]),
    ],
)
def test_what_varies_takes_any_size_and_a_lone_name_may_differ(inputs: Any, outputs: Any) -> None:
    assert fit(ONE, {"inputs": inputs, "outputs": outputs}) == ONE


def test_several_ports_are_told_by_name_whatever_their_order() -> None:
    assert fit(TWO, {"inputs": [MASK, TOKENS], "outputs": BOTH}) == TWO


def test_ports_without_names_are_told_by_place() -> None:
    nameless = [each | {"name": ""} for each in (TOKENS, MASK)]
    assert fit(TWO, {"inputs": nameless, "outputs": BOTH}) == TWO
    with pytest.raises(ValueError, match="takes bool"):
        fit(TWO, {"inputs": nameless[::-1], "outputs": BOTH})


def test_a_batch_that_the_program_fixes_is_that_of_all_ports() -> None:
    fixed = fit(ONE, {"inputs": [port("image", "float32", 4, 1, 8, 8)], "outputs": [LOGITS]})
    assert fixed.inputs[0].shape == (4, 1, 8, 8)
    assert fixed.outputs[0].shape == (4, 10)


@pytest.mark.parametrize(
    ("signature", "inputs", "outputs", "said"),
    [
        (ONE, [port("image", "uint8", "n", 1, 8, 8)], [LOGITS], "takes 'image' uint8 [n, 1, 8, 8]"),
        (ONE, [port("image", "float32", "n", 8, 8, 1)], [LOGITS], "says 'image' float32 [batch, 1"),
        (ONE, [port("image", "float32", "n", 64)], [LOGITS], "takes 'image' float32 [n, 64]"),
        (ONE, [port("image", "float32", 0, 1, 8, 8)], [LOGITS], "float32 [0, 1, 8, 8]"),
        (ONE, [IMAGE], [port("logits", "float32", "n", 100)], "gives 'logits' float32 [n, 100]"),
        (ONE, [IMAGE], [], "gives nothing, where the task says 'logits'"),
        (ONE, [IMAGE, TOKENS], [LOGITS], "takes 'image' float32 [n, 1, 8, 8], 'tokens'"),
        (TWO, [TOKENS, port("m", "bool", "b", "s")], BOTH, "'m' bool [b, s], where the task says"),
        (TWO, [port("tokens", "int64", "b", 128), MASK], BOTH, "takes 'tokens' int64 [b, 128]"),
        (TWO, [port("tokens", "int64", 2, "s"), port("mask", "bool", 3, "s")], BOTH, "2 and 3"),
    ],
)
def test_what_does_not_fit_is_said_beside_what_would(
    signature: Signature, inputs: Any, outputs: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=r"^it ") as refused:
        fit(signature, {"inputs": inputs, "outputs": outputs})
    assert said in str(refused.value)
