from pathlib import Path

import pytest

from edgekd.bench.asked import (
    Asked,
    check_choices,
    read_dims,
    read_gates,
    read_shapes,
    read_values,
)
from edgekd.core.errors import RequestError


def test_sizes_and_values_are_read_by_name():
    assert read_shapes(["image=1x3x224x224", "rate="]) == {"image": (1, 3, 224, 224), "rate": ()}
    assert read_dims(["batch=8"]) == {"batch": 8}
    assert read_values(["ids=0..30521", "rate=16000", "x=-1.5..2e1"]) == {
        "ids": (0, 30521), "rate": (16000, 16000), "x": (-1.5, 20.0),
    }  # fmt: skip


def test_the_last_equals_sign_counts_because_names_may_have_some():
    assert read_dims(["a=b=3"]) == {"a=b": 3}


@pytest.mark.parametrize(
    ("read", "option", "text"),
    [
        (read_shapes, "--shape", "image"),
        (read_shapes, "--shape", "image=1x0"),
        (read_shapes, "--shape", "image=1,3"),
        (read_dims, "--dim", "=4"),
        (read_dims, "--dim", "batch=-1"),
        (read_values, "--values", "ids=1.."),
        (read_values, "--values", "ids=9..1"),
    ],
)
def test_what_is_not_understood_is_said_with_its_option_and_an_example(read, option, text):
    with pytest.raises(RequestError, match=rf"^{option}\n  '{text}' is not understood.\n  As: "):
        read([text])


def test_every_wrong_word_is_told_at_once():
    with pytest.raises(RequestError) as raised:
        read_dims(["a", "b=1", "c"])
    assert len(raised.value.problems) == 2


def test_a_gate_is_a_name_a_relation_and_a_number():
    assert read_gates(["latency_p90_ms<=5", "size_mib < 3"], compares=False) == {
        "latency_p90_ms": "<=5", "size_mib": "< 3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency_p90_ms", "'latency_p90_ms' is no gate: expected, say, 'latency_p90_ms<=5'"),
        ("latency_p90<=5", "'latency_p90' cannot be measured of a model file alone. Did you mean"),
        ("accuracy>=0.9", "'accuracy' cannot be measured of a model file alone"),
        ("latency_p90_ms>=5", "would refuse a program for being good"),
        ("latency_p90_ms<=fast", "is no limit"),
        ("speedup>=2", "'speedup' compares two models: give the other --against"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused(text, said):
    with pytest.raises(RequestError, match="--gate") as raised:
        read_gates([text], compares=False)
    assert said in str(raised.value)


def test_a_comparison_can_be_demanded_of_two_models():
    assert read_gates(["speedup>=1.1"], compares=True) == {"speedup": ">=1.1"}


def test_modes_and_levels_that_do_not_exist_are_named_together():
    with pytest.raises(RequestError) as raised:
        check_choices(Asked(Path("m.onnx"), mode="fast", graph_level="al"))
    assert "there is no 'fast'" in str(raised.value)
    assert "Did you mean 'all'?" in str(raised.value)
    check_choices(Asked(Path("m.onnx"), mode="quick", graph_level="off"))
