"""Texts go the whole way: tokens, a teacher, a student, a program, a report."""

import hashlib
import json
import random

import numpy as np
import pytest

import edgekd
from edgekd.core.errors import RequestError

TEXT = """\
name: texts
threads: 1
task:
  kind: text_classification
  data: {kind: text_file, train: mails.csv}
  tokenizer: {entries: 1000}
  max_length: 16
stages:
  teacher:
    kind: teacher
    model:
      kind: pretrained
      config: {model_type: bert, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2,
               intermediate_size: 64}
    train: {epochs: 4, batch_size: 32, learning_rate: 0.005}
  student:
    kind: distill
    teacher: $teacher
    model:
      kind: pretrained
      config: {model_type: bert, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2,
               intermediate_size: 32}
    objective: [{kind: kd, temperature: 2.0}, cross_entropy]
    train: {epochs: 6, batch_size: 32, learning_rate: 0.01}
  onnx: {kind: export, model: $student, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    bench: {mode: quick}
    gates: {accuracy_drop: "<= 0.1"}
  report: {kind: report, of: [$check]}
"""
WORDS = {"spam": "pills money win prize offer", "ham": "patch kernel list lunch paper"}


def mails():
    chance = random.Random(0)
    for number in range(400):
        label = ("ham", "spam")[number % 2]
        words = chance.choices([*WORDS[label].split(), "the", "a", "of", "to"], k=8)
        yield f"{' '.join(words[: chance.randint(4, 8)])} {number},{label}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "mails.csv").write_text("\n".join(["text,label", *mails()]))
    (folder / "texts.yaml").write_text(TEXT)
    return edgekd.run(folder / "texts.yaml", store=folder / "store", runs=folder / "runs")


def test_it_ends_with_programs_that_learnt_something_and_a_report(run):
    assert run.exit_code == 0, run.gates
    assert {row["verdict"] for row in run.gates} == {"pass"}
    assert [path.name for path in run.artifacts] == ["onnx.onnx"]
    assert run.report.is_file()
    (path,) = (run.folder.parent.parent / "store" / "results").glob("*/measurements.json")
    for measured in json.loads(path.read_text())["measurements"]:
        assert measured["quantities"]["accuracy"]["value"] >= 0.9


def test_what_changes_pictures_is_refused_for_texts(run, tmp_path):
    augmented = TEXT.replace("learning_rate: 0.005}", "augment: [flip]}")
    assert augmented != TEXT
    (tmp_path / "mails.csv").write_text("\n".join(["text,label", *mails()]))
    (tmp_path / "texts.yaml").write_text(augmented)
    with pytest.raises(RequestError) as error:
        edgekd.plan(tmp_path / "texts.yaml", store=tmp_path / "store")
    (problem,) = error.value.problems
    assert problem.path == "stages.teacher.train.augment[0]"
    assert problem.message == (
        "flip changes image; this task's examples are input_ids and attention_mask."
    )


def test_the_tokenizer_lies_beside_the_programs_which_name_it(run):
    import onnx

    content = (run.folder / "tokenizer.json").read_bytes()
    program = onnx.load(run.folder / "onnx.onnx")
    metadata = {entry.key: entry.value for entry in program.metadata_props}
    about = json.loads(metadata["preprocessing"])
    assert about["tokenizer"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert about["tokenizer"]["file"] == "tokenizer.json"
    assert json.loads(metadata["labels"]) == ["ham", "spam"]


def test_an_app_needs_the_run_folder_alone(run):
    import onnxruntime
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    session = onnxruntime.InferenceSession(run.folder / "onnx.onnx")

    def answer(text):
        found = library.encode(text)
        given = {"input_ids": [found.ids], "attention_mask": [found.attention_mask]}
        return session.run(["logits"], {k: np.array(v, np.int64) for k, v in given.items()})[0]

    filled = answer("win the prize")
    assert filled.argmax() == 1
    assert answer("a kernel patch").argmax() == 0
    library.no_padding()
    np.testing.assert_allclose(answer("win the prize"), filled, atol=1e-4)
