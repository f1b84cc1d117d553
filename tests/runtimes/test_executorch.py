import json
import logging

import numpy as np
import pytest
import torch

from edgekd.core.errors import StageError
from edgekd.core.refs import UseRuntime, UseTransform
from edgekd.ops.named import call_by_name
from edgekd.runtimes.delegation import PARTITIONER, partition_reasons
from edgekd.testing.tiny import CASES


def export(case, out, *, quantization=None, model=None, **options):
    runtime = UseRuntime.model_validate({"kind": "executorch", **options}).build()
    facts = runtime.export(
        model or case.model(),
        signature=case.signature,
        samples=case.samples(4),
        metadata={"labels": '["a", "b"]'},
        quantization=quantization and UseTransform.model_validate(quantization),
        calibration=[case.samples(32, 0), case.samples(5, 1)],
        activation="uint8",
        out=out,
    )
    return runtime.open(out), facts


def arrays(batch):
    return {name: value.numpy() for name, value in batch.items()}


def reference(case, batch):
    with torch.no_grad():
        return call_by_name(case.model(), case.signature, batch)


@pytest.mark.parametrize("options", [{}, {"max_batch": 3}])
def test_two_integer_inputs_and_two_outputs_come_through_in_any_batch(options, tmp_path, capfd):
    case = CASES["pair"]
    program, _ = export(case, tmp_path / "m.pte", **options)
    batch = case.samples(7, seed=5)
    outputs = program(arrays(batch))
    assert list(outputs) == ["logits", "embedding"]
    for key, value in reference(case, batch).items():
        np.testing.assert_allclose(outputs[key], value.numpy(), atol=1e-5, rtol=1e-4)
    assert "cpuinfo" not in capfd.readouterr().err


def test_an_int8_program_is_near_the_model_and_says_what_was_delegated(tmp_path):
    case = CASES["plain"]
    program, facts = export(case, tmp_path / "q.pte", quantization={"kind": "int8_static"})
    batch = case.samples(50, seed=1)
    expected = reference(case, batch)["logits"].numpy()
    error = np.linalg.norm(program(arrays(batch))["logits"] - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.1
    assert facts["precision"] == "int8"
    assert facts["delegated_operators"] + sum(facts["left_out"].values()) >= 4
    assert facts["delegated_share"] == pytest.approx(
        facts["delegated_operators"]
        / (facts["delegated_operators"] + sum(facts["left_out"].values()))
    )
    assert "aten.convolution" not in " ".join(facts["left_out"])


def test_an_input_of_another_shape_is_a_stage_error(tmp_path, capfd):
    case = CASES["pair"]
    program, _ = export(case, tmp_path / "m.pte")
    wrong = arrays(case.samples(2)) | {"tokens": np.zeros((2, 9), np.int64)}
    with pytest.raises(StageError, match=r"could not run m\.pte"):
        program(wrong)
    assert "shape" in capfd.readouterr().err


def test_metadata_is_a_method_of_the_program(tmp_path):
    from executorch.runtime import Runtime

    case = CASES["pair"]
    export(case, tmp_path / "m.pte")
    program = Runtime.get().load_program(tmp_path / "m.pte")
    found = json.loads(program.load_method("metadata").execute([])[0])
    assert found["labels"] == '["a", "b"]'
    assert json.loads(found["signature"]) == case.signature.as_dict()


class Branching(torch.nn.Module):
    def forward(self, image):
        return image.flatten(1)[:, :10] if image.sum() > 0 else image.flatten(1)[:, 10:20]


def test_a_model_that_cannot_be_traced_is_a_stage_error(tmp_path):
    with pytest.raises(StageError, match=r"cannot be exported by torch\.export"):
        export(CASES["plain"], tmp_path / "m.pte", model=Branching())


@pytest.mark.parametrize(
    ("kind", "precision", "most"),
    [("int8_dynamic", "int8 dynamic", 0.05), ("int4_weights", "int4 weights", 0.3)],
)
def test_kinds_without_ranges_lower_to_xnnpack(kind, precision, most, tmp_path):
    case = CASES["pair"]
    program, facts = export(case, tmp_path / "q.pte", quantization={"kind": kind})
    assert (facts["precision"], facts["activation"]) == (precision, "int8")
    assert set(facts["left_out"]) == {"aten.embedding", "aten.mean.dim"}
    batch = case.samples(50, seed=1)
    outputs = program(arrays(batch))
    for key, value in reference(case, batch).items():
        error = np.linalg.norm(outputs[key] - value.numpy()) / np.linalg.norm(value)
        assert 1e-4 < error < most


@pytest.mark.parametrize(
    ("quantization", "said"),
    [
        ({"kind": "int8_dynamic", "convolutions": True}, "no convolutions at run time"),
        ({"kind": "int4_weights", "symmetric": False}, "symmetric 4-bit weights only"),
        ({"kind": "int4_weights", "activation": "float32"}, "8-bit inputs only"),
    ],
)
def test_what_xnnpack_cannot_do_is_refused(quantization, said, tmp_path):
    with pytest.raises(StageError, match=said):
        export(CASES["pair"], tmp_path / "q.pte", quantization=quantization)


def test_each_operator_left_out_has_its_reason(tmp_path):
    _, facts = export(CASES["pair"], tmp_path / "m.pte")
    assert facts["left_out"] == {"aten.embedding": 2, "aten.mean.dim": 1}
    because = facts["left_out_because"]
    assert because["aten.embedding"] == "XNNPACK has no such operator"
    assert "only supports averaging 4D tensors" in because["aten.mean.dim"]


def test_a_type_that_is_not_taken_is_named(tmp_path):
    class Integers(torch.nn.Module):
        def forward(self, tokens, segment):
            total = (tokens + 1).sum(1).float()[:, None] + segment[:, None]
            return total.expand(-1, 3) * 2.0, total.expand(-1, 16) * 3.0

    _, facts = export(CASES["pair"], tmp_path / "m.pte", model=Integers())
    assert facts["left_out_because"]["aten.add.Tensor"].startswith("invalid dtype (")
    assert "int64" in facts["left_out_because"]["aten.add.Tensor"]


def test_listening_for_reasons_leaves_the_loggers_as_they_were():
    logger = logging.getLogger(PARTITIONER)
    before = logger.level, logger.propagate, list(logger.handlers)
    with pytest.raises(RuntimeError), partition_reasons():
        raise RuntimeError
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
