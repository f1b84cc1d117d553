import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekd.core.errors import StageError
from edgekd.runtimes.parity import Parity, check_parity

ROWS = 20


def check(outputs, reference, *, labels=None, quantized=False, **limits):
    samples = {} if labels is None else {"labels": labels}
    return check_parity(
        "'onnx' (onnx.onnx)",
        lambda _: outputs,
        reference,
        samples,
        quantized=quantized,
        limits=Parity(**limits),
    )


def logits(seed=0):
    return np.random.default_rng(seed).normal(size=(ROWS, 5)).astype(np.float32)


@given(
    hnp.arrays(np.float32, (4, 3), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.booleans(),
)
def test_equal_outputs_always_pass(values, quantized):
    found = check({"x": values}, {"x": values.copy()}, quantized=quantized)
    assert found["outputs"][0]["largest"] == 0


def test_the_tolerance_follows_the_size_of_the_output():
    small, large = logits(), logits() * 1e6
    check({"x": large * (1 + 1e-6)}, {"x": large})
    with pytest.raises(StageError):
        check({"x": small + 1e-3}, {"x": small})


def test_a_failure_names_program_output_sample_and_largest_difference():
    expected, given_logits = logits(), logits()
    given_logits[7, 2] += 0.5
    with pytest.raises(StageError) as caught:
        check({"a": expected, "b": given_logits}, {"a": expected, "b": expected})
    text = str(caught.value)
    for part in ("'onnx' (onnx.onnx)", "output 'b'", "0.5", "validation sample 7", "loosen parity"):
        assert part in text


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_never_pass(bad, quantized):
    given_logits = logits()
    given_logits[3, 1] = bad
    for labels in (None, np.zeros(ROWS, np.int64)):
        with pytest.raises(StageError, match="validation sample 3"):
            check(
                {"logits": given_logits},
                {"logits": logits()},
                labels=labels,
                quantized=quantized,
            )


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("labels", [None, np.zeros(ROWS, np.int64)], ids=["alone", "labelled"])
def test_an_infinity_of_the_model_must_be_the_programs_too_and_hides_nothing(quantized, labels):
    expected = logits()
    expected[3, 1] = -np.inf

    def judge(given_logits):
        check({"logits": given_logits}, {"logits": expected}, labels=labels, quantized=quantized,
              accuracy_drop=1.0)  # fmt: skip

    judge(expected.copy())
    for place, value in (((3, 1), 0.0), ((3, 1), np.inf), ((5, 2), -np.inf)):
        other = expected.copy()
        other[place] = value
        with pytest.raises(StageError, match=f"validation sample {place[0]}"):
            judge(other)
    with pytest.raises(StageError):
        judge(np.where(np.isfinite(expected), -expected, expected))


@pytest.mark.parametrize("quantized", [True, False])
def test_a_model_that_gives_no_numbers_proves_nothing(quantized):
    expected = logits()
    expected[6, 0] = np.nan
    for reference in (expected, np.full_like(expected, np.nan)):
        with pytest.raises(StageError, match="the PyTorch model gives NaN in output 'logits'"):
            check({"logits": reference.copy()}, {"logits": reference}, quantized=quantized)


@pytest.mark.parametrize("quantized", [True, False])
def test_another_shape_or_type_never_passes(quantized):
    for other in (logits()[:, :4], logits().astype(np.float64), logits()[:5]):
        with pytest.raises(StageError, match="departs"):
            check({"logits": other}, {"logits": logits()}, quantized=quantized)


def test_class_scores_are_judged_by_what_they_choose():
    expected = logits()
    labels = expected.argmax(1)
    scaled = expected * 3
    found = check({"logits": scaled}, {"logits": expected}, labels=labels, quantized=True)
    assert found["outputs"][0]["found"] == {"agreement": 1.0, "accuracy_drop": 0.0}
    with pytest.raises(StageError, match=r"agreement 0, accuracy_drop 1"):
        check({"logits": -expected}, {"logits": expected}, labels=labels, quantized=True)


def test_a_drop_of_accuracy_alone_is_enough_to_fail():
    expected, moved = logits(), logits()
    labels = expected.argmax(1)
    moved[:2] = -moved[:2]
    limits = {"agreement": 0.5, "accuracy_drop": 0.05}
    with pytest.raises(StageError, match=r"accuracy_drop 0\.1"):
        check({"logits": moved}, {"logits": expected}, labels=labels, quantized=True, **limits)


def test_other_outputs_are_judged_by_relative_error():
    expected = logits()
    check({"embedding": expected * 1.05}, {"embedding": expected}, quantized=True)
    with pytest.raises(StageError, match=r"relative_error 0\.2"):
        check({"embedding": expected * 1.2}, {"embedding": expected}, quantized=True)


def test_integer_outputs_are_equal_or_in_int8_agree():
    ids = np.arange(ROWS)
    moved = ids.copy()
    moved[4] = 0
    check({"ids": moved}, {"ids": ids}, quantized=True)
    with pytest.raises(StageError, match="every value equal"):
        check({"ids": moved}, {"ids": ids})


def test_a_changed_weight_in_the_file_is_found(tmp_path):
    from edgekd.core.refs import UseRuntime
    from edgekd.ops.named import call_by_name
    from edgekd.testing.tiny import CASES

    case, out = CASES["plain"], tmp_path / "m.onnx"
    model, samples = case.model(), case.samples(16)
    runtime = UseRuntime.model_validate("onnxruntime").build()
    runtime.export(
        model,
        signature=case.signature,
        samples=samples,
        metadata={},
        quantization=None,
        calibration=[],
        activation="uint8",
        out=out,
    )
    outputs = call_by_name(model, case.signature, samples)
    reference = {name: value.detach().numpy() for name, value in outputs.items()}
    arrays = {name: value.numpy() for name, value in samples.items()}

    def parity():
        return check_parity(
            "m", runtime.open(out), reference, arrays, quantized=False, limits=Parity()
        )

    assert parity()["samples"] == 16
    document = onnx.load(out)
    weight = next(t for t in document.graph.initializer if t.name == "head.weight")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[3, 0] += 1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(document, out)
    with pytest.raises(StageError, match="m departs from the PyTorch model"):
        parity()
