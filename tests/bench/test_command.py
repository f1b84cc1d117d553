import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from edgekd.bench.asked import Asked, read_dims, read_gates, read_shapes, read_values
from edgekd.bench.command import command


def options(words: list[str], name: str) -> list[str]:
    return [after for word, after in pairwise(words) if word == name]


def test_the_command_line_reads_back_as_the_same_request():
    asked = Asked(
        Path("my models/m.onnx"),
        against=Path("o.pte"),
        targets=("cpu", "pi"),
        shapes={"x": (1, 3), "s": ()},
        dims={"n": 4},
        values={"ids": (-1 / 3, 2.0**53 - 1), "rate": (1 / 3, 1 / 3)},
        data=Path("d.npz"),
        seed=7,
        mode="quick",
        sustained_s=90.0,
        threads=2,
        graph_level="off",
        gates={"latency_p90_ms": "<= 5"},
    )
    words = shlex.split(command(asked))
    assert words[:3] == ["edgekd", "bench", "my models/m.onnx"]
    assert options(words, "--target") == ["cpu", "pi"]
    assert read_shapes(options(words, "--shape")) == asked.shapes
    assert read_dims(options(words, "--dim")) == asked.dims
    assert read_values(options(words, "--values")) == asked.values
    assert read_gates(options(words, "--gate"), compares=True) == asked.gates
    single = (
        ("--against", "o.pte"),
        ("--data", "d.npz"),
        ("--seed", "7"),
        ("--mode", "quick"),
        ("--threads", "2"),
        ("--sustained", "90.0"),
        ("--graph-level", "off"),
    )
    for name, said in single:
        assert options(words, name) == [said]


def test_throughput_is_said_where_it_was_asked():
    assert command(Asked(Path("m.onnx"), throughput=True)).endswith(" --throughput")


@pytest.mark.parametrize(("profile", "word"), [(True, "--profile"), (False, "--no-profile")])
def test_whether_operators_are_timed_is_said_where_it_was_asked(profile, word):
    assert shlex.split(command(Asked(Path("m.onnx"), profile=profile)))[-1] == word


def test_what_was_not_asked_for_is_not_in_it():
    assert command(Asked(Path("m.onnx"))) == "edgekd bench m.onnx --target cpu"
