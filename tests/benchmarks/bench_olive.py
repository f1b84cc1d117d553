"""Conversion, static int8 and evaluation of one network: edgekd beside Olive 0.13.

    apt-get install dataset-fashion-mnist
    python -m venv /tmp/olive
    /tmp/olive/bin/pip install torch==2.13.0 transformers==4.57.6 onnx==1.23.2 onnxscript==0.7.2 \\
        onnxruntime==1.32.0 pydantic==2.12.5 olive-ai==0.13.0
    python tests/benchmarks/bench_olive.py --folder /tmp/int8 --olive /tmp/olive/bin/python

Give Olive the build of torch that edgekd has: one for CUDA takes longer to import. With pydantic
2.14 Olive 0.13.0 refuses every evaluator (`'NoneType' object has no attribute 'lower'`).

Each side is its command line with a configuration file and one thread. Olive: PyTorch module,
`OnnxConversion` (by its default, PyTorch's older exporter), `OnnxStaticQuantization` (per channel,
uint8 activations, MinMax) on the 256 pictures that edgekd calibrates with, then accuracy on the
10,000 test pictures and its latency (10 calls before, 20 measured). It reads pictures that are
normalised already. edgekd: given weights, `quantize`, `export`, `validate`, with two restarts of 10
calls before and 20 measured. That does more: it scores the model in PyTorch on the validation and
the test split, exports the fp32 reference, checks parity of both programs, and scores and times
both of them. `once` is edgekd with `simulate: false`: the model's rounding is not simulated too.
`alike` is the file that asks for what Olive does, as far as options go: also `score: false` (given
weights are not scored in PyTorch), `duplicates: allow` (pictures are not compared with each other),
and one process for each program that is timed. Left over are the fp32 reference with its
measurement, and parity of both programs.

CPU seconds are those of all processes. Cold: cache or store is emptied. Unchanged: the same
command again. In turns A B C, C B A; a ratio is that within a repeat, its median is printed with
the least and the largest.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent / "int8_tools"
ROOT = HERE.parent.parent.parent
sys.path.insert(0, str(HERE))

from compare import print_programs  # noqa: E402  a folder beside this file
from network import Shared, pipeline, prepare  # noqa: E402

AS_OLIVE = (
    "{mode: quick, restarts: 2, max_restarts: 2, warmup_runs: 10, warmup_s: 0.01, "
    "min_runs: 20, min_s: 0.01}"
)
"""As many calls as Olive makes, for each of two programs in each of two processes."""
ONE_PROCESS = AS_OLIVE.replace("restarts: 2", "restarts: 1")
GOALS = {"cold": 0.7, "unchanged": 0.1}


@dataclass(frozen=True)
class Side:
    """A command that compresses the network in a folder of its own."""

    command: Sequence[str]
    folder: Path
    program: Callable[[], Path]
    """The file that it leaves."""

    def cold(self) -> float:
        """Return the CPU seconds of the command with nothing kept."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return self.unchanged()

    def unchanged(self) -> float:
        """Return the CPU seconds of the command with what it kept."""
        self.folder.mkdir(exist_ok=True)
        env = os.environ | {"PYTHONPATH": str(ROOT), "OLIVE_DISABLE_TELEMETRY": "1"}
        env |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        with (self.folder / "log").open("w") as log:
            subprocess.run(self.command, check=True, env=env, cwd=ROOT, stdout=log, stderr=log)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def olive_config(shared: Shared, folder: Path) -> dict[str, object]:
    """Return Olive's workflow."""
    script = str(HERE / "olive_side.py")
    names = {"input_names": ["image"], "output_names": ["logits"]}
    threads = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    rows = {"0": "batch"}

    def data(name: str, kind: str, batch: int) -> dict[str, object]:
        return {
            "name": name,
            "user_script": script,
            "load_dataset_config": {"type": kind, "params": {"folder": str(shared.folder)}},
            "post_process_data_config": {"type": "best"},
            "dataloader_config": {"type": "default_dataloader", "params": {"batch_size": batch}},
        }

    def metric(name: str, kind: str, pictures: str, part: dict[str, object]) -> dict[str, object]:
        settings = {"onnx": {"session_options": threads}}
        return {
            "name": name,
            "type": kind,
            "data_config": pictures,
            "sub_types": [part],
            "user_config": {"inference_settings": settings},
        }

    classes = {"task": "multiclass", "num_classes": 10}
    right = {"name": "accuracy_score", "priority": 1, "metric_config": classes}
    calls = {"warmup_num": 10, "repeat_test_num": 20}
    conversion = {"type": "OnnxConversion", "target_opset": 20}
    return {
        "input_model": {
            "type": "PyTorchModel",
            "model_path": str(shared.module),
            "model_loader": "network",
            "model_script": script,
            "io_config": names
            | {"input_shapes": [[2, 1, 28, 28]], "input_types": ["float32"]}
            | {"dynamic_axes": {"image": rows, "logits": rows}},
        },
        "data_configs": [
            data("drawn", "calibration", 64),
            data("test", "pictures", 64),
            data("single", "pictures", 1),
        ],
        "evaluators": {
            "own": {
                "metrics": [
                    metric("accuracy", "accuracy", "test", right),
                    metric("latency", "latency", "single",
                           {"name": "p50", "priority": 2, "metric_config": calls}),
                ]
            }
        },
        "passes": {
            "conversion": conversion,
            "quantization": {
                "type": "OnnxStaticQuantization",
                "data_config": "drawn",
                "per_channel": True,
                "precision": "int8",
                "activation_type": "uint8",
            },
        },
        "engine": {
            "evaluator": "own",
            "evaluate_input_model": False,
            "cache_dir": str(folder / "cache"),
            "output_dir": str(folder / "out"),
        },
    }  # fmt: skip


def olive(python: str, shared: Shared, name: str) -> Side:
    """Return Olive's side."""
    folder, file = shared.folder / name, shared.folder / f"{name}.json"
    file.write_text(json.dumps(olive_config(shared, folder)), "utf-8")
    command = [python, "-m", "olive", "run", "--config", str(file)]
    return Side(command, folder, lambda: folder / "out/model.onnx")


def edgekd(
    shared: Shared, name: str, *, simulate: bool, score: bool = True, bench: str = AS_OLIVE
) -> Side:
    """Return edgekd's side."""
    folder, file = shared.folder / name, shared.folder / f"{name}.yaml"
    file.write_text(pipeline(shared, bench, simulate=simulate, score=score), "utf-8")
    command = [sys.executable, "-m", "edgekd", "run", str(file)]
    command += ["--store", str(folder / "store"), "--runs", str(folder / "runs")]
    return Side(command, folder, lambda: next(folder.glob("runs/*/onnx.onnx")))


def measured(sides: Mapping[str, Side], repeats: int) -> dict[str, dict[str, list[float]]]:
    """Return CPU seconds by kind of run and side, one per repeat."""
    found = {kind: {name: list[float]() for name in sides} for kind in GOALS}
    for repeat in range(repeats):
        for name in [*sides] if repeat % 2 == 0 else [*reversed(sides)]:
            for kind in GOALS:
                found[kind][name].append(getattr(sides[name], kind)())
                print(f"{repeat}: {kind} {name} {found[kind][name][-1]:.2f} s", file=sys.stderr)
    return found


def print_times(found: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print CPU seconds, and each by Olive's."""
    print("| run | side | CPU s | by Olive's | goal | met |\n|---|---|---|---|---|---|")
    for kind, sides in found.items():
        for name, times in sides.items():
            ratios = [own / base for own, base in zip(times, sides["Olive"], strict=True)]
            middle = statistics.median(ratios)
            shown = f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            goal = f"<= {GOALS[kind]} | {'yes' if middle <= GOALS[kind] else 'no'}"
            print(f"| {kind} | {name} | {statistics.median(times):.1f} | {shown} | "
                  f"{goal if 'edgekd' in name else '- | '} |", flush=True)  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the network is kept")
    parser.add_argument("--olive", required=True, help="the interpreter that has Olive")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    shared = prepare(asked.folder)
    sides = {
        "Olive": olive(asked.olive, shared, "olive"),
        "edgekd": edgekd(shared, "edgekd", simulate=True),
        "edgekd, once": edgekd(shared, "edgekd-once", simulate=False),
        "edgekd, alike": edgekd(
            shared, "edgekd-alike", simulate=False, score=False, bench=ONE_PROCESS
        ),
    }
    print_times(measured(sides, asked.repeats))
    print_programs({name: side.program() for name, side in sides.items()}, shared)


if __name__ == "__main__":
    main()
