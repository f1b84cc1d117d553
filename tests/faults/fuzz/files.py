"""The good files that mutants are made of, and the mutants by number."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from edgekd.core.shipped import shipped
from fuzz import hostile, raw, trees

ROOT = Path(__file__).parents[3]

OWN = """\
name: own
plugins: [mine.py]
task:
  kind: image_classification
  data: {kind: image_folder, root: photos, size: 8}
  mean: [0.5, 0.5, 0.5]
  std: [0.2, 0.2, 0.2]
checkpoint: {every_s: 30, every_steps: 1}
targets: [shelf]
stages:
  teacher:
    kind: teacher
    model: {kind: depthwise, width: 4, blocks: [1]}
    weights: weights.safetensors
  student:
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 2, blocks: [1]}
    objective: [kd]
    train: {augment: [flip, {kind: crop, padding: 1}]}
    seed: 3
  onnx: {kind: export, model: $student, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    gates: {latency_p50_ms: {shelf: "<= 5"}}
"""
VIT = """\
name: vit
task: {kind: image_classification, data: digits, size: 16}
stages:
  teacher:
    kind: teacher
    model:
      kind: pretrained
      config:
        model_type: vit
        hidden_size: 8
        num_hidden_layers: 1
        num_attention_heads: 1
        intermediate_size: 8
        patch_size: 8
    train: {epochs: 1}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: resnet, depth: 8, width: 4}
    objective: [kd]
    train: {epochs: 1}
"""
SHELF = """\
description: A shelf
transport: {kind: local, timeout_s: 60}
runtimes: [onnxruntime, executorch]
threads: 2
graph_level: basic
hardware: {arch: aarch64, cores: 4, memory_mib: 512}
quantization: {activation: int8}
bench:
  mode: quick
  restarts: 2
  max_restarts: 4
  warmup_runs: 1
  warmup_s: 0.1
  min_runs: 2
  min_s: 0.1
  samples: 4
  tolerance: 0.1
  max_drift: 0.2
  cool_down_s: 0
  timeout_s: 9
emulated: true
"""


@dataclass(frozen=True)
class Mutant:
    """A file that may hold anything."""

    what: Literal["pipeline", "target"]
    how: Literal["values", "bytes"]
    content: bytes
    sets: tuple[str, ...] = ()


@cache
def pipelines() -> Sequence[str]:
    """Return the text of every good pipeline file."""
    tiny = (ROOT / "tests" / "pipeline" / "conftest.py").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = [text for text in re.findall(r"```yaml\n(.*?)```", readme, re.S) if "\n..." not in text]
    shipped_here = [path.read_text("utf-8") for path in sorted(shipped("pipelines").glob("*.yaml"))]
    # a file below the home, which a comment or a value names, is put there by its user, so that it
    # is not there on most machines
    ours = [text for text in shipped_here if "~/" not in text]
    short = re.findall(r'TINY = """\\\n(.*?)"""', tiny, re.S)
    assert ours
    assert shown
    assert short
    return (*ours, *shown, *short * 6, *(OWN,) * 4, VIT)  # those that are read fast more often


@cache
def targets() -> Sequence[str]:
    """Return the text of every good target file."""
    return (*(p.read_text("utf-8") for p in sorted(shipped("targets").glob("*.yaml"))), SHELF)


@cache
def _trees(what: str) -> Sequence[Any]:
    return [trees.tree_of(text) for text in (pipelines() if what == "pipeline" else targets())]


def mutant(seed: int, number: int) -> Mutant:
    """Return a mutant: the same one for the same numbers."""
    rng = random.Random(f"{seed}/{number}")
    what: Literal["pipeline", "target"] = rng.choice(["pipeline", "pipeline", "pipeline", "target"])
    good = pipelines() if what == "pipeline" else targets()
    how: Literal["values", "bytes"] = "values" if rng.random() < 0.6 else "bytes"
    changes = rng.choice([1, 1, 1, 2, 2, 3, 5])
    if how == "values":
        others = _trees(what)
        tree = trees.copied(rng.choice(others))
        mutation = trees.Mutation(rng, [*others, *_trees("pipeline")])
        for _ in range(changes):
            tree = mutation.change(tree)
        content = trees.written(tree).encode("utf-8", "surrogatepass")
    else:
        others = [text.encode() for text in good]
        content = rng.choice(others)
        content = raw.mutated(content, rng, others, changes=changes, words=raw.YAML)
    sets = _sets(rng) if what == "pipeline" and rng.random() < 0.15 else ()
    return Mutant(what, how, content, sets)


def _sets(rng: random.Random) -> tuple[str, ...]:
    """Return overrides, as the command line takes them: text without NUL."""
    sets = []
    for _ in range(rng.choice([1, 1, 2, 20])):
        steps = rng.choice(PATHS)
        text = f"{steps}={rng.choice([hostile.scalar(rng), hostile.near(1, rng), '1', ''])}"
        if rng.random() < 0.3:
            text = raw.mutated(text.encode(), rng, [], changes=1, words=raw.YAML).decode(
                "utf-8", "surrogateescape"
            )
        sets.append(text.replace("\0", ""))
    return tuple(sets)


PATHS = (
    "seed",
    "name",
    "task",
    "task.data",
    "task.data.size",
    "stages",
    "stages.teacher",
    "stages.student.objective[0].weight",
    "stages.student.objective[0]",
    "stages.student.objective[7]",
    "stages.student.objective[²]",
    f"stages.student.objective[{'9' * 5000}]",
    "stages.student.train.epochs",
    "stages.student.train.augment[0].padding",
    "stages.nothing.x",
    "targets",
    "targets[0]",
    "plugins",
    "seed.deeper",
    "a" + ".a" * 100,
    "a" + ".a" * 3000,
    "a" + "[0]" * 3000,
    "",
    ".",
    "..",
    "[0]",
    "x" * 5000,
    "stages.options",
    "options",
    "kind",
    "<use>",
    "é",
)


def furnish(folder: Path) -> None:
    """Put what good files name, and what no file may run, beside the mutants."""
    for name in ("sentinel.py", "mine.py"):
        hostile.code(folder / name)
    (folder / "raises.py").write_text("raise RuntimeError('a mistake')\n")
    (folder / "leaves.py").write_text("raise SystemExit(3)\n")
    (folder / "broken.py").write_text("def (:\n")
    (folder / "binary.py").write_bytes(b"\0\xff" * 50)
    (folder / "folder.py").mkdir()
    (folder / "targets").mkdir()
    (folder / "targets" / "shelf.yaml").write_text(SHELF)
    chance = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("cats", "dogs"):
            there = folder / "photos" / split / name
            there.mkdir(parents=True)
            for number in range(3):
                pixels = chance.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(there / f"{number}.png")
    _write_weights(folder)


def _write_weights(folder: Path) -> None:
    from safetensors.torch import save_file
    from transformers import ViTConfig, ViTForImageClassification

    from edgekd.core.refs import UseModel
    from edgekd.core.signature import Port, Signature

    image = Port("image", "float32", ("batch", 3, 8, 8))
    signature = Signature((image,), (Port("logits", "float32", ("batch", 2)),))
    use = UseModel.model_validate({"kind": "depthwise", "width": 4, "blocks": (1,)})
    save_file(use.build()(signature).state_dict(), folder / "weights.safetensors")
    shape = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=64,
        patch_size=32,
        num_labels=2,
    )
    ViTForImageClassification(shape).save_pretrained(folder / "my-vit")
