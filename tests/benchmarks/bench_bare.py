"""One .pte program on a device with Python and on one without, in turns: outputs and time.

    python tests/benchmarks/bench_bare.py PROGRAM.pte ... [--restarts 8] [--root FOLDER]

Both devices are OpenSSH's server on loopback with the C++ runner of this machine. Commands of the
second find nothing but what the shell of such a device must have; with `--root` they see that root
file system alone, busybox's say, with /proc, /sys and /dev of this machine, which takes the
superuser. The ratio is the median without over that with Python, restarts paired: its geometric
mean with Student's 95 % interval.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bench_runner import ratio, signature, write

from edgekd.devices.answers import Scores, Timing
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.native.build import build_runner
from edgekd.devices.native.runners import this_machine
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from tests.devices.bare_devices import link_tools
from tests.devices.ssh_servers import SSHD, openssh_server


@contextmanager
def without_python(place: Path, root: Path | None) -> Iterator[dict[str, Any]]:
    """Give the options of an ssh server whose commands find no Python."""
    with openssh_server(place) as server:
        server.end()
        tools, config, force = place / "tools", place / "sshd_config", place / "force"
        link_tools(tools)
        enter, path, options = "", tools, server.options
        if root:
            enter, path, options = f"chroot {root} ", Path("/bin"), options | {"folder": "/tmp"}
            mounts = " && ".join(f"mount --rbind /{n} {root}/{n}" for n in ("proc", "sys", "dev"))
            serve = f"{mounts} && exec {SSHD} -D -e -f {config}"
            server.command = ["unshare", "-m", "sh", "-c", serve]
        shell = f'{path}/env -i PATH={path} HOME=/tmp {path}/sh -c "$SSH_ORIGINAL_COMMAND"'
        force.write_text(f"#!/bin/sh\nexec {enter}{shell}\n")
        force.chmod(0o755)
        config.write_text(f"{config.read_text()}ForceCommand {force}\n")
        server.start()
        yield options | {"python": None}


def compare(file: Path, restarts: int, ways: dict[str, dict[str, Any]], folder: Path) -> None:
    about, rows = signature(file), folder / "rows"
    rows.mkdir()
    write(about.inputs, rows)
    described = {"description": "board", "runtimes": ("executorch",), "native": ("executorch",)}
    settings = settle(Bench(), Bench(mode="quick", warmup_s=0.5, min_s=1.0))
    sessions, outputs = {}, {}
    medians: dict[str, list[float]] = {way: [] for way in ways}
    for way, options in ways.items():
        target = Target.model_validate(described | {"transport": {"kind": "ssh", **options}})
        job = Job("program", file, "executorch", about)
        sessions[way] = Session(target, [job], Journal(folder / way))
        scores = sessions[way].score("program", rows, settings)
        assert isinstance(scores, Scores), scores
        outputs[way] = scores.outputs
    for number in range(restarts):
        for way in [*ways][:: 1 if number % 2 else -1]:
            taken = sessions[way].time(["program"], rows, settings, number)["program"]
            assert isinstance(taken, Timing), taken
            medians[way].append(float(np.median(taken.latencies_ms)))
    same = all(np.array_equal(outputs["without"][n], a) for n, a in outputs["with"].items())
    print(f"{file.name}: outputs {'equal bit for bit' if same else 'DIFFER'}; p50 without Python "
          f"{np.median(medians['without']):.4g} ms, without over with "
          f"{ratio(np.array(medians['without']), np.array(medians['with']))}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs="+", type=Path)
    parser.add_argument("--restarts", type=int, default=8)
    parser.add_argument("--root", type=Path)
    asked = parser.parse_args()
    build_runner("executorch", this_machine(), None)
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        with openssh_server(place / "with") as server:
            full = server.options | {"python": sys.executable}
            with without_python(place / "without", asked.root) as bare:
                for number, file in enumerate(asked.programs):
                    (place / str(number)).mkdir()
                    ways = {"with": full, "without": bare}
                    compare(file.absolute(), asked.restarts, ways, place / str(number))


if __name__ == "__main__":
    main()
