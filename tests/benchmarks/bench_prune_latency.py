"""Does pruning to a latency reach it, and is the pruned model really that much faster?

    python tests/benchmarks/bench_prune_latency.py [--shares 0.7 0.5] [--width 32]

A ResNet-20, trained for one epoch on a part of Fashion-MNIST, is pruned to shares of its own p50
on ONNX Runtime and on XNNPACK, by `edgekd.run`. Then the exports of the dense and of the pruned
model are timed anew, in turns, in fresh processes of a session of its own that knows nothing of
the search. `share asked` is the budget over the dense model's p50 as it was when the budget was
set, `found` what the stage says, `again` the new measurement with its 95 % interval.
"""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import edgekd
from edgekd.core.refs import as_read
from edgekd.core.shipped import shipped
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.ops.statistics import quantile, ratio_interval
from edgekd.pipeline.document import read_document
from edgekd.pipeline.outcome import RunResult
from edgekd.runtimes.folder import load_program

TEXT = """\
name: prune-{runtime}
seed: 0
threads: 1
task:
  kind: image_classification
  data: {{kind: fashion_mnist, validation: 500}}
  train_examples: 2048
stages:
  student:
    kind: distill
    model: {{kind: resnet, depth: 20, width: {width}}}
    objective: [cross_entropy]
    train: {{epochs: 1, batch_size: 64}}
  dense: {{kind: export, model: $student, runtime: {runtime}}}
"""
PRUNED = """\
  cut_{index}:
    kind: prune
    model: $student
    transform:
      kind: channels
      scope: global
      round_to: 4
      latency: {{p50_ms: {budget:.6g}, runtime: {runtime}, mode: quick}}
  small_{index}: {{kind: export, model: $cut_{index}, runtime: {runtime}}}
"""


def timed(folders: list[Path], work: Path) -> list[list[np.ndarray]]:
    """Return the latencies in ms of programs in turns, by program and restart."""
    target = Target.model_validate(as_read(read_document(shipped("targets") / "cpu.yaml").value))
    settings = settle(target.bench, Bench(mode="standard"))
    jobs = []
    for index, folder in enumerate(folders):
        program = load_program(folder)
        jobs.append(Job(str(index), folder / program.file, program.runtime, program.signature))
    shape = jobs[0].signature.inputs[0].concrete(batch=settings.samples)
    (work / "samples").mkdir(parents=True)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(work / "samples" / f"{jobs[0].signature.inputs[0].name}.npy", image)
    session = Session(target, jobs, Journal(work / "journal"))
    names = [job.name for job in jobs]
    found = [session.time(names, work / "samples", settings, n) for n in range(settings.restarts)]
    return [[restart[name].latencies_ms for restart in found] for name in names]


def p50(restarts: list[np.ndarray]) -> float:
    return quantile(np.concatenate(restarts), 0.5)


def run(folder: Path, text: str) -> RunResult:
    file = folder / "prune.yaml"
    file.write_text(text)
    return edgekd.run(file, store=folder / "store", runs=folder / "runs")


def bench(runtime: str, shares: list[float], width: int, folder: Path) -> None:
    """Print a row for each share."""
    text = TEXT.format(runtime=runtime, width=width)
    dense = run(folder, text).folders["dense"]
    (alone,) = timed([dense], folder / "first")
    budgets = [share * p50(alone) for share in shares]
    for index, budget in enumerate(budgets):
        text += PRUNED.format(index=index, budget=budget, runtime=runtime)
    result = run(folder, text)
    for index, (share, budget) in enumerate(zip(shares, budgets, strict=True)):
        facts = result.facts[f"cut_{index}"]
        load = os.getloadavg()[0]
        before, after = timed([dense, result.folders[f"small_{index}"]], folder / f"again-{index}")
        low, high = ratio_interval(after, before)
        again = p50(after) / p50(before)
        said = facts["latency_p50_ms"]["value"]
        found = said / facts["latency_p50_ms_before"]["value"]
        print(
            f"| {runtime} | {p50(alone):.3f} | {budget:.3f} ({share:.0%}) | "
            f"{said:.3f} ({said / budget - 1:+.1%}) | {found:.3f} | "
            f"{again:.3f} [{low:.3f}, {high:.3f}] | {again / found - 1:+.1%} | "
            f"{1 / again:.2f}x | {facts['parameters']:,} | {len(facts['candidates'])} | "
            f"{load:.1f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.7, 0.5])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--runtimes", nargs="+", default=["onnxruntime", "executorch"])
    asked = parser.parse_args()
    print(
        "| runtime | dense p50, ms | asked, ms | found, ms | found / dense | again / dense | "
        "again against found | faster | parameters | candidates | load |"
    )
    print("|---|" + "---:|" * 10)
    for runtime in asked.runtimes:
        with TemporaryDirectory() as folder:
            bench(runtime, asked.shares, asked.width, Path(folder))


if __name__ == "__main__":
    main()
