"""What a second process is worth: two with gloo on two cores against one with one thread.

    python tests/benchmarks/bench_processes.py [--repeats 5] [--model vit]

All run the same pipeline by `edgekd.run`, in turns, from labels, on Fashion-MNIST, a batch of 128
for all processes together: a ResNet-20, or a ViT, which has no batch norms to exchange. Speed is
that which the report tells, examples per second of wall time without the first step, scoring and
checkpoints. One process with two threads stands beside them: as another way to use two cores, and
as the measure of what rounding alone does to the losses. `apart` is how far they are from those of
one thread.

Before that, what the exchange of batch norms costs: two processes of one thread take steps of the
same network, half a batch each, at the same time, with norms of their own and with those of both.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import edgekd

TEXT = """\
name: processes
seed: 0
threads: {threads}
task:
  kind: image_classification
  data: {{kind: fashion_mnist, validation: 500}}
  train_examples: {examples}
stages:
  student:
    kind: distill
    model: {model}
    objective: [cross_entropy]
    train: {{epochs: 2, batch_size: 128, optimizer: sgd, learning_rate: 0.02}}
"""
RESNET = {"kind": "resnet", "depth": 20, "width": 32}
VIT = {
    "kind": "pretrained",
    "config": {
        "model_type": "vit",
        "patch_size": 4,
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
    },
}
MODELS = {"resnet": RESNET, "vit": VIT}
SIDES = {"1 process": (1, 1), "2 processes": (2, 1), "1 process, 2 threads": (1, 2)}
"""Processes, and threads of each."""
GOAL = 1.7
STEPS = 16


def trained(folder: Path, text: str, nproc: int) -> tuple[float, list[float]]:
    """Return examples per second, and the loss of each epoch."""
    folder.mkdir()
    file = folder / "processes.yaml"
    file.write_text(text)
    result = edgekd.run(file, store=folder / "store", runs=folder / "runs", nproc=nproc)
    history = json.loads((result.folders["student"] / "history.json").read_text())
    speed = result.facts["student"]["training"]["samples_per_s"]
    return speed, [epoch["loss"] for epoch in history["epochs"]]


def apart(losses: list[float], others: list[float]) -> str:
    """Return how far each epoch's loss is from another's, as a share of it."""
    return ", ".join(f"{abs(a / b - 1):.1e}" for a, b in zip(losses, others, strict=True))


def exchange(rank: int, port: int) -> None:
    """Take steps without and with the other process's moments; the first prints seconds a step."""
    import torch
    from torch import distributed

    from edgekd.core.refs import UseModel
    from edgekd.core.signature import Port, Signature
    from edgekd.parallel.crew import joined
    from edgekd.parallel.norms import norms_of_all

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    ports = Port("image", "float32", ("batch", 1, 28, 28)), Port("logits", "float32", ("batch", 10))
    model = (
        UseModel.model_validate(RESNET)
        .build()(Signature(ports[:1], ports[1:]))
        .to(memory_format=torch.channels_last)
    )
    x = torch.randn(64, 1, 28, 28).contiguous(memory_format=torch.channels_last)
    found: dict[str, list[float]] = {"own": [], "of all": []}
    with joined(distributed.TCPStore("127.0.0.1", port, 2, False), 0, rank, 2, "cpu"):
        for _ in range(STEPS + 1):
            for name, times in found.items():
                distributed.barrier()
                began = time.perf_counter()
                with norms_of_all(model) if name == "of all" else nullcontext():
                    model(x).square().mean().backward()
                times.append(time.perf_counter() - began)
    if rank == 0:
        print(json.dumps({name: median(times[1:]) for name, times in found.items()}))


def exchanges() -> dict[str, float]:
    """Return the seconds of a step with own norms, and with those of both processes."""
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    words = [sys.executable, __file__, "--exchange"]
    started = [
        subprocess.Popen([*words, str(rank), str(store.port)], stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    said = [process.communicate()[0] for process in started]
    return json.loads(said[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", choices=MODELS, default="resnet")
    parser.add_argument("--examples", type=int, default=1536)
    parser.add_argument("--exchange", nargs=2, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.exchange:
        exchange(*asked.exchange)
        return
    if asked.model == "resnet":
        step = exchanges()
        print(f"a step with own norms {step['own'] * 1e3:.0f} ms, with those of both ", end="")
        print(f"{step['of all'] * 1e3:.0f} ms: {step['own'] / step['of all']:.2f} of the speed\n")
    ratios: dict[str, list[float]] = {name: [] for name in SIDES}
    print(f"| repeat | load before | {', examples/s | '.join(SIDES)} | losses apart, by epoch |")
    print("|---:|" + "---:|" * (len(SIDES) + 1) + "---|")
    with TemporaryDirectory() as folder:
        for repeat in range(asked.repeats):
            load, found = os.getloadavg()[0], {}
            for name in sorted(SIDES, reverse=repeat % 2 == 1):
                nproc, threads = SIDES[name]
                text = TEXT.format(
                    threads=threads, model=json.dumps(MODELS[asked.model]), examples=asked.examples
                )
                found[name] = trained(Path(folder) / f"{repeat} {name}", text, nproc)
            first, losses = found["1 process"]
            for name, (speed, _) in found.items():
                ratios[name].append(speed / first)
            speeds = " | ".join(f"{found[name][0]:.0f}" for name in SIDES)
            far = "; ".join(f"{n}: {apart(found[n][1], losses)}" for n in list(SIDES)[1:])
            print(f"| {repeat + 1} | {load:.1f} | {speeds} | {far} |", flush=True)
    for name, each in list(ratios.items())[1:]:
        print(f"{name}: {median(each):.2f} ({min(each):.2f} to {max(each):.2f})", end="; ")
    verdict = "met" if median(ratios["2 processes"]) >= GOAL else "short"
    print(f"goal of 2 processes {GOAL}: {verdict}")


if __name__ == "__main__":
    main()
