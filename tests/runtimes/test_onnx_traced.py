from types import MethodType

import onnx
import pytest
import torch
from torch import nn

from edgekd.runtimes import onnx_traced
from edgekd.runtimes.onnx_traced import TracedGraphs, digest_of
from edgekd.testing.tiny import CASES


class Tied(nn.Module):
    def __init__(self, tied):
        super().__init__()
        self.one = nn.Linear(2, 2)
        self.other = nn.Linear(2, 2)
        self.other.load_state_dict(self.one.state_dict())
        if tied:
            self.other.weight = self.one.weight


def changed(change):
    model = CASES["residual"].model()
    with torch.no_grad():
        change(model)
    return digest_of((model,))


def graph(name="g"):
    return onnx.ModelProto(producer_name=name)


def test_equal_models_are_known_by_the_same_digest():
    assert changed(lambda _: None) == changed(lambda _: None) != ""


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.head.weight[0, 0].add_(1e-7),
        lambda m: m.head.weight[0, 0].zero_().neg_(),
        lambda m: m.stem[1].running_mean.add_(1),
        lambda m: setattr(m.stem[0], "stride", (2, 2)),
        lambda m: setattr(m.stem, "2", nn.ReLU6()),
        lambda m: m.train(),
        lambda m: m.to(memory_format=torch.channels_last),
        lambda m: m.requires_grad_(False),
    ],
)
def test_a_model_that_differs_in_anything_has_another_digest(change):
    assert changed(change) not in ("", changed(lambda _: None))


def test_weights_that_are_one_are_told_from_weights_that_are_equal():
    torch.manual_seed(0)
    tied = digest_of((Tied(True),))
    torch.manual_seed(0)
    assert tied not in ("", digest_of((Tied(False),)))


def test_a_graph_is_traced_once_and_what_becomes_of_a_copy_does_not_reach_the_next():
    kept, traced = TracedGraphs(), []
    for _ in range(3):
        found, way = kept.get(
            ("model", 1), lambda: traced.append(1) or (graph(), {"exporter": "x"})
        )
        assert (found.producer_name, way) == ("g", {"exporter": "x"})
        found.producer_name = "spoilt"
    assert len(traced) == 1


def test_what_cannot_be_written_is_traced_each_time():
    model, traced = CASES["plain"].model(), []
    model.register_forward_hook(lambda *_: None)
    kept = TracedGraphs()
    for _ in range(2):
        kept.get((model,), lambda: traced.append(1) or (graph(), {}))
    assert digest_of((model,)) == ""
    assert len(traced) == 2


def test_a_method_that_was_put_in_place_of_the_class_s_own_is_not_taken_for_it():
    def forward(self, given):
        return given

    model = CASES["plain"].model()
    model.forward = MethodType(forward, model)
    assert digest_of((model,)) == ""


def test_the_eldest_graphs_go_when_they_take_too_much(monkeypatch):
    one, kept, traced = graph("x" * 100), TracedGraphs(), []
    monkeypatch.setattr(onnx_traced, "MOST_BYTES", 2 * one.ByteSize())
    for name in "abacab":
        kept.get((name,), lambda name=name: traced.append(name) or (one, {}))
    assert traced == ["a", "b", "c", "b"]
    large = graph("x" * 300)
    for _ in range(2):
        kept.get(("large",), lambda: traced.append("large") or (large, {}))
    kept.get(("b",), lambda: traced.append("b") or (one, {}))
    assert traced[4:] == ["large", "large"]
