"""What int8 ONNX programs gain by what is written otherwise for ONNX Runtime (docs/choosing.md).

    taskset -c 0 python -m tests.benchmarks.bench_onnx_faster [mobilenet efficientnet_lite0]

Each network in fp32, and in int8 with and without `onnx_faster`, with all layers and without the
first ones; medians of 400 calls in ms, all in turns in one process on one thread, two rounds.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch

from edgekd.core.refs import UseModel, UseRuntime, UseTask, UseTransform, as_read
from edgekd.runtimes import onnx_faster
from tests.benchmarks.bench_choose import MODELS, given_weights, photos, task

FIRST = {
    "mobilenet": ("network.mobilenet_v2.conv_stem",),
    "efficientnet_lite0": ("stem", "blocks.0"),
}
TURNS, CALLS, UNCOUNTED = 8, 60, 10


@contextmanager
def written_as_before() -> Iterator[None]:
    with patch.multiple(onnx_faster, fill_channels=lambda _: None, pool_globally=lambda _: None):
        yield


def programs(name: str, folder: Path) -> tuple[dict[str, Callable[[Any], Any]], dict[str, Any]]:
    """Return the opened programs of a network by what they are, and an example."""
    model, size = MODELS[name]
    given = given_weights(name)
    about = photos(size) if given and size else task(size, folder)
    made = UseTask.model_validate(as_read(about)).build()
    torch.manual_seed(0)
    use = UseModel.model_validate(as_read(model | ({"weights": str(given)} if given else {})))
    network = use.build()(made.signature()).eval()
    calibration = next(iter(made.batches("train", 32, device=torch.device("cpu"))))
    runtime = UseRuntime.model_validate("onnxruntime").build()

    def export(called: str, exclude: tuple[str, ...] | None) -> Callable[[Any], Any]:
        file = folder / f"{called}.onnx"
        static = {"kind": "int8_static", "examples": 32, "exclude": exclude}
        runtime.export(
            network,
            signature=made.signature(),
            samples=calibration,
            metadata={},
            quantization=None if exclude is None else UseTransform.model_validate(static),
            calibration=[calibration],
            activation="uint8",
            out=file,
        )
        return runtime.open(file)

    found = {"fp32": export("fp32", None)}
    with written_as_before():
        found["before"] = export("before", ())
        found["before, without first"] = export("before_without", FIRST[name])
    found["now"] = export("now", ())
    found["now, without first"] = export("now_without", FIRST[name])
    return found, {
        port.name: calibration[port.name][:1].numpy() for port in made.signature().inputs
    }


def timed(ways: Mapping[str, Callable[[Any], Any]], example: Any) -> dict[str, float]:
    """Return the median of each in ms; every other turn goes backwards."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            for call in range(CALLS):
                began = time.perf_counter()
                ways[name](example)
                if call >= UNCOUNTED:
                    taken[name].append(1000 * (time.perf_counter() - began))
    return {name: median(times) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", choices=[[], *FIRST], default=[])
    for name in parser.parse_args().models or FIRST:
        with TemporaryDirectory() as folder:
            ways, example = programs(name, Path(folder))
            for _ in range(2):
                found = timed(ways, example)
                print(name, ", ".join(f"{way} {ms:.2f}" for way, ms in found.items()), flush=True)


if __name__ == "__main__":
    main()
