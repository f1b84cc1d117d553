"""Values inside ExecuTorch programs: those that the file itself computes, by module."""

import numpy as np
import pytest
import torch

from edgekd.core.refs import UseRuntime, UseTransform
from edgekd.localise.locate import locate
from edgekd.runtimes.xnnpack_taps import tapped
from edgekd.testing.tiny import CASES

INT8 = UseTransform.model_validate("int8_static")


@pytest.fixture(scope="module", params=[("pair", False), ("residual", True)], ids=["fp32", "int8"])
def program(request, tmp_path_factory):
    """Return runtime, file, the network, what inspecting takes, whether it is in 8 bits."""
    name, quantized = request.param
    case, runtime = CASES[name], UseRuntime.model_validate("executorch").build()
    about = {
        "signature": case.signature,
        "samples": case.samples(4),
        "quantization": INT8 if quantized else None,
        "calibration": [case.samples(64, 3)],
    }
    kept, lower = [], runtime._lower
    runtime._lower = lambda *given: kept[0] if kept else (kept.append(lower(*given)) or kept[0])
    file = tmp_path_factory.mktemp(name) / "m.pte"
    runtime.export(case.model(), metadata={}, activation="int8", out=file, **about)
    insides = runtime.inside(file, case.model(), **about)
    return runtime, file, case, about, quantized, insides


def look(program, file):
    runtime, own, case, about, quantized, insides = program
    if file != own:
        insides = runtime.inside(file, case.model(), **about)
    samples = {name: column.numpy() for name, column in case.samples(4, 5).items()}
    return locate(runtime.open(own), insides, samples, case.signature, quantized=quantized)


def test_the_copy_computes_the_same_bits(program):
    runtime, file, case, _, _, insides = program
    inputs = {name: column.numpy() for name, column in case.samples(1, 5).items()}
    given, _ = insides.ask(inputs, ())
    for name, value in runtime.open(file)(inputs).items():
        np.testing.assert_array_equal(given[name], value)


def test_a_healthy_program_departs_nowhere_and_every_layer_is_seen(program):
    found = look(program, program[1])
    assert not found.departs
    assert max(layer.local_error for layer in found.layers) < (0.02 if program[4] else 1e-6)
    seen = {path for layer in found.layers for path in (layer.module, *layer.joined)}
    layers = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.Embedding)
    made = {n for n, m in program[2].model().named_modules() if isinstance(m, layers)}
    assert made <= seen


def test_a_weight_altered_in_the_file_is_found_in_its_layer(program, tmp_path):
    _, file, case, _, quantized, _ = program
    layer = "first.1" if quantized else "hidden"
    weight = case.model().get_submodule(layer).weight.detach()
    if quantized:
        rows = weight.flatten(1)
        weight = (rows / rows.abs().amax(1, keepdim=True) * 127).round()
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

    held = deserialize_pte_binary(file.read_bytes())
    kind = np.int8 if quantized else np.float32
    for place, buffer in enumerate(held.named_data.buffers):
        found = np.frombuffer(buffer, kind) if len(buffer) % np.dtype(kind).itemsize == 0 else []
        if len(found) == weight.numel() and np.allclose(
            np.sort(found.astype("f4")), np.sort(weight.numpy().ravel()), atol=1.01e-5 + quantized
        ):
            held.named_data.buffers[place] = (found * kind(-1)).tobytes()
            break
    else:
        pytest.fail("the weight is not in the file")
    bad = tmp_path / "bad.pte"
    bad.write_bytes(bytes(serialize_pte_binary(held)))
    found = look(program, bad)
    assert found.first.module == layer
    assert sum(each.departs for each in found.layers) == 1


def test_scales_keep_every_bit_and_channels_stand_where_pytorch_has_them(program):
    _, taps, _ = tapped(program[1].read_bytes())
    for tap in taps:
        shape = (1, 2, 3, 4) if tap.last else (1, 4)
        value = np.ones(shape, np.float32 if tap.scale is None else np.int8)
        assert tap.real(value).shape == ((1, 4, 2, 3) if tap.last else shape)
        if tap.scale is not None:
            assert np.float32(tap.scale) == tap.scale
            assert tap.real(value).max() == np.float32(1 - tap.zero) * np.float32(tap.scale)
    assert any(tap.last for tap in taps) == program[4]
