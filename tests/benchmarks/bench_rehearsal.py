"""What `plan --measure` says that a run will take, beside what the run then takes.

python tests/benchmarks/bench_rehearsal.py FILE [ROUNDS] [PATH=VALUE ...]

Each round rehearses the pipeline and then runs it, in a store of its own. On a machine that others
use, both have what is left to them at the time: the load is printed.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import edgekd
from edgekd.pipeline.forecast import as_document

HEADS = ("told, s", "taken, s", "of a CPU", "told, B", "size, B")


def main() -> None:
    """Print the stages of every round: seconds told, seconds taken."""
    file, *rest = sys.argv[1:]
    rounds = int(rest.pop(0)) if rest and rest[0].isdigit() else 1
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "store"
            began, load = time.monotonic(), os.getloadavg()[0]
            told = as_document(edgekd.rehearse(file, sets=rest, store=store))
            between, then = time.monotonic(), os.getloadavg()[0]
            result = edgekd.run(file, sets=rest, store=store, runs=Path(folder) / "runs")
            ended = time.monotonic()
        print(f"round {number + 1}: rehearsed at load {load:.1f}, run from load {then:.1f}")
        print(f"{'stage':<24}" + "".join(f"{head:>12}" for head in HEADS))
        for part in told["stages"]:
            made = result.manifests[part["stage"]]
            size = sum(file["size"] for file in made.files.values())
            seconds = f"{part['seconds']:>12.1f}{made.seconds:>12.1f}{made.cpu_seconds:>12.1f}"
            print(f"{part['stage']:<24}{seconds}{part['disk_bytes']:>12,}{size:>12,}")
        total, taken = told["total"], sum(m.seconds for m in result.manifests.values())
        print(f"{'all stages':<24}{total['seconds']:>12.1f}{taken:>12.1f}")
        print(
            f"the rehearsal took {between - began:.1f} s, the run {ended - between:.1f} s\n",
            flush=True,
        )


if __name__ == "__main__":
    main()
