"""The whole way to a device and back, over every transport: push, run, profile, pull.

    python -m tests.devices.end_to_end [--only WAY ...] [--root FOLDER] [--wheel FILE]

`openssh`: OpenSSH's server on loopback. `dropbear`: a server of ssh inside an emulated aarch64
root, which is made where there is none. `adb`: a real adbd, Linux userland, in a network of its
own; real_adbd.sh builds it once. A small network, in fp32 and int8, goes each of these ways for
ONNX Runtime and, as a .pte file, for the C++ runner; over adb as well to a device without Python.

A line of the table is a program. push: the file came back as it went. run: one fresh process was
timed (an emulated one is run, and its time not told). profile: the slowest operators, or of the C++
runner the share of time outside XNNPACK. pull: outputs beside this machine's, within the limits of
bench_emulated.py. Ends with 0 where all is well, 1 where something failed, and 3 where a way cannot
be gone on this machine; the last lines say why.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from edgekd.cli.printable import aligned
from edgekd.core.errors import EdgekdError
from edgekd.core.refs import as_read
from edgekd.devices.answers import Failure
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.native.build import build_runner
from edgekd.devices.native.runners import this_machine
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from tests.benchmarks.bench_emulated import (
    SIGNATURE,
    TRAINED,
    apart,
    dropbear,
    programs,
    ready_root,
    trained,
)
from tests.devices.adb_servers import real_adb
from tests.devices.ssh_servers import SSHD, openssh_server, small_python

EXAMPLES = 200
SETTINGS = settle(
    Bench(), Bench(mode="quick", warmup_runs=5, warmup_s=0.05, min_runs=25, min_s=0.1)
)
ADBD = Path(__file__).with_name("real_adbd.sh")
HEAD = ("way", "program", "push", "run", "profile", "pull")


class LackingError(Exception):
    """Why a way cannot be gone on this machine, and what would help."""


@dataclass
class Case:
    """A folder with programs, rows of examples, and this machine's answers."""

    folder: Path

    def make(self) -> None:
        """Train, export, and have this machine answer."""
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
        model = trained(images[:TRAINED], torch.tensor(digits.target)[:TRAINED])
        jobs = [*programs(model, images[:TRAINED], self.folder)]
        (self.folder / "rows").mkdir()
        np.save(self.folder / "rows/image.npy", images[TRAINED:][:EXAMPLES].numpy())
        (self.folder / "jobs.json").write_text(json.dumps({j.name: j.file.name for j in jobs}))
        here = Session(described("here", {"kind": "local"}), jobs, Journal(self.folder / "here"))
        for job in jobs:
            scores = sound(here.score(job.name, self.folder / "rows", SETTINGS))
            np.save(self.folder / f"{job.name}.npy", scores.outputs["logits"])

    @property
    def jobs(self) -> list[Job]:
        """The programs; the first part of a name is its runtime."""
        names = json.loads((self.folder / "jobs.json").read_text())
        return [
            Job(name, self.folder / file, name.partition("_")[0], SIGNATURE)
            for name, file in names.items()
        ]


def described(what: str, way: dict[str, Any], **more: Any) -> Target:
    """Return a target; without Python it has the C++ runner alone."""
    runtimes = (
        ["executorch"] if way.get("python", "python3") is None else ["onnxruntime", "executorch"]
    )
    about = {"description": what, "transport": way, "runtimes": runtimes, "native": ["executorch"]}
    return Target.model_validate(as_read(about | more))


def sound(found: Any) -> Any:
    """Return what was found; EdgekdError says how a program failed."""
    if isinstance(found, Failure):
        raise EdgekdError(str(found))
    return found


def gone(name: str, at: Target, case: Case) -> Iterator[list[str]]:
    """Yield a line for each program that goes to a target and back."""
    jobs = [job for job in case.jobs if job.runtime in at.runtimes]
    transport = at.transport.build()
    session = Session(at, jobs, Journal(case.folder / f"at-{name}"), traced=True)
    for job in jobs:
        steps = (
            partial(_push, transport, job, case.folder / f"back-{name}-{job.name}"),
            partial(_run, session, job, case),
            partial(_profile, session, job, case),
            partial(_pull, session, job, case),
        )
        cells = [_tried(step) for step in steps]
        print(f"  {name}: {job.name}", file=sys.stderr, flush=True)
        yield [name, job.name, *cells]


def _tried(step: Callable[[], str]) -> str:
    try:
        return step()
    except (EdgekdError, OSError, AssertionError) as error:
        return f"FAILED: {one_line(error)}"


def one_line(error: BaseException) -> str:
    """Return what an error says, or what ended before it could say something."""
    return " ".join(str(error).split()) or type(error).__name__


def _push(transport: Any, job: Job, back: Path) -> str:
    there = transport.push(job.file)
    transport.pull(there, back)
    (copy,) = [back] if back.is_file() else [*back.iterdir()]
    assert copy.read_bytes() == job.file.read_bytes(), "what came back is not what went"
    return f"{job.file.stat().st_size / 2**10:.1f} KiB"


def _run(session: Session, job: Job, case: Case) -> str:
    found = session.time([job.name], case.folder / "rows", SETTINGS, 0)
    taken = sound(found[job.name])
    runs = f"{taken.restart.runs} runs"
    if session.target.emulated:
        return runs
    return f"{runs}, p50 {np.median(taken.latencies_ms):.3g} ms"


def _profile(session: Session, job: Job, case: Case) -> str:
    if job.runtime in session.target.native:
        taken = sound(session.time([job.name], case.folder / "rows", SETTINGS, 0)[job.name])
        assert taken.restart.undelegated_time is not None, "nothing was told"
        return f"{taken.restart.undelegated_time:.0%} outside XNNPACK"
    told = sound(session.profile(job.name, case.folder / "rows", SETTINGS))
    assert told, "nothing was told"
    assert told.operators, "no operator was told"
    names = dict.fromkeys(one.operator for one in told.operators)
    return ", ".join([*names][:2])


def _pull(session: Session, job: Job, case: Case) -> str:
    scores = sound(session.score(job.name, case.folder / "rows", SETTINGS))
    here = np.load(case.folder / f"{job.name}.npy")
    words, fine = apart(job.name, here, scores.outputs["logits"])
    return words if fine else f"FAILED: {words}"


def over_openssh(case: Case, _asked: argparse.Namespace) -> Iterator[list[str]]:
    """Go to OpenSSH's server on loopback."""
    if not SSHD:
        raise LackingError("there is no sshd: apt-get install openssh-server")
    with openssh_server(case.folder / "openssh") as server:
        python = small_python(case.folder / "openssh/python")
        way = {"kind": "ssh", **server.options, "python": python}
        yield from gone("openssh", described("OpenSSH on loopback", way), case)


def over_dropbear(case: Case, asked: argparse.Namespace) -> Iterator[list[str]]:
    """Go to a server of ssh in an emulated aarch64 root."""
    root = asked.root.expanduser().absolute()
    try:
        if os.geteuid() == 0:
            ready_root(root, "dropbear-bin")
        build_runner("executorch", "aarch64", asked.wheel)
        way = {"kind": "qemu", "root": str(root), "cpu": asked.cpu}
        described("root", way).transport.build()  # says what lacks; tells the root of its processor
    except (EdgekdError, OSError, subprocess.CalledProcessError) as error:
        raise LackingError(one_line(error)) from error
    if not (root / "usr/sbin/dropbear").exists():
        raise LackingError(f"{root} was made without dropbear: remove it, it is made anew with it")
    with dropbear(root, asked.cpu, case.folder / "dropbear") as way:
        more = {"hardware": {"arch": "aarch64"}, "emulated": True}
        yield from gone("dropbear", described(f"dropbear, {asked.cpu}", way, **more), case)


def over_adb(case: Case, _asked: argparse.Namespace) -> Iterator[list[str]]:
    """Go to a real adbd, in a network of its own: there this script goes on as `inside`."""
    if os.geteuid() != 0:
        raise LackingError("a network of its own takes the superuser")
    lacking = [name for name in ("adb", "unshare", "ip") if shutil.which(name) is None]
    if lacking:
        raise LackingError(f"there is no {lacking[0]}: apt-get install adb util-linux iproute2")
    apart_from_all = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "true"]
    done = subprocess.run(apart_from_all, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LackingError(f"no network of its own can be had: {done.stderr.strip()}")
    built = subprocess.run([ADBD, "build"], capture_output=True, text=True, check=False)
    if built.returncode:
        last = built.stderr.strip().splitlines()[-1:]
        raise LackingError(
            f"adbd cannot be built ({' '.join(last)}): the head of {ADBD} says with what"
        )
    words = [ADBD, "run", sys.executable, "-m", "tests.devices.end_to_end", "--inside", case.folder]
    subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
    file = case.folder / "adb.json"
    if not file.exists():
        yield ["adb", "-", "FAILED: it did not come to its end", "-", "-", "-"]
        return
    yield from json.loads(file.read_text())


def inside(case: Case) -> None:
    """Go over adb, where nothing else can see its daemon; leave the lines in the folder."""
    with real_adb(case.folder / "adb") as device:
        python = small_python(case.folder / "adb/python")
        way = {"kind": "adb", **device.options}
        lines = [
            *gone("adb", described("adbd", way | {"python": python}), case),
            *gone("adb, no Python", described("adbd", way | {"python": None}), case),
        ]
    (case.folder / "adb.json").write_text(json.dumps(lines))


WAYS = {"openssh": over_openssh, "dropbear": over_dropbear, "adb": over_adb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=WAYS, default=[*WAYS], metavar="WAY")
    parser.add_argument("--root", type=Path, default=Path("~/.cache/edgekd/qemu-arm64"))
    parser.add_argument("--wheel", type=Path, help="ExecuTorch's for aarch64; else pip fetches it")
    parser.add_argument("--cpu", default="cortex-a76", help="which processor is emulated")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        inside(Case(asked.inside))
        return
    lines, lacking = [], []
    with tempfile.TemporaryDirectory(prefix="edgekd-ways-") as made:
        case = Case(Path(made))
        build_runner("executorch", this_machine(), None)
        case.make()
        for name in asked.only:
            try:
                lines.extend(WAYS[name](case, asked))  # of what fails on the way, the lines before
            except EdgekdError as error:
                lines.append([name, "-", f"FAILED: {one_line(error)}", "-", "-", "-"])
            except LackingError as error:
                lacking.append(f"{name} cannot be gone on this machine: {error}")
    print("\n".join([*aligned([HEAD, *lines]), *lacking]))
    failed = any(cell.startswith("FAILED") for line in lines for cell in line)
    sys.exit(1 if failed else 3 if lacking else 0)


if __name__ == "__main__":
    main()
