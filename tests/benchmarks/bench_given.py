"""What `convert` makes of ONNX files that others made: how far it departs, or why it refuses.

    python tests/benchmarks/bench_given.py cls.onnx --shape x=4x3x48x192

By the functions that the stage calls, without parity. Inputs are noise by a seed: normal for
floats, 0 to 255 for integers; `--shape` is needed where sizes vary, and then goes for all files.
Departure is the root mean square of the difference over that of the file's own outputs, the worst.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edgekd.convert.asking import Wanted, Written, rewrite, survey
from edgekd.core.errors import StageError
from edgekd.core.signature import Port, Signature

BATCHES = 4
TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32"}
KINDS = (
    {"kind": "int8_static"},
    {"kind": "int8_dynamic"},
    {"kind": "int8_dynamic", "convolutions": True},
    {"kind": "int4_weights"},
)


def outputs(file: Path, inputs: dict[str, Any]) -> list[Any]:
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, inputs)


def noise(signature: Signature, shapes: dict[str, list[int]], rng: Any) -> dict[str, Any]:
    """Return a batch; sizes that nobody says are 1."""
    found = {}
    for port in signature.inputs:
        fixed = [size if isinstance(size, int) else 1 for size in port.shape]
        shape = shapes.get(port.name, fixed)
        drawn = (
            rng.standard_normal(shape) if port.dtype == "float32" else rng.integers(0, 256, shape)
        )
        found[port.name] = np.asarray(drawn, port.dtype)
    return found


def signature_of(file: Path) -> Signature:
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    return Signature(
        tuple(Port(i.name, TYPES[i.type], tuple(x or "any" for x in i.shape))
              for i in session.get_inputs()),
        tuple(Port(o.name, TYPES[o.type], ("any",)) for o in session.get_outputs()),
    )  # fmt: skip


def tried(file: Path, kind: dict[str, Any], shapes: dict[str, list[int]]) -> str:
    """Return what came of one kind."""
    rng, signature = np.random.default_rng(0), signature_of(file)
    wanted = Wanted(str(file.absolute()), kind, None)
    if objection := survey(wanted):
        return f"refused: {objection.message}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "new.onnx")
        for index in range(BATCHES):
            np.savez(Path(folder, f"{index:06}.npz"), **noise(signature, shapes, rng))
        written = Written(str(out), signature.as_dict(), folder, "uint8", "all", {})
        found, seen = rewrite(wanted, written), noise(signature, shapes, rng)
        gaps = [
            np.sqrt(np.square(new - old).mean() / np.square(old).mean())
            for new, old in zip(outputs(out, seen), outputs(file, seen), strict=True)
        ]
        share = out.stat().st_size / file.stat().st_size
    left = sorted({f"{one['operator']} ({one['why']})" for one in found["left"]})
    done = ", ".join(f"{count} {name}" for name, count in found["quantized"].items())
    return (
        f"{done}; opset {found['opset']} of {found['opset_given']}; error {max(gaps):.3f}; "
        f"{share:.2f} of the size; left: {', '.join(left) or 'none'}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--shape", action="append", default=[], help="NAME=4x3x48x192")
    asked = parser.parse_args()
    shapes = {
        name: [int(size) for size in sizes.split("x")]
        for name, _, sizes in (said.partition("=") for said in asked.shape)
    }
    print("| file | asked | found |\n|---|---|---|")
    for file in asked.files:
        for kind in KINDS:
            try:
                found = tried(file, kind, shapes)
            except StageError as error:
                found = f"fails: {error.message}"
            print(f"| {file.stem} | {json.dumps(kind)} | {found} |", flush=True)


if __name__ == "__main__":
    main()
