"""Measures ONNX files by hand, where neither edgekd nor torch is installed.

    python3 -s -E measure_file.py MODEL.onnx [MORE.onnx ...] [--inputs FOLDER]

What a program takes is read from the file itself; then `bench.py` measures as it does for a
pipeline: fresh processes, warm-up, turns. Without `--inputs` the inputs are noise made here, which
does for the time of a network whose work does not depend on its values. No gate is judged and no
interval is given: for evidence, let a pipeline measure.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from describe import UnreadableError, described
from describe_onnxruntime import DTYPES

NOISE_EXAMPLES = 32
FIXED = {
    "warmup_runs": 10,
    "min_runs": 25,
    "tolerance": 0.05,
    "cool_down_s": 0,
    "timeout_s": 900,
    "batch": 64,
    "memory_mib": 0,
    "scores_mib": 4096,
}
"""What a job says and nobody needs to set by hand."""


class UsageError(Exception):
    """What was asked for cannot be done; the text says what to do instead."""


def check_types(ports):
    """Refuse what NumPy does not have."""
    for port in ports:
        if port["dtype"] not in DTYPES.values():
            known = ", ".join(DTYPES)
            raise UsageError(f"'{port['name']}' is a {port['dtype']}; known are {known}.")


def program(path, scores):
    """Return what the runner must know of an ONNX file."""
    if path.suffix != ".onnx":
        raise UsageError(
            f"{path} is no .onnx file. ExecuTorch programs need torch in Python or the C++ "
            "runner: let an edgekd that has either measure them."
        )
    try:
        found = described(path)
    except UnreadableError as error:
        raise UsageError(f"{path} cannot be loaded: {error}") from error
    check_types(found["inputs"] + found["outputs"])
    return {
        "name": path.name,
        "file": str(path.resolve()),
        "runner": "bench_onnxruntime.py",
        "inputs": found["inputs"],
        "outputs": found["outputs"],
        "state": [],
        "scores": str((scores or Path()) / path.stem),
    }


def noise(port, random):
    """Return made-up examples: normal where a type has fractions, zeros elsewhere.

    Integers are indices as a rule, and 0 is the one that every table has.
    """
    varies = port["shape"] and not isinstance(port["shape"][0], int)
    sizes = [size if isinstance(size, int) else 1 for size in port["shape"]]
    shape = [NOISE_EXAMPLES, *sizes[1:]] if varies or not sizes else sizes
    if np.issubdtype(port["dtype"], np.floating):
        return random.standard_normal(shape).astype(port["dtype"])
    return np.zeros(shape, port["dtype"])


def write_noise(programs, folder):
    """Write one .npy per input name; programs measured together share them."""
    random = np.random.default_rng(0)
    for port in {port["name"]: port for p in programs for port in p["inputs"]}.values():
        np.save(folder / f"{port['name']}.npy", noise(port, random))


def check_inputs(programs, folder):
    """Refuse a folder that lacks an input, before anything is run."""
    for each in programs:
        for port in each["inputs"]:
            if not (folder / f"{port['name']}.npy").is_file():
                raise UsageError(
                    f"{each['name']} takes '{port['name']}': {folder} has no such .npy."
                )


def run(job, folder):
    """Return the document that `bench.py` prints for a job."""
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    bench = Path(__file__).with_name("bench.py")
    command = [sys.executable, "-s", "-E", str(bench), str(folder / "job.json")]
    document = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for about in document["failed"].values():
        raise UsageError("\n".join([f"{about['program']} {about['how']}.", *about["lines"]]))
    return document


def lines(job, documents, made_up):
    """Yield what people read of measurements, one document per restart."""
    about, when = documents[0]["machine"], documents[0]["measured_at"]
    yield f"{about['cpu']} ({about['arch']}), {job['threads']} threads, {when}"
    yield f"inputs: {'noise made here' if made_up else 'as given'}"
    for each in job["programs"]:
        taken = [document["measured"][each["name"]] for document in documents]
        middles = [median(t["ns"]) / 1e6 for t in taken]
        tail = np.percentile(np.concatenate([t["ns"] for t in taken]), 95) / 1e6
        yield (
            f"{each['name']}: p50 {median(middles):.4g} ms "
            f"(restarts {min(middles):.4g} to {max(middles):.4g}), p95 {tail:.4g} ms, "
            f"load {median(t['load_ms'] for t in taken):.3g} ms, "
            f"peak memory {max(t['peak_rss_mib'] for t in taken):.0f} MiB, "
            f"onnxruntime {taken[0]['version']}"
        )
        if not all(t["settled"] for t in taken) or any(t["throttled"] for t in taken):
            yield "  not settled: the machine was busy, or slowed itself for heat"


def arguments():
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="measure_file", description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--inputs", type=Path, help="a folder with one .npy per input")
    parser.add_argument("--scores", type=Path, help="run all inputs once; leave the outputs here")
    parser.add_argument("--threads", type=int, default=1)
    levels = ["all", "extended", "basic", "off"]
    parser.add_argument("--graph-level", choices=levels, default="all", help="rewriting allowed")
    parser.add_argument("--restarts", type=int, default=3, help="fresh processes per program")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured time per restart")
    parser.add_argument("--json", action="store_true", help="print all that was measured")
    return parser.parse_args()


def asked(given, programs, inputs):
    """Return the job that the command line stands for."""
    also = {"samples": str(inputs), "graph_level": given.graph_level}
    return FIXED | {
        "do": "score" if given.scores else "measure",
        "programs": [each | also for each in programs],
        "threads": given.threads,
        "warmup_s": given.seconds,
        "limit_s": 10 * given.seconds,
        "min_s": given.seconds,
    }


def work(given, folder):
    """Do what the command line asks; yield lines to print."""
    programs = [program(path, given.scores and given.scores.resolve()) for path in given.files]
    if len({each["name"] for each in programs}) < len(programs):
        raise UsageError("two of the files share the name by which results are told apart.")
    inputs = given.inputs.resolve() if given.inputs else folder
    if given.inputs:
        check_inputs(programs, inputs)
    elif given.scores:
        raise UsageError("--scores needs --inputs: outputs for noise say nothing.")
    else:
        write_noise(programs, folder)
    job = asked(given, programs, inputs)
    repeats = 1 if given.scores else given.restarts
    documents = [run(job | {"number": number}, folder) for number in range(repeats)]
    if given.json:
        yield json.dumps(documents)
    elif given.scores:
        yield from (each["scores"] for each in programs)
    else:
        yield from lines(job, documents, made_up=given.inputs is None)


def main():
    """Measure, or say what is wrong and end with 2."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            for line in work(arguments(), Path(folder)):
                print(line)
        except UsageError as error:
            print(f"measure_file: {error}", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
