"""Good programs for the two runtimes, with what they take, and mutants of them.

    python -P -m fuzz.programs [NAME ...]

writes all, or those that are named, to $EDGEKD_PROGRAMS.
"""

import os
import random
import sys
from collections.abc import Container, Mapping
from pathlib import Path

import numpy as np

from edgekd.core.refs import UseRuntime, UseTransform
from edgekd.core.signature import Signature
from edgekd.testing.tiny import CASES
from fuzz import flat, graphs, raw

EXAMPLES = 3
MADE = (
    ("plain.onnx", "onnxruntime", "plain", None),
    ("pair.onnx", "onnxruntime", "pair", None),
    ("int8.onnx", "onnxruntime", "plain", "int8_static"),
    ("plain.pte", "executorch", "plain", None),
    ("int8.pte", "executorch", "plain", "int8_static"),
)


def good(ending: str) -> Mapping[Path, bytes]:
    """Return the good programs of $EDGEKD_PROGRAMS with an ending."""
    given = Path(os.environ["EDGEKD_PROGRAMS"])
    return {path: path.read_bytes() for path in sorted(given.glob(f"*{ending}"))}


def samples(program: Path) -> Path:
    """Return the folder of the examples that a good program runs on."""
    return program.with_name(program.name.replace(".", "-"))


def mutated(path: Path, kept: Mapping[Path, bytes], rng: random.Random) -> tuple[str, bytes]:
    """Return how a mutant of a good program was made, and the mutant."""
    if rng.random() < 0.6:
        structure = graphs.mutated if path.suffix == ".onnx" else flat.mutated
        try:
            return "values", structure(kept[path], rng)
        except (ValueError, TypeError):
            pass  # the library would not write it: bytes do
    changes = rng.choice([1, 1, 2, 5])
    return "bytes", raw.mutated(kept[path], rng, list(kept.values()), changes=changes)


def write(folder: Path, names: Container[str]) -> None:
    """Export small networks to a folder, and the examples that they run on."""
    for name, runtime, case_name, transform in MADE:
        if name not in names:
            continue
        case = CASES[case_name]
        UseRuntime.model_validate(runtime).build().export(
            case.model(),
            signature=case.signature,
            samples=case.samples(4),
            metadata={"labels": "[]"},
            quantization=UseTransform.model_validate(transform) if transform else None,
            calibration=[case.samples(32, 0)],
            activation="uint8",
            out=folder / name,
        )
        samples(folder / name).mkdir()
        for port, tensor in case.samples(EXAMPLES).items():
            np.save(samples(folder / name) / f"{port}.npy", tensor.numpy())


def runtime(name: str) -> str:
    """Return what runs a program."""
    return next(runtime for made, runtime, _, _ in MADE if made == name)


def signature(name: str) -> Signature:
    """Return what a program takes and gives."""
    return next(CASES[case].signature for made, _, case, _ in MADE if made == name)


if __name__ == "__main__":
    write(Path(os.environ["EDGEKD_PROGRAMS"]), sys.argv[1:] or [name for name, *_ in MADE])
