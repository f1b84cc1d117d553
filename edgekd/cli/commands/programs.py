"""Commands about model files: measured, and compared with the model that they were made of."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.commands.options import RUNS, STORE, AsJson, RunsFolder, StoreFolder, Targets


def bench(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An .onnx, .ort or .pte file of anybody's.")
    ],
    target: Targets = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="OTHER", help="Measure in turns with this one: A B B A."),
    ] = None,
    shapes: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="INPUT=1x3x224x224", help="Sizes of an input."),
    ] = None,
    dims: Annotated[
        list[str] | None,
        typer.Option("--dim", metavar="NAME=N", help="Size of a dimension that varies."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--values",
            metavar="INPUT=LOW..HIGH",
            help="Values to make for an input, or INPUT=N for one; else normal, whole numbers 0 "
            "and 1, or all of a byte.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Feed the arrays of this .npz or .npy file."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the values that are made.")] = 0,
    mode: Annotated[
        str | None,
        typer.Option("--mode", metavar="MODE", help="quick, standard or thorough."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=1024, help="Instead of the target's.")
    ] = None,
    graph_level: Annotated[
        str | None,
        typer.Option("--graph-level", metavar="LEVEL", help="ONNX: all, extended, basic or off."),
    ] = None,
    gates: Annotated[
        list[str] | None,
        typer.Option("--gate", metavar="LIMIT", help="As 'latency_p90_ms<=5'; may be repeated."),
    ] = None,
    profile: Annotated[
        bool | None,
        typer.Option("--profile/--no-profile", help="Time the operators; not in mode quick."),
    ] = None,
    throughput: Annotated[
        bool,
        typer.Option("--throughput", help="Also measure samples a second, in batches and streams."),
    ] = False,
    sustained: Annotated[
        float | None,
        typer.Option(
            "--sustained",
            min=10,
            max=3600,
            metavar="SECONDS",
            help="Also run for so long without a pause: latency against heat and clock.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Also write .html, .md, .json or .xml (JUnit) here.",
        ),
    ] = None,
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """Measure a model file on devices: percentiles, start, memory, and a report."""
    from edgekd.bench.asked import Asked, read_dims, read_gates, read_shapes, read_values
    from edgekd.cli.bench import bench_model

    asked = Asked(
        model,
        against=against,
        targets=target or ("cpu",),
        shapes=read_shapes(shapes or ()),
        dims=read_dims(dims or ()),
        values=read_values(values or ()),
        data=data,
        seed=seed,
        mode=mode,
        threads=threads,
        graph_level=graph_level,
        profile=profile,
        throughput=throughput or None,
        sustained_s=sustained,
        gates=read_gates(gates or (), compares=against is not None),
    )
    raise typer.Exit(bench_model(asked, out, runs, as_json))


def bisect(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="An .onnx or .pte file of a run or a store.")
    ],
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=4096, help="Validation examples to compare on.")
    ] = 16,
    store: StoreFolder = STORE,
    as_json: AsJson = False,
) -> None:
    """Compare a program's layers with its PyTorch model's, and name the first that departs."""
    from edgekd.cli.bisect import bisect_program

    raise typer.Exit(bisect_program(artifact, store, samples, as_json))
