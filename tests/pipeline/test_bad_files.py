"""Every bad file gets a message with its line and the next step, before anything is trained."""

import pytest

from edgekd.__main__ import main
from edgekd.core.errors import RequestError
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.workshop import Workshop

GOOD = """\
name: good
seed: 0
task: {kind: image_classification, data: digits}
stages:
  teacher:
    kind: teacher
    model: {kind: resnet, depth: 8, width: 8}
    train: {epochs: 1}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 8}
    objective:
      - {kind: kd, temperature: 4.0}
      - {kind: cross_entropy, weight: 0.5}
    train: {epochs: 1}
  pruned: {kind: prune, model: $student, transform: {kind: channels, ratio: 0.3}}
  int8: {kind: quantize, model: $pruned, transform: int8_static}
  onnx: {kind: export, model: $int8, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    targets: [cpu]
    gates: {accuracy_drop: "<= 0.05"}
  report: {kind: report, of: [$check]}
"""

# what is replaced, by what, the text that marks the expected line, and words of the message
EDITS = {
    "unknown key at the top": ("seed: 0", "sead: 0", "sead", "Did you mean 'seed'"),
    "unknown key in a stage": ("teacher: $teacher", "teachr: $teacher", "teachr", "'teacher'"),
    "unknown key in options": ("temperature: 4", "temprature: 4", "temprature", "'temperature'"),
    "unknown key in training": (
        "train: {epochs: 1}\n  st",
        "train: {epoch: 1}\n  st",
        "{epoch:",
        "Did you mean 'epochs'",
    ),
    "unknown key in a model": ("width: 8}\n    train", "widht: 8}\n    train", "widht", "'width'"),
    "unknown key in the task": ("data: digits}", "data: digits, sise: 8}", "sise", "'size'"),
    "misspelt stage kind": ("kind: distill", "kind: distil", "kind: distil", "'distill'"),
    "misspelt objective": ("kind: kd", "kind: kdd", "kdd", "Did you mean 'kd'"),
    "misspelt model": ("kind: resnet", "kind: resnets", "resnets", "Did you mean 'resnet'"),
    "misspelt task": (
        "image_classification",
        "image_clasification",
        "clasi",
        "Did you mean 'image_classification'",
    ),
    "misspelt data source": ("data: digits", "data: digit", "digit}", "Did you mean 'digits'"),
    "misspelt transform": ("kind: channels", "kind: chanels", "chanels", "'channels'"),
    "a quantization that does not pay": (
        "transform: int8_static",
        "transform: int8_dynamic",
        "int8_dynamic",
        "9 to 10 times slower",
    ),
    "misspelt runtime": (
        "runtime: onnxruntime",
        "runtime: onnx_runtime",
        "onnx_runtime",
        "Did you mean 'onnxruntime'",
    ),
    "misspelt target of a budget": (
        "transform: {kind: channels, ratio: 0.3}",
        "transform: {kind: channels, latency: {p50_ms: 1.0, runtime: onnxruntime,\n"
        "      target: cpus}}",
        "target: cpus",
        "Did you mean 'cpu'",
    ),
    "misspelt runtime of a budget": (
        "transform: {kind: channels, ratio: 0.3}",
        "transform: {kind: channels, latency: {p50_ms: 1.0, runtime: onnx}}",
        "runtime: onnx}",
        "no runtime is named 'onnx'",
    ),
    "misspelt target": ("targets: [cpu]", "targets: [cpus]", "cpus", "Did you mean 'cpu'"),
    "misspelt gate": ("accuracy_drop:", "acuracy_drop:", "acuracy", "accuracy_drop"),
    "text for a number": ("epochs: 1}\n  st", "epochs: ten}\n  st", "ten", "found 'ten'"),
    "truth value for a number": ("seed: 0", "seed: true", "seed", "found true or false"),
    "fraction for a count": ("epochs: 1}\n  st", "epochs: 1.5}\n  st", "1.5", "integer"),
    "negative count": ("epochs: 1}\n  st", "epochs: -1}\n  st", "-1", "greater than or equal"),
    "zero temperature": ("temperature: 4.0", "temperature: 0", "temperature", "greater than 0"),
    "not a number": ("temperature: 4.0", "temperature: .nan", "temperature", "found nan"),
    "list for a mapping": ("train: {epochs: 1}\n  st", "train: [1]\n  st", "[1]", "found a list"),
    "mapping for a list": ("targets: [cpu]", "targets: {cpu: 1}", "targets", "found a mapping"),
    "number for a name": ("name: good", "name: 7", "name", "found 7"),
    "nothing for a mapping": (
        "task: {kind: image_classification, data: digits}",
        "task:",
        "task",
        "found nothing",
    ),
    "no task": ("task: {kind: image_classification, data: digits}\n", "", "name", "required"),
    "no stages": (GOOD[GOOD.index("stages:") :], "stages: {}\n", "stages", "at least 1"),
    "stage without kind": ("    kind: distill\n", "", "student", "required"),
    "unusable name": ("name: good", "name: 'good run'", "name", "not a name"),
    "unusable stage name": ("  pruned:", "  'pruned it':", "pruned it", "not a name"),
    "dangling reference": ("model: $student", "model: $studnt", "$studnt", "'student'"),
    "reference without a dollar": (
        "teacher: $teacher",
        "teacher: teacher",
        "teacher: teacher",
        "written $stage",
    ),
    "reference to the wrong kind": (
        "reference: $teacher",
        "reference: $report",
        "$report",
        "expected a program",
    ),
    "cycle": (
        "model: {kind: depthwise, width: 8}",
        "model: $pruned",
        "student:",
        "wait for each other",
    ),
    "stage that needs itself": ("model: $pruned", "model: $int8", "int8:", "wait for each other"),
    "objective without a teacher": (
        "    teacher: $teacher\n",
        "",
        "kind: kd",
        "asks for teacher_logits",
    ),
    "no objective": (
        "      - {kind: kd, temperature: 4.0}\n      - {kind: cross_entropy, weight: 0.5}\n",
        "      []\n",
        "objective",
        "no objective",
    ),
    "negative weight": ("weight: 0.5", "weight: -0.5", "weight", "greater than or equal"),
    "impossible depth": ("depth: 8", "depth: 9", "depth", "6n + 2"),
    "impossible gate": ('"<= 0.05"', '"<= -2"', "<= -2", "accuracy_drop"),
    "gate that can never fail": ('"<= 0.05"', '"<= 2"', "<= 2", "can never fail"),
    "more pruning than a layer may lose": ("ratio: 0.3", "ratio: 0.95", "channels", "max_ratio"),
    "size of nothing": ("data: digits}", "data: digits, size: 0}", "size", "greater than"),
    "gate without a comparison": ('"<= 0.05"', '"0.05"', "gates", "0.05"),
    "teacher without weights or training": (
        "    train: {epochs: 1}\n  st",
        "  st",
        "teacher:",
        "neither weights nor train",
    ),
    "pickled weights": (
        "    train: {epochs: 1}\n  st",
        "    weights: w.pt\n  st",
        "weights",
        "not a .safetensors file",
    ),
    "absent weights": (
        "    train: {epochs: 1}\n  st",
        "    weights: w.safetensors\n  st",
        "weights",
        "there is no file",
    ),
    "missing data": (
        "data: digits",
        "data: {kind: fashion_mnist, root: /nowhere}",
        "nowhere",
        "dataset-fashion-mnist",
    ),
    "missing folder of pictures": (
        "data: digits",
        "data: {kind: image_folder, root: /nowhere, size: 8}",
        "nowhere",
        "/nowhere",
    ),
    "absent plug-in": ("seed: 0", "plugins: [mine.py]", "plugins", "there is no file"),
    "plug-in module that is not installed": (
        "seed: 0",
        "plugins: [no_such_module]",
        "plugins",
        "cannot be imported",
    ),
    "plug-ins that are no list": ("seed: 0", "plugins: mine.py", "plugins", "found 'mine.py'"),
    "layer to prune that is not there": (
        "    teacher: $teacher\n",
        "    teacher: $teacher\n    prune:\n      transform: {kind: channels, ratio: 0.3,\n"
        "        exclude: [hed]}\n",
        "hed",
        "Did you mean 'head'",
    ),
    "what is frozen and pruned": (
        "    teacher: $teacher\n",
        "    teacher: $teacher\n    prune: {transform: {kind: magnitude, ratio: 0.3}}\n"
        "    train: {freeze: [head]}\n    model: {kind: depthwise, width: 8}\n"
        "    objective: [cross_entropy]\n  other:\n    kind: distill\n    teacher: $teacher\n",
        "freeze",
        "what is frozen stays as it is",
    ),
    "pruning that ends with the training": (
        "    teacher: $teacher\n",
        "    teacher: $teacher\n    prune: {transform: {kind: magnitude, ratio: 0.3}, until: 1}\n",
        "until",
        "less than 1",
    ),
    "what rounds and is pruned": (
        "  onnx: {kind",
        "  qat: {kind: distill, model: $int8, objective: [cross_entropy],\n"
        "    prune: {transform: {kind: magnitude, ratio: 0.3}}}\n  onnx: {kind",
        "prune:",
        "not pruned meanwhile",
    ),
    "two kinds of prune budget": ("ratio: 0.3", "ratio: 0.3, macs: 1000", "channels", "one"),
    "runtime that a target lacks": (
        "targets: [cpu]",
        "targets: [bare]",
        "programs",
        "target 'bare' lacks",
    ),
    "excluded module that is not there": (
        "transform: int8_static",
        "transform: {kind: int8_static, exclude: [hed]}",
        "hed",
        "Did you mean 'head'",
    ),
    "duplicate key": ("seed: 0", "seed: 0\nseed: 1", "seed: 1", "already given in line 2"),
    "duplicate stage": ("  int8:", "  pruned:", "int8_static", "already given"),
    "tab": ("    kind: teacher", "\tkind: teacher", "\t", "tab"),
    "unbalanced bracket": ("targets: [cpu]", "targets: [cpu", None, "not YAML"),
    "code in a tag": ("seed: 0", "seed: !!python/object/apply:os.getpid []", "seed", "tag"),
    "alias without anchor": ("seed: 0", "seed: *zero", "seed", "undefined alias"),
    "unknown key of pydantic's": ("seed: 0", "options: 0", "options", "unknown key 'options'"),
    "unknown key of pydantic's in a stage": (
        "teacher: $teacher",
        "teacher: $teacher\n    options: {}",
        "options",
        "unknown key 'options'",
    ),
    "unknown key of pydantic's in a model": (
        "depth: 8,",
        "depth: 8, <use>: 1,",
        "<use>",
        "unknown key '<use>'",
    ),
    "number where targets are named elsewhere": (
        "kind: teacher\n",
        "kind: teacher\n    targets: 5\n",
        "targets: 5",
        "unknown key 'targets'",
    ),
    "plug-in that is no text": ("seed: 0", "plugins: [5]", "plugins", "string, found 5"),
    "plug-in with far too long a name": (
        "seed: 0",
        f"plugins: [{'x' * 300}.py]",
        "plugins",
        "is no file",
    ),
    "plug-in of Python itself": ("seed: 0", "plugins: [sys]", "plugins", "has no file"),
    "weights with far too long a name": (
        "    train: {epochs: 1}\n  st",
        f"    weights: {'w' * 300}.safetensors\n  st",
        "weights",
        "at most 255 bytes",
    ),
    "weights of nobody": (
        "    train: {epochs: 1}\n  st",
        "    weights: ~nobody-of-this-name/w.safetensors\n  st",
        "weights",
        "~nobody-of-this-name",
    ),
    "weights with a NUL": (
        "    train: {epochs: 1}\n  st",
        '    weights: "w\\0.safetensors"\n  st',
        "weights",
        "NUL",
    ),
    "number that no machine has room for": (
        "seed: 0",
        f"seed: {'9' * 30}",
        "seed",
        "more than 64 bits",
    ),
    "network without end": ("depth: 8", "depth: 6000000002", "depth", "at most 1202"),
    "blocks without end": (
        "kind: depthwise, width: 8",
        "kind: depthwise, width: 8, blocks: [2, 3, 1000]",
        "1000",
        "at most 200 blocks",
    ),
    "pydantic's names where a kind stands too": (
        "seed: 0",
        "kind: x\noptions: 0",
        "options",
        "unknown key 'options'",
    ),
    "union's name where options stand": (
        "kind: depthwise, width: 8",
        '"<use>": teacher, kind: depthwise, width: 8',
        "<use>",
        "unknown key '<use>'",
    ),
    "two documents": ("seed: 0", "---\nseed: 0", None, "several YAML documents"),
}


BARE = """\
description: has ExecuTorch only
transport: {kind: local}
runtimes: [executorch]
"""


def problems_of(text, tmp_path):
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "bare.yaml").write_text(BARE)
    file = tmp_path / "pipeline.yaml"
    file.write_text(text)
    with pytest.raises(RequestError) as caught:
        resolve(Request(str(file)))
    return caught.value


def test_the_good_file_is_good(tmp_path):
    (tmp_path / "pipeline.yaml").write_text(GOOD)
    resolved = resolve(Request(str(tmp_path / "pipeline.yaml")))
    assert resolved.stages[0].name == "teacher"


@pytest.mark.parametrize("case", EDITS)
def test_the_command_ends_with_2_for_a_bad_file(case, tmp_path, monkeypatch, capfd):
    old, new, _, words = EDITS[case]
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "bare.yaml").write_text(BARE)
    (tmp_path / "pipeline.yaml").write_text(GOOD.replace(old, new, 1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["edgekd", "run", "pipeline.yaml"])
    monkeypatch.setattr("edgekd.__main__.signal.signal", lambda *_: None)
    # the worker's part, here: what it raises is what it sends
    monkeypatch.setattr(Workshop, "resolve", lambda _, request: resolve(request))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    shown = capfd.readouterr().err
    assert words in shown
    assert "Traceback" not in shown
    assert not list((tmp_path / ".edgekd" / "results").iterdir()), "nothing was run"


@pytest.mark.parametrize("case", EDITS)
def test_a_bad_file_names_the_line_and_what_to_do(case, tmp_path):
    old, new, marker, words = EDITS[case]
    assert old in GOOD, "the case edits nothing"
    text = GOOD.replace(old, new, 1)
    error = problems_of(text, tmp_path)
    assert words in str(error)
    if marker is not None:
        lines = {n for n, line in enumerate(text.splitlines(), 1) if marker in line}
        named = {p.place.rpartition(":")[2] for p in error.problems if words in str(p)}
        assert named & {str(line) for line in lines}, str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"# only a comment\n", "empty"),
        (b"name: \xff\xfe\n", "not UTF-8"),
        (b"- a\n- b\n", "expected a mapping"),
        (b"just text\n", "expected a mapping"),
        (b"a: &a [*a]\n", "too many or too deeply nested"),
        (b"[" * 5000, "not YAML"),
        (b"a: " + b"x" * (1 << 20), "1 MiB"),
        (b"name: \x00\n", "not YAML"),
        (b"%YAML 1.5\n--- {name: x}\n", "not YAML"),
    ],
    ids=[
        "empty",
        "comment",
        "encoding",
        "list",
        "text",
        "endless",
        "deep",
        "huge",
        "control",
        "version",
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(content, words, tmp_path):
    (tmp_path / "pipeline.yaml").write_bytes(content)
    with pytest.raises(RequestError, match=words):
        resolve(Request(str(tmp_path / "pipeline.yaml")))


def test_a_growing_alias_bomb_is_refused(tmp_path):
    levels = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))
    assert "anchors and aliases" in str(problems_of(f"a0: &a0 [x]\n{levels}\n", tmp_path))


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    for path, words in ((tmp_path / "no.yaml", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(RequestError, match=words):
            resolve(Request(str(path)))


def test_a_chain_of_very_many_stages_is_refused(tmp_path):
    chain = "\n".join(
        f"  s{i}: {{kind: prune, model: $s{i + 1}, transform: {{kind: channels, ratio: 0.1}}}}"
        for i in range(3000)
    )
    assert "at most 300 items" in str(problems_of(f"{GOOD}{chain}\n", tmp_path))


def test_a_plug_in_that_ends_the_process_is_a_problem(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit(3)")
    found = problems_of(GOOD.replace("seed: 0", "plugins: [mine.py]"), tmp_path)
    assert "SystemExit" in str(found)


def test_all_problems_of_a_file_come_together(tmp_path):
    text = GOOD.replace("temperature: 4.0", "temperature: hot").replace("width: 8}", "widht: 8}")
    text = text.replace("ratio: 0.3", "ratio: 3")
    assert len(problems_of(text, tmp_path).problems) >= 4


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("stages.studnt.train.epochs=3", "Did you mean 'student'"),
        ("stages.student.objective[7].weight=1", "Indices count from 0"),
        ("stages.student.train.epochs=many", "found 'many'"),
        ("no equals sign", "expected PATH=VALUE"),
        ("stages..train=1", "is not a path"),
        ("seed=[1", "not YAML"),
        ("seed.deeper=1", "is not a mapping"),
    ],
)
def test_a_bad_override_is_named_with_its_text(assignment, words, tmp_path):
    (tmp_path / "pipeline.yaml").write_text(GOOD)
    with pytest.raises(RequestError) as caught:
        resolve(Request(str(tmp_path / "pipeline.yaml"), sets=(assignment,)))
    assert words in str(caught.value)
    assert f"--set {assignment}" in str(caught.value)
