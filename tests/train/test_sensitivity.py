from types import SimpleNamespace

import pytest
import torch

from edgekd.core.refs import UseTransform
from edgekd.testing.tiny import CASES
from edgekd.train.evaluate import evaluate
from edgekd.train.exclusion import choose_excluded
from edgekd.train.sensitivity import rank_layers, relative_error, sign_of

CASE = CASES["residual"]


def frail():
    """Return a network with one layer whose weights 8 bits cannot hold.

    One of its inputs is always 0, and the weights of that input are 500 times as large as the
    others, which all become 0 beside them: in fp32 they change nothing.
    """
    model = CASE.model()
    norm, layer = model.first[0][1], model.first[1]
    with torch.no_grad():
        norm.weight[0], norm.bias[0] = 0.0, -1.0
        layer.weight[:, 1:] *= 5
        layer.weight[:, 0] = 500.0
    return model


class Task:
    """Examples whose labels are what the network says in fp32."""

    quality = ("accuracy",)

    def signature(self):
        return CASE.signature

    def files(self):
        return []

    def facts(self):
        return {}

    def size(self, split):
        return 200

    def batches(self, split, batch_size, *, device, rng=None, part=(0, 1), start=0):
        batch = CASE.samples(200, seed=5)
        with torch.no_grad():
            batch["labels"] = frail()(batch["image"]).argmax(1)
        yield batch | {"ids": torch.arange(200)}


@pytest.fixture(scope="module")
def ranked():
    transform = UseTransform.model_validate({"kind": "int8_static", "granularity": "tensor"})
    simulated = transform.plugin.traits["by_layer"](
        transform.options, frail(), signature=CASE.signature, batches=[CASE.samples(64)]
    )
    batches = [*Task().batches("validation", 512, device=torch.device("cpu"))]
    ranking = rank_layers(simulated, Task(), CASE.signature, batches, lambda *_: None)
    return SimpleNamespace(simulated=simulated, ranking=ranking)


def test_a_layer_that_suffers_most_is_ranked_first(ranked):
    worst, second, *_ = ranked.ranking.layers
    assert worst.path == "first.1"
    assert worst.error > 3 * second.error
    assert worst.lost.value > 0.05
    assert worst.lost.low > 0
    assert worst.score.value == pytest.approx(1 - worst.lost.value)
    errors = [layer.error for layer in ranked.ranking.layers]
    assert errors == sorted(errors, reverse=True)
    assert min(errors) > 0


def test_what_lies_between_layers_is_measured_beside_them(ranked):
    assert 0 < ranked.ranking.between.error < ranked.ranking.layers[0].error
    assert ranked.ranking.fp32.value == 1.0


def test_leaving_the_one_frail_layer_out_keeps_a_budget(ranked):
    fp32 = evaluate(frail(), Task(), "validation", torch.device("cpu"))
    told = []
    choice = choose_excluded(
        ranked.simulated,
        ranked.ranking,
        Task(),
        fp32,
        most=0.04,
        progress=lambda done, total: told.append(done / total),
    )
    assert choice.excluded == ("first.1",)
    assert choice.kept
    assert choice.lost <= 0.04
    assert told == sorted(told)
    assert max(told) < 1


def test_the_error_is_that_of_the_worst_output_of_floats():
    expected = [{"a": torch.tensor([3.0, 4.0]), "b": torch.ones(2), "c": torch.tensor([1, 2])}]
    given = [{"a": torch.tensor([3.0, 4.5]), "b": torch.ones(2) * 1.2, "c": torch.tensor([0, 0])}]
    assert relative_error(given, expected) == pytest.approx(0.2)
    assert relative_error([{"a": torch.ones(2)}], [{"a": torch.zeros(2)}]) == 1.0


def test_of_a_measure_that_is_better_when_lower_a_rise_is_a_loss():
    class Calibrated(Task):
        quality = ("calibration",)

    assert sign_of(Calibrated()) == -1
    assert sign_of(Task()) == 1
