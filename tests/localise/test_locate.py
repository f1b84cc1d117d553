"""How the place of a departure is told, and faults that hide while one looks."""

import numpy as np
import pytest
import torch

from edgekd.core.signature import Port, Signature
from edgekd.localise.locate import locate, sentences, table
from edgekd.runtimes.insides import Insides

PORTS = (Port("x", "float32", ("batch", 3)),)
SIGNATURE = Signature(PORTS, (Port("y", "float32", ("batch", 3)),))
X = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)


def followed(given, **options):
    alone = {"quantized": False} | options
    return locate(lambda x: given.ask(x, ())[0], given, {"x": X}, SIGNATURE, **alone)


class Chain(torch.nn.Module):
    def forward(self, x):
        return ((x + 1) * 2).relu() - 3


def insides(fused=()):
    """Return a program that is right but where it makes one operator of `fused` nodes."""
    graph = torch.export.export(Chain(), (torch.zeros(2, 3),))
    names = [node.name for node in graph.graph.nodes if node.op == "call_function"]

    def ask(inputs, nodes):
        x = inputs["x"]
        values = [x + 1, (x + 1) * 2, ((x + 1) * 2).clip(0), ((x + 1) * 2).clip(0) - 3]
        wrong = bool(fused) and not {*fused} & {*nodes}
        return {"y": values[-1] + wrong}, {
            n: v for n, v in zip(names, values, strict=True) if n in nodes
        }

    return Insides(graph, dict.fromkeys(names, "Op"), ask, None), names


def test_a_fault_of_fused_operators_is_named_though_it_vanishes_under_watch():
    for number in range(4):
        given, names = insides([insides()[1][number]])
        found = followed(given)
        assert found.hides
        assert found.departs
        assert found.first is None
        assert found.fused == names[number]
        assert "optimisation departs" in next(sentences(found))


def test_where_watching_alone_makes_the_difference_no_layer_is_blamed():
    given, _ = insides()
    wrong = lambda x: {"y": given.ask(x, ())[0]["y"] + 1}  # noqa: E731
    found = locate(wrong, given, {"x": X}, SIGNATURE, quantized=False)
    assert (found.hides, found.fused) == (True, "")
    assert "any layer" in next(sentences(found))


def test_a_healthy_program_tells_where_its_error_comes_from():
    given, names = insides()
    found = followed(given)
    assert not found.departs
    assert found.as_dict()["first"] is None
    assert [layer["node"] for layer in found.as_dict()["layers"]] == names
    assert "No layer departs on its own" in next(sentences(found))
    head, *rows = table(found)
    assert head.split() == ["module", "type", "operator", "shape", "error", "local", "error"]
    assert len(rows) == len(names)


@pytest.mark.parametrize("quantized", [True, False])
def test_what_is_infinite_is_none_in_json(quantized):
    given, names = insides()
    bad = Insides(
        given.graph, given.operators,
        lambda x, nodes: (given.ask(x, nodes)[0], dict.fromkeys(nodes, np.zeros(1, "f4"))), None,
    )  # fmt: skip
    found = locate(lambda x: given.ask(x, ())[0], bad, {"x": X}, SIGNATURE, quantized=quantized)
    assert found.as_dict()["first"] == names[0]
    assert found.as_dict()["layers"][0]["local_error"] is None
    assert " inf " in list(table(found))[1]
