"""What a user of `edgekd bench` reads."""

import json

import pytest
from onnx import TensorProto, helper, save
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.cli.bench import _on, _waiting
from edgekd.core.errors import RequestError
from edgekd.report.schema.report import Report

TARGET = """description: here, for tests
transport: {kind: local}
runtimes: [onnxruntime]
bench: {restarts: 2, max_restarts: 2, warmup_runs: 2, warmup_s: 0.01, min_runs: 40, min_s: 0.01,
  tolerance: 99, max_drift: 99, profile: false}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "targets").mkdir()
    (folder / "folder.md").mkdir()
    (folder / "targets" / "fast.yaml").write_text(TARGET)
    (folder / "targets" / "watts.yaml").write_text(TARGET + "hardware: {watts_per_core: 2.5}\n")
    for name, operator in (("a", "Relu"), ("b", "Abs"), ("squeeze", "Squeeze")):
        ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "wide"]),
                helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]  # fmt: skip
        more = {"axes": [1]} if name == "squeeze" else {}
        node = helper.make_node(operator, ["x"], ["y"], **more)
        graph = helper.make_graph([node], "g", ends[:1], ends[1:])
        opset = [helper.make_opsetid("", 11)]
        save(helper.make_model(graph, opset_imports=opset, ir_version=7), folder / f"{name}.onnx")
    return folder


@pytest.fixture
def bench(files, monkeypatch):
    monkeypatch.chdir(files)

    def invoke(*words, target="fast"):
        return CliRunner().invoke(app, ["bench", *words, "--target", target])

    return invoke


def test_two_models_end_in_a_table_a_comparison_and_a_report(bench, files):
    out = files / "new" / "report.md"
    done = bench("a.onnx", "--against", "b.onnx", "--dim", "wide=8", "--gate", "size_mib<=1",
                 "-o", str(out))  # fmt: skip
    assert done.exit_code == 0, done.output
    for words in ("b.onnx", "p50, ms", "p99, ms", "peak memory, MiB", "speed-up", "valid",
                  "input  a.onnx: x float32 [1, 8], made: normal", "mind   restarts is 2",
                  "✓ pass  a.onnx on fast: Size", " on fast.\n", "Contract kept: 1 gate passed.",
                  "report runs/", str(out)):  # fmt: skip
        assert words in done.output, words
    assert "What was run" in out.read_text()
    listed = CliRunner().invoke(app, ["runs"])
    assert "bench-a  " in listed.output
    assert "kept, 1 of 1 gates" in listed.output


@pytest.fixture(scope="module")
def as_json(files):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(files)
        words = ["bench", "a.onnx", "--dim", "wide=8", "--json", "--target", "fast"]
        return CliRunner().invoke(app, words)


def test_json_is_one_object_with_the_report_in_it(as_json):
    (line,) = as_json.output.splitlines()
    found = json.loads(line)
    assert (found["exit_code"], as_json.exit_code) == (0, 0)
    assert found["report"]["checks"][0]["inputs"][0]["shape"] == [1, 8]


def test_what_is_told_of_a_machine_fits_a_terminal_however_its_processor_is_called(as_json):
    (check,) = Report.model_validate(json.loads(as_json.output)["report"]).checks
    (machine,) = check.machines
    cpu = "A Processor with 128 Cores and an Accelerator for Matrices of 8 bits @ 2.40GHz"
    facts = machine.facts | {"cpu": cpu, "os": "Debian GNU/Linux 12 (bookworm)",
                             "governor": "schedutil", "temperature_c": "61.5"}  # fmt: skip
    lines = [*_on(check, machine.model_copy(update={"facts": facts}))]
    above = lines[: next(n for n, line in enumerate(lines) if line.endswith(" a.onnx"))]
    assert max(map(len, above)) <= 80
    assert " ".join(line.strip() for line in above[:2]) == f"fast: {cpu}, {facts['os']}"


def test_energy_is_an_estimate_from_the_watts_that_the_targets_file_states(bench, files):
    done = bench("a.onnx", "--dim", "wide=8", "-o", str(files / "watts" / "r.json"), target="watts")
    assert done.exit_code == 0, done.output
    (line,) = (line for line in done.output.splitlines() if "energy a run, mJ" in line)
    found = json.loads((files / "watts" / "r.json").read_text())
    start = found["checks"][0]["rows"][0]["timing"]["start"]
    if start["energy"]["origin"] == "meter":  # root on a machine that has one
        assert line.endswith(", whole package")
    else:
        assert line.endswith(", estimate")
        middle = start["energy"]["mj_per_run"]["median"]
        assert middle == pytest.approx(2.5 * start["cpu_ms_per_run"]["median"])


def test_a_model_that_does_not_take_what_was_made_is_said_with_what_to_try(bench):
    done = bench("squeeze.onnx", "--dim", "wide=8")
    assert done.exit_code == 1
    assert "✗ squeeze.onnx on fast ended with exit status 1 in its first run" in done.output
    assert "--shape, --values or --data say what it expects" in done.output
    assert "squeeze.onnx could not be measured on fast." in done.output


def test_who_waits_for_the_device_is_told_where_nobody_looks_on(capsys):
    _waiting(0, 2, "timing on fast")
    _waiting(0, 2, "fast: waiting, at most 3600 s, for ada on pi, process 7")
    assert capsys.readouterr().err == "  fast: waiting, at most 3600 s, for ada on pi, process 7\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.onnx"], "dimension 'wide' of 'x', float32 [batch, wide] varies"),
        (["a.onnx", "--mode", "fast"], "there is no 'fast'"),
        (["a.onnx", "--gate", "accuracy>=1"], "cannot be measured of a model file alone"),
        (["a.onnx", "-o", "report.pdf"], "'.pdf' is no format of reports"),
        (["a.onnx", "-o", "a.onnx/report.md"], "/report.md cannot be written: "),
        (["a.onnx", "-o", "folder.md"], "folder.md cannot be written: it is a folder"),
        (["a.txt"], "a.txt is no model file"),
    ],
)
def test_a_wrong_request_ends_with_2_before_anything_is_measured(bench, files, words, said):
    before = sorted(files.glob("runs/*"))
    done = bench(*words)
    assert isinstance(done.exception, RequestError)
    assert done.exception.exit_code == 2
    assert said in str(done.exception)
    assert sorted(files.glob("runs/*")) == before
