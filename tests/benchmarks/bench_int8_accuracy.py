"""Prints what static int8 costs in accuracy on Fashion-MNIST, after calibration and after training.

    apt-get install dataset-fashion-mnist
    python tests/benchmarks/bench_int8_accuracy.py [--folder DIR] [--seeds 3]

A ResNet teaches a depthwise student, once per seed. `fp32` is that student; `calibrated` its int8
programs; `trained` those of the same student trained for one epoch more while it rounds, towards
the teacher's logits; `fp32, trained on` is the student after such an epoch in fp32, for what the
epoch itself brings. All 10,000 test examples, each program in its own runtime; in fp32 in ONNX
Runtime alone. The rate of the last epoch was chosen on the validation split with seed 0 (0.01 lost
a point there). Six minutes of CPU time; a run that was interrupted goes on in the same folder.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

import edgekd
from edgekd.core.refs import UseRuntime, UseTask

TASK = {"kind": "image_classification", "data": "fashion_mnist"}
RUNTIMES = ("onnxruntime", "executorch")
FORMS = {"fp32": "student", "fp32, trained on": "on", "calibrated": "int8", "trained": "qat"}
"""Stages by what the table calls them."""
HEAD = """\
name: int8-accuracy
threads: 1
task: {kind: image_classification, data: fashion_mnist}
stages:
  teacher:
    kind: teacher
    model: {kind: resnet, depth: 8, width: 16, stem_stride: 2}
    train: &long
      {epochs: 3, batch_size: 128, optimizer: sgd, learning_rate: 0.1, schedule: one_cycle}
"""
SEED = """\
  student{n}:
    kind: distill
    seed: {n}
    teacher: $teacher
    model: {{kind: depthwise, width: 16, blocks: [1, 2, 2], stem_stride: 2}}
    objective: &towards{n}
      - {{kind: kd, temperature: 4.0, weight: 0.9}}
      - {{kind: cross_entropy, weight: 0.1}}
    train: *long
  int8{n}: {{kind: quantize, model: $student{n}, transform: {{kind: int8_static, examples: 512}}}}
  qat{n}:
    kind: distill
    seed: {n}
    teacher: $teacher
    model: $int8{n}
    objective: *towards{n}
    train: &on{n} {{epochs: 1, batch_size: 128, optimizer: sgd, learning_rate: 0.001}}
  on{n}:
    kind: distill
    seed: {n}
    teacher: $teacher
    model: $student{n}
    objective: *towards{n}
    train: *on{n}
"""
EXPORT = "  {name}: {{kind: export, model: ${model}, runtime: {{kind: {runtime}{more}}}}}\n"


def programs() -> list[tuple[str, str]]:
    """Return the programs of a seed: what the table calls each, and its runtime."""
    return [
        (form, runtime)
        for form in FORMS
        for runtime in RUNTIMES
        if runtime == "onnxruntime" or "fp32" not in form
    ]


def pipeline(seeds: int) -> str:
    """Return the pipeline file."""
    text = HEAD
    for n in range(seeds):
        text += SEED.format(n=n)
        for form, runtime in programs():
            more = ", max_batch: 4" if runtime == "executorch" else ""
            model = f"{FORMS[form]}{n}"
            text += EXPORT.format(
                name=f"{model}_{runtime}", model=model, runtime=runtime, more=more
            )
    return text


def test_examples() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    task = UseTask.model_validate(TASK).build()
    for batch in task.batches("test", 1000, device=torch.device("cpu")):
        yield batch["image"].numpy(), batch["labels"].numpy()


def accuracy(path: Path, runtime: str) -> float:
    """Return the percentage of test examples that a program gets right."""
    call = UseRuntime.model_validate(runtime).build().open(path)
    right = [call({"image": image})["logits"].argmax(-1) == y for image, y in test_examples()]
    return 100 * float(np.concatenate(right).mean())


def print_table(found: Mapping[tuple[str, str], list[float]]) -> None:
    print("| accuracy %, mean ± deviation | ONNX Runtime | against fp32 | XNNPACK | against fp32 |")
    print("|---|---|---|---|---|")
    before = found["fp32", "onnxruntime"]
    for form in FORMS:
        cells = []
        for runtime in RUNTIMES:
            scores = found.get((form, runtime), [])
            change = [after - first for after, first in zip(scores, before, strict=False)]
            cells += [figure(scores), figure(change, "+") if form != "fp32" else ""]
        print(f"| {form} | {' | '.join(cells)} |")


def figure(values: list[float], sign: str = "") -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.2f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where results are kept")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = options.folder or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "int8.yaml"
        file.write_text(pipeline(options.seeds))
        result = edgekd.run(file, store=folder / "store", runs=folder / "runs")
        files = {Path(path).stem: Path(path) for path in result.artifacts}
        found = {
            (form, runtime): [
                accuracy(files[f"{FORMS[form]}{n}_{runtime}"], runtime)
                for n in range(options.seeds)
            ]
            for form, runtime in programs()
        }
        print_table(found)


if __name__ == "__main__":
    main()
