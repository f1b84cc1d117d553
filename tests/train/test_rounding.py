from dataclasses import replace

import pytest

from edgekd.core.kinds import transform
from edgekd.core.refs import UseModel, UseTransform
from edgekd.models.folder import StoredModel
from edgekd.testing.tiny import CASES
from edgekd.train.optim import Train
from edgekd.train.rounding import rounding_student

CASE = CASES["plain"]


class Thousand:
    """A task of 1,000 examples, of which nothing else is asked."""

    quality = ("accuracy",)

    def size(self, split):
        return 1000

    signature = files = facts = batches = lambda *_, **__: pytest.fail("nobody asks for it")


@pytest.mark.parametrize(("accumulate", "until"), [(1, 18), (2, 36), (1000, 18 * 128)])
def test_ranges_follow_for_three_quarters_of_all_passes(accumulate, until, monkeypatch):
    asked, model = {}, CASE.model()

    def learns(options, module, **given):
        asked.update(given)
        return module

    plugin = transform.get("int8_static")
    traits = {**plugin.traits, "learns": learns}
    monkeypatch.setitem(transform._loaded, "int8_static", replace(plugin, traits=traits))
    origin = StoredModel(
        model, UseModel.model_validate("resnet"), CASE.signature, {}, sparse=("a.weight",),
        quantization=UseTransform.model_validate("int8_static"),
    )  # fmt: skip
    options = Train(epochs=3, batch_size=128, accumulate=accumulate)
    student = rounding_student(origin, options, Thousand(), "cpu")
    assert asked["until"] == until
    assert student.sparse == ["graph.a.weight"]
