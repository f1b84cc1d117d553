"""Whether programs answer on aarch64 as they do here: the target qemu-arm64 against this machine.

    python tests/benchmarks/bench_emulated.py [--ssh] [--root FOLDER] [--wheel FILE] [--cpu NAME]

A small convolutional network is trained on scikit-learn's digits and exported in fp32 and in
static int8, for ONNX Runtime and for ExecuTorch with XNNPACK. Each program answers the test images
here and in an emulated aarch64 root, which is made where there is none; .pte files by the C++
runner, built for both machines. With `--ssh` the root is a device of its own: dropbear runs in it,
emulated too, and everything goes there and comes back over ssh. Ends with 1 unless fp32 outputs are
within 1e-5 of the largest one, and int8 programs choose the same class for 99.5 % of the images.
Takes the superuser, Debian's packages g++-aarch64-linux-gnu, qemu-user-static, binfmt-support and
mmdebstrap, and some minutes.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from edgekd.core.refs import UseRuntime, UseTransform, as_read
from edgekd.core.shipped import shipped
from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Scores
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.native.build import build_runner
from edgekd.devices.native.runners import this_machine
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.pipeline.targets import find_targets, read_target

MOST_APART, LEAST_AGREEMENT = 1e-5, 0.995
TRAINED, EPOCHS, BATCH = 797, 30, 64
SIGNATURE = Signature(
    (Port("image", "float32", ("batch", 1, 8, 8)),), (Port("logits", "float32", ("batch", 10)),)
)


def trained(images: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    """Return a network of 20,000 parameters; the seed is fixed."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, groups=16), nn.ReLU(),
        nn.Conv2d(32, 32, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    return model.eval()


def programs(model: nn.Module, images: torch.Tensor, folder: Path) -> Iterator[Job]:
    """Yield the programs: two runtimes, each in fp32 and int8."""
    for name in ("onnxruntime", "executorch"):
        for precision, use in (("fp32", None), ("int8", "int8_static")):
            runtime = UseRuntime.model_validate(name).build()
            file = folder / f"{name}_{precision}{runtime.suffix}"
            runtime.export(
                model,
                signature=SIGNATURE,
                samples={"image": images[:4]},
                metadata={},
                quantization=use and UseTransform.model_validate(use),
                calibration=[{"image": rows} for rows in images[:256].split(BATCH)],
                activation="int8",
                out=file,
            )
            yield Job(file.stem, file, name, SIGNATURE)


def target(name: str, **transport: Any) -> Target:
    """Return a shipped target, some options of its transport changed."""
    described = read_target(name, find_targets(Path.cwd()))
    return Target.model_validate(as_read(described | {"transport": transport}))


@contextmanager
def dropbear(root: Path, cpu: str, place: Path) -> Iterator[dict[str, Any]]:
    """Serve ssh from inside the root, on loopback; give the options of the transport."""
    place.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(place / "user")
    (root / "root/.ssh").mkdir(mode=0o700, parents=True, exist_ok=True)
    (root / "root/.ssh/authorized_keys").write_bytes(key.export_public_key())
    (root / "root/.ssh/authorized_keys").chmod(0o600)
    python = root / "root/emulated-python"  # commands on a device get a bare environment
    python.write_text(f'#!/bin/sh\nexport QEMU_CPU={cpu}\nexec python3 "$@"\n')
    python.chmod(0o755)
    inside = ["chroot", str(root)]
    (root / "tmp/host").unlink(missing_ok=True)
    make = [*inside, "dropbearkey", "-t", "ed25519", "-f", "/tmp/host"]
    told = subprocess.run(make, capture_output=True, text=True, check=True).stdout
    public = next(line for line in told.splitlines() if line.startswith("ssh-ed25519"))
    (place / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    command = [*inside, "dropbear", "-F", "-E", "-s", "-r", "/tmp/host", "-p", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _listening(port, server)
        yield {"kind": "ssh", "host": "127.0.0.1", "port": port, "user": "root",
               "key": str(place / "user"), "known_hosts": str(place / "known_hosts"),
               "python": "/root/emulated-python"}  # fmt: skip
    finally:
        server.terminate()
        server.wait()


def _listening(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return when the server takes connections; it takes some seconds to start, emulated."""
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit(f"dropbear ended with exit status {server.returncode}")


def answers(at: Target, jobs: list[Job], rows: Path, journal: Path) -> dict[str, np.ndarray]:
    """Return the outputs of every program on a target."""
    session, found = Session(at, jobs, Journal(journal)), {}
    settings = settle(at.bench, Bench(mode="quick"))
    for job in jobs:
        scores = session.score(job.name, rows, settings)
        if not isinstance(scores, Scores):
            sys.exit(f"{job.name} on {at.description}: {scores}")
        found[job.name] = scores.outputs["logits"]
        print(f"  {job.name} on {at.hardware.arch}: {scores.runtime_version}", flush=True)
    return found


def apart(name: str, here: np.ndarray, there: np.ndarray) -> tuple[str, bool]:
    """Return in words how two machines' outputs compare, and whether the limit is kept."""
    most = float(np.abs(here - there).max() / np.abs(here).max())
    agreement = float((here.argmax(1) == there.argmax(1)).mean())
    fine = agreement >= LEAST_AGREEMENT if name.endswith("int8") else most <= MOST_APART
    words = f"furthest {most:.2e} of the largest output, same class {agreement:.2%}"
    return f"{words} of {len(here):,}", fine


def ready_root(root: Path, *packages: str) -> None:
    """Make the emulated root where there is none, with more packages of Debian's."""
    if not (root / "usr/bin/env").exists():
        script = shipped("targets") / "qemu-arm64-root.sh"
        subprocess.run(["sh", str(script), str(root), *packages], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ssh", action="store_true", help="reach the root over ssh to dropbear")
    parser.add_argument("--root", type=Path, default=Path("~/.cache/edgekd/qemu-arm64"))
    parser.add_argument("--wheel", type=Path, help="ExecuTorch's for aarch64; else pip fetches it")
    parser.add_argument("--cpu", default="cortex-a76", help="which processor is emulated")
    parser.add_argument("--examples", type=int, default=1000)
    asked = parser.parse_args()
    root = asked.root.expanduser().absolute()
    ready_root(root, *(["dropbear-bin"] if asked.ssh else []))
    build_runner("executorch", this_machine(), None)
    build_runner("executorch", "aarch64", asked.wheel)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model = trained(images[:TRAINED], labels[:TRAINED])
        jobs = [*programs(model, images[:TRAINED], folder)]
        rows = folder / "rows"
        rows.mkdir()
        shown = images[TRAINED:][: asked.examples]
        np.save(rows / "image.npy", shown.numpy())
        right = float((model(shown).argmax(1) == labels[TRAINED:][: asked.examples]).float().mean())
        print(f"{len(shown):,} images, {right:.1%} of them read rightly in PyTorch")
        here = answers(target("cpu-xnnpack", kind="local"), jobs, rows, folder / "here")
        emulated = target("qemu-arm64", kind="qemu", root=str(root), cpu=asked.cpu)
        emulated.transport.build()  # says what is lacking, and tells the root of its processor
        with ExitStack() as served:
            if asked.ssh:
                way = served.enter_context(dropbear(root, asked.cpu, folder / "ssh"))
                emulated = target("qemu-arm64", **way)
            there = answers(emulated, jobs, rows, folder / "there")
    verdicts = {job.name: apart(job.name, here[job.name], there[job.name]) for job in jobs}
    for name, (words, fine) in verdicts.items():
        print(f"{name:17} {words}: {'kept' if fine else 'NOT KEPT'}")
    sys.exit(not all(fine for _, fine in verdicts.values()))


if __name__ == "__main__":
    main()
